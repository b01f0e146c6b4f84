"""Quotas at a real gateway: windows of calendars, limits for each user, key and model, parents, overrides,
requests without a price, shadows, requests that may go over.

Each on both of the gateway's ways: an ordinary request, which has no task, and a stream, which has one.
"""

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from gateway_runtime.contract.keys import hash_key
from gateway_runtime.contract.stream import Nack
from gateway_runtime.contract.table import Model
from gateway_runtime.contract.tenant import Calendar, JwtSubject, Limit, LimitResource, Override, ProxySubject
from gateway_runtime.providers.fake import FakeScript
from gateway_runtime.server.fake_provider import FakeProvider
from tests.identity.rig import AUDIENCE, RSA, jwk, jwks, sign
from tests.identity.rig import claims as build_claims
from tests.media.rig import saying
from tests.media.rig import serving as serving_site
from tests.server.ledgers import PRICED, read_rows, with_ledger
from tests.server.quotas import (
    AT_ONCE,
    PARENT,
    RPM,
    SIBLINGS_KEY,
    TPM,
    MovedClock,
    build,
    family,
    gated,
    opened,
    quota,
)
from tests.server.rig import CHAT, KEY, SALT, Answer, route, serving, settings
from tests.server.test_express import Ways
from tests.server.test_express import ways as ways  # a fixture
from tests.upstream.scripted import wait_until

WORDS = FakeScript(answer="one two three")
"""Three tokens out, and the question has one."""
TEN_WORDS = FakeScript(answer="1 2 3 4 5 6 7 8 9 10")


@pytest.fixture(params=["ordinary", "stream"])
def stream(request: pytest.FixtureRequest, ways: Ways) -> Iterator[bool]:
    """Whether it asks for streams."""
    yield request.param == "stream"
    assert (ways.rides > 0) == (request.param == "ordinary")


def limits_told(answer: Answer) -> dict[str, str]:
    told = {name.lower(): value for name, value in answer.headers.items()}
    return {name: value for name, value in told.items() if name.startswith("x-ratelimit-")}


# -- days, weeks and months


DAILY = Limit(name="daily", amount=2, window_s=0.0, calendar="day", zone="Europe/Berlin")


async def test_a_day_is_the_calendars_and_its_end_frees_all_of_the_amount(
    fake: FakeProvider, stream: bool
) -> None:
    async with opened(fake, quota(DAILY), stream=stream) as door:
        first = await door.ask()
        door.clock.pass_time(6 * 3600)
        second, refused = await door.ask(), await door.ask()
        door.clock.pass_time(6 * 3600 - 10)
        before = await door.knock(1)
        door.clock.pass_time(10)
        after = await door.knock(3)

    assert (first.status, second.status, refused.status) == (200, 200, 429)
    assert first.headers["x-ratelimit-remaining-requests"] == "1"
    assert first.headers["x-ratelimit-reset-requests"] == "12h0m0s"
    assert refused.error["message"].startswith(
        'Limit "daily" of chat/team is spent: 2 requests a day (Europe/Berlin). Try again in 21'
    )
    assert 21_590 < int(refused.headers["retry-after"]) <= 21_600
    assert before == [429]
    assert after == [200, 200, 429]


@pytest.mark.parametrize(
    ("calendar", "begins", "hours"),
    [
        ("day", "2026-03-29T00:00+01:00", 23),
        ("day", "2026-10-25T00:00+02:00", 25),
        ("week", "2026-03-02T00:00+01:00", 7 * 24),
        ("month", "2026-02-01T00:00+01:00", 28 * 24),
        ("month", "2026-03-01T00:00+01:00", 31 * 24 - 1),
    ],
    ids=["day of 23 hours", "day of 25 hours", "week from Monday", "February", "March with an hour less"],
)
async def test_a_period_is_as_long_as_it_is_there(
    fake: FakeProvider, stream: bool, calendar: Calendar, begins: str, hours: int
) -> None:
    clock = MovedClock(begins)
    async with opened(fake, quota(replace(DAILY, calendar=calendar)), stream=stream, clock=clock) as door:
        used = await door.knock(3)
        clock.pass_time(hours * 3600 - 10)
        before = await door.knock(1)
        clock.pass_time(10)
        after = await door.knock(1)

    assert (used, before, after) == ([200, 200, 429], [429], [200])


async def test_a_clock_that_is_set_ahead_begins_the_next_day_and_one_that_is_set_back_none(
    fake: FakeProvider, stream: bool
) -> None:
    async with opened(fake, quota(DAILY), stream=stream) as door:
        await door.knock(2)
        door.clock.set_wall(by_s=-3600)
        door.clock.pass_time(12 * 3600)  # by now it would be over
        back = await door.knock(1)
        door.clock.set_wall(by_s=3600)
        door.clock.pass_time(61)
        ahead = await door.knock(1)

    assert (back, ahead) == ([429], [200])


