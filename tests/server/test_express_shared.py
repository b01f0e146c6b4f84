"""Ordinary requests of a tenant that asks the shared store before each: how they wait for its answer without
a task, and how the wait ends otherwise.

`Gate` stands between the gateway and a real Redis, and lets calls through when a test says so.
"""

import asyncio
import dataclasses
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Final

import pytest
from msgspec.structs import replace

from gateway_runtime.contract.ids import EndpointId
from gateway_runtime.contract.tenant import Limit, Tenant
from gateway_runtime.engine.learnt import LimitKey
from gateway_runtime.engine.lease_call import LeaseAnswer, LeaseCall
from gateway_runtime.engine.limits import LimitState
from gateway_runtime.server.fake_provider import FakeProvider
from gateway_runtime.server.lease_desk import LeaseDesk
from gateway_runtime.stores.store import LimitStore, StoreAway
from tests.server import rig
from tests.server.rig import Answer, Rig, provider, serving, table
from tests.server.test_express import (
    EXPRESS,
    GONE_ON,
    NOTHING,
    Caller,
    Ways,
    calling,
    comparable,
    count_under_way,
)
from tests.server.test_express import ways as ways  # a fixture
from tests.stores.redisserver import RedisServer
from tests.upstream.scripted import wait_until

RPM: Final = Limit(name="rpm", amount=1000, window_s=60)
TPM: Final = Limit(name="tpm", amount=10**7, window_s=60, resource="TotalTokens")
AT_ONCE: Final = Limit(name="at-once", amount=100, window_s=0, resource="Concurrency")


class Gate:
    """A LimitStore whose exchanges wait while it is shut."""

    def __init__(self, store: LimitStore) -> None:
        self._store = store
        self._open = asyncio.Event()
        self._open.set()
        self.waiting = 0
        self.error: StoreAway | None = None
        """Instead of an answer."""
        self.beat, self.leave, self.close = store.beat, store.leave, store.close

    def shut(self) -> None:
        self._open.clear()

    def open(self) -> None:
        self._open.set()

    async def exchange(self, calls: Sequence[tuple[str, LeaseCall]]) -> Sequence[LeaseAnswer]:
        self.waiting += 1
        await self._open.wait()
        self.waiting -= 1
        if self.error is not None:
            raise self.error
        return await self._store.exchange(calls)


class Shared:
    def __init__(self, rig: Rig, gate: Gate, desk: LeaseDesk, tenant: Tenant, provider_url: str) -> None:
        self.rig = rig
        self.gate = gate
        self.desk = desk
        self.tenant = tenant
        self.provider_url = provider_url

    async def edit(self, *limits: Limit) -> None:
        self.tenant = replace(self.tenant, limits=limits)
        await self.rig.apply(table(provider(self.provider_url), tenants=[self.tenant]))

    async def hold(self, caller: Caller) -> "asyncio.Task[Answer]":
        """The caller's request, which waits for the store until the gate is opened."""
        self.gate.shut()
        asking = asyncio.create_task(caller.ask())
        await wait_until(lambda: count_under_way(self.rig).requests == 1 and self.gate.waiting == 1)
        return asking

    def state(self) -> list[LimitState]:
        state = self.rig.gateway._state
        return [built.state(state.clock.now()) for _, built in state.list_limits(self.tenant)]

    async def wait_for_state(self, *wanted: tuple[int, int]) -> None:
        """used and held of each limit, once the store has told."""
        await wait_until(lambda: [(one.used, one.held) for one in self.state()] == list(wanted))


@asynccontextmanager
async def sharing(
    server: RedisServer, fake: FakeProvider, ways: Ways, *limits: Limit
) -> AsyncIterator[tuple[Shared, Caller]]:
    """A gateway that asks for each request, with an idle connection to its provider; one request is over."""
    with server.client() as client:
        client.flushall()
        client.set("headgate:{gateways}:memory", "old 0")
    limited = replace(rig.tenant(limits=limits), deny_without_store=True)
    chosen = dataclasses.replace(rig.settings(), limit_store=server.url)
    async with (
        serving(table(provider(fake.url), tenants=[limited]), chosen) as served,
        calling(served) as caller,
    ):
        desk = served.gateway._limits
        assert desk is not None
        gate = Gate(desk._store)
        desk._store = gate
        await wait_until(lambda: desk.memory is not None)
        answer = await caller.ask()
        assert answer.status == 200
        ways.forget()
        yield Shared(served, gate, desk, limited, fake.url), caller


async def test_a_request_waits_for_the_store_without_a_task(
    redis_server: RedisServer, fake: FakeProvider, ways: Ways
) -> None:
    async with sharing(redis_server, fake, ways, RPM, TPM) as (shared, caller):
        asking = await shared.hold(caller)
        while_it_waits = count_under_way(shared.rig)
        shared.gate.open()
        answer = await asking

        assert while_it_waits.attempts == 0
        assert (answer.status, ways) == (200, EXPRESS)
        assert answer.headers["x-ratelimit-remaining-requests"] == "998"
        await wait_until(lambda: count_under_way(shared.rig) == NOTHING)


