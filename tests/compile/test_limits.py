"""What a quota limits: from a manifest's amounts and windows to the table's."""

from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway_runtime.contract.codec import build_snapshot, parse_bucket
from gateway_runtime.contract.tenant import Limit, Override, Tenant
from headgate_operator.compile import compile_resources
from tests.compile.builders import broken, quota, resources

OTHER = {"name": "other", "amount": 1, "window": "1m"}


def compiled(**spec: Any) -> Tenant:
    (tenant,) = compile_resources(resources(quota("team-a/q", anonymous=True, spec=spec))).table.tenants
    return tenant


def limit_of(**limit: Any) -> Limit:
    (made,) = compiled(limits=[{"name": "l"} | limit]).limits
    return made


@pytest.mark.parametrize("resource", ["Requests", "InputTokens", "OutputTokens", "TotalTokens"])
def test_what_is_counted_in_whole_numbers_keeps_its_amount(resource: str) -> None:
    made = limit_of(resource=resource, amount=10**15, window="1h")

    assert (made.resource, made.amount, made.window_s) == (resource, 10**15, 3600.0)


def test_a_limit_that_names_no_resource_is_of_requests_and_enforced() -> None:
    assert limit_of(amount=5, window="1m") == Limit(
        name="l", amount=5, window_s=60.0, resource="Requests", shadow=False
    )


@pytest.mark.parametrize(
    ("text", "picos"),
    [
        ("2.50", 2_500_000_000_000),
        ("1", 1_000_000_000_000),
        ("0.000001", 1_000_000),
        ("0.1", 100_000_000_000),
        ("999999.999999", 999_999_999_999_000_000),
    ],
)
def test_dollars_are_counted_in_picodollars(text: str, picos: int) -> None:
    assert limit_of(resource="USD", amount=text, window="1m").amount == picos


def test_a_limit_of_concurrency_has_no_window() -> None:
    assert limit_of(resource="Concurrency", amount=8) == Limit(
        name="l", amount=8, window_s=0.0, resource="Concurrency"
    )


@pytest.mark.parametrize(("window", "seconds"), [("1m", 60.0), ("1h", 3600.0), ("1d", 86400.0)])
def test_a_rolling_window_has_a_length_and_no_calendar(window: str, seconds: float) -> None:
    made = limit_of(amount=5, window=window)

    assert (made.window_s, made.calendar, made.zone) == (seconds, None, "UTC")


@pytest.mark.parametrize("window", ["day", "week", "month"])
def test_a_period_of_the_calendar_has_no_length_and_begins_at_its_own_midnight(window: str) -> None:
    made = limit_of(amount=5, window=window, timeZone="Asia/Kathmandu")

    assert (made.window_s, made.calendar, made.zone) == (0.0, window, "Asia/Kathmandu")
    assert limit_of(amount=5, window=window).zone == "UTC"


@pytest.mark.parametrize("scope", ["Tenant", "PerUser", "PerKey", "PerModel"])
def test_a_limit_says_for_whom_it_is(scope: str) -> None:
    assert limit_of(amount=5, window="1m", scope=scope).scope == scope


def override(limit: str, amount: object, until: str) -> dict[str, object]:
    return {"limit": limit, "amount": amount, "until": until, "reason": "a test"}


def test_overrides_stand_with_their_limit_by_their_end() -> None:
    tenant = compiled(
        limits=[OTHER, {"name": "money", "resource": "USD", "amount": "1", "window": "month"}],
        requestsPerMinute=10,
        overrides=[
            override("money", "2.5", "2026-12-31T00:00:00Z"),
            override("money", "3", "2026-12-31T00:30:00+01:00"),
            override("requests-per-minute", 99, "2026-12-31T00:00:00Z"),
        ],
    )

    assert [limit.overrides for limit in tenant.limits] == [
        (Override(amount=99, until_unix_s=1798675200.0),),
        (),
        (
            Override(amount=3_000_000_000_000, until_unix_s=1798673400.0),
            Override(amount=2_500_000_000_000, until_unix_s=1798675200.0),
        ),
    ]


def test_an_override_that_has_ended_is_no_mistake_and_left_to_the_gateways() -> None:
    tenant = compiled(limits=[OTHER], overrides=[override("other", 99, "2001-01-01T00:00:00Z")])

    assert tenant.limits[0].overrides == (Override(amount=99, until_unix_s=978307200.0),)