async def test_what_runs_across_the_end_of_a_period_gives_nothing_back_to_the_next(stream: bool) -> None:
    tokens = replace(DAILY, name="tokens", resource="TotalTokens", amount=1000)
    async with gated() as upstream:
        upstream.script = WORDS
        async with opened(upstream, quota(tokens), stream=stream) as door:
            running = door.begin(max_tokens=50)
            await upstream.wait_for(1)
            held = door.look("tokens").held
            door.clock.pass_time(12 * 3600)
            overnight = door.tell("tokens")
            upstream.release()
            answer = await running
            await door.end_all()
            after = door.tell("tokens")

    assert answer.status == 200
    assert held > 50
    assert (overnight, after) == ((0, 0), (0, 0))


async def test_an_edit_from_a_window_to_a_calendar_and_back_loses_nothing_and_counts_nothing_twice(
    stream: bool,
) -> None:
    hourly = replace(TPM, window_s=3600.0)
    daily = replace(TPM, window_s=0.0, calendar="day")
    async with gated() as upstream:
        upstream.script = WORDS
        async with opened(upstream, quota(hourly), stream=stream) as door:
            running = door.begin(max_tokens=50)
            await upstream.wait_for(1)
            bound = door.look("tpm").held
            await door.apply(quota(daily))
            second = door.begin(max_tokens=50)
            await upstream.wait_for(2)
            both = door.tell("tpm")
            upstream.release()
            await running
            await wait_until(lambda: door.look("tpm").held == bound)
            one = door.tell("tpm")
            await door.apply(quota(hourly))
            edited = door.tell("tpm")
            upstream.release()
            await second
            await door.end_all()
            settled = door.tell("tpm")
            door.clock.pass_time(3600)
            over = door.tell("tpm")

    assert both == (0, 2 * bound)
    assert one == edited == (4, bound)
    assert (settled, over) == ((8, 0), (0, 0))


async def test_a_reload_behind_the_end_of_a_day_carries_nothing_into_the_next(
    fake: FakeProvider, stream: bool
) -> None:
    async with opened(fake, quota(DAILY), stream=stream) as door:
        await door.knock(2)
        door.clock.pass_time(12 * 3600 + 60)
        await door.apply(quota(DAILY))
        statuses = await door.knock(3)

    assert statuses == [200, 200, 429]


async def test_a_zone_that_the_gateway_does_not_know_is_a_fault_of_the_table(fake: FakeProvider) -> None:
    async with serving(build(fake, quota(RPM))) as rig:
        refused = await rig.gateway.apply_table(build(fake, quota(replace(DAILY, zone="Mars/Olympus"))))
        answer = await rig.ask()

    assert isinstance(refused, Nack)
    assert [fault.message for fault in refused.faults] == [
        'the days of limit daily cannot be found: the time zones of this machine have no "Mars/Olympus"; run '
        "a newer gateway"
    ]
    assert answer.status == 200


# -- for each user, key, model


PER_USER = replace(RPM, name="each", scope="PerUser")


async def test_each_user_that_a_body_names_has_the_amount_and_those_who_name_nobody_have_one(
    fake: FakeProvider, stream: bool
) -> None:
    async with opened(fake, quota(PER_USER), stream=stream) as door:
        ada, bob = await door.knock(3, user="ada"), await door.knock(1, user="bob")
        nobody = await door.knock(3)
        refused = await door.ask(user="ada")

    assert (ada, bob, nobody) == ([200, 200, 429], [200], [200, 200, 429])
    assert ": 2 requests in any 60 s for each user. " in refused.error["message"]


async def test_users_whom_anthropics_callers_name_have_the_amount_each(
    fake: FakeProvider, stream: bool
) -> None:
    async with opened(fake, quota(PER_USER), stream=stream) as door:
        asked = {**CHAT, "max_tokens": 50, "stream": stream}
        statuses = [
            (await door.rig.ask({**asked, "metadata": {"user_id": user}}, path="/v1/messages")).status
            for user in ("ada", "ada", "ada", "bob")
        ]

    assert statuses == [200, 200, 429, 200]


