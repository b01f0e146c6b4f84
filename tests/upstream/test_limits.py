"""How much one place is asked at once, who waits, and who is turned away."""

import asyncio
from typing import Any

import pytest

from gateway_runtime.contract.table import UpstreamLimits
from gateway_runtime.engine.retry import counts_as_failure
from gateway_runtime.upstream.answer import Answer
from gateway_runtime.upstream.endpoint import Upstream
from gateway_runtime.upstream.exchange import UpstreamFailure
from gateway_runtime.upstream.pool import Saturated, choose_strictest
from gateway_runtime.upstream.transport import PooledTransport
from tests.server.rawupstream import RawUpstream, chunk
from tests.upstream.scripted import Got, ask, build_request, only, scripted, wait_for_queue, wait_until

WHOLE = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}"
CHUNKED = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"


async def when_released(upstream: RawUpstream, _: Any, writer: asyncio.StreamWriter) -> None:
    await upstream.release.wait()
    writer.write(WHOLE)


@pytest.mark.parametrize("limits", [UpstreamLimits(max_in_flight=2), UpstreamLimits(max_connections=2)])
async def test_no_more_than_allowed_are_under_way_and_the_others_wait_their_turn(
    transport: PooledTransport, limits: UpstreamLimits
) -> None:
    async with scripted(when_released) as upstream:
        transport.retain([Upstream(upstream.url, limits=limits)])
        done: list[int] = []

        async def one(number: int) -> None:
            await ask(transport, upstream.url)
            done.append(number)

        tasks = [asyncio.create_task(one(number)) for number in range(6)]
        await wait_until(lambda: upstream.requests == 2)
        waiting = only(transport)
        upstream.release.set()
        await asyncio.gather(*tasks)

    assert (waiting.busy, waiting.queued) == (2, 4)
    assert upstream.connections == 2
    assert sorted(done[:2]) == [0, 1]
    assert done[2:] in ([2, 3, 4, 5], [3, 2, 4, 5], [2, 3, 5, 4], [3, 2, 5, 4])
    assert (only(transport).busy, only(transport).queued, only(transport).idle) == (0, 0, 2)


async def test_whoever_comes_later_does_not_overtake_the_queue(transport: PooledTransport) -> None:
    async with scripted(when_released) as upstream:
        transport.retain([Upstream(upstream.url, limits=UpstreamLimits(max_in_flight=1))])
        order: list[str] = []

        async def one(name: str) -> None:
            await ask(transport, upstream.url)
            order.append(name)
            if name == "first":
                late.append(asyncio.create_task(one("late")))

        late: list[asyncio.Task[None]] = []
        first = asyncio.create_task(one("first"))
        await wait_until(lambda: upstream.requests == 1)
        second = asyncio.create_task(one("second"))
        await wait_for_queue(transport, 1)
        upstream.release.set()
        await asyncio.gather(first, second)
        await late[0]

    assert order == ["first", "second", "late"]


async def test_a_full_queue_turns_away_at_once(transport: PooledTransport) -> None:
    async with scripted(when_released) as upstream:
        transport.retain([Upstream(upstream.url, limits=UpstreamLimits(max_in_flight=1, max_queue=1))])
        tasks = [asyncio.create_task(ask(transport, upstream.url)) for _ in range(2)]
        await wait_for_queue(transport, 1)
        with pytest.raises(Saturated) as caught:
            await ask(transport, upstream.url)
        upstream.release.set()
        await asyncio.gather(*tasks)

    assert caught.value.reason == ("its limits allow no more than the 1 under way and the 1 that wait")


async def test_whoever_waited_too_long_is_turned_away(transport: PooledTransport) -> None:
    async with scripted(when_released) as upstream:
        transport.retain([Upstream(upstream.url, limits=UpstreamLimits(max_in_flight=1, queue_s=0.02))])
        first = asyncio.create_task(ask(transport, upstream.url))
        await wait_until(lambda: upstream.requests == 1)
        with pytest.raises(Saturated) as caught:
            await ask(transport, upstream.url)
        upstream.release.set()
        got = await first

    assert caught.value.reason == "no place became free within 0.02 s"
    assert (got, only(transport).queued) == (Got(200, b"{}"), 0)
    assert only(transport).waited_total_s >= 0.019


def test_our_own_limits_are_not_the_providers_fault() -> None:
    assert not counts_as_failure(Saturated("").outcome)


