"""Bodies that go out piece by piece: how they are framed, who waits for whom, what becomes of the
connection.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest

from gateway_runtime.engine.retry import Outcome
from gateway_runtime.upstream.exchange import UpstreamFailure, UpstreamRequest
from gateway_runtime.upstream.transport import PooledTransport
from tests.upstream.scripted import Handle, ask, build_request, listening, only, reset, wait_until

WHOLE = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}"
REFUSED = b"HTTP/1.1 413 Too Large\r\ncontent-length: 2\r\n\r\n{}"
PIECE = b"x" * 65536


class Pieces:
    """See `exchange.SentBody`."""

    def __init__(self, pieces: Sequence[bytes | Exception | asyncio.Event], *, told: bool = True) -> None:
        self._pieces = pieces
        self._told = told
        self.given = 0
        self.opened = 0
        self.closed = 0

    @property
    def length(self) -> int | None:
        return sum(len(piece) for piece in self._pieces if isinstance(piece, bytes)) if self._told else None

    async def chunks(self) -> AsyncGenerator[bytes, None]:
        self.opened += 1
        try:
            for piece in self._pieces:
                if isinstance(piece, Exception):
                    raise piece
                if isinstance(piece, asyncio.Event):
                    await piece.wait()
                else:
                    self.given += 1
                    yield piece
        finally:
            self.closed += 1


def build(url: str, body: Pieces) -> UpstreamRequest:
    return build_request(url)._replace(body=body)


async def send(transport: PooledTransport, url: str, body: Pieces) -> tuple[int, bytes]:
    answer = await transport.send(build(url, body), lambda: None)
    try:
        return answer.status, await answer.next_chunk()
    finally:
        answer.close()


@asynccontextmanager
async def serving(handle: Handle) -> AsyncIterator[str]:
    async with listening(handle) as port:
        yield f"http://127.0.0.1:{port}/v1"


async def test_a_body_whose_length_is_known_tells_it(transport: PooledTransport) -> None:
    heard = b""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal heard
        heard = await reader.readuntil(b"abcdef")
        writer.write(WHOLE)
        heard += await reader.readuntil(b"\r\n\r\n{}")
        writer.write(WHOLE)

    async with serving(handle) as url:
        first = await send(transport, url, Pieces([b"abc", b"def"]))
        second = await ask(transport, url)

    assert first == second == (200, b"{}")
    assert b"content-length: 6\r\n\r\nabcdefPOST /v1 HTTP/1.1\r\n" in heard
    assert only(transport).reused_total == 1


async def test_a_body_whose_length_is_not_known_is_chunked(transport: PooledTransport) -> None:
    heard = b""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal heard
        heard = await reader.readuntil(b"0\r\n\r\n")
        writer.write(WHOLE)

    async with serving(handle) as url:
        answer = await send(transport, url, Pieces([b"abc", b"d" * 20], told=False))

    assert answer == (200, b"{}")
    assert heard.endswith(
        b"transfer-encoding: chunked\r\n\r\n3\r\nabc\r\n14\r\n" + b"d" * 20 + b"\r\n0\r\n\r\n"
    )


async def test_a_server_that_reads_slowly_holds_the_body_back(transport: PooledTransport) -> None:
    go_on = asyncio.Event()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        await go_on.wait()
        await reader.readexactly(1000 * len(PIECE))
        writer.write(WHOLE)

    body = Pieces([PIECE] * 1000)
    async with serving(handle) as url:
        asked = asyncio.create_task(send(transport, url, body))
        before = -1
        while before != body.given or not body.given:  # until the kernel's buffers are full
            before = body.given
            for _ in range(20):
                await asyncio.sleep(0.001)
        stalled = body.given
        go_on.set()
        answer = await asked

    assert stalled < 1000
    assert (answer, body.given) == ((200, b"{}"), 1000)


async def test_a_refusal_before_the_end_stops_the_body(transport: PooledTransport) -> None:
    ends: list[bytes] = []

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"abc")
        writer.write(REFUSED)
        ends.append(await reader.read())

    body = Pieces([b"abc", asyncio.Event(), b"def"])
    async with serving(handle) as url:
        answer = await send(transport, url, body)
        await wait_until(lambda: bool(ends) and body.closed == 1)
        kept = only(transport)

    assert (answer, ends, body.given) == ((413, b"{}"), [b""], 1)
    assert (kept.idle, kept.busy) == (0, 0)


async def test_an_answer_that_begins_early_gets_the_rest_of_its_question(transport: PooledTransport) -> None:
    go_on = asyncio.Event()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"abc")
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n")
        await reader.readuntil(b"def")
        writer.write(b"{}")

    body = Pieces([b"abc", go_on, b"def"])
    async with serving(handle) as url:
        answer = await transport.send(build(url, body), lambda: None)
        go_on.set()
        said = await answer.next_chunk()

    assert (answer.status, said) == (200, b"{}")
    assert only(transport).idle == 1


async def test_a_body_that_breaks_off_is_told_and_nothing_is_whole(transport: PooledTransport) -> None:
    ends: list[bytes] = []

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        ends.append(await reader.read())

    async with serving(handle) as url:
        with pytest.raises(LookupError, match="no more"):
            await send(transport, url, Pieces([b"abc", LookupError("no more")], told=False))
        await wait_until(lambda: bool(ends))

    assert ends[0].endswith(b"3\r\nabc\r\n")
    assert only(transport).busy == 0


async def test_a_body_that_breaks_off_behind_an_early_answer_breaks_the_answer(
    transport: PooledTransport,
) -> None:
    go_on = asyncio.Event()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"abc")
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{")
        await reader.read()

    async with serving(handle) as url:
        body = Pieces([b"abc", go_on, LookupError("no more")], told=False)
        answer = await transport.send(build(url, body), lambda: None)
        assert await answer.next_chunk() == b"{"
        go_on.set()
        with pytest.raises(UpstreamFailure):
            await answer.next_chunk()


async def test_a_connection_that_died_idle_is_replaced_and_the_body_begins_again(
    transport: PooledTransport,
) -> None:
    connections = 0

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        await reader.readuntil(b"abc")
        writer.write(WHOLE)
        if connections == 1:
            await reader.readuntil(b"\r\n\r\n")
            reset(writer)

    body = Pieces([b"abc"])
    async with serving(handle) as url:
        await send(transport, url, Pieces([b"abc"]))
        answer = await send(transport, url, body)

    assert (answer, connections, body.opened) == ((200, b"{}"), 2, 2)


async def test_a_server_that_hangs_up_over_a_body_is_a_reset(transport: PooledTransport) -> None:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"abc")
        reset(writer)

    body = Pieces([b"abc", asyncio.Event()])
    async with serving(handle) as url:
        with pytest.raises(UpstreamFailure) as error:
            await send(transport, url, body)
        await wait_until(lambda: body.closed == 1)

    assert error.value.outcome is Outcome.RESET


async def test_who_leaves_takes_the_body_along(transport: PooledTransport) -> None:
    ends: list[bytes] = []

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"abc")
        asked.cancel()
        ends.append(await reader.read())

    body = Pieces([b"abc", asyncio.Event()])
    async with serving(handle) as url:
        asked = asyncio.create_task(send(transport, url, body))
        with pytest.raises(asyncio.CancelledError):
            await asked
        await wait_until(lambda: bool(ends) and body.closed == 1)

    assert ends == [b""]
    assert only(transport).busy == 0


async def test_an_answer_keeps_its_head_where_that_is_asked_for(transport: PooledTransport) -> None:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.readuntil(b"{}"):
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: audio/wav\r\ncontent-length: 2\r\n\r\n{}")

    async with serving(handle) as url:
        plain = await transport.send(build_request(url), lambda: None)
        kept = await transport.send(build_request(url)._replace(keeps_head=True), lambda: None)

    assert "content-type" not in plain.headers
    assert kept.headers["content-type"] == "audio/wav"