@pytest.mark.parametrize("amount", [1, 2])
async def test_its_answer_is_that_of_the_ordinary_way(
    redis_server: RedisServer, fake: FakeProvider, ways: Ways, amount: int
) -> None:
    """amount: the second request is refused, or is the last."""
    answers = []
    for at_once in (True, False):
        async with sharing(redis_server, fake, ways, replace(RPM, amount=amount), TPM) as (_, caller):
            answers.append(await (caller.ask() if at_once else caller.ask_in_pieces()))
            answers.append(await caller.ask())

    first, then, ordinary, then_too = map(comparable, answers)
    assert [one.status for one in (first, then)] == [200 if amount == 2 else 429, 429]
    for one, other in ((first, ordinary), (then, then_too)):
        assert one.status == other.status
        assert one.headers.keys() == other.headers.keys()
        assert one.headers.get("x-ratelimit-remaining-requests") == other.headers.get(
            "x-ratelimit-remaining-requests"
        )


async def test_what_is_granted_for_those_who_wait_is_theirs(
    redis_server: RedisServer, fake: FakeProvider, ways: Ways
) -> None:
    """Of all three limits, so that all go on with one answer."""
    count = 8
    async with sharing(redis_server, fake, ways, RPM, TPM, AT_ONCE) as (shared, _), AsyncExitStack() as stack:
        callers = [await stack.enter_async_context(calling(shared.rig)) for _ in range(count)]
        await asyncio.gather(*(caller.ask() for caller in callers))  # as many connections to the provider
        await wait_until(lambda: [state.held for state in shared.state()] == [0, 0, 0])
        ways.forget()
        shared.gate.shut()
        asking = [asyncio.create_task(caller.ask()) for caller in callers]
        await wait_until(lambda: count_under_way(shared.rig).requests == count)
        shared.gate.open()
        answers = await asyncio.gather(*asking)

    assert [answer.status for answer in answers] == [200] * count
    assert ways == Ways(rides=count, tasks=0)


async def test_a_caller_that_leaves_while_it_waits_takes_nothing(
    redis_server: RedisServer, fake: FakeProvider, ways: Ways
) -> None:
    async with sharing(redis_server, fake, ways, RPM, AT_ONCE) as (shared, caller):
        asking = await shared.hold(caller)
        caller.writer.transport.abort()
        await wait_until(lambda: count_under_way(shared.rig) == NOTHING)
        shared.gate.open()
        await asyncio.gather(asking, return_exceptions=True)
        await shared.wait_for_state((1, 0), (0, 0))
        counted = (await shared.rig.look("/metrics")).body.decode()

    assert ways == EXPRESS
    assert 'requests_total{route="chat/route",status="4xx"} 1.0' in counted


async def test_who_is_refused_by_the_store_goes_on_in_a_task(
    redis_server: RedisServer, fake: FakeProvider, ways: Ways
) -> None:
    async with sharing(redis_server, fake, ways, replace(RPM, amount=1)) as (shared, caller):
        answer = await caller.ask()
        left = count_under_way(shared.rig)

    assert (answer.status, ways) == (429, GONE_ON)
    assert left == NOTHING


async def test_a_store_that_fails_while_a_request_waits_is_told(
    redis_server: RedisServer, fake: FakeProvider, ways: Ways
) -> None:
    async with sharing(redis_server, fake, ways, RPM) as (shared, caller):
        asking = await shared.hold(caller)
        shared.gate.error = StoreAway("a test says so")
        shared.gate.open()
        answer = await asking
        left = count_under_way(shared.rig)

    assert (answer.status, ways) == (503, GONE_ON)
    assert "through a store that does not answer now" in answer.error["message"]
    assert left == NOTHING


async def test_limits_that_come_while_a_request_waits_are_charged_too(
    redis_server: RedisServer, fake: FakeProvider, ways: Ways
) -> None:
    async with sharing(redis_server, fake, ways, RPM) as (shared, caller):
        asking = await shared.hold(caller)
        await shared.edit(RPM, TPM)
        shared.gate.open()
        answer = await asking
        await wait_until(lambda: all(state.used for state in shared.state()))
        used = [state.used for state in shared.state()]

    assert (answer.status, ways) == (200, GONE_ON)
    assert used == [2, answer.json["usage"]["total_tokens"]]


async def test_what_a_provider_says_of_its_limits_while_a_request_waits_is_minded(
    redis_server: RedisServer, fake: FakeProvider, ways: Ways
) -> None:
    async with sharing(redis_server, fake, ways, RPM) as (shared, caller):
        asking = await shared.hold(caller)
        state = shared.rig.gateway._state
        now_s = state.clock.now()
        state.learnt.note(LimitKey(EndpointId("chat/other/a"), "", "gpt"), 60.0, now_s, sent_s=now_s)
        shared.gate.open()
        answer = await asking

    assert (answer.status, ways) == (200, GONE_ON)


async def test_a_bug_behind_the_wait_is_answered_and_stops_nobody_else(
    redis_server: RedisServer, fake: FakeProvider, ways: Ways, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise AttributeError("a bug")

    async with sharing(redis_server, fake, ways, RPM) as (shared, caller), calling(shared.rig) as other:
        asking = await shared.hold(caller)
        with monkeypatch.context() as patch:
            patch.setattr("gateway_runtime.server.ride.charge", fail)
            shared.gate.open()
            answer = await asking
        after = await other.ask()
        await wait_until(lambda: count_under_way(shared.rig) == NOTHING)

    assert (answer.status, after.status) == (500, 200)
