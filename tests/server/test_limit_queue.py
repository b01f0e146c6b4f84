"""Requests that are over a limit wait in line: who is next, when it is looked again, who is told to go away.

Time is virtual, and the limits are real ones.
"""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from msgspec.structs import replace

from gateway_runtime.contract.tenant import Queue, Tenant
from gateway_runtime.engine.amounts import NOTHING, Bound
from gateway_runtime.engine.hold import Hold, Reserved, reserve
from gateway_runtime.engine.limits import Refused, RollingLimit, take_all
from gateway_runtime.server.limit_queue import LONGEST_S, LimitQueues, Outcome
from tests.engine.built import tenant_of
from tests.server.virtual import virtually

TEAM = tenant_of(name="chat/team")
QUEUE = Queue(timeout_s=30.0, max_waiting=100)


class Counter:
    """Where requests of some tokens ask, as at a gateway's."""

    def __init__(self, limit: RollingLimit | None = None) -> None:
        self.now: Callable[[], float] = asyncio.get_running_loop().time
        self.queues = LimitQueues(self.now)
        self.limit = limit or RollingLimit("tokens", 10, 3600.0, "TotalTokens")
        self.own: dict[str, RollingLimit] = {}
        """Of users, beside the one for all."""
        self.holds: dict[str, Hold] = {}
        self.tries = 0
        self.log: list[str] = []
        """Who was admitted or refused, in that order."""

    async def ask(
        self, name: str, tokens: int = 1, queue: Queue = QUEUE, tenant: Tenant = TEAM, user: str = ""
    ) -> Outcome:
        limits = [self.limit, *self.list_own(user)]

        async def take() -> Outcome:
            self.tries += 1
            return reserve(limits, Bound(tokens, 0, 0), self.now(), allow_unpriced=False)

        if self.queues.is_waiting(tenant, limits):
            outcome = await self.queues.wait(tenant, queue, limits, take)
        else:
            outcome = await take()
            if isinstance(outcome, Refused):
                outcome = await self.queues.wait(tenant, queue, limits, take, outcome)
        if isinstance(outcome, Reserved):
            self.holds[name] = outcome.hold
        self.log.append(f"{name} {'refused' if isinstance(outcome, Refused) else 'admitted'}")
        return outcome

    async def begin(self, name: str, tokens: int = 1, **more: Any) -> "asyncio.Task[Outcome]":
        """It has asked, and may wait."""
        task = asyncio.create_task(self.ask(name, tokens, **more))
        await let_others()
        return task

    def list_own(self, user: str) -> list[RollingLimit]:
        """10 tokens an hour."""
        if not user:
            return []
        if user not in self.own:
            self.own[user] = RollingLimit("own", 10, 3600.0, "TotalTokens", whose=f"PerUser {user}")
        return [self.own[user]]

    def end(self, name: str, tenant: Tenant = TEAM) -> None:
        """A request that was admitted is over, and was free."""
        self.holds.pop(name).settle(NOTHING, self.now())
        self.queues.note_freed(tenant)


async def let_others() -> None:
    """All do what they can do now."""
    for _ in range(20):
        await asyncio.sleep(0)


@virtually
async def test_a_request_that_fits_does_not_wait() -> None:
    counter = Counter()
    await counter.ask("one", 10)

    assert counter.log == ["one admitted"]
    assert not counter.queues.is_waiting(TEAM, [counter.limit])


@virtually
async def test_one_that_does_not_fit_waits_until_a_request_has_ended_and_goes_in_that_moment() -> None:
    counter = Counter()
    await counter.ask("one", 10)
    waiting = await counter.begin("two", 10)
    await asyncio.sleep(1.01)

    assert counter.queues.waiting() == 1

    counter.end("one")
    await let_others()

    assert waiting.done()
    assert (counter.log, counter.now()) == (["one admitted", "two admitted"], 1.01)
    assert (counter.queues.waiting(), counter.queues.is_waiting(TEAM, [counter.limit])) == (0, False)


