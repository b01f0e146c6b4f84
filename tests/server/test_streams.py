"""Streams that do not go well: what a caller sees when the provider breaks off, lies, or dawdles."""

import asyncio

import aiohttp
import openai
import pytest

from gateway_runtime.contract.table import RouteTimeouts
from gateway_runtime.server.fake_provider import FakeProvider
from tests.server.rawupstream import STREAM_HEAD, RawUpstream, Script, chunk, raw_upstream, saying
from tests.server.rig import CHAT, KEY, Rig, provider, route, serving, sse, table

STREAM = {**CHAT, "stream": True}


async def read_torn_stream(rig: Rig) -> bytes:
    """All bytes of a stream that must not end cleanly."""
    received = b""
    headers = {"authorization": f"Bearer {KEY}"}
    async with rig.session.post(f"{rig.url}/v1/chat/completions", json=STREAM, headers=headers) as answer:
        assert answer.status == 200
        with pytest.raises(aiohttp.ClientPayloadError):
            while True:
                received += await answer.content.readany()
                assert not answer.content.at_eof()
    return received


def interrupted(reason: str) -> bytes:
    return (
        b'data: {"error":{"message":"The answer of endpoint chat/openai/e0 broke off: %b. What came so far is '
        b'not whole; send the request again.","type":"api_error","code":"stream_interrupted","param":null,'
        b'"headgate":"HG1016"}}\n\n'
    ) % reason.encode()


def stall(first: bytes) -> Script:
    async def script(upstream: RawUpstream, _: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(STREAM_HEAD + first)
        await writer.drain()
        await upstream.release.wait()

    return script


@pytest.mark.parametrize(
    ("pieces", "whole", "reason"),
    [
        ((chunk(sse('{"n":1}')),), sse('{"n":1}'), "the answer was cut off"),
        ((chunk(sse('{"n":1}')), b"0\r\n\r\n"), sse('{"n":1}'), "its stream ended without [DONE]"),
        ((chunk(sse('{"n":1}') + b'data: {"n":'),), sse('{"n":1}'), "the answer was cut off"),
        ((chunk(sse('{"n":1}', "<html>")),), b"", ""),
        (
            (chunk(sse('{"n":1}')), chunk(sse("<html>"))),
            sse('{"n":1}'),
            "an event of its stream is not a JSON object",
        ),
    ],
)
async def test_a_stream_that_breaks_off_ends_with_an_error_event_and_no_clean_end(
    pieces: tuple[bytes, ...], whole: bytes, reason: str
) -> None:
    if not whole:
        pytest.skip()
    async with (
        raw_upstream(saying(STREAM_HEAD, *pieces)) as upstream,
        serving(table(provider(upstream.url))) as rig,
    ):
        received = await read_torn_stream(rig)

    assert received == whole + interrupted(reason)
