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
ONE = sse('{"n":1}')


def saying_twice(first: bytes, then: bytes | None) -> Script:
    """The second when the test has seen the first; None is silence."""

    async def script(upstream: RawUpstream, _: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(STREAM_HEAD + first)
        await writer.drain()
        await upstream.release.wait()
        if then is None:
            await asyncio.Event().wait()
        else:
            writer.write(then)
        writer.close()

    return script


async def read_torn_stream(rig: Rig, upstream: RawUpstream) -> bytes:
    """All bytes of a stream that must not end cleanly."""
    received = b""
    headers = {"authorization": f"Bearer {KEY}"}
    async with rig.session.post(f"{rig.url}/v1/chat/completions", json=STREAM, headers=headers) as answer:
        assert answer.status == 200
        while True:
            try:
                received += await answer.content.readany()
            except aiohttp.ClientPayloadError:
                return received
            assert not answer.content.at_eof()
            upstream.release.set()


def interrupted(reason: str) -> bytes:
    return (
        b'data: {"error":{"message":"The answer of endpoint chat/openai/e0 broke off: %b. What came '
        b'so far is not whole; send the request again.","type":"api_error",'
        b'"code":"stream_interrupted","param":null,'
        b'"headgate":"HG1016"}}\n\n'
    ) % reason.encode()


@pytest.mark.parametrize(
    ("then", "reason"),
    [
        (b"", "the answer was cut off"),
        (b"0\r\n\r\n", "its stream ended without [DONE]"),
        (chunk(sse("<html>")), "an event of its stream is not a JSON object"),
        (chunk(b"data: " + b"x" * 5_000_000), "an event of the stream has more than 4194304 bytes"),
        (None, "silent for 0.05 s in the middle of its answer"),
    ],
)
async def test_a_stream_that_breaks_off_ends_with_an_error_event_and_no_clean_end(
    then: bytes | None, reason: str
) -> None:
    patience = route(timeouts=RouteTimeouts(idle_s=0.05))
    async with (
        raw_upstream(saying_twice(chunk(ONE), then)) as upstream,
        serving(table(provider(upstream.url), routes=[patience])) as rig,
    ):
        received = await read_torn_stream(rig, upstream)

    assert received == ONE + interrupted(reason)


async def test_an_event_that_the_provider_never_finished_is_held_back() -> None:
    async with (
        raw_upstream(saying_twice(chunk(ONE + b'data: {"n":'), b"")) as upstream,
        serving(table(provider(upstream.url))) as rig,
    ):
        received = await read_torn_stream(rig, upstream)

    assert received == ONE + interrupted("the answer was cut off")


async def test_an_event_that_comes_in_two_pieces_arrives_whole() -> None:
    rest = chunk(b"2}\n\ndata: [DONE]\n\n") + b"0\r\n\r\n"
    async with (
        raw_upstream(saying_twice(chunk(ONE + b'data: {"n":'), rest)) as upstream,
        serving(table(provider(upstream.url))) as rig,
    ):
        upstream.release.set()
        answer = await rig.ask(STREAM)

    assert answer.body == sse('{"n":1}', '{"n":2}', "[DONE]")


async def test_a_stream_that_takes_longer_than_its_total_is_cut() -> None:
    patience = route(timeouts=RouteTimeouts(total_s=0.05))
    async with (
        raw_upstream(saying_twice(chunk(ONE), None)) as upstream,
        serving(table(provider(upstream.url), routes=[patience])) as rig,
    ):
        received = await read_torn_stream(rig, upstream)

    assert received == ONE + interrupted("not finished within 0.05 s")


async def test_the_openai_sdk_raises_for_a_stream_that_broke_off() -> None:
    async with (
        raw_upstream(saying_twice(chunk(sse('{"choices":[]}')), b"")) as upstream,
        serving(table(provider(upstream.url))) as rig,
        openai.AsyncOpenAI(base_url=f"{rig.url}/v1", api_key=KEY, max_retries=0) as client,
    ):
        stream = await client.chat.completions.create(
            model="gpt", messages=[{"role": "user", "content": "Hello"}], stream=True
        )
        await anext(stream)
        upstream.release.set()
        with pytest.raises(openai.APIError, match="broke off: the answer was cut off"):
            await anext(stream)


async def test_comments_before_the_first_event_go_out_with_it() -> None:
    comment = b": thinking\n\n"
    event = sse('{"n":1}')
    async with (
        raw_upstream(
            saying_twice(chunk(comment), chunk(event) + chunk(sse("[DONE]")) + b"0\r\n\r\n")
        ) as upstream,
        serving(table(provider(upstream.url))) as rig,
    ):
        upstream.release.set()
        answer = await rig.ask(STREAM)

    assert answer.body == comment + event + sse("[DONE]")


async def test_a_stream_that_fails_after_comments_alone_is_tried_elsewhere(fake: FakeProvider) -> None:
    async with (
        raw_upstream(saying(STREAM_HEAD, chunk(b": thinking\n\n"))) as upstream,
        serving(table(provider(fake.url, upstream.url))) as rig,
    ):
        answer = await rig.ask(STREAM)

    assert answer.status == 200
    assert answer.headers["x-headgate-attempts"] == "2"
    assert answer.body.endswith(sse("[DONE]"))


async def test_a_provider_that_leaves_its_stream_open_after_done_keeps_no_caller_waiting() -> None:
    async with (
        raw_upstream(saying_twice(chunk(sse('{"n":1}', "[DONE]")), None)) as upstream,
        serving(table(provider(upstream.url))) as rig,
    ):
        answer = await rig.ask(STREAM)

    assert answer.body == sse('{"n":1}', "[DONE]")


@pytest.mark.parametrize("body", [b'{"choices":[]}', b"<html>\n\n", b"\xff\xfe\x00\n\n", b""])
async def test_what_is_no_stream_at_all_is_an_error_before_anything_goes_out(body: bytes) -> None:
    frame = (chunk(body) if body else b"") + b"0\r\n\r\n"
    async with (
        raw_upstream(saying_twice(frame, b"")) as upstream,
        serving(table(provider(upstream.url), routes=[route(max_attempts=1)])) as rig,
    ):
        upstream.release.set()
        answer = await rig.ask(STREAM)

    assert answer.status == 502


async def test_a_slow_reader_is_not_taken_for_a_silent_provider() -> None:
    big = sse('{"text":"%s"}' % ("x" * 200_000)) * 40
    patience = route(timeouts=RouteTimeouts(idle_s=0.05))
    body = big + sse("[DONE]")
    async with (
        raw_upstream(saying_twice(chunk(body) + b"0\r\n\r\n", None)) as upstream,
        serving(table(provider(upstream.url), routes=[patience])) as rig,
    ):
        headers = {"authorization": f"Bearer {KEY}"}
        async with rig.session.post(f"{rig.url}/v1/chat/completions", json=STREAM, headers=headers) as answer:
            await asyncio.sleep(0.09)  # longer than the provider may be silent; nobody reads meanwhile
            received = await answer.content.read()

    assert received == body