@virtually
async def test_first_come_first_served() -> None:
    counter = Counter()
    await counter.ask("one", 10)
    for name in ("two", "three", "four"):
        await counter.begin(name, 4)
    counter.end("one")
    await let_others()

    assert counter.log == ["one admitted", "two admitted", "three admitted"]
    assert counter.queues.waiting() == 1


@virtually
async def test_a_newcomer_goes_behind_those_that_wait_though_it_would_fit() -> None:
    counter = Counter()
    await counter.ask("some", 5)
    await counter.begin("large", 10)
    await counter.begin("small", 1)

    assert counter.queues.waiting() == 2

    counter.end("some")
    await let_others()

    assert counter.log == ["some admitted", "large admitted"]

    counter.end("large")
    await let_others()

    assert counter.log[-1] == "small admitted"


@virtually
async def test_it_is_looked_again_when_the_window_lets_go_of_something() -> None:
    counter = Counter(RollingLimit("tokens", 10, 2.0, "TotalTokens"))
    await counter.ask("one", 10)
    await counter.ask("two", 10)

    assert counter.log == ["one admitted", "two admitted"]
    assert 2.0 <= counter.now() <= 2.0 + LONGEST_S


@virtually
async def test_other_gateways_do_not_tell_so_it_is_looked_again_by_itself() -> None:
    counter = Counter(RollingLimit("tokens", 0, 3600.0, "TotalTokens"))
    waiting = await counter.begin("one", 0)
    assert waiting.done()  # it needs nothing
    counter.limit.configure(10, 3600.0)
    await counter.ask("two", 10)
    waiting = await counter.begin("three", 10)
    counter.limit.configure(20, 3600.0)
    await waiting

    assert counter.now() <= LONGEST_S


@virtually
async def test_when_the_time_is_over_it_is_refused_as_at_any_other_time() -> None:
    counter = Counter()
    await counter.ask("one", 10)
    outcome = await counter.ask("two", 5)

    assert isinstance(outcome, Refused)
    assert (outcome.standing.name, outcome.retry_after_s) == ("tokens", 3600.0 - 30.0)
    assert counter.now() == 30.0
    assert not counter.queues.is_waiting(TEAM, [counter.limit])


@virtually
async def test_everybody_waits_as_long_from_its_own_coming_on() -> None:
    counter = Counter()
    await counter.ask("one", 10)
    ended: dict[str, float] = {}

    async def wait(name: str) -> None:
        await counter.ask(name, 5)
        ended[name] = counter.now()

    async with asyncio.TaskGroup() as group:
        for name in ("two", "three"):
            group.create_task(wait(name))
            await asyncio.sleep(10.0)

    assert ended == {"two": 30.0, "three": 40.0}


@virtually
async def test_one_that_no_wait_helps_does_not_wait() -> None:
    counter = Counter()
    await counter.ask("one", 10)
    await counter.begin("two", 5)
    never = await counter.begin("three", 11)
    counter.end("one")
    await let_others()
    outcome = never.result()

    assert isinstance(outcome, Refused)
    assert outcome.never
    assert (counter.log[-1], counter.now()) == ("three refused", 0.0)


@virtually
async def test_where_too_many_wait_a_newcomer_is_refused_at_once_though_it_would_fit() -> None:
    counter, two = Counter(), Queue(timeout_s=30.0, max_waiting=2)
    await counter.ask("one", 5)
    await counter.begin("two", 10, queue=two)
    await counter.begin("three", 1, queue=two)
    tries = counter.tries
    outcome = await counter.ask("four", 1, queue=two)

    assert isinstance(outcome, Refused)
    assert (outcome.standing.name, counter.now()) == ("tokens", 0.0)
    assert counter.tries == tries
    assert counter.queues.waiting() == 2


@virtually
async def test_it_is_told_what_the_first_in_line_was_told_last() -> None:
    counter, one = Counter(), Queue(timeout_s=30.0, max_waiting=1)
    await counter.ask("one", 10)
    await counter.begin("two", 10, queue=one)
    await asyncio.sleep(5.01)
    outcome = await counter.ask("three", 1, queue=one)

    assert isinstance(outcome, Refused)
    assert outcome.retry_after_s == pytest.approx(3595.0, abs=0.1)


