"""Requests over a limit that wait at a real gateway, until there is room, their time is over, or their caller
has left. Each as an ordinary request and as a stream.
"""

import asyncio
from collections.abc import Iterator

import pytest
from msgspec.structs import replace

from gateway_runtime.contract.tenant import Queue
from gateway_runtime.providers.fake import FakeScript
from gateway_runtime.server.fake_provider import FakeProvider
from tests.server.quotas import (
    AT_ONCE,
    RPM,
    SIBLINGS_KEY,
    TPM,
    Door,
    GatedProvider,
    MovedClock,
    family,
    gated,
    opened,
    quota,
)
from tests.server.test_express import Ways
from tests.server.test_express import ways as ways  # a fixture
from tests.upstream.scripted import wait_until

QUEUE = Queue(timeout_s=30.0, max_waiting=100)


@pytest.fixture(params=["ordinary", "stream"])
def stream(request: pytest.FixtureRequest, ways: Ways) -> Iterator[bool]:
    """Whether it asks for streams."""
    yield request.param == "stream"
    assert (ways.rides > 0) == (request.param == "ordinary")


async def wait_in_line(door: Door, count: int) -> None:
    await wait_until(lambda: door.rig.gateway._state.queues.waiting() == count)


async def finish(upstream: GatedProvider, *running: "asyncio.Task[object]") -> None:
    """In the order in which they reach the provider."""
    for _ in running:
        await upstream.wait_for(1)
        upstream.release()
    await asyncio.gather(*running)


async def test_one_that_is_over_the_limit_waits_for_the_one_that_runs(stream: bool) -> None:
    async with gated() as upstream, opened(upstream, quota(AT_ONCE, queue=QUEUE), stream=stream) as door:
        first = door.begin()
        await upstream.wait_for(1)
        second = door.begin()
        await wait_in_line(door, 1)
        seen = upstream.seen.requests
        await finish(upstream, first, second)

    assert seen == 0
    assert [(await one).status for one in (first, second)] == [200, 200]


async def test_its_wait_is_none_of_our_overhead(stream: bool) -> None:
    async with gated() as upstream, opened(upstream, quota(AT_ONCE, queue=QUEUE), stream=stream) as door:
        first = door.begin()
        await upstream.wait_for(1)
        second = door.begin()
        await wait_in_line(door, 1)
        door.clock.pass_time(25.0)
        await finish(upstream, first, second)
        answer = await second

    assert float(answer.headers["x-headgate-overhead-ms"]) < 5_000


async def test_they_go_in_the_order_in_which_they_came(stream: bool) -> None:
    async with gated() as upstream, opened(upstream, quota(AT_ONCE, queue=QUEUE), stream=stream) as door:
        running = [door.begin(user="first")]
        await upstream.wait_for(1)
        for number, name in enumerate(("second", "third", "fourth"), 1):
            running.append(door.begin(user=name))
            await wait_in_line(door, number)
        await finish(upstream, *running)
        order = [request.body for request in upstream.seen.latest]

    assert ["first" in order[0], "second" in order[1], "third" in order[2], "fourth" in order[3]] == [
        True
    ] * 4


async def test_a_user_over_its_own_limit_keeps_no_other_user_waiting(stream: bool) -> None:
    limited = quota(replace(AT_ONCE, scope="PerUser"), queue=QUEUE)
    async with gated() as upstream, opened(upstream, limited, stream=stream) as door:
        first = door.begin(user="alice")
        await upstream.wait_for(1)
        second = door.begin(user="alice")
        await wait_in_line(door, 1)
        other = door.begin(user="bob")
        await upstream.wait_for(2)
        waiting = door.rig.gateway._state.queues.waiting()
        await finish(upstream, first, other, second)
        order = [request.body for request in upstream.seen.latest]

    assert waiting == 1
    assert ["alice" in body for body in order] == [True, False, True]


async def test_a_newcomer_goes_behind_though_it_would_fit(stream: bool) -> None:
    async with gated() as upstream:
        limited = quota(replace(TPM, amount=200), queue=QUEUE)
        async with opened(upstream, limited, stream=stream) as door:
            first = door.begin(max_tokens=50)
            await upstream.wait_for(1)
            large = door.begin(max_tokens=130)
            await wait_in_line(door, 1)
            small = door.begin(max_tokens=1)
            await wait_in_line(door, 2)
            await finish(upstream, first, large, small)
            bodies = [request.body for request in upstream.seen.latest]

    assert ['"max_tokens":130' in bodies[1].replace(" ", ""), len(bodies)] == [True, 3]


async def test_when_its_time_is_over_it_gets_the_ordinary_429(fake: FakeProvider, stream: bool) -> None:
    limited = quota(replace(RPM, amount=1, window_s=3600.0), queue=Queue(timeout_s=30.0, max_waiting=9))
    async with opened(fake, limited, stream=stream) as door:
        await door.ask()
        waiting = door.begin()
        await wait_in_line(door, 1)
        door.clock.pass_time(30.0)
        answer = await waiting
        await wait_in_line(door, 0)

    assert (answer.status, answer.error["headgate"]) == (429, "HG1007")
    assert answer.error["message"].startswith(
        'Limit "rpm" of chat/team is spent: 1 requests in any 3600 s. Try again in 35'
    )
    assert 3560 < int(answer.headers["retry-after"]) <= 3570
    assert answer.headers["x-ratelimit-remaining-requests"] == "0"