def test_a_shadow_is_told_from_a_limit_in_force() -> None:
    assert limit_of(amount=5, window="1m", mode="Shadow").shadow
    assert not limit_of(amount=5, window="1m", mode="Enforce").shadow


def test_limits_stand_in_the_order_of_the_manifest_after_those_of_one_line() -> None:
    tenant = compiled(
        limits=[{"name": "z", "amount": 1, "window": "1h"}, {"name": "a", "amount": 2, "window": "1m"}],
        tokensPerMinute=30,
        requestsPerHour=20,
        requestsPerMinute=10,
    )

    assert tenant.limits == (
        Limit(name="requests-per-minute", amount=10, window_s=60.0),
        Limit(name="requests-per-hour", amount=20, window_s=3600.0),
        Limit(name="tokens-per-minute", amount=30, window_s=60.0, resource="TotalTokens"),
        Limit(name="z", amount=1, window_s=3600.0),
        Limit(name="a", amount=2, window_s=60.0),
    )


def test_a_line_and_a_limit_that_says_the_same_are_one_and_the_same() -> None:
    short = compiled(limits=[], tokensPerMinute=30)
    long = compiled(
        limits=[{"name": "tokens-per-minute", "resource": "TotalTokens", "amount": 30, "window": "1m"}]
    )

    assert short == long


@pytest.mark.parametrize(
    ("field", "name"),
    [
        ("requestsPerMinute", "requests-per-minute"),
        ("requestsPerHour", "requests-per-hour"),
        ("tokensPerMinute", "tokens-per-minute"),
    ],
)
def test_two_limits_of_one_name_leave_the_last_good_ones_in_force(field: str, name: str) -> None:
    good = quota("team-a/q", anonymous=True, spec={"limits": [OTHER]})
    bad = quota("team-a/q", anonymous=True, spec={"limits": [OTHER | {"name": name}], field: 5}, generation=2)
    before = compile_resources(resources(good))
    after = compile_resources(resources(bad), before)
    (finding,) = after.verdicts["TenantQuota/team-a/q"].findings

    assert after.table == before.table
    assert (finding.code.id, finding.message) == (
        "HG0101",
        f"spec: {field} is the limit {name}, and limits has another of that name: rename that one, or remove "
        "one of the two",
    )


@pytest.mark.parametrize(
    ("said", "allowed"), [({}, False), ({"onUnpriced": "Deny"}, False), ({"onUnpriced": "Allow"}, True)]
)
def test_models_without_a_price_are_refused_unless_the_quota_says_otherwise(
    said: dict[str, str], allowed: bool
) -> None:
    assert compiled(**said).allow_unpriced is allowed


def test_a_limit_that_changes_its_resource_makes_a_new_entry_and_an_equal_one_keeps_it() -> None:
    def of(resource: str, **meta: Any) -> Any:
        limits = [{"name": "l", "resource": resource, "amount": 5, "window": "1m"}]
        return resources(quota("team-a/q", anonymous=True, spec={"limits": limits}, **meta))

    first = compile_resources(of("Requests"))
    same = compile_resources(of("Requests"), first)
    other = compile_resources(of("TotalTokens"), same)

    assert same.table.tenants[0] is first.table.tenants[0]
    assert other.table.tenants[0].limits[0].resource == "TotalTokens"


def test_limits_of_a_quota_that_broke_after_a_restart_come_from_the_table() -> None:
    good = quota(
        "team-a/q",
        anonymous=True,
        spec={
            "limits": [{"name": "l", "resource": "USD", "amount": "5", "window": "1h", "mode": "Shadow"}],
            "onUnpriced": "Allow",
        },
    )
    before = compile_resources(resources(good))

    assert compile_resources(resources(broken(good)), last_good=before.table).table == before.table


@given(
    st.from_regex(r"[0-9]{1,6}(\.[0-9]{1,6})?", fullmatch=True, alphabet="0123456789.").filter(
        lambda text: text.strip("0.")
    )
)
def test_any_amount_of_dollars_reaches_a_gateway_as_it_was(text: str) -> None:
    spec = {"limits": [{"name": "l", "resource": "USD", "amount": text, "window": "1h"}]}
    table = compile_resources(resources(quota("team-a/q", anonymous=True, spec=spec))).table
    sent = [resource for bucket in build_snapshot(table).buckets for resource in parse_bucket(bucket.payload)]
    (tenant,) = (resource for resource in sent if isinstance(resource, Tenant))

    assert Fraction(tenant.limits[0].amount, 10**12) == Fraction(text)