@virtually
async def test_a_caller_that_leaves_gives_its_place_to_the_next() -> None:
    counter = Counter()
    await counter.ask("some", 5)
    large = await counter.begin("large", 10)
    small = await counter.begin("small", 5)
    large.cancel()
    await let_others()

    assert large.cancelled()
    assert small.done()
    assert (counter.log, counter.now()) == (["some admitted", "small admitted"], 0.0)


@virtually
async def test_a_caller_that_leaves_from_the_middle_moves_nobody_else() -> None:
    counter = Counter()
    await counter.ask("one", 10)
    await counter.begin("two", 5)
    left = await counter.begin("three", 5)
    await counter.begin("four", 5)
    left.cancel()
    await let_others()

    assert counter.queues.waiting() == 2

    counter.end("one")
    await let_others()

    assert counter.log == ["one admitted", "two admitted", "four admitted"]


@virtually
async def test_when_the_last_one_leaves_no_trace_is_kept() -> None:
    counter = Counter()
    await counter.ask("one", 10)
    waiting = await counter.begin("two", 5)
    waiting.cancel()
    await let_others()

    assert not counter.queues.is_waiting(TEAM, [counter.limit])
    assert (counter.queues._lines, counter.queues._roots) == ({}, {})


@virtually
async def test_a_fault_while_it_tries_again_costs_its_place_and_nobody_elses() -> None:
    counter = Counter()
    await counter.ask("one", 10)
    refused = reserve([counter.limit], Bound(5, 0, 0), 0.0, allow_unpriced=False)
    assert isinstance(refused, Refused)

    async def fail() -> Outcome:
        raise ConnectionError("the store is away")

    with pytest.raises(ConnectionError):
        await counter.queues.wait(TEAM, QUEUE, [counter.limit], fail, refused)

    assert not counter.queues.is_waiting(TEAM, [counter.limit])


# -- several users


def large() -> Counter:
    """Where users have less than all together."""
    return Counter(RollingLimit("tokens", 30, 3600.0, "TotalTokens"))


@virtually
async def test_who_has_used_up_what_is_its_own_keeps_no_other_user_waiting() -> None:
    counter = large()
    await counter.ask("one", 10, user="alice")
    await counter.begin("two", 5, user="alice")
    await counter.begin("three", 1, user="alice")
    await counter.ask("four", 10, user="bob")
    await counter.ask("five", 1)

    assert counter.log == ["one admitted", "four admitted", "five admitted"]
    assert counter.queues.waiting() == 2  # the second of alice's goes behind her first

    counter.end("one")
    await let_others()

    assert counter.log[3:] == ["two admitted", "three admitted"]


@virtually
async def test_once_its_own_has_room_it_goes_behind_those_that_wait_for_what_is_everybodys() -> None:
    counter = large()
    await counter.ask("one", 10, user="alice")
    await counter.begin("of alice", 10, user="alice")
    await counter.ask("two", 20)
    await counter.begin("of all", 15)
    counter.end("one")
    await let_others()

    assert counter.log[2:] == []  # nobody fits: 10 of 30 are free, and the first in line needs 15

    counter.end("two")
    await let_others()

    assert counter.log[2:] == ["of all admitted", "of alice admitted"]


@virtually
async def test_who_finds_its_own_used_up_at_the_head_of_everybodys_line_lets_the_next_go() -> None:
    counter = large()
    await counter.ask("some", 25)
    await counter.begin("of alice", 10, user="alice")
    await counter.begin("of bob", 10, user="bob")
    counter.list_own("alice")[0].hold(counter.now(), 5)  # meanwhile, elsewhere
    counter.end("some")
    await let_others()

    assert counter.log == ["some admitted", "of bob admitted"]
    assert counter.queues.waiting() == 1

    counter.end("of bob")
    await let_others()

    assert counter.queues.waiting() == 1  # what is missing is alice's own


