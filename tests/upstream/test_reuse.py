"""Kept connections: which is used again, which is not, and the one case in which a request goes out twice."""

import asyncio
from typing import Any

import pytest

from gateway_runtime.engine.retry import Outcome
from gateway_runtime.upstream.exchange import UpstreamFailure
from gateway_runtime.upstream.proxy import Proxies
from gateway_runtime.upstream.transport import PooledTransport
from tests.server.rawupstream import RawUpstream, answering, chunk, saying
from tests.upstream.scripted import Got, ask, build_request, only, reset, scripted, wait_until

WHOLE = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}"
CHUNKED = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"


async def test_one_connection_carries_one_request_after_the_other(transport: PooledTransport) -> None:
    async with scripted(answering(b"{}")) as upstream:
        for _ in range(5):
            await ask(transport, upstream.url)

    assert (upstream.requests, upstream.connections) == (5, 1)
    assert (only(transport).opened_total, only(transport).reused_total) == (1, 4)


async def test_a_connection_is_free_with_the_last_byte_not_with_the_last_read(
    transport: PooledTransport,
) -> None:
    async with scripted(answering(b"{}")) as upstream:
        unread = await transport.send(build_request(upstream.url), lambda: None)
        other = await ask(transport, upstream.url)
        late = await unread.next_chunk()

    assert (other, late, upstream.connections) == (Got(200, b"{}"), b"{}", 1)


async def test_the_newest_idle_connection_is_used_first(transport: PooledTransport) -> None:
    ports: list[int] = []

    async def script(upstream: RawUpstream, _: Any, writer: asyncio.StreamWriter) -> None:
        ports.append(writer.get_extra_info("peername")[1])
        if upstream.requests <= 2:
            await upstream.release.wait()
        writer.write(WHOLE)

    async with scripted(script) as upstream:
        first = asyncio.create_task(ask(transport, upstream.url))
        await wait_until(lambda: len(ports) == 1)
        second = asyncio.create_task(ask(transport, upstream.url))
        await wait_until(lambda: len(ports) == 2)
        upstream.release.set()
        await asyncio.gather(first, second)
        for _ in range(3):
            await ask(transport, upstream.url)

    assert len(set(ports[:2])) == 2
    assert len(set(ports[2:])) == 1


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\n{}",
        b"HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\n{}",
        WHOLE + b"more",
        WHOLE + WHOLE,
    ],
)
async def test_an_answer_can_cost_its_connection(transport: PooledTransport, answer: bytes) -> None:
    async with scripted(saying(answer, then_close=False)) as upstream:
        got = [await ask(transport, upstream.url) for _ in range(2)]

    assert (got, upstream.connections) == ([Got(200, b"{}")] * 2, 2)


async def test_a_connection_that_says_something_unasked_is_dropped_at_once(
    transport: PooledTransport,
) -> None:
    async with scripted(answering(b"{}")) as upstream:
        await ask(transport, upstream.url)
        upstream.writers[0].write(WHOLE)
        await upstream.wait_for_ends(1)
        got = await ask(transport, upstream.url)

    assert (got, upstream.connections) == (Got(200, b"{}"), 2)


async def test_a_connection_that_ends_while_idle_is_dropped_at_once(transport: PooledTransport) -> None:
    async with scripted(answering(b"{}")) as upstream:
        await ask(transport, upstream.url)
        upstream.writers[0].close()
        await wait_until(lambda: only(transport).idle == 0)
        await wait_until(lambda: only(transport).open == 0)
        await ask(transport, upstream.url)

    assert upstream.connections == 2


async def test_an_idle_connection_is_closed_after_a_while() -> None:
    transport = PooledTransport(proxies=Proxies({}), idle_s=0.02)
    async with scripted(answering(b"{}")) as upstream:
        await ask(transport, upstream.url)
        await upstream.wait_for_ends(1)

    assert (only(transport).idle, only(transport).open) == (0, 0)
    await transport.close()


async def test_each_idle_connection_is_closed_in_its_time() -> None:
    transport = PooledTransport(proxies=Proxies({}), idle_s=0.03)

    async def script(upstream: RawUpstream, _: Any, writer: asyncio.StreamWriter) -> None:
        if upstream.requests == 1:
            await upstream.release.wait()
        writer.write(WHOLE)

    async with scripted(script) as upstream:
        late = asyncio.create_task(ask(transport, upstream.url))
        await upstream.reached.wait()
        await ask(transport, upstream.url)
        await asyncio.sleep(0.01)
        upstream.release.set()
        await late
        await upstream.wait_for_ends(1)
        between = only(transport).idle
        await upstream.wait_for_ends(2)

    assert (between, only(transport).idle) == (1, 0)
    await transport.close()


def dying(how: Any) -> Any:
    """Answers the first request of each connection, and dies over the second without a byte."""

    async def script(upstream: RawUpstream, _: Any, writer: asyncio.StreamWriter) -> None:
        if upstream.requests == 2:
            how(writer)
        else:
            writer.write(WHOLE)

    return script