async def test_the_window_lets_the_first_one_go(fake: FakeProvider, stream: bool) -> None:
    limited = quota(replace(RPM, amount=1), queue=Queue(timeout_s=90.0, max_waiting=9))
    async with opened(fake, limited, stream=stream) as door:
        await door.ask()
        waiting = door.begin()
        await wait_in_line(door, 1)
        door.clock.pass_time(60.0)
        answer = await waiting

    assert answer.status == 200


async def test_where_too_many_wait_one_is_refused_at_once(stream: bool) -> None:
    limited = quota(AT_ONCE, queue=Queue(timeout_s=30.0, max_waiting=1))
    async with gated() as upstream, opened(upstream, limited, stream=stream) as door:
        first = door.begin()
        await upstream.wait_for(1)
        second = door.begin()
        await wait_in_line(door, 1)
        third = await door.ask()
        await finish(upstream, first, second)

    assert (third.status, third.headers["retry-after"]) == (429, "1")
    assert [(await one).status for one in (first, second)] == [200, 200]


async def test_one_that_no_wait_helps_is_told_at_once(fake: FakeProvider, stream: bool) -> None:
    async with opened(fake, quota(TPM, queue=QUEUE), stream=stream) as door:
        fits, never = await door.ask(max_tokens=50), await door.ask(max_tokens=5000)

    assert (fits.status, never.status, never.error["headgate"]) == (200, 400, "HG1031")


async def test_a_caller_that_leaves_gives_its_place_away_and_holds_nothing(stream: bool) -> None:
    async with gated() as upstream:
        limited = quota(AT_ONCE, replace(TPM, amount=9000), queue=QUEUE)
        async with opened(upstream, limited, stream=stream) as door:
            first = door.begin(max_tokens=50)
            await upstream.wait_for(1)
            left, stayed = door.begin(max_tokens=50), None
            await wait_in_line(door, 1)
            left.cancel()
            await wait_in_line(door, 0)
            stayed = door.begin(max_tokens=50)
            await wait_in_line(door, 1)
            await finish(upstream, first, stayed)
            await door.end_all()
            held = door.look("tpm").held, door.look("at-once").held

    assert stayed.result().status == 200
    assert (upstream.seen.requests, held) == (2, (0, 0))


async def test_a_siblings_request_that_ends_makes_room_for_it(stream: bool) -> None:
    tenants = family([], [AT_ONCE], queue=QUEUE)
    async with gated() as upstream, opened(upstream, *tenants, stream=stream) as door:
        siblings = door.begin(key=SIBLINGS_KEY)
        await upstream.wait_for(1)
        own = door.begin()
        await wait_in_line(door, 1)
        await finish(upstream, siblings, own)

    assert own.result().status == 200


async def test_an_edit_that_takes_the_limit_away_lets_all_go_who_waited_for_it(stream: bool) -> None:
    async with gated() as upstream, opened(upstream, quota(RPM, AT_ONCE, queue=QUEUE), stream=stream) as door:
        first = door.begin()
        await upstream.wait_for(1)
        second = door.begin()
        await wait_in_line(door, 1)
        await door.apply(
            quota(replace(RPM, amount=9), replace(AT_ONCE, name="others", amount=9), queue=QUEUE)
        )
        await upstream.wait_for(2)
        await finish(upstream, first, second)

    assert second.result().status == 200


async def test_an_edit_that_leaves_limits_of_another_kind_changes_nothing_for_those_who_wait(
    stream: bool,
) -> None:
    async with gated() as upstream, opened(upstream, quota(AT_ONCE, queue=QUEUE), stream=stream) as door:
        first = door.begin()
        await upstream.wait_for(1)
        second = door.begin()
        await wait_in_line(door, 1)
        await door.apply(quota(RPM, queue=QUEUE))
        await finish(upstream, first, second)
        await door.end_all()
        used = door.look("rpm").used

    assert second.result().status == 200
    assert used == 0


async def test_while_the_gateway_drains_those_who_wait_are_served(stream: bool) -> None:
    async with gated() as upstream, opened(upstream, quota(AT_ONCE, queue=QUEUE), stream=stream) as door:
        first = door.begin()
        await upstream.wait_for(1)
        second = door.begin()
        await wait_in_line(door, 1)
        stopping = asyncio.create_task(door.rig.gateway.stop(20.0))
        await asyncio.sleep(0)
        await finish(upstream, first, second)
        await stopping

    assert [one.result().status for one in (first, second)] == [200, 200]


async def test_what_still_waits_when_the_drain_ends_is_cut_and_leaves_nothing_behind(stream: bool) -> None:
    async with gated() as upstream, opened(upstream, quota(AT_ONCE, queue=QUEUE), stream=stream) as door:
        first = door.begin()
        await upstream.wait_for(1)
        second = door.begin()
        await wait_in_line(door, 1)
        await door.rig.gateway.stop(0.0)
        outcomes = await asyncio.gather(first, second, return_exceptions=True)
        queues, held = door.rig.gateway._state.queues, door.look("at-once").held

    assert [isinstance(outcome, Exception) for outcome in outcomes] == [True, True]
    assert (queues.waiting(), held) == (0, 0)


async def test_a_limit_in_a_calendar_is_waited_for_like_any_other(fake: FakeProvider, stream: bool) -> None:
    fake.script = FakeScript(answer="one")
    clock = MovedClock("2026-03-04T23:59:50+00:00")
    daily = replace(RPM, amount=1, window_s=0.0, calendar="day")
    async with opened(fake, quota(daily, queue=QUEUE), stream=stream, clock=clock) as door:
        await door.ask()
        waiting = door.begin()
        await wait_in_line(door, 1)
        clock.pass_time(10.0)
        answer = await waiting

    assert answer.status == 200
