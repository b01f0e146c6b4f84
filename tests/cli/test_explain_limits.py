"""What `headgate explain` says of a tenant's limits, over tables, and that the gateway does the same."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime

import msgspec
import pytest

from gateway_runtime.contract.ids import TenantId
from gateway_runtime.contract.keys import hash_key
from gateway_runtime.contract.table import Model, Price, RoutingTable
from gateway_runtime.contract.tenant import Limit, Override, Tenant
from gateway_runtime.engine.lookup import build_live_table
from gateway_runtime.server.fake_provider import FakeProvider
from headgate.explain import Asked, Explanation, explain_table
from headgate.explain_text import build_text
from tests.contract.tables import build_table, build_tenant
from tests.server import rig

NOW_S = datetime(2026, 11, 21, 12, 0, tzinfo=UTC).timestamp()
DOLLAR = 10**12


def money(name: str, dollars: int, **fields: object) -> Limit:
    limit = Limit(name=name, amount=dollars * DOLLAR, window_s=3600.0, resource="USD")
    return msgspec.structs.replace(limit, **fields)


def tenant(*limits: Limit, name: str = "team", **fields: object) -> Tenant:
    return msgspec.structs.replace(build_tenant(name=name, limits=limits), **fields)


def table_of(*tenants: Tenant, url: str = "http://127.0.0.1:9/v1") -> RoutingTable:
    price = Price(input_usd_picos=1_000_000, output_usd_picos=1_000_000_000)
    models = [Model(name="gpt", upstream_name="gpt", price=price)]
    served = msgspec.structs.replace(rig.provider(url), models=tuple(models))
    return build_table(providers=[served], routes=[rig.route()], tenants=tenants)


def explain_tenants(*tenants: Tenant, body: object = None) -> Explanation:
    asked = Asked(
        tenant="chat/team",
        path="/v1/chat/completions",
        data=msgspec.json.encode(rig.CHAT if body is None else body),
        now_unix_s=NOW_S,
    )
    return explain_table(build_live_table(table_of(*tenants)), asked)


def limit_lines(explanation: Explanation) -> list[str]:
    return [line for line in build_text(explanation).splitlines() if line.startswith("  limit ")]


def test_the_limits_of_a_parent_are_told_beside_the_tenants_own() -> None:
    parent = tenant(money("budget", 90), name="department")
    child = tenant(money("budget", 50), parent=TenantId("chat/department"))

    assert limit_lines(explain_tenants(child, parent)) == [
        "  limit budget: 50 US dollars in any 3600 s; needs 4.09604, room for 12 such requests, the tightest",
        "  limit budget of chat/department: 90 US dollars in any 3600 s; needs 4.09604, "
        "room for 21 such requests",
    ]


def test_a_parents_limit_alone_has_the_request_bounded() -> None:
    parent = tenant(money("budget", 3), name="department")
    child = tenant(Limit(name="rate", amount=10, window_s=60.0), parent=TenantId("chat/department"))
    told = explain_tenants(child, parent)

    assert (told.served, told.need is not None and told.need.reserved) == (False, True)
    assert told.reason == (
        'HG1031 Limit "budget" of chat/department has 3 US dollars at this gateway, and this request may '
        "need 4.09604 US dollars. Send less, or allow a shorter answer with `max_tokens`."
    )


def test_an_override_holds_until_its_end() -> None:
    overrides = (
        Override(amount=1, until_unix_s=NOW_S - 1),
        Override(amount=20 * DOLLAR, until_unix_s=NOW_S + 60),
        Override(amount=1, until_unix_s=NOW_S + 61),
    )

    assert limit_lines(explain_tenants(tenant(money("budget", 5, overrides=overrides)))) == [
        "  limit budget: 20 US dollars in any 3600 s, by an override until 2026-11-21T12:01:00Z, then 5; "
        "needs 4.09604, room for 4 such requests, the tightest"
    ]


def test_a_calendar_is_told_with_its_zone_and_the_end_of_the_present_period() -> None:
    limit = money("budget", 5, window_s=0.0, calendar="month", zone="Europe/Berlin", scope="PerUser")

    assert limit_lines(explain_tenants(tenant(limit))) == [
        "  limit budget: 5 US dollars each month of Europe/Berlin, this one until 2026-12-01T00:00:00+01:00 "
        "for each user; needs 4.09604, room for 1 such requests, the tightest"
    ]


def test_who_may_overshoot_by_a_request_needs_no_more_than_what_is_left() -> None:
    told = explain_tenants(tenant(money("budget", 1), one_over=True), body={**rig.CHAT, "max_tokens": 4096})

    assert told.served
    assert limit_lines(told) == [
        "  limit budget: 1 US dollars in any 3600 s; needs 4.096044, or whatever is left"
    ]


def test_nothing_is_said_of_the_output_where_a_request_may_overshoot() -> None:
    told = explain_tenants(tenant(money("budget", 1), one_over=True))

    lines = build_text(told).splitlines()
    assert "  limit budget: 1 US dollars in any 3600 s; needs 1048.57604, or whatever is left" in lines
    assert "reserves 40 input tokens, 1048576 output tokens, 1048.57604 US dollars" in lines


def test_a_limit_in_shadow_is_never_the_tightest() -> None:
    limits = (
        Limit(name="few", amount=1, window_s=60.0, shadow=True),
        Limit(name="many", amount=9, window_s=60.0),
    )

    assert limit_lines(explain_tenants(tenant(*limits))) == [
        "  limit few: 1 requests in any 60 s; needs 1, room for 1 such requests, refuses nobody",
        "  limit many: 9 requests in any 60 s; needs 1, room for 9 such requests, the tightest",
    ]


# The same table, served.


@pytest.fixture
async def fake() -> AsyncIterator[FakeProvider]:
    provider = FakeProvider()
    await provider.start()
    yield provider
    await provider.stop()


@pytest.mark.parametrize(
    ("body", "dollars"),
    [
        pytest.param(rig.CHAT, 5, id="a-limit-of-the-output-is-put-in"),
        pytest.param({**rig.CHAT, "max_tokens": 77}, 5, id="the-caller-says-one"),
        pytest.param(rig.CHAT, 4, id="over-the-limit"),
    ],
)
async def test_the_gateway_does_what_was_told(
    fake: FakeProvider, body: dict[str, object], dollars: int
) -> None:
    told = explain_tenants(tenant(money("budget", dollars)), body=body)
    caller = tenant(money("budget", dollars), keys=(hash_key(rig.KEY, rig.SALT),))
    async with rig.serving(table_of(caller, url=fake.url)) as gateway:
        answer = await gateway.ask(data=msgspec.json.encode(body))

    assert told.need is not None
    assert (answer.status == 200) == told.served
    if told.served:
        said = told.need.output_limit.get("max_completion_tokens")
        assert answer.headers.get("x-headgate-max-tokens") == (None if said is None else str(said))
    else:
        assert f"HG1031 {answer.error['message']}" == told.reason
