"""`GET /v1/limits`: what a caller is told of the limits that hold for it. The operator is told the same."""

import asyncio
import dataclasses
from typing import Any

import pytest
from msgspec.structs import replace

from gateway_runtime.contract.stream import Share
from gateway_runtime.contract.tenant import Limit, LimitResource, Override, ProxySubject, Tenant
from gateway_runtime.providers.fake import FakeScript
from gateway_runtime.server.fake_provider import FakeProvider
from tests.server.quotas import (
    AT_ONCE,
    PARENT,
    RPM,
    SIBLINGS_KEY,
    TPM,
    Door,
    MovedClock,
    family,
    gated,
    opened,
    quota,
)
from tests.server.rig import KEY, route, settings
from tests.stores.redisserver import RedisServer

BUDGET = Limit(name="budget", amount=5 * 10**12, window_s=0.0, resource="USD", calendar="month")


async def ask(door: Door, key: str | None = KEY, **options: Any) -> list[dict[str, Any]]:
    answer = await door.rig.ask(method="GET", path="/v1/limits", key=key, **options)
    assert answer.status == 200
    told: list[dict[str, Any]] = answer.json["data"]
    return told


async def test_a_limit_is_told_with_its_rule_and_how_one_stands(fake: FakeProvider) -> None:
    async with opened(fake, quota(RPM), stream=False) as door:
        await door.ask()
        (told,) = await ask(door)

    assert 59 < told.pop("resets_in_s") <= 60
    assert told == {
        "name": "rpm",
        "tenant": "chat/team",
        "resource": "Requests",
        "mode": "Enforce",
        "scope": "Tenant",
        "of": None,
        "window_s": 60.0,
        "calendar": None,
        "zone": None,
        "amount": 2,
        "used": 1,
        "held": 0,
        "remaining": 1,
        "shared": False,
    }


async def test_of_a_calendar_the_zone_is_told_and_when_the_period_ends(fake: FakeProvider) -> None:
    clock = MovedClock("2026-03-31T23:00+02:00")
    monthly = replace(BUDGET, zone="Europe/Berlin")
    async with opened(fake, quota(monthly), stream=False, clock=clock) as door:
        (before,) = await ask(door)
        await door.ask()
        await door.end_all()
        (told,) = await ask(door)

    assert (before["used"], before["resets_in_s"]) == ("0", 0)
    assert (told["window_s"], told["calendar"], told["zone"]) == (None, "month", "Europe/Berlin")
    assert 3590 < told["resets_in_s"] <= 3600
    assert told["amount"] == "5"
    assert told["used"].startswith("0.00")


async def test_when_a_running_request_ends_is_not_known_so_no_time_is_told() -> None:
    async with gated() as upstream, opened(upstream, quota(AT_ONCE), stream=False) as door:
        running = door.begin()
        await upstream.wait_for(1)
        (told,) = await ask(door)
        upstream.release()
        await running

    assert (told["window_s"], told["held"], told["remaining"], told["resets_in_s"]) == (None, 1, 0, None)


async def test_an_override_is_the_amount_until_it_ends(fake: FakeProvider) -> None:
    clock = MovedClock()
    lent = replace(RPM, overrides=(Override(amount=9, until_unix_s=clock.unix() + 30),))
    async with opened(fake, quota(lent), stream=False, clock=clock) as door:
        (during,) = await ask(door)
        clock.pass_time(30)
        (after,) = await ask(door)

    assert (during["amount"], during["remaining"], after["amount"]) == (9, 9, 2)


async def test_the_amount_is_the_whole_one_and_what_remains_is_this_gateways(fake: FakeProvider) -> None:
    each = replace(RPM, name="each", amount=9, scope="PerUser")
    async with opened(fake, quota(replace(RPM, amount=9), each), stream=False) as door:
        door.rig.gateway._reloader.apply_share(Share(index=0, gateways=4))
        await door.ask()
        answer = await door.rig.ask(method="GET", path="/v1/limits")
    told, scoped = answer.json["data"]

    assert (told["amount"], told["used"], told["remaining"], told["shared"]) == (9, 1, 2, False)
    assert (scoped["amount"], scoped["used"], scoped["remaining"]) == (9, 1, 2)
    assert answer.json["shared_by_gateways"] == 4


async def test_a_parents_limits_are_told_as_the_parents_to_all_of_its_children(fake: FakeProvider) -> None:
    async with opened(fake, *family([RPM], [replace(RPM, amount=9), TPM]), stream=False) as door:
        await door.ask(max_tokens=50)
        own = await ask(door)
        siblings = await ask(door, SIBLINGS_KEY)

    assert [(one["tenant"], one["name"], one["amount"], one["used"]) for one in own[:2]] == [
        ("chat/team", "rpm", 2, 1),
        (PARENT, "rpm", 9, 1),
    ]
    assert [(one["tenant"], one["name"], one["used"]) for one in siblings] == [
        (PARENT, "rpm", 1),
        (PARENT, "tpm", own[2]["used"]),
    ]