async def test_a_user_named_by_a_trusted_proxy_counts_and_not_the_one_in_the_body(
    fake: FakeProvider, stream: bool
) -> None:
    mesh = ProxySubject(
        name="mesh", addresses=("127.0.0.0/8",), header="x-team", value="blue", user_header="x-user"
    )
    ada, bob = ({"x-team": "blue", "x-user": name} for name in ("ada", "bob"))
    async with opened(fake, quota(PER_USER, proxies=(mesh,)), stream=stream) as door:
        adas = [(await door.ask(None, ada, user=name)).status for name in ("x", "y", "z")]
        bobs = [(await door.ask(None, bob, user="x")).status]

    assert (adas, bobs) == ([200, 200, 429], [200])


async def test_a_user_named_by_a_token_counts_and_not_the_one_in_the_body(
    fake: FakeProvider, stream: bool
) -> None:
    clock = MovedClock()
    chosen = dataclasses.replace(settings(), allow_private_issuers=True)
    async with serving_site() as issuer:
        issuer.pages["/keys"] = saying(body=jwks(jwk(RSA, "k1")))
        people = JwtSubject(
            name="people",
            issuer="https://login.example.com",
            audiences=(AUDIENCE,),
            jwks_url=f"{issuer.url}/keys",
        )
        now_s = int(clock.unix())
        ada, bob = (
            sign(build_claims(iss=people.issuer, iat=now_s, exp=now_s + 600, sub=name))
            for name in ("ada", "bob")
        )
        async with opened(
            fake, quota(PER_USER, jwts=(people,)), stream=stream, clock=clock, chosen=chosen
        ) as door:
            adas = [(await door.ask(ada, user=name)).status for name in ("x", "y", "z")]
            bobs = [(await door.ask(bob, user="x")).status for _ in range(2)]

    assert (adas, bobs) == ([200, 200, 429], [200, 200])


async def test_each_key_has_the_amount(fake: FakeProvider, stream: bool) -> None:
    keys = tuple(hash_key(key, SALT) for key in (KEY, "another-key"))
    limited = quota(replace(RPM, name="each", scope="PerKey"), keys=keys)
    async with opened(fake, limited, stream=stream) as door:
        one = [(await door.ask(user=name)).status for name in ("ada", "bob", "cy")]
        other = await door.knock(1, key="another-key")

    assert (one, other) == ([200, 200, 429], [200])


async def test_each_model_has_the_amount(fake: FakeProvider, stream: bool) -> None:
    limited = quota(replace(RPM, name="each", scope="PerModel"))
    routes = [route("gpt", "o3", max_attempts=1)]
    async with opened(fake, limited, stream=stream, routes=routes) as door:
        one, other = await door.knock(3, model="gpt"), await door.knock(1, model="o3")

    assert (one, other) == ([200, 200, 429], [200])


async def test_tokens_are_counted_for_each_user_where_they_were_held(
    fake: FakeProvider, stream: bool
) -> None:
    fake.script = WORDS
    async with opened(fake, quota(replace(TPM, scope="PerUser")), stream=stream) as door:
        for user in ("ada", "bob", "bob"):
            await door.ask(user=user, max_tokens=50)
        await door.end_all()
        bobs = door.tell("tpm")

    assert bobs == (8, 0)


# -- a parent's limits


async def test_children_share_their_parents_limit_and_a_refusal_names_it(
    fake: FakeProvider, stream: bool
) -> None:
    async with opened(fake, *family([], [replace(RPM, name="all")]), stream=stream) as door:
        first = await door.ask()
        sibling = await door.ask(SIBLINGS_KEY)
        refused = [await door.ask(), await door.ask(SIBLINGS_KEY)]
        used = door.look("all", PARENT).used

    assert limits_told(first)["x-ratelimit-limit-requests"] == "2"
    assert sibling.headers["x-ratelimit-remaining-requests"] == "0"
    assert [answer.status for answer in refused] == [429, 429]
    for answer in refused:
        assert answer.error["message"].startswith(
            'Limit "all" of chat/department is spent: 2 requests in any 60 s. Try again in '
        )
    assert used == 2


async def test_where_both_have_a_limit_of_one_name_the_one_that_refuses_is_told(
    fake: FakeProvider, stream: bool
) -> None:
    async with opened(fake, *family([replace(RPM, amount=9)], [RPM]), stream=stream) as door:
        await door.knock(2)
        refused = await door.ask()

    assert refused.error["message"].startswith(
        'Limit "rpm" of chat/department is spent: 2 requests in any 60 s. '
    )


async def test_a_request_is_charged_to_both_or_to_none(fake: FakeProvider, stream: bool) -> None:
    own = [replace(TPM, amount=9000), replace(RPM, amount=9)]
    async with opened(fake, *family(own, [replace(RPM, name="all")]), stream=stream) as door:
        await door.knock(3, max_tokens=50)
        await door.end_all()
        counts = [door.look("rpm").used, door.look("all", PARENT).used, door.look("tpm").held]

    assert counts == [2, 2, 0]