@pytest.mark.parametrize("how", [asyncio.StreamWriter.close, reset], ids=["FIN", "RST"])
@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_a_connection_that_dies_under_a_request_is_replaced_without_a_word(
    transport: PooledTransport, how: Any, method: str
) -> None:
    async with scripted(dying(how)) as upstream:
        got = [await ask(transport, upstream.url, method=method) for _ in range(2)]

    assert (got, upstream.requests, upstream.connections) == ([Got(200, b"{}")] * 2, 3, 2)
    assert only(transport).busy == 0


async def test_a_large_body_is_sent_again_whole(transport: PooledTransport) -> None:
    async with scripted(dying(reset)) as upstream:
        await ask(transport, upstream.url)
        got = await ask(transport, upstream.url, body=b"x" * 300_000)

    assert got == Got(200, b"{}")


async def test_a_request_is_sent_again_once_only(transport: PooledTransport) -> None:
    async def script(upstream: RawUpstream, _: Any, writer: asyncio.StreamWriter) -> None:
        if upstream.requests > 1:
            writer.close()
        else:
            writer.write(WHOLE)

    async with scripted(script) as upstream:
        await ask(transport, upstream.url)
        with pytest.raises(UpstreamFailure) as caught:
            await ask(transport, upstream.url)

    assert (caught.value.outcome, caught.value.reason) == (
        Outcome.RESET,
        "the connection was closed before an answer came",
    )
    assert (upstream.requests, only(transport).busy) == (3, 0)


async def test_the_second_sending_does_not_take_another_kept_connection(transport: PooledTransport) -> None:
    """All that were kept may have died with the first."""

    async def script(upstream: RawUpstream, _: Any, writer: asyncio.StreamWriter) -> None:
        if upstream.requests <= 2:
            await upstream.release.wait()
        if upstream.requests in (3, 4) and upstream.connections == 2:
            writer.close()
        else:
            writer.write(WHOLE)

    async with scripted(script) as upstream:
        both = [asyncio.create_task(ask(transport, upstream.url)) for _ in range(2)]
        await wait_until(lambda: upstream.requests == 2)
        upstream.release.set()
        await asyncio.gather(*both)
        got = await ask(transport, upstream.url)

    assert (got, upstream.requests, upstream.connections) == (Got(200, b"{}"), 4, 3)


@pytest.mark.parametrize("piece", [b"H", b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 200 OK\r\n"])
async def test_after_one_byte_of_an_answer_nothing_is_sent_again(
    transport: PooledTransport, piece: bytes
) -> None:
    async def script(upstream: RawUpstream, _: Any, writer: asyncio.StreamWriter) -> None:
        writer.write(WHOLE if upstream.requests == 1 else piece)
        if upstream.requests > 1:
            writer.close()

    async with scripted(script) as upstream:
        await ask(transport, upstream.url)
        with pytest.raises(UpstreamFailure, match="the answer was cut off"):
            await ask(transport, upstream.url)

    assert upstream.requests == 2


async def test_a_connection_that_never_served_is_not_tried_again(transport: PooledTransport) -> None:
    async with scripted(saying()) as upstream:
        with pytest.raises(UpstreamFailure, match="closed before an answer came"):
            await ask(transport, upstream.url)

    assert upstream.connections == 1


async def test_the_end_of_a_body_behind_its_last_event_saves_the_connection(
    transport: PooledTransport,
) -> None:
    async def script(upstream: RawUpstream, _: Any, writer: asyncio.StreamWriter) -> None:
        writer.write(CHUNKED + chunk(b"data: [DONE]\n\n"))
        await upstream.release.wait()
        writer.write(b"0\r\n\r\n")

    async with scripted(script) as upstream:
        answer = await transport.send(build_request(upstream.url), lambda: None)
        await answer.next_chunk()
        answer.linger()
        answer.linger()
        lingering = only(transport)
        upstream.release.set()
        await wait_until(lambda: only(transport).idle == 1)
        await ask(transport, upstream.url)

    assert (lingering.busy, lingering.lingering) == (0, 1)
    assert (only(transport).lingering, upstream.connections) == (0, 1)


async def test_a_stream_that_goes_on_behind_its_last_event_loses_its_connection(
    transport: PooledTransport,
) -> None:
    async def script(upstream: RawUpstream, _: Any, writer: asyncio.StreamWriter) -> None:
        writer.write(CHUNKED + chunk(b"data: [DONE]\n\n"))
        await upstream.release.wait()
        while not writer.is_closing():
            writer.write(chunk(bytes(16 * 1024)))
            await writer.drain()

    async with scripted(script) as upstream:
        answer = await transport.send(build_request(upstream.url), lambda: None)
        await answer.next_chunk()
        answer.linger()
        upstream.release.set()
        await upstream.wait_for_ends(1)

    assert (only(transport).lingering, only(transport).idle) == (0, 0)
