"""Whoever leaves early leaves nothing behind: no connection, no task, no file descriptor, no place taken."""

import asyncio
from typing import Any

import pytest

from gateway_runtime.contract.table import UpstreamLimits
from gateway_runtime.upstream.endpoint import Upstream
from gateway_runtime.upstream.exchange import UpstreamFailure
from gateway_runtime.upstream.proxy import Proxies
from gateway_runtime.upstream.transport import PooledTransport
from tests.server.rawupstream import RawUpstream, answering, chunk, saying
from tests.upstream.scripted import (
    ask,
    build_request,
    count_descriptors,
    listening,
    only,
    scripted,
    wait_for_queue,
    wait_until,
)

CHUNKED = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"


async def silent(upstream: RawUpstream, _: Any, __: Any) -> None:
    await upstream.release.wait()


async def leave(task: asyncio.Task[Any]) -> None:
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()


async def test_whoever_leaves_before_an_answer_closes_the_connection(transport: PooledTransport) -> None:
    tasks = asyncio.all_tasks()
    async with scripted(silent) as upstream:
        asking = asyncio.create_task(ask(transport, upstream.url))
        await upstream.reached.wait()
        await leave(asking)
        left = only(transport).busy
        upstream.release.set()
        await upstream.wait_for_ends(1)

    assert (left, only(transport).open) == (0, 0)
    assert asyncio.all_tasks() == tasks


async def test_whoever_closes_an_answer_stops_the_upstream_in_the_same_step(
    transport: PooledTransport,
) -> None:
    async with scripted(saying(CHUNKED + chunk(b"a"), then_close=False)) as upstream:
        answer = await transport.send(build_request(upstream.url), lambda: None)
        answer.close()
        busy = only(transport).busy
        answer.close()
        await upstream.wait_for_ends(1)
        with pytest.raises(UpstreamFailure, match="the answer was given up"):
            await answer.next_chunk()

    assert (busy, only(transport).open) == (0, 0)


async def test_whoever_leaves_in_the_middle_of_a_body_can_still_close(transport: PooledTransport) -> None:
    async with scripted(saying(CHUNKED + chunk(b"a"), then_close=False)) as upstream:
        answer = await transport.send(build_request(upstream.url), lambda: None)
        await answer.next_chunk()
        reading = asyncio.create_task(answer.next_chunk())
        await asyncio.sleep(0)
        await leave(reading)
        answer.close()
        await upstream.wait_for_ends(1)

    assert only(transport).busy == 0


async def test_to_close_a_whole_answer_keeps_its_connection(transport: PooledTransport) -> None:
    async with scripted(answering(b"{}")) as upstream:
        answer = await transport.send(build_request(upstream.url), lambda: None)
        await answer.next_chunk()
        answer.close()
        await ask(transport, upstream.url)

    assert upstream.connections == 1


async def test_whoever_leaves_just_as_the_answer_comes_breaks_nobody_elses(
    transport: PooledTransport,
) -> None:
    """At every step of the loop from sending to having the answer, while others use the same connections."""
    async with scripted(answering(b"{}")) as upstream:
        for steps in range(30):
            leaving = asyncio.create_task(ask(transport, upstream.url))
            staying = asyncio.create_task(ask(transport, upstream.url))
            for _ in range(steps):
                await asyncio.sleep(0)
            leaving.cancel()
            await asyncio.wait([leaving])
            assert (await staying).body == b"{}"

    assert (only(transport).busy, only(transport).queued) == (0, 0)


async def test_whoever_leaves_the_queue_takes_no_place(transport: PooledTransport) -> None:
    async with scripted(silent) as upstream:
        transport.retain([Upstream(upstream.url, limits=UpstreamLimits(max_in_flight=1))])
        first = asyncio.create_task(ask(transport, upstream.url))
        await upstream.reached.wait()
        second = asyncio.create_task(ask(transport, upstream.url))
        await wait_for_queue(transport, 1)
        await leave(second)
        queued = only(transport).queued
        await leave(first)

    assert (queued, only(transport).busy) == (0, 0)


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_whoever_leaves_while_dialling_leaves_no_socket(
    transport: PooledTransport, scheme: str
) -> None:
    """At every step: name, socket, TLS handshake with a server that never says a word."""

    async def mute(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        await reader.read()

    async with listening(mute) as port:
        tasks = asyncio.all_tasks()
        for steps in range(12):
            dialling = asyncio.create_task(ask(transport, f"{scheme}://localhost:{port}/"))
            for _ in range(steps):
                await asyncio.sleep(0.001)
            await leave(dialling)
        await wait_until(lambda: only(transport).open == 0)
        await wait_until(lambda: not {t for t in asyncio.all_tasks() - tasks if "accept" not in repr(t)})

    assert only(transport).busy == 0


async def test_no_file_descriptor_leaks_over_all_kinds_of_ends() -> None:
    scripts = [answering(b"{}"), saying(), saying(b"nonsense"), saying(CHUNKED + chunk(b"a"))]
    counts = []
    for _ in range(3):
        transport = PooledTransport(proxies=Proxies({}))
        for script in scripts:
            async with scripted(script) as upstream:
                for _ in range(5):
                    await asyncio.gather(ask(transport, upstream.url), return_exceptions=True)
        await transport.close()
        counts.append(count_descriptors())

    assert counts[1:] == counts[:1] * 2