async def test_a_child_without_limits_of_its_own_reserves_for_its_parents(
    fake: FakeProvider, stream: bool
) -> None:
    fake.script = WORDS
    async with opened(fake, *family([], [TPM]), stream=stream) as door:
        answer = await door.ask(max_tokens=50)
        await door.end_all()
        state = door.look("tpm", PARENT)

    assert limits_told(answer)["x-ratelimit-limit-tokens"] == "1000"
    assert (state.used, state.held) == (4, 0)


# -- overrides


def lent(amount: int, clock: MovedClock, for_s: float) -> Limit:
    return replace(RPM, overrides=(Override(amount=amount, until_unix_s=clock.unix() + for_s),))


async def test_an_override_holds_until_its_end_and_not_a_second_longer_without_a_reload(
    fake: FakeProvider, stream: bool
) -> None:
    clock = MovedClock()
    async with opened(fake, quota(lent(4, clock, 30.0)), stream=stream, clock=clock) as door:
        first, *more = [await door.ask() for _ in range(5)]
        clock.pass_time(29.0)
        still = door.look("rpm").amount
        clock.pass_time(1.0)
        await wait_until(lambda: door.look("rpm").amount == 2)
        clock.pass_time(30.0)
        after = [await door.ask() for _ in range(3)]

    assert [answer.status for answer in (first, *more)] == [200, 200, 200, 200, 429]
    assert limits_told(first)["x-ratelimit-limit-requests"] == "4"
    assert "is spent: 4 requests in any 60 s. " in more[-1].error["message"]
    assert still == 4
    assert [answer.status for answer in after] == [200, 200, 429]
    assert limits_told(after[0])["x-ratelimit-limit-requests"] == "2"
    assert "is spent: 2 requests in any 60 s. " in after[-1].error["message"]


async def test_an_override_may_lower_the_amount_and_what_was_used_stays_used(
    fake: FakeProvider, stream: bool
) -> None:
    clock = MovedClock()
    async with opened(fake, quota(RPM), stream=stream, clock=clock) as door:
        await door.ask()
        await door.apply(quota(lent(1, clock, 30.0)))
        lowered = await door.ask()
        await door.apply(quota(RPM))
        given_back = await door.knock(2)

    assert lowered.status == 429
    assert "is spent: 1 requests in any 60 s. " in lowered.error["message"]
    assert given_back == [200, 429]


# -- without a price, and in shadow


UNPRICED = Model(name="gpt", upstream_name="up-1")
BUDGET = Limit(name="budget", amount=10**12, window_s=3600.0, resource="USD")


async def test_without_a_price_it_is_refused_or_counts_nothing_as_the_quota_says(
    fake: FakeProvider, stream: bool
) -> None:
    async with opened(fake, quota(BUDGET), stream=stream, models=[UNPRICED]) as door:
        refused = await door.ask()
        await door.apply(quota(BUDGET, allow_unpriced=True), models=[UNPRICED])
        served = await door.ask()
        await door.end_all()
        counted = door.tell("budget")

    assert (refused.status, refused.error["headgate"]) == (400, "HG1032")
    assert refused.error["message"].startswith('Limit "budget" of chat/team counts US dollars')
    assert (served.status, counted) == (200, (0, 0))


async def test_a_limit_in_shadow_counts_and_refuses_nobody_and_has_no_header(
    fake: FakeProvider, stream: bool
) -> None:
    fake.script = WORDS
    shadows = [replace(RPM, amount=1, shadow=True), replace(TPM, amount=1, shadow=True)]
    async with opened(fake, quota(*shadows), stream=stream) as door:
        answers = [await door.ask(max_tokens=50) for _ in range(3)]
        await door.end_all()
        counted = door.tell("rpm"), door.tell("tpm")

    assert [answer.status for answer in answers] == [200, 200, 200]
    assert limits_told(answers[-1]) == {}
    assert counted == ((3, 0), (12, 0))


# -- one request may go over


def body_sent(upstream: FakeProvider) -> dict[str, Any]:
    body: dict[str, Any] = json.loads(upstream.seen.latest[-1].body)
    return body


