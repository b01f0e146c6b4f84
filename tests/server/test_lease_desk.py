"""Gateways that share limits through a real Redis: what they admit together, and what becomes of that when
one of them or the store fails. Clocks that are set, and all of it at once, are in `tests/engine`.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace

import msgspec
import pytest
from structlog.testing import capture_logs

from gateway_runtime.contract.ids import TenantId
from gateway_runtime.contract.tenant import Limit, Tenant
from gateway_runtime.engine.amounts import Bound, Spent
from gateway_runtime.engine.hold import Reserved
from gateway_runtime.engine.lease import LeasedLimit
from gateway_runtime.engine.lease_grant import Term
from gateway_runtime.engine.lease_store import SOON_MS
from gateway_runtime.engine.limits import LimitState, Refused, TenantLimit
from gateway_runtime.server.endpoint import Clock
from gateway_runtime.server.fake_provider import FakeProvider
from gateway_runtime.server.leased_limits import LEFT_KEPT
from gateway_runtime.stores import open_store
from headgate.verify.turnstile import Admission, Turnstile
from tests.contract.tables import build_tenant
from tests.server import rig
from tests.stores.redisserver import RedisServer
from tests.upstream.scripted import wait_until

CLOCK = Clock(time.monotonic, time.time)
TERM = Term(0.6, 0.1)
NOTHING = Bound(0, 0, 0)
HOUR_S = 3600.0


def tenant(name: str, *limits: Limit, deny: bool = False, parent: str | None = None) -> Tenant:
    return msgspec.structs.replace(
        build_tenant(name=name, limits=limits),
        deny_without_store=deny,
        parent=None if parent is None else TenantId(parent),
    )


def requests(amount: int, window_s: float = HOUR_S) -> Limit:
    return Limit(name="requests", amount=amount, window_s=window_s)


def tokens(amount: int, window_s: float = HOUR_S) -> Limit:
    return Limit(name="tokens", amount=amount, window_s=window_s, resource="TotalTokens")


def at_once(amount: int) -> Limit:
    return Limit(name="at-once", amount=amount, window_s=0, resource="Concurrency")


@asynccontextmanager
async def gateways(
    server: RedisServer, count: int, *tenants: Tenant, term: Term = TERM
) -> AsyncIterator[list[Turnstile]]:
    """Each knows of the others, at a store that has been there for long."""
    with server.client() as client:
        client.set("headgate:{gateways}:memory", "old 0")
    members = [
        Turnstile(open_store(server.url, None), f"gateway-{number}", CLOCK, term) for number in range(count)
    ]
    for member in members:
        member.start(tenants)
    names = {member.desk.name for member in members}
    await wait_until(lambda: all(names <= set(member.desk.alive) for member in members))
    try:
        yield members
    finally:
        for member in members:
            await member.stop()


async def admit_all(member: Turnstile, tenant: Tenant, bound: Bound = NOTHING) -> list[Reserved]:
    """As many as there is room for."""
    admitted: list[Reserved] = []
    while isinstance(outcome := await member.admit(tenant, bound), Reserved):
        admitted.append(outcome)
    return admitted


async def admit(member: Turnstile, tenant: Tenant, bound: Bound = NOTHING) -> Reserved:
    outcome = await member.admit(tenant, bound)
    assert isinstance(outcome, Reserved), outcome
    return outcome


async def admit_soon(member: Turnstile, tenant: Tenant, bound: Bound = NOTHING) -> Reserved:
    """What the other holds in advance goes back within a second or two."""
    async with asyncio.timeout(10):
        while True:
            outcome = await member.admit(tenant, bound)
            if isinstance(outcome, Reserved):
                return outcome
            await asyncio.sleep(0.01)  # nobody tells when another gateway has given something back


def state_of(member: Turnstile, tenant: Tenant) -> LimitState:
    return member.limits_of(tenant)[0].state(CLOCK.now())


async def wait_for_state(member: Turnstile, tenant: Tenant, **wanted: int) -> None:
    """As it is told to people; the store is asked now and then, as long as somebody looks."""

    def holds() -> bool:
        state = state_of(member, tenant)
        return all(getattr(state, name) == value for name, value in wanted.items())

    await wait_until(holds)


# Together they never go over.


@pytest.mark.parametrize("count", [1, 2, 4])
async def test_gateways_together_admit_the_whole_amount_and_no_more(
    redis_server: RedisServer, count: int
) -> None:
    team = tenant(f"whole-{count}", requests(500))
    async with gateways(redis_server, count, team) as members:
        admitted = await asyncio.gather(*(admit_all(member, team) for member in members))

    assert sum(map(len, admitted)) == 500


async def test_a_window_that_has_passed_is_free_again(redis_server: RedisServer) -> None:
    team = tenant("window", requests(50, window_s=0.5))
    moments: list[float] = []

    async def use(member: Turnstile) -> None:
        while len(moments) < 150:
            if isinstance(await member.admit(team, NOTHING), Reserved):
                moments.append(time.monotonic())
            await asyncio.sleep(0)

    async with gateways(redis_server, 2, team) as members:
        await asyncio.gather(*map(use, members))

    # Nothing that is 50 further on came within a window.
    assert min(later - first for first, later in zip(moments, moments[50:], strict=False)) >= 0.5


async def test_a_parents_limit_holds_for_its_children_together(redis_server: RedisServer) -> None:
    parent = tenant("parent", requests(100))
    children = [tenant(f"child-{number}", requests(80), parent=parent.id) for number in range(2)]
    async with gateways(redis_server, 2, parent, *children) as members:
        admitted = await asyncio.gather(
            *(admit_all(member, child) for member in members for child in children)
        )

    by_child = [len(admitted[0]) + len(admitted[2]), len(admitted[1]) + len(admitted[3])]
    assert sum(by_child) == 100
    assert max(by_child) <= 80


async def test_what_was_held_and_not_spent_may_be_spent_by_the_other(redis_server: RedisServer) -> None:
    team = tenant("refund", tokens(1000))
    async with gateways(redis_server, 2, team) as (one, other):
        held = await admit(one, team, Bound(600, 400, 0))
        refused = await other.admit(team, Bound(1, 0, 0))
        held.hold.settle(Spent(100, 0, 0), CLOCK.now())
        await wait_for_state(other, team, used=100, held=0)
        rest = await admit_soon(other, team, Bound(700, 0, 0))
        over = await one.admit(team, Bound(300, 0, 0))
        rest.hold.release(CLOCK.now())

    assert isinstance(refused, Refused)
    assert isinstance(over, Refused)


async def test_requests_at_once_are_those_of_all_gateways(redis_server: RedisServer) -> None:
    team = tenant("at-once", at_once(10))
    async with gateways(redis_server, 2, team) as (one, other):
        running = [*await admit_all(one, team), *await admit_all(other, team)]
        for reserved in running:
            reserved.hold.release(CLOCK.now())
        again = [await admit_soon(other, team) for _ in range(10)]
        refused = await one.admit(team, NOTHING)
        for reserved in again:
            reserved.hold.release(CLOCK.now())

    assert len(running) == 10
    assert isinstance(refused, Refused)


async def test_what_is_told_is_of_all_gateways(redis_server: RedisServer) -> None:
    team = tenant("told", tokens(1000))
    async with gateways(redis_server, 2, team) as (one, other):
        spent, running = await admit(one, team, Bound(100, 0, 0)), await admit(other, team, Bound(30, 0, 0))
        spent.hold.settle(Spent(60, 0, 0), CLOCK.now())
        for member in (one, other):
            await wait_for_state(member, team, used=60, held=30)
        running.hold.release(CLOCK.now())


# A gateway ends.


async def test_a_gateway_that_finishes_gives_all_back_at_once(redis_server: RedisServer) -> None:
    team = tenant("finish", requests(100))
    patient = Term(60.0, 1.0)
    async with gateways(redis_server, 2, team, term=patient) as (one, other):
        for _ in range(40):
            await admit(one, team)
        await one.stop()
        admitted = await admit_all(other, team)

    assert len(admitted) == 60


async def test_a_killed_gateways_lease_is_charged_when_its_term_ends_and_only_once(
    redis_server: RedisServer,
) -> None:
    team = tenant("killed", tokens(1000))
    async with gateways(redis_server, 2, team) as (one, other):
        await admit(one, team, Bound(300, 0, 0))
        await wait_for_state(one, team, held=300)
        (limit,) = one.limits_of(team)
        await one.kill()
        left = limit.room(CLOCK.now())  # granted in advance, and not spent
        began_s = time.monotonic()
        await wait_for_state(other, team, used=300 + left, held=0)
        took_s = time.monotonic() - began_s
        admitted = await admit_all(other, team, Bound(50, 0, 0))

    assert took_s < TERM.term_s + 1.5
    assert len(admitted) == (700 - left) // 50


async def test_requests_that_ran_at_a_killed_gateway_are_over_when_its_term_ends(
    redis_server: RedisServer,
) -> None:
    team = tenant("killed-running", at_once(10))
    async with gateways(redis_server, 2, team) as (one, other):
        await admit_all(one, team)
        refused = await other.admit(team, NOTHING)
        await one.kill()
        await wait_for_state(other, team, held=0)
        running = await admit_all(other, team)
        for reserved in running:
            reserved.hold.release(CLOCK.now())

    assert isinstance(refused, Refused)
    assert len(running) == 10


# The store is away.


async def spend_until_refused(member: Turnstile, team: Tenant) -> tuple[int, Admission]:
    """Gives how many were admitted, and what came after them."""
    count = 0
    while isinstance(outcome := await member.admit(team, NOTHING), Reserved):
        count += 1
    return count, outcome


async def warm_up(member: Turnstile, team: Tenant) -> int:
    """Until it holds something in advance. Gives how much."""
    (limit,) = member.limits_of(team)
    async with asyncio.timeout(5):
        while limit.room(CLOCK.now()) < 2:
            await admit(member, team)
            await asyncio.sleep(0.01)  # at some pace, by which it knows what it will need
    return limit.room(CLOCK.now())


async def test_while_the_store_is_away_what_was_granted_is_spent_and_then_nothing_is(
    own_redis: RedisServer,
) -> None:
    team = tenant("local-share", requests(100_000))
    async with gateways(own_redis, 1, team, term=Term(30.0, 1.0)) as (one,):
        await warm_up(one, team)
        own_redis.kill()
        await wait_until(lambda: one.desk.is_away)
        (limit,) = one.limits_of(team)
        granted = limit.room(CLOCK.now())
        count, after = await spend_until_refused(one, team)

    assert granted > 0
    assert count == granted
    assert after is None


async def test_what_was_granted_ends_with_its_term(own_redis: RedisServer) -> None:
    team = tenant("term", requests(100_000))
    async with gateways(own_redis, 1, team) as (one,):
        await warm_up(one, team)
        own_redis.kill()
        (limit,) = one.limits_of(team)
        await wait_until(lambda: limit.room(CLOCK.now()) == 0)
        after = await one.admit(team, NOTHING)

    assert after is None


@pytest.mark.alone
async def test_who_denies_without_a_store_spends_nothing_while_it_is_away(own_redis: RedisServer) -> None:
    team = tenant("deny", requests(100_000), deny=True)
    async with gateways(own_redis, 1, team, term=Term(30.0, 1.0)) as (one,):
        for _ in range(50):
            await admit(one, team)
        own_redis.kill()
        began_s = time.monotonic()
        count, after = await spend_until_refused(one, team)
        took_s = time.monotonic() - began_s

    assert (count, after) == (0, None)
    assert took_s < 0.5


@pytest.mark.alone
async def test_a_frozen_store_holds_nobody_up_for_longer_than_a_second(own_redis: RedisServer) -> None:
    team = tenant("frozen", requests(100_000), deny=True)
    async with gateways(own_redis, 1, team) as (one,):
        await admit(one, team)
        own_redis.freeze()
        began_s = time.monotonic()
        first = await asyncio.gather(*(one.admit(team, NOTHING) for _ in range(20)))
        second = await one.admit(team, NOTHING)
        took_s = time.monotonic() - began_s
        own_redis.thaw()
        await wait_until(lambda: not one.desk.is_away)
        await admit(one, team)

    assert {*first, second} == {None}
    assert took_s < 1.5


async def test_a_store_that_is_back_without_its_memory_is_told_it_again(own_redis: RedisServer) -> None:
    team = tenant("back", requests(100))
    async with gateways(own_redis, 2, team) as (one, other):
        for member, count in ((one, 30), (other, 20)):
            for _ in range(count):
                await admit(member, team)
        await wait_for_state(one, team, used=50)
        own_redis.kill()
        await wait_until(lambda: one.desk.is_away and other.desk.is_away)
        own_redis.start()
        await wait_until(lambda: not one.desk.is_away and not other.desk.is_away)
        left = [*await admit_all(one, team), *await admit_all(other, team)]

    assert 40 <= len(left) <= 50  # what they held in advance is charged, since nobody knows what became of it


# The store forgets.


async def test_a_store_that_is_emptied_in_the_middle_lets_nobody_over(own_redis: RedisServer) -> None:
    team = tenant("flushed", requests(2000))
    admitted = 0

    async def use(member: Turnstile) -> None:
        nonlocal admitted
        while not isinstance(await member.admit(team, NOTHING), Refused):
            admitted += 1
            if admitted in (500, 1000, 1500):
                own_redis.flush()

    async with gateways(own_redis, 3, team) as members:
        await asyncio.gather(*map(use, members))

    assert 1900 <= admitted <= 2000


async def test_a_gateway_that_begins_just_after_the_store_forgot_waits_for_the_others(
    own_redis: RedisServer,
) -> None:
    team = tenant("newcomer", requests(100))
    async with gateways(own_redis, 2, team, term=Term(30.0, 1.0)) as members:
        admitted = await asyncio.gather(*(admit_all(member, team) for member in members))
        own_redis.flush()
        newcomer = Turnstile(open_store(own_redis.url, None), "newcomer", CLOCK, TERM)
        newcomer.start([team])
        outcome = await newcomer.admit(team, NOTHING)
        await newcomer.stop()

    assert sum(map(len, admitted)) == 100
    assert isinstance(outcome, Refused)


async def test_what_a_gateway_has_spent_counts_when_it_leaves_and_the_store_forgets(
    own_redis: RedisServer,
) -> None:
    # The other holds nothing in advance, of which it could admit at once.
    team = tenant("left", requests(100, window_s=1.0), deny=True)
    async with gateways(own_redis, 2, team) as (one, other):
        await admit(other, team)
        admitted = await admit_all(one, team)
        admitted_s = time.monotonic()
        await one.stop()
        own_redis.flush()
        await admit_soon(other, team)
        again_s = time.monotonic()

    assert len(admitted) >= 90
    assert again_s - admitted_s >= 1.0


async def test_a_store_that_forgets_the_scripts_is_given_them_again(own_redis: RedisServer) -> None:
    team = tenant("scripts", requests(300))
    async with gateways(own_redis, 2, team) as members:
        own_redis.forget_scripts()
        first = await admit(members[0], team)
        own_redis.forget_scripts()
        admitted = await asyncio.gather(*(admit_all(member, team) for member in members))

    assert first
    assert sum(map(len, admitted)) == 299


@pytest.mark.alone
async def test_the_first_request_of_a_new_tenant_waits_less_than_a_second_for_the_other_gateways(
    own_redis: RedisServer,
) -> None:
    tenants = [tenant(f"new-{number}", requests(10)) for number in range(3)]
    async with gateways(own_redis, 4, *tenants) as members:
        took_s: list[float] = []
        for team in tenants:
            began_s = time.monotonic()
            await admit(members[0], team)
            took_s.append(time.monotonic() - began_s)

    assert max(took_s) < 1.0


@pytest.mark.alone
async def test_a_new_tenant_does_not_wait_for_a_gateway_that_has_left(own_redis: RedisServer) -> None:
    team = tenant("new", requests(10))
    async with gateways(own_redis, 3, team) as (one, other, leaving):
        await leaving.stop()
        await wait_until(lambda: leaving.desk.name not in one.desk.alive)
        began_s = time.monotonic()
        await admit(one, team)
        took_s = time.monotonic() - began_s
        await admit(other, team)

    assert took_s < 1.0


# An amount is edited.


@pytest.mark.alone
async def test_a_lower_amount_binds_everywhere_within_a_second(redis_server: RedisServer) -> None:
    team = tenant("lowered", requests(1_000_000))
    async with gateways(redis_server, 3, team) as members:
        for member in members:
            await warm_up(member, team)
        lower = tenant("lowered", requests(10))
        for member in members:
            member.book.configure([lower])
        began_s = time.monotonic()
        outcomes = [await member.admit(lower, NOTHING) for member in members]
        took_s = time.monotonic() - began_s

    assert [type(outcome) for outcome in outcomes] == [Refused] * 3
    assert took_s < 1.0


async def test_of_a_higher_amount_all_is_there_and_no_more(redis_server: RedisServer) -> None:
    team, higher = tenant("raised", requests(10)), tenant("raised", requests(25))
    async with gateways(redis_server, 2, team) as members:
        before = await asyncio.gather(*(admit_all(member, team) for member in members))
        for member in members:
            member.book.configure([higher])
        for _ in range(15):
            await admit_soon(members[0], higher)
        after = await members[1].admit(higher, NOTHING)

    assert sum(map(len, before)) == 10
    assert isinstance(after, Refused)


# A tenant is deleted.


def until_nothing_counts(team: Tenant) -> float:
    """A moment of the clock, far enough ahead."""
    return CLOCK.now() + 3 * max(limit.window_s for limit in team.limits) + 10


async def wait_until_told(*limits: TenantLimit) -> None:
    """To the store, and no rate is left by which something might be wanted."""
    await wait_until(lambda: not any(isinstance(one, LeasedLimit) and one.has_something() for one in limits))


async def test_what_a_deleted_tenants_limits_hold_in_advance_goes_back_at_once(
    redis_server: RedisServer,
) -> None:
    team = tenant("deleted", requests(1000))
    async with gateways(redis_server, 2, team, term=Term(60.0, 1.0)) as (one, other):
        held = await warm_up(one, team)
        (limit,) = one.limits_of(team)
        one.book.configure([])
        left = limit.room(CLOCK.now())
        await wait_until_told(limit)
        admitted = await admit_all(other, team)
        state = state_of(other, team)

    assert (held > 1, left) == (True, 0)
    assert state.used == 1000
    assert len(admitted) >= 900


async def test_a_deleted_tenants_root_is_forgotten_when_nothing_of_it_counts_any_more(
    redis_server: RedisServer,
) -> None:
    gone, kept = tenant("gone", requests(100)), tenant("kept", requests(100))
    async with gateways(redis_server, 1, gone, kept) as (one,):
        for team in (gone, kept):
            await admit(one, team)
        (limit,) = one.limits_of(gone)
        one.book.configure([kept])
        await wait_until_told(limit)
        one.desk.forget_left(CLOCK.now() + HOUR_S)
        while_it_counts = {gone.id, kept.id} & set(one.desk.roots)
        one.desk.forget_left(until_nothing_counts(gone))
        after = {gone.id, kept.id} & set(one.desk.roots)

    assert while_it_counts == {gone.id, kept.id}
    assert after == {kept.id}


async def test_a_root_that_others_recover_and_nobody_uses_here_is_forgotten(own_redis: RedisServer) -> None:
    team = tenant("elsewhere", requests(100))
    async with gateways(own_redis, 2, team) as (one, other):
        other.book.configure([])
        await admit(one, team)
        own_redis.flush()
        await wait_until(lambda: team.id in other.desk.roots)
        await admit_soon(one, team)

        def is_forgotten() -> bool:
            other.desk.forget_left(CLOCK.now())
            return team.id not in other.desk.roots

        await wait_until(is_forgotten)


@pytest.mark.parametrize(("count", "forgets"), [(1, False), (2, False), (2, True)])
async def test_a_tenant_that_is_deleted_and_created_again_does_not_get_its_amount_twice(
    own_redis: RedisServer, count: int, forgets: bool
) -> None:
    team = tenant("again", requests(300))
    admitted = 0

    async def use(member: Turnstile) -> None:
        nonlocal admitted
        while isinstance(await member.admit(team, NOTHING), Reserved):
            admitted += 1
            if forgets and admitted in (110, 220):
                own_redis.flush()
            if admitted % 40 == 0:
                member.book.configure([])
            if admitted % 40 == 3:  # requests of before have asked meanwhile
                member.book.configure([team])

    async with gateways(own_redis, count, team) as members:
        await asyncio.gather(*map(use, members))
        for member in members:
            member.book.configure([team])
        await asyncio.gather(*map(use, members))

    assert 250 <= admitted <= 300


async def test_requests_that_run_when_their_tenant_is_deleted_settle_once(redis_server: RedisServer) -> None:
    team = tenant("running", tokens(1000))
    async with gateways(redis_server, 2, team) as (one, other):
        before = [await admit(one, team, Bound(100, 0, 0)) for _ in range(3)]
        await wait_for_state(other, team, held=300)
        one.book.configure([])
        before[0].hold.settle(Spent(10, 0, 0), CLOCK.now())
        await wait_for_state(other, team, used=10, held=200)
        one.book.configure([team])
        after = await admit(one, team, Bound(100, 0, 0))
        before[1].hold.settle(Spent(20, 0, 0), CLOCK.now())
        after.hold.settle(Spent(30, 0, 0), CLOCK.now())
        await wait_for_state(other, team, used=60, held=100)
        one.book.configure([])
        one.desk.forget_left(until_nothing_counts(team))
        while_one_runs = team.id in one.desk.roots
        before[2].hold.settle(Spent(40, 0, 0), CLOCK.now())
        await wait_for_state(other, team, used=100, held=0)
        again = await admit_soon(one, team, Bound(900, 0, 0))
        over = await other.admit(team, Bound(1, 0, 0))
        again.hold.release(CLOCK.now())

    assert while_one_runs
    assert isinstance(over, Refused)


async def test_of_a_deleted_tenant_is_told_when_the_store_is_back_what_it_was_not_told(
    own_redis: RedisServer,
) -> None:
    team = tenant("told-late", tokens(1000))
    async with gateways(own_redis, 1, team, term=Term(60.0, 1.0)) as (one,):
        running = await admit(one, team, Bound(300, 0, 0))
        (limit,) = one.limits_of(team)
        # With a call under way nobody would know what of it was counted, and all would stay charged.
        await wait_until(lambda: limit.room(CLOCK.now()) > 0)
        await wait_until(lambda: limit.room(CLOCK.now()) == 0)
        own_redis.freeze()
        await wait_until(lambda: one.desk.is_away)
        running.hold.settle(Spent(100, 0, 0), CLOCK.now())
        one.book.configure([])
        one.desk.forget_left(CLOCK.now())
        while_away = set(one.desk.roots)
        own_redis.thaw()
        await wait_until_told(limit)
        one.desk.forget_left(until_nothing_counts(team))
        forgotten = set(one.desk.roots)
        one.book.configure([team])
        rest = await admit(one, team, Bound(900, 0, 0))
        over = await one.admit(team, Bound(1, 0, 0))
        rest.hold.release(CLOCK.now())

    assert (while_away, forgotten) == ({team.id}, set())
    assert isinstance(over, Refused)


async def test_a_store_that_stays_away_is_not_waited_for_longer_than_anything_counts(
    own_redis: RedisServer,
) -> None:
    team = tenant("never-told", requests(100))
    async with gateways(own_redis, 1, team) as (one,):
        await warm_up(one, team)
        own_redis.kill()
        await wait_until(lambda: one.desk.is_away)
        one.book.configure([])
        one.desk.forget_left(CLOCK.now() + HOUR_S)
        while_it_counts = set(one.desk.roots)
        one.desk.forget_left(until_nothing_counts(team))
        after = set(one.desk.roots)

    assert (while_it_counts, after) == ({team.id}, set())


async def test_of_very_many_that_left_the_oldest_are_forgotten_once_they_have_told_all(
    own_redis: RedisServer,
) -> None:
    teams = [tenant(f"many-{number:04}", requests(10)) for number in range(LEFT_KEPT + 20)]
    async with gateways(own_redis, 1, *teams) as (one,):
        for team in teams:
            await admit(one, team)
        limits = [limit for team in teams for limit in one.limits_of(team)]
        one.book.configure(teams[20:])
        one.book.configure([])
        one.desk.forget_left(CLOCK.now())
        at_once = len(one.desk.roots)
        await wait_until_told(*limits)
        one.desk.forget_left(CLOCK.now())
        left = set(one.desk.roots)

    assert at_once > LEFT_KEPT
    assert left == {team.id for team in teams[20:]}


# What a caller is told.


async def test_who_is_refused_for_what_another_gateway_holds_in_advance_is_told_to_come_back_soon(
    redis_server: RedisServer,
) -> None:
    team = tenant("soon", requests(1000))
    async with gateways(redis_server, 2, team, term=Term(30.0, 1.0)) as (one, other):
        await warm_up(one, team)
        await one.kill()  # nothing goes back before it is told to stop
        _, for_what_is_held = await spend_until_refused(other, team)
        await one.stop()
        await admit_soon(other, team)
        _, for_what_is_spent = await spend_until_refused(other, team)

    assert isinstance(for_what_is_held, Refused)
    assert isinstance(for_what_is_spent, Refused)
    assert for_what_is_held.retry_after_s <= SOON_MS / 1000
    assert for_what_is_spent.retry_after_s > HOUR_S - 60


async def test_a_caller_is_told_that_the_store_is_away(own_redis: RedisServer, fake: FakeProvider) -> None:
    limited = rig.tenant(limits=[Limit(name="rpm", amount=1000, window_s=60)])
    chosen = replace(rig.settings(), limit_store=own_redis.url, lease_s=0.5)
    async with rig.serving(rig.table(rig.provider(fake.url), tenants=[limited]), chosen) as gateway:
        before = await gateway.ask()
        own_redis.kill()
        answers = await ask_until(gateway, 503)
        own_redis.start()
        await ask_until(gateway, 200)

    assert (before.status, before.headers["x-ratelimit-remaining-requests"]) == (200, "999")
    away = answers[-1]
    assert away.error["message"] == (
        'Limit "rpm" of chat/team is shared by all gateways through a store that does not answer now, and '
        "what this gateway was granted before is used up. Try again in a few seconds."
    )
    assert away.headers["retry-after"] == "1"
    assert {answer.status for answer in answers} <= {200, 503}


async def test_a_caller_is_told_that_the_store_is_recovering_and_the_log_who_is_waited_for(
    own_redis: RedisServer, fake: FakeProvider
) -> None:
    limited = rig.tenant(limits=[Limit(name="rpm", amount=1000, window_s=60)])
    chosen = replace(rig.settings(), limit_store=own_redis.url, lease_s=5.0)
    served = rig.table(rig.provider(fake.url), tenants=[limited])
    async with gateways(own_redis, 1) as (other,), rig.serving(served, chosen) as gateway:
        await wait_until(lambda: len(other.desk.alive) == 2)
        desk = gateway.gateway._limits
        assert desk is not None
        await wait_until(lambda: other.desk.name in desk.alive)
        await gateway.ask()
        await other.kill()
        await wait_until(lambda: other.desk.name not in desk.alive)
        own_redis.flush()
        with capture_logs() as logs:
            answers = await ask_until(gateway, 503)

    refused = answers[-1]
    assert refused.error["message"] == (
        'Limit "rpm" of chat/team is shared by all gateways through a store that is recovering: it grants '
        "nothing until every gateway has told it what was used, or two minutes have passed, and what this "
        "gateway was granted before is used up. Try again in 5 seconds."
    )
    assert refused.headers["retry-after"] == "5"
    (told,) = [line for line in logs if line["event"].startswith("limit store")]
    assert (told["event"], told["missing"]) == ("limit store is recovering", [other.desk.name])


async def ask_until(gateway: rig.Rig, status: int) -> Sequence[rig.Answer]:
    answers: list[rig.Answer] = []
    async with asyncio.timeout(10):
        while not answers or answers[-1].status != status:
            answers.append(await gateway.ask())
    return answers
