"""One request and its answer on a connection: what comes back, in which words it fails, what goes out."""

import asyncio
import errno
import hashlib
from typing import Any

import pytest

from gateway_runtime.engine.retry import Outcome
from gateway_runtime.upstream.connection import describe_end
from gateway_runtime.upstream.exchange import UpstreamFailure
from gateway_runtime.upstream.transport import PooledTransport
from tests.server.rawupstream import RawUpstream, answering, saying
from tests.upstream.scripted import HEADERS, Got, ask, build_request, listening, only, reset, scripted

CHUNKED = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"


async def test_a_request_is_answered(transport: PooledTransport) -> None:
    async with scripted(answering(b'{"id":1}')) as upstream:
        got = await ask(transport, f"{upstream.url}/chat/completions")

    assert got == Got(200, b'{"id":1}')
    assert upstream.heads == [
        b"POST /v1/chat/completions HTTP/1.1\r\n"
        + f"host: 127.0.0.1:{upstream.port}\r\n".encode()
        + b"content-type: application/json\r\nauthorization: Bearer sk-planted\r\ncontent-length: 2\r\n\r\n"
    ]


async def test_the_moment_of_sending_is_told_once(transport: PooledTransport) -> None:
    moments: list[int] = []
    async with scripted(answering(b"{}")) as upstream:
        answer = await transport.send(build_request(upstream.url), lambda: moments.append(upstream.requests))
        answer.close()

    assert moments == [0]


async def test_pieces_are_handed_out_as_they_come(transport: PooledTransport) -> None:
    async def script(upstream: RawUpstream, _: Any, writer: asyncio.StreamWriter) -> None:
        writer.write(CHUNKED + b"1\r\na\r\n")
        await upstream.release.wait()
        writer.write(b"1\r\nb\r\n1\r\nc\r\n0\r\n\r\n")

    async with scripted(script) as upstream:
        answer = await transport.send(build_request(upstream.url), lambda: None)
        first = await answer.next_chunk()
        upstream.release.set()
        rest = [await answer.next_chunk(), await answer.next_chunk()]

    assert (first, rest) == (b"a", [b"bc", b""])


async def test_an_answer_that_trickles_in_is_whole(transport: PooledTransport) -> None:
    data = CHUNKED + b"3\r\nabc\r\n0\r\n\r\n"
    async with scripted(saying(*(data[i : i + 1] for i in range(len(data))))) as upstream:
        assert await ask(transport, upstream.url) == Got(200, b"abc")


async def test_a_body_without_a_length_ends_with_the_connection(transport: PooledTransport) -> None:
    async with scripted(saying(b"HTTP/1.0 200 OK\r\n\r\n", b"abc")) as upstream:
        assert await ask(transport, upstream.url) == Got(200, b"abc")


