"""Pools over their life: reloads, endpoints that leave, what is told of them, the end."""

import asyncio
import socket
from collections.abc import Sequence
from typing import Any

import pytest
from aiohappyeyeballs import AddrInfoType

from gateway_runtime.contract.table import UpstreamLimits
from gateway_runtime.engine.retry import Outcome
from gateway_runtime.upstream.endpoint import Upstream
from gateway_runtime.upstream.exchange import PoolStatistics, UpstreamFailure
from gateway_runtime.upstream.proxy import Proxies
from gateway_runtime.upstream.resolver import Resolver
from gateway_runtime.upstream.transport import PooledTransport
from tests.server.rawupstream import RawUpstream, answering, chunk
from tests.upstream.scripted import Got, ask, build_request, only, scripted, wait_until

CHUNKED = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"


async def when_released(upstream: RawUpstream, _: Any, writer: asyncio.StreamWriter) -> None:
    writer.write(CHUNKED + chunk(b"a"))
    await upstream.release.wait()
    writer.write(chunk(b"b") + b"0\r\n\r\n")


async def test_paths_of_one_origin_share_its_connections(transport: PooledTransport) -> None:
    async with scripted(answering(b"{}")) as upstream:
        await ask(transport, f"{upstream.url}/chat/completions")
        await ask(transport, f"{upstream.url}/embeddings?a=b")

    assert upstream.connections == 1
    assert upstream.heads[1].startswith(b"POST /v1/embeddings?a=b HTTP/1.1\r\n")


async def test_statistics_tell_of_each_place(transport: PooledTransport) -> None:
    async with scripted(answering(b"{}")) as upstream:
        await ask(transport, upstream.url)
        await ask(transport, upstream.url)
        statistics = transport.statistics()

    assert statistics == (
        PoolStatistics(
            place=f"http://127.0.0.1:{upstream.port}",
            open=1,
            idle=1,
            busy=0,
            lingering=0,
            queued=0,
            opened_total=1,
            reused_total=1,
            waited_total_s=0.0,
        ),
    )


async def test_connections_live_on_over_reloads(transport: PooledTransport) -> None:
    async with scripted(answering(b"{}")) as upstream:
        for _ in range(3):
            transport.retain([Upstream(upstream.url)])
            await ask(transport, upstream.url)

    assert upstream.connections == 1


async def test_an_endpoint_that_leaves_loses_its_idle_connections_at_once(
    transport: PooledTransport,
) -> None:
    async with scripted(answering(b"{}")) as upstream:
        await ask(transport, upstream.url)
        transport.retain([])
        await upstream.wait_for_ends(1)
        transport.retain([])

    assert transport.statistics() == ()


async def test_an_endpoint_that_leaves_finishes_what_it_began(transport: PooledTransport) -> None:
    async with scripted(when_released) as upstream:
        answer = await transport.send(build_request(upstream.url), lambda: None)
        transport.retain([])
        body = await answer.next_chunk()
        upstream.release.set()
        body += await answer.next_chunk()
        end = await answer.next_chunk()
        await upstream.wait_for_ends(1)

    assert (body, end) == (b"ab", b"")
    assert transport.statistics() == ()


async def test_an_endpoint_that_comes_back_finds_its_connections(transport: PooledTransport) -> None:
    async with scripted(when_released) as upstream:
        answer = await transport.send(build_request(upstream.url), lambda: None)
        transport.retain([])
        transport.retain([Upstream(upstream.url)])
        upstream.release.set()
        while await answer.next_chunk():
            pass
        await ask(transport, upstream.url)

    assert upstream.connections == 1


async def test_a_request_of_an_old_table_is_still_served(transport: PooledTransport) -> None:
    async with scripted(answering(b"{}")) as upstream:
        transport.retain([])

        assert await ask(transport, upstream.url) == Got(200, b"{}")


async def test_a_url_that_cannot_be_parsed_does_not_stop_a_reload(transport: PooledTransport) -> None:
    transport.retain([Upstream("not a url")])

    with pytest.raises(UpstreamFailure, match="not a URL: it does not begin with http:// or https://"):
        await ask(transport, "not a url")


async def test_closing_tells_whoever_waits_and_closes_every_socket() -> None:
    transport = PooledTransport(proxies=Proxies({}))
    async with scripted(when_released) as upstream:
        reading = await transport.send(build_request(upstream.url), lambda: None)
        await reading.next_chunk()
        waiting = asyncio.create_task(reading.next_chunk())
        await asyncio.sleep(0)
        await transport.close()
        await transport.close()
        with pytest.raises(UpstreamFailure) as caught:
            await waiting
        with pytest.raises(UpstreamFailure) as late:
            await ask(transport, upstream.url)
        with pytest.raises(UpstreamFailure, match="the gateway stops"):
            await ask(transport, "http://127.0.0.1:1/")
        upstream.release.set()
        await upstream.wait_for_ends(1)

    assert caught.value.outcome is late.value.outcome is Outcome.CANCELLED
    assert only(transport) == only(transport)._replace(open=0, idle=0, busy=0, lingering=0, queued=0)


@pytest.mark.parametrize("found", [True, False])
async def test_whoever_dials_is_told_of_the_end(found: bool) -> None:
    asked, go_on = asyncio.Event(), asyncio.Event()

    async def look_up(_: str, port: int) -> Sequence[AddrInfoType]:
        asked.set()
        if not found:
            await go_on.wait()
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]

    transport = PooledTransport(proxies=Proxies({}), resolver=Resolver(look_up))
    async with scripted(answering(b"{}")) as upstream:
        dialling = asyncio.create_task(ask(transport, f"http://vllm.svc:{upstream.port}/"))
        await asked.wait()
        await transport.close()
        with pytest.raises(UpstreamFailure) as caught:
            await dialling

    assert caught.value.outcome is Outcome.CANCELLED
    assert (only(transport).busy, upstream.requests) == (0, 0)


async def test_whoever_queues_is_told_of_the_end() -> None:
    transport = PooledTransport(proxies=Proxies({}))
    async with scripted(when_released) as upstream:
        transport.retain([Upstream(upstream.url, limits=UpstreamLimits(max_in_flight=1))])
        answer = await transport.send(build_request(upstream.url), lambda: None)
        queued = asyncio.create_task(ask(transport, upstream.url))
        await wait_until(lambda: only(transport).queued == 1)
        await transport.close()
        with pytest.raises(UpstreamFailure, match="the gateway stops"):
            await queued
        answer.close()