async def test_one_request_goes_over_and_the_next_waits(
    fake: FakeProvider, stream: bool, tmp_path: Path
) -> None:
    fake.script = TEN_WORDS
    chosen = with_ledger(tmp_path / "usage.db")
    limited = quota(replace(TPM, amount=12), one_over=True)
    async with opened(fake, limited, stream=stream, chosen=chosen) as door:
        first = await door.ask()
        await door.end_all()
        left = door.look("tpm").remaining
        second = await door.ask()
        await door.end_all()
        over = door.tell("tpm")
        third = await door.ask()
        sent = body_sent(fake)
        door.clock.pass_time(60.0)
        later = await door.ask()
    rows = read_rows(tmp_path / "usage.db")

    assert (first.status, left, second.status) == (200, 1, 200)
    assert limits_told(second) | {"x-ratelimit-reset-tokens": ""} == {
        "x-ratelimit-limit-tokens": "12",
        "x-ratelimit-remaining-tokens": "0",
        "x-ratelimit-reset-tokens": "",
    }
    assert over == (22, 0)
    assert (third.status, later.status) == (429, 200)
    assert not {"max_tokens", "max_completion_tokens"} & sent.keys()
    assert "x-headgate-max-tokens" not in second.headers
    assert [(row.input_tokens, row.output_tokens, row.status) for row in rows] == [(1, 10, 200)] * 3


async def test_while_a_request_runs_that_may_go_over_no_second_one_does(stream: bool) -> None:
    async with gated() as upstream:
        upstream.script = TEN_WORDS
        async with opened(upstream, quota(replace(TPM, amount=5000), one_over=True), stream=stream) as door:
            running = door.begin()
            await upstream.wait_for(1)
            held = door.look("tpm").held
            refused = await door.ask()
            upstream.release()
            await running
            await door.end_all()
            again = door.begin()
            await upstream.wait_for(1)
            upstream.release()
            answer = await again

    assert held == 5000
    assert (refused.status, answer.status) == (429, 200)


async def test_under_a_large_amount_many_run_at_once_each_with_what_its_model_can_write(
    stream: bool,
) -> None:
    known = replace(PRICED, upstream_name="gpt-4o-mini")
    limited = quota(replace(TPM, amount=10**6), one_over=True)
    async with gated() as upstream, opened(upstream, limited, stream=stream, models=[known]) as door:
        running = [door.begin() for _ in range(3)]
        await upstream.wait_for(3)
        held = door.look("tpm").held
        for _ in running:
            upstream.release()
        statuses = [(await one).status for one in running]

    assert 3 * 16_384 < held < 3 * 17_000
    assert statuses == [200, 200, 200]


# -- what the headers tell


@pytest.mark.parametrize(
    ("resource", "amount", "told"),
    [
        ("Requests", 5, {"limit-requests": "5", "remaining-requests": "4"}),
        ("InputTokens", 500, {"limit-tokens": "500"}),
        ("OutputTokens", 500, {"limit-tokens": "500", "remaining-tokens": "450"}),
        ("TotalTokens", 500, {"limit-tokens": "500"}),
        ("USD", 10**12, {}),
        ("Concurrency", 5, {}),
    ],
)
async def test_headers_tell_of_requests_and_of_tokens(
    fake: FakeProvider, stream: bool, resource: LimitResource, amount: int, told: dict[str, str]
) -> None:
    window_s = 0.0 if resource == "Concurrency" else 60.0
    limited = quota(Limit(name="most", amount=amount, window_s=window_s, resource=resource))
    async with opened(fake, limited, stream=stream) as door:
        answers = [await door.ask(max_tokens=50) for _ in range(2)]
    first, second = map(limits_told, answers)

    assert {f"x-ratelimit-{name}": value for name, value in told.items()}.items() <= first.items()
    assert (first == {}) == (told == {})
    assert first.keys() == second.keys()
    for name in ("requests", "tokens"):
        if f"limit-{name}" in told:
            assert first[f"x-ratelimit-reset-{name}"] == "1m0s"
            assert int(second[f"x-ratelimit-remaining-{name}"]) < amount


async def test_a_refusal_tells_of_the_limit_that_refused(stream: bool) -> None:
    async with gated() as upstream:
        upstream.script = WORDS
        limited = quota(TPM, replace(RPM, amount=9), AT_ONCE)
        async with opened(upstream, limited, stream=stream) as door:
            running = door.begin(max_tokens=50)
            await upstream.wait_for(1)
            at_once = await door.ask(max_tokens=50)
            await door.apply(quota(replace(TPM, amount=100), replace(RPM, amount=9)))
            tokens = await door.ask(max_tokens=50)
            upstream.release()
            await running

    assert (at_once.status, tokens.status) == (429, 429)
    assert 'Limit "at-once" of chat/team is spent: 1 requests at once. ' in at_once.error["message"]
    assert limits_told(at_once) == {}
    assert limits_told(tokens)["x-ratelimit-limit-tokens"] == "100"