async def test_head_is_answered_without_a_body(transport: PooledTransport) -> None:
    async with scripted(saying(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n")) as upstream:
        assert await ask(transport, upstream.url, method="HEAD", body=None) == Got(200, b"")


async def test_interim_answers_are_passed_over(transport: PooledTransport) -> None:
    pieces = (b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 204 No Content\r\n\r\n")
    async with scripted(saying(*pieces, then_close=False)) as upstream:
        assert await ask(transport, upstream.url) == Got(204, b"")


@pytest.mark.parametrize(
    ("pieces", "outcome", "reason"),
    [
        ((), Outcome.RESET, "the connection was closed before an answer came"),
        ((b"HTTP/1.1 200 O",), Outcome.RESET, "the answer was cut off"),
        ((b"HTTP/1.1 100 Continue\r\n\r\n",), Outcome.RESET, "the answer was cut off"),
        ((b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n{",), Outcome.RESET, "the answer was cut off"),
        ((CHUNKED, b"5\r\nab"), Outcome.RESET, "the answer was cut off"),
        ((b"SSH-2.0-OpenSSH_9.2\r\n",), Outcome.MALFORMED, "the answer is not HTTP"),
        ((CHUNKED, b"zz\r\n"), Outcome.MALFORMED, "the answer is not HTTP"),
        (
            (b"HTTP/1.1 200 OK\r\ntransfer-encoding: gzip\r\n\r\n",),
            Outcome.MALFORMED,
            "it has a transfer encoding other than chunked",
        ),
    ],
)
async def test_a_broken_answer_fails_and_costs_its_connection(
    transport: PooledTransport, pieces: tuple[bytes, ...], outcome: Outcome, reason: str
) -> None:
    async with scripted(saying(*pieces)) as upstream:
        with pytest.raises(UpstreamFailure) as caught:
            await ask(transport, upstream.url)
        await upstream.wait_for_ends(1)

    assert (caught.value.outcome, caught.value.reason) == (outcome, reason)
    assert (only(transport).busy, only(transport).idle) == (0, 0)


async def test_a_reset_connection_is_told_as_such(transport: PooledTransport) -> None:
    async def script(_: RawUpstream, __: Any, writer: asyncio.StreamWriter) -> None:
        reset(writer)

    async with scripted(script) as upstream:
        with pytest.raises(UpstreamFailure, match=r"^the connection was reset$"):
            await ask(transport, upstream.url)


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (TimeoutError(errno.ETIMEDOUT, "Connection timed out"), "connection timed out"),
        (OSError(errno.EHOSTUNREACH, "No route to host"), "no route to host"),
        (BrokenPipeError(), "the connection was reset"),
    ],
)
def test_what_the_network_says_is_told(error: OSError, reason: str) -> None:
    assert describe_end(error, begun=False) == reason


async def test_what_came_before_the_break_is_handed_out_first(transport: PooledTransport) -> None:
    async with scripted(saying(CHUNKED + b"2\r\nab\r\nzz\r\n")) as upstream:
        answer = await transport.send(build_request(upstream.url), lambda: None)
        came = await answer.next_chunk()
        with pytest.raises(UpstreamFailure, match="not HTTP"):
            await answer.next_chunk()

    assert came == b"ab"


async def test_a_server_that_speaks_first_is_not_http(transport: PooledTransport) -> None:
    async def greet(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 mail ready\r\n")
        await writer.drain()

    async with listening(greet) as port:
        with pytest.raises(UpstreamFailure) as caught:
            await ask(transport, f"http://127.0.0.1:{port}/")

    assert caught.value.outcome is Outcome.MALFORMED


async def test_a_request_that_may_not_be_sent_opens_no_connection(transport: PooledTransport) -> None:
    async with scripted(answering(b"{}")) as upstream:
        request = build_request(upstream.url)._replace(headers={**HEADERS, "x": "a\r\nb: c"})
        with pytest.raises(UpstreamFailure, match='its header "x" has a line break'):
            await transport.send(request, lambda: None)

    assert upstream.connections == 0


async def test_what_is_no_url_is_told_without_quoting_it(transport: PooledTransport) -> None:
    with pytest.raises(UpstreamFailure) as caught:
        await ask(transport, "http://user:secret@host/")

    assert caught.value.outcome is Outcome.CONNECT_FAILED
    assert caught.value.reason == ("not a URL: it has a user name or password; credentials go into a Secret")


async def test_a_large_body_arrives_whole(transport: PooledTransport) -> None:
    body = bytes(range(256)) * 16 * 1024
    digests = []

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        digests.append(hashlib.sha256(await reader.readexactly(len(body))).hexdigest())
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")

    async with listening(handle) as port:
        got = await ask(transport, f"http://127.0.0.1:{port}/", body=body)

    assert (got.status, digests) == (200, [hashlib.sha256(body).hexdigest()])
    assert only(transport).idle == 1


async def test_an_answer_may_come_before_the_request_is_out_and_then_the_connection_is_not_kept(
    transport: PooledTransport,
) -> None:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 413 Too Large\r\ncontent-length: 2\r\n\r\n{}")
        await writer.drain()

    async with listening(handle) as port:
        got = await ask(transport, f"http://127.0.0.1:{port}/", body=bytes(32 * 1024 * 1024))

    assert got == Got(413, b"{}")
    assert only(transport).idle == 0