async def test_a_place_is_free_again_after_every_kind_of_end(transport: PooledTransport) -> None:
    async def script(upstream: RawUpstream, _: Any, writer: asyncio.StreamWriter) -> None:
        match upstream.requests:
            case 1:
                writer.close()
            case 2:
                writer.write(b"nonsense")
            case 3:
                writer.write(CHUNKED + chunk(b"a"))
            case 4:
                writer.write(CHUNKED + chunk(b"a"))
                await writer.drain()
                writer.close()
            case 5:
                upstream.reached.set()
                await asyncio.Event().wait()
            case _:
                writer.write(WHOLE)

    async with scripted(script) as upstream:
        limits = UpstreamLimits(max_in_flight=1, max_connections=1, max_queue=0)
        transport.retain([Upstream(upstream.url, limits=limits)])
        for _ in range(2):
            with pytest.raises(UpstreamFailure):
                await ask(transport, upstream.url)
        (await transport.send(build_request(upstream.url), lambda: None)).close()
        with pytest.raises(UpstreamFailure):
            await ask(transport, upstream.url)
        upstream.reached.clear()
        hanging = asyncio.create_task(ask(transport, upstream.url))
        await upstream.reached.wait()
        hanging.cancel()
        await asyncio.wait([hanging])
        with pytest.raises(UpstreamFailure):
            await ask(transport, "http://127.0.0.1:1/")
        got = await ask(transport, upstream.url)

    assert got == Got(200, b"{}")
    assert [place.busy for place in transport.statistics()] == [0, 0]


async def test_a_place_that_was_granted_to_someone_who_leaves_goes_to_the_next(
    transport: PooledTransport,
) -> None:
    """The place is granted, and the other cancelled, in one step of the loop: in either order."""
    for granted_first in (True, False):
        async with scripted(when_released) as upstream:
            transport.retain([Upstream(upstream.url, limits=UpstreamLimits(max_in_flight=1))])
            answer = await _hold(transport, upstream)
            leaving = asyncio.create_task(ask(transport, upstream.url))
            staying = asyncio.create_task(ask(transport, upstream.url))
            await wait_for_queue(transport, 2)
            upstream.release.set()
            if granted_first:
                answer.close()
                leaving.cancel()
            else:
                leaving.cancel()
                answer.close()
            got = await staying
            await asyncio.wait([leaving])

        assert (leaving.cancelled(), got) == (True, Got(200, b"{}"))
        assert sum(place.busy + place.queued for place in transport.statistics()) == 0


async def _hold(transport: PooledTransport, upstream: RawUpstream) -> Answer:
    """A place, by an answer that does not end."""

    async def begin(_: RawUpstream, __: Any, writer: asyncio.StreamWriter) -> None:
        writer.write(CHUNKED + chunk(b"a"))

    script, upstream._script = upstream._script, begin
    answer = await transport.send(build_request(upstream.url), lambda: None)
    upstream._script = script
    return answer


async def test_higher_limits_let_the_queue_in_at_once(transport: PooledTransport) -> None:
    async with scripted(when_released) as upstream:
        transport.retain([Upstream(upstream.url, limits=UpstreamLimits(max_in_flight=1))])
        tasks = [asyncio.create_task(ask(transport, upstream.url)) for _ in range(3)]
        await wait_for_queue(transport, 2)
        transport.retain([Upstream(upstream.url, limits=UpstreamLimits(max_in_flight=3))])
        await wait_until(lambda: upstream.requests == 3)
        upstream.release.set()
        await asyncio.gather(*tasks)

    assert only(transport).opened_total == 3


async def test_a_lingering_answer_holds_a_connection_but_no_request(transport: PooledTransport) -> None:
    async def script(upstream: RawUpstream, _: Any, writer: asyncio.StreamWriter) -> None:
        if upstream.requests == 1:
            writer.write(CHUNKED + chunk(b"a"))
            await upstream.release.wait()
            writer.write(b"0\r\n\r\n")
        else:
            writer.write(WHOLE)

    async with scripted(script) as upstream:
        limits = UpstreamLimits(max_in_flight=1, max_connections=2)
        transport.retain([Upstream(upstream.url, limits=limits)])
        answer = await transport.send(build_request(upstream.url), lambda: None)
        answer.linger()
        got = await ask(transport, upstream.url)
        upstream.release.set()
        await wait_until(lambda: only(transport).idle == 2)

    assert got == Got(200, b"{}")


async def test_lower_limits_close_what_is_too_much(transport: PooledTransport) -> None:
    async with scripted(when_released) as upstream:
        tasks = [asyncio.create_task(ask(transport, upstream.url)) for _ in range(3)]
        await wait_until(lambda: upstream.requests == 3)
        upstream.release.set()
        await asyncio.gather(*tasks)
        answer = await _hold(transport, upstream)
        before = only(transport)
        transport.retain([Upstream(upstream.url, limits=UpstreamLimits(max_connections=1))])
        await upstream.wait_for_ends(2)
        after = only(transport)
        answer.close()

    assert (before.busy, before.idle) == (1, 2)
    assert (after.busy, after.idle) == (1, 0)


def test_endpoints_that_share_a_place_share_the_strictest_limits() -> None:
    one = UpstreamLimits(max_connections=1, max_in_flight=9, max_queue=1, queue_s=9.0)
    other = UpstreamLimits(max_connections=9, max_in_flight=1, max_queue=9, queue_s=1.0)

    strictest = UpstreamLimits(max_connections=1, max_in_flight=1, max_queue=1, queue_s=1.0)
    assert choose_strictest(one, other) == choose_strictest(other, one) == strictest
