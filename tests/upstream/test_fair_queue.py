"""A provider that is too slow for all who ask: whose request goes out next, and whose is turned away."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import msgspec
import pytest

from gateway_runtime.contract.ids import TenantId
from gateway_runtime.contract.keys import hash_key
from gateway_runtime.contract.table import UpstreamLimits
from gateway_runtime.contract.tenant import Tenant
from gateway_runtime.engine.fair_queue import Rank
from gateway_runtime.upstream.endpoint import Upstream
from gateway_runtime.upstream.pool import Saturated
from gateway_runtime.upstream.proxy import Proxies
from gateway_runtime.upstream.transport import PooledTransport
from tests.contract.tables import build_tenant
from tests.server.rig import CHAT, SALT, Answer, Rig, provider, route, serving, table
from tests.upstream.scripted import build_request, listening, only, wait_for_queue

WHOLE = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}"
SECONDS = 20.0
"""Longer than any of these tests."""
A, B, HIGH = Rank(TenantId("chat/a"), 0), Rank(TenantId("chat/b"), 0), Rank(TenantId("chat/h"), 1)


class SlowUpstream:
    """Answers when it is told to, the one that has been there longest first."""

    def __init__(self) -> None:
        self.came: list[str] = []
        """Whose each request is, in the order in which they came."""
        self.url = ""
        self._unanswered: asyncio.Queue[asyncio.StreamWriter] = asyncio.Queue()
        self._more = asyncio.Condition()

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while head := await _read_head(reader):
            length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
            self.came.append(msgspec.json.decode(await reader.readexactly(length))["user"])
            self._unanswered.put_nowait(writer)
            async with self._more:
                self._more.notify_all()
        writer.close()

    async def wait_for(self, count: int) -> None:
        async with self._more, asyncio.timeout(SECONDS):
            await self._more.wait_for(lambda: len(self.came) >= count)

    async def answer(self) -> None:
        (await self._unanswered.get()).write(WHOLE)

    async def answer_all(self, count: int) -> None:
        """One after the other, each when whoever took the place of the last is there: so the order in which
        they come is the order of the queue.
        """
        began = len(self.came)
        for number in range(1, count + 1):
            await self.answer()
            await self.wait_for(min(count, began + number))


async def _read_head(reader: asyncio.StreamReader) -> bytes:
    """Empty when the other side has closed."""
    try:
        return await reader.readuntil(b"\r\n\r\n")
    except (asyncio.IncompleteReadError, ConnectionError):
        return b""


@asynccontextmanager
async def slow_upstream() -> AsyncIterator[SlowUpstream]:
    upstream = SlowUpstream()
    async with listening(upstream.handle) as port:
        upstream.url = f"http://127.0.0.1:{port}/v1"
        yield upstream


async def send(transport: PooledTransport, upstream: SlowUpstream, rank: Rank, user: str) -> None:
    body = msgspec.json.encode({"user": user})
    request = build_request(upstream.url, body=body)._replace(rank=rank)
    answer = await transport.send(request, lambda: None)
    await answer.next_chunk()
    answer.close()


class Crowd:
    """Requests of tenants, each waiting when the next one comes."""

    def __init__(self, transport: PooledTransport, upstream: SlowUpstream, in_flight: int) -> None:
        self._transport = transport
        self._upstream = upstream
        self._in_flight = in_flight
        self.tasks: list[asyncio.Task[None]] = []

    def add(self, rank: Rank) -> asyncio.Task[None]:
        task = asyncio.create_task(send(self._transport, self._upstream, rank, rank.tenant[-1]))
        self.tasks.append(task)
        return task

    async def gather(self, *ranks: Rank) -> None:
        for rank in ranks:
            self.add(rank)
            if len(self.tasks) <= self._in_flight:
                await self._upstream.wait_for(len(self.tasks))
            else:
                await wait_for_queue(self._transport, len(self.tasks) - self._in_flight)


@asynccontextmanager
async def crowding(
    transport: PooledTransport, *, in_flight: int = 1, max_queue: int = 99
) -> AsyncIterator[tuple[SlowUpstream, Crowd]]:
    async with slow_upstream() as upstream:
        limits = UpstreamLimits(max_in_flight=in_flight, max_queue=max_queue, queue_s=SECONDS)
        transport.retain([Upstream(upstream.url, limits=limits)])
        yield upstream, Crowd(transport, upstream, in_flight)


async def test_tenants_that_wait_take_turns(transport: PooledTransport) -> None:
    async with crowding(transport) as (upstream, crowd):
        await crowd.gather(A, A, A, A, B, B)
        await upstream.answer_all(6)
        await asyncio.gather(*crowd.tasks)

    assert "".join(upstream.came) == "aababa"


async def test_a_higher_priority_goes_before_all_that_wait(transport: PooledTransport) -> None:
    async with crowding(transport) as (upstream, crowd):
        await crowd.gather(A, A, A, HIGH, HIGH)
        await upstream.answer_all(5)
        await asyncio.gather(*crowd.tasks)

    assert "".join(upstream.came) == "ahhaa"


async def test_a_wait_beneath_higher_priorities_ends_too(transport: PooledTransport) -> None:
    async with crowding(transport) as (upstream, crowd):
        await crowd.gather(HIGH, HIGH, HIGH)
        hasty = UpstreamLimits(max_in_flight=1, queue_s=0.05)
        transport.retain([Upstream(upstream.url, limits=hasty)])
        low = crowd.add(A)
        await upstream.answer()
        await upstream.wait_for(2)
        with pytest.raises(Saturated) as caught:
            await low
        await upstream.answer()
        await upstream.answer()
        await asyncio.gather(*crowd.tasks[:3])

    assert caught.value.reason == "no place became free within 0.05 s"
    assert "".join(upstream.came) == "hhh"


async def test_a_tenant_that_fills_the_queue_gives_way_to_another(transport: PooledTransport) -> None:
    async with crowding(transport, max_queue=3) as (upstream, crowd):
        await crowd.gather(A, A, A, A)
        crowd.add(B)
        with pytest.raises(Saturated) as caught:
            await crowd.tasks[3]
        waiting = only(transport).queued
        await upstream.answer_all(4)
        del crowd.tasks[3]
        await asyncio.gather(*crowd.tasks)

    assert caught.value.reason == "its limits allow no more than the 1 under way and the 3 that wait"
    assert waiting == 3
    assert "".join(upstream.came) == "aaba"


async def test_a_tenant_that_fills_the_queue_does_not_displace_itself(transport: PooledTransport) -> None:
    async with crowding(transport, max_queue=2) as (upstream, crowd):
        await crowd.gather(A, A, A)
        with pytest.raises(Saturated):
            await send(transport, upstream, A, "late")
        await upstream.answer_all(3)
        await asyncio.gather(*crowd.tasks)

    assert "".join(upstream.came) == "aaa"


async def test_nobody_gives_way_where_nobody_may_wait(transport: PooledTransport) -> None:
    async with crowding(transport, max_queue=2) as (upstream, crowd):
        await crowd.gather(A, A, A)
        transport.retain([Upstream(upstream.url, limits=UpstreamLimits(max_in_flight=1, max_queue=0))])
        with pytest.raises(Saturated):
            await send(transport, upstream, B, "b")
        await upstream.answer_all(3)
        await asyncio.gather(*crowd.tasks)

    assert "".join(upstream.came) == "aaa"


async def test_who_leaves_the_queue_is_passed_over(transport: PooledTransport) -> None:
    async with crowding(transport) as (upstream, crowd):
        await crowd.gather(A, A, A, B)
        leaving = crowd.tasks.pop(1)
        leaving.cancel()
        await asyncio.wait([leaving])
        await upstream.answer_all(3)
        await asyncio.gather(*crowd.tasks)

    assert "".join(upstream.came) == "aab"
    assert only(transport).queued == 0


# Through the gateway, from callers' keys to the provider's socket.


def tenant(name: str, priority: int = 0) -> Tenant:
    made = build_tenant(hash_key(f"key-of-{name}", SALT), name=name)
    return msgspec.structs.replace(made, priority=priority)


class Callers:
    def __init__(self, rig: Rig, transport: PooledTransport) -> None:
        self._rig = rig
        self._transport = transport
        self.asked: list[asyncio.Task[Answer]] = []

    def ask(self, name: str, count: int) -> None:
        for _ in range(count):
            asking = self._rig.ask({**CHAT, "user": name}, key=f"key-of-{name}")
            self.asked.append(asyncio.create_task(asking))

    async def wait_for_queue(self, count: int) -> None:
        await wait_for_queue(self._transport, count)

    async def statuses(self) -> list[int]:
        return [answer.status for answer in await asyncio.gather(*self.asked)]


@asynccontextmanager
async def flooded(*tenants: Tenant, max_queue: int = 1024) -> AsyncIterator[tuple[SlowUpstream, Callers]]:
    """A gateway before a provider that takes two requests at once."""
    limits = UpstreamLimits(max_in_flight=2, max_queue=max_queue, queue_s=SECONDS)
    transport = PooledTransport(proxies=Proxies({}))
    async with slow_upstream() as upstream:
        slow = msgspec.structs.replace(provider(upstream.url), limits=limits)
        served = table(slow, routes=[route(max_attempts=1)], tenants=tenants)
        async with (
            serving(served, transport=transport) as rig,
            aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session,
        ):
            yield upstream, Callers(rig._replace(session=session), transport)


@pytest.mark.parametrize(
    ("priority", "order"),
    [
        pytest.param(0, "aa" + "ab" * 5 + "a" * 93, id="equal-tenants-take-turns"),
        pytest.param(5, "aa" + "bbbbb" + "a" * 98, id="a-higher-one-goes-next"),
    ],
)
async def test_a_tenant_that_floods_a_provider_does_not_hold_up_another(priority: int, order: str) -> None:
    async with flooded(tenant("a"), tenant("b", priority)) as (upstream, callers):
        callers.ask("a", 100)
        await callers.wait_for_queue(98)
        callers.ask("b", 5)
        await callers.wait_for_queue(103)
        await upstream.answer_all(105)
        statuses = await callers.statuses()

    assert "".join(upstream.came) == order
    assert statuses == [200] * 105


async def test_a_caller_that_gave_way_is_told_as_one_that_found_the_queue_full() -> None:
    async with flooded(tenant("a"), tenant("b"), max_queue=3) as (upstream, callers):
        callers.ask("a", 5)
        await callers.wait_for_queue(3)
        callers.ask("b", 1)
        done, _ = await asyncio.wait(callers.asked, return_when=asyncio.FIRST_COMPLETED)
        await upstream.answer_all(5)
        statuses = await callers.statuses()

    (displaced,) = done
    assert displaced.result().error["message"] == (
        "Endpoint chat/openai/e0 gets no more requests from this gateway for now: its limits allow no more "
        "than the 2 under way and the 3 that wait; 1 attempt was made. Try again in a moment; if it stays "
        "so, the limits of its provider are too low or it needs more endpoints."
    )
    assert sorted(statuses) == [200, 200, 200, 200, 200, 503]
    assert "".join(upstream.came) == "aaaba"