@virtually
async def test_all_lines_of_a_tenant_together_hold_so_many() -> None:
    counter, two = large(), Queue(timeout_s=30.0, max_waiting=2)
    await counter.ask("one", 10, user="alice")
    await counter.ask("two", 10, user="bob")
    await counter.begin("three", 1, user="alice", queue=two)
    await counter.begin("four", 1, user="bob", queue=two)
    outcome = await counter.ask("five", 1, user="bob", queue=two)

    assert isinstance(outcome, Refused)
    assert counter.queues.waiting() == 2


@virtually
async def test_a_wait_in_two_lines_is_over_in_time_and_leaves_no_trace() -> None:
    counter = large()
    await counter.ask("one", 10, user="alice")
    of_alice = await counter.begin("of alice", 10, user="alice")
    await counter.ask("two", 20)
    of_all = await counter.begin("of all", 30)
    await asyncio.sleep(10.01)
    counter.end("one")
    await asyncio.wait((of_alice, of_all))

    # Whose time is over tries once more, wherever it stands.
    assert sorted(counter.log[2:]) == ["of alice admitted", "of all refused"]
    assert counter.now() == pytest.approx(30.0)
    assert (counter.queues._lines, counter.queues._roots, counter.queues.waiting()) == ({}, {}, 0)


# -- several tenants


def child(name: str, parent: str | None = "chat/department") -> Tenant:
    return tenant_of(name=name, parent=parent)


@virtually
async def test_an_ended_request_of_a_sibling_wakes_the_first_of_every_line_under_one_parent() -> None:
    counter = Counter()
    one, other = child("chat/one"), child("chat/other")
    await counter.ask("running", 10, tenant=other)
    await counter.begin("waiting", 10, tenant=one)
    await asyncio.sleep(1.01)
    counter.end("running", tenant=other)
    await let_others()

    assert (counter.log[-1], counter.now()) == ("waiting admitted", 1.01)


@virtually
async def test_a_request_of_the_parent_itself_wakes_them_too() -> None:
    counter = Counter()
    parent = tenant_of(name="chat/department")
    await counter.ask("running", 10, tenant=parent)
    await counter.begin("waiting", 10, tenant=child("chat/one"))
    await asyncio.sleep(1.01)
    counter.end("running", tenant=parent)
    await let_others()

    assert (counter.log[-1], counter.now()) == ("waiting admitted", 1.01)


@virtually
async def test_a_stranger_wakes_nobody() -> None:
    counter = Counter()
    await counter.ask("running", 10)
    await counter.begin("waiting", 10)
    tries = counter.tries
    counter.queues.note_freed(tenant_of(name="chat/stranger"))
    await let_others()

    assert counter.tries == tries


@virtually
async def test_tenants_wait_in_lines_of_their_own() -> None:
    counter = Counter()
    one, other = child("chat/one", None), child("chat/other", None)
    await counter.ask("some", 5)
    await counter.begin("large", 10, tenant=one)
    await counter.ask("small", 1, tenant=other)

    assert counter.log == ["some admitted", "small admitted"]


@virtually
async def test_a_tenant_that_gets_a_parent_while_some_wait_keeps_its_line() -> None:
    counter = Counter()
    await counter.ask("one", 10)
    await counter.begin("two", 5)
    edited = replace(TEAM, parent=child("chat/department").id)
    await counter.begin("three", 5, tenant=edited)
    counter.end("one")
    await let_others()

    assert counter.log == ["one admitted", "two admitted", "three admitted"]
    assert (counter.queues._lines, counter.queues._roots) == ({}, {})


@virtually
async def test_while_nobody_waits_an_ended_request_costs_one_look() -> None:
    counter = Counter()
    counter.queues.note_freed(TEAM)

    assert counter.queues.waiting() == 0


@virtually
async def test_limits_of_requests_alone_are_waited_for_too() -> None:
    counter = Counter(RollingLimit("rpm", 1, 60.0))
    limit = counter.limit

    async def take() -> Outcome:
        return take_all([limit], counter.now())

    await take()
    refused = await take()
    assert isinstance(refused, Refused)
    queue = Queue(timeout_s=90.0, max_waiting=1)
    outcome = await counter.queues.wait(TEAM, queue, [limit], take, refused)

    assert not isinstance(outcome, Refused)
    assert 60.0 <= counter.now() <= 60.0 + LONGEST_S