async def test_of_a_limit_for_each_key_the_callers_own_is_told(fake: FakeProvider) -> None:
    async with opened(fake, quota(replace(RPM, scope="PerKey")), stream=False) as door:
        (before,) = await ask(door)
        await door.ask()
        (after,) = await ask(door)

    assert (before["of"], before["used"], before["remaining"]) == (after["of"], 0, 2)
    assert (len(after["of"]), after["used"], after["remaining"]) == (12, 1, 1)


async def test_of_a_limit_for_each_user_the_one_is_told_whom_somebody_trusted_names(
    fake: FakeProvider,
) -> None:
    mesh = ProxySubject(
        name="mesh", addresses=("127.0.0.0/8",), header="x-team", value="blue", user_header="x-user"
    )
    async with opened(fake, quota(replace(RPM, scope="PerUser"), proxies=(mesh,)), stream=False) as door:
        for user in ("ada", "bob", "bob"):
            await door.ask(user=user)
        (adas,) = await ask(door, None, headers={"x-team": "blue", "x-user": "ada"})
        (anybodys,) = await ask(door)

    assert (adas["of"], adas["used"]) == ("ada", 1)
    assert (anybodys["of"], anybodys["used"]) == (None, 2)


async def test_of_a_limit_for_each_model_the_one_with_least_room_is_told_by_name(fake: FakeProvider) -> None:
    limited, routes = quota(replace(RPM, scope="PerModel")), [route("gpt", "o3", max_attempts=1)]
    async with opened(fake, limited, stream=False, routes=routes) as door:
        (before,) = await ask(door)
        for model in ("gpt", "o3", "o3"):
            await door.ask(model=model)
        (told,) = await ask(door)

    assert (before["of"], before["used"], before["remaining"], before["resets_in_s"]) == (None, 0, 2, 0)
    assert (told["of"], told["used"]) == ("o3", 2)


async def test_a_tenant_without_limits_is_told_of_none(fake: FakeProvider) -> None:
    async with opened(fake, quota(), stream=False) as door:
        told = await ask(door)

    assert told == []


async def test_where_gateways_share_a_store_its_word_of_all_of_them_is_told(
    fake: FakeProvider, own_redis: RedisServer
) -> None:
    with own_redis.client() as client:
        client.set("headgate:{gateways}:memory", "old 0")  # of a store that has been there for long
    chosen = dataclasses.replace(settings(), limit_store=own_redis.url)
    limited = quota(replace(RPM, amount=9), replace(RPM, name="each", amount=5, scope="PerKey"))
    async with opened(fake, limited, stream=False, chosen=chosen) as door:
        _, before = await ask(door)
        answer = await door.ask()
        await door.end_all()
        async with asyncio.timeout(5):
            while not (told := await ask(door))[0]["used"]:
                pass  # each look has the store asked with the next beat

    assert answer.headers["x-ratelimit-limit-requests"] == "5"
    assert (before["amount"], before["remaining"], before["shared"]) == (5, 5, False)
    assert [(one["amount"], one["used"], one["remaining"], one["shared"]) for one in told] == [
        (9, 1, 8, True),
        (5, 1, 4, True),
    ]


def describe(door: Door, tenant: Tenant) -> list[tuple[str, int, int, int, bool]]:
    """As the operator is told it."""
    report = door.rig.gateway.describe_tenant(tenant)
    return [(one.name, one.amount, one.used, one.held, one.resets_unix_s is None) for one in report.limits]


@pytest.mark.parametrize(
    "resource", ["Requests", "InputTokens", "OutputTokens", "TotalTokens", "Concurrency"]
)
async def test_the_operator_is_told_the_same(resource: LimitResource) -> None:
    limit = Limit(name="most", amount=5000, window_s=60.0, resource=resource)
    if resource == "Concurrency":
        limit = replace(limit, window_s=0.0)
    lent = replace(limit, overrides=(Override(amount=6000, until_unix_s=9e9),))
    async with gated() as upstream:
        upstream.script = FakeScript(answer="one two three")
        async with opened(upstream, tenant := quota(lent), stream=False) as door:
            told = []
            for waits in (1, 0):
                running = door.begin(max_tokens=50)
                await upstream.wait_for(1)
                if waits:
                    told.append((await ask(door), describe(door, tenant)))
                upstream.release()
                await running
            await door.end_all()
            told.append((await ask(door), describe(door, tenant)))

    for (own,), (operators,) in told:
        at_rest = own["resets_in_s"] is None or own["resets_in_s"] == 0
        assert (own["name"], own["amount"], own["used"], own["held"], at_rest) == operators


async def test_it_is_told_to_nobody_without_a_key(fake: FakeProvider) -> None:
    async with opened(fake, quota(RPM), stream=False) as door:
        answer = await door.rig.ask(method="GET", path="/v1/limits", key=None)

    assert answer.status == 401
