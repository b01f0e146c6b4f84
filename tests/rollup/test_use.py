"""What a quota's status shows of its use: values, columns, keys; and when it does not change."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from gateway_runtime.contract.tenant import Override
from gateway_runtime.contract.usd import PICOS
from headgate_operator.rollup import GatewayView, same_status
from tests.rollup.situation import (
    EARLIER,
    NOW,
    NOW_S,
    NOW_UNIX_S,
    condition,
    gateway,
    limit,
    limit_report,
    quota_verdict,
    roll,
    told,
)

RPM = limit("rpm")
DOLLARS = limit("dollars", 50, "USD")
QUOTA = quota_verdict(2, 2, RPM)


def at(seconds: float) -> str:
    """So many seconds after NOW."""
    moment = datetime.fromisoformat(NOW) + timedelta(seconds=seconds)
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def using(used: int, amount: int = 100, resets_unix_s: float | None = None) -> GatewayView:
    """The only gateway, which has used so much of `rpm`."""
    return gateway("gw-0", tenant=told(limit_report("rpm", used, 0, amount, resets_unix_s)))


def spending(dollars: float, amount: float = 50, resets_unix_s: float | None = None) -> GatewayView:
    used, whole = round(dollars * PICOS), round(amount * PICOS)
    return gateway("gw-0", tenant=told(limit_report("dollars", used, 0, whole, resets_unix_s)))


def show_key_uses(status: dict[str, Any]) -> list[tuple[str, str]]:
    return [(key["id"], key["lastUsed"]) for key in status["keys"]]


def test_a_quota_shows_each_limit_with_all_gateways_added_up() -> None:
    status = roll(
        quota_verdict(2, 2, RPM, DOLLARS, limit("trial", shadow=True, scope="PerUser")),
        gateway(
            "gw-0",
            tenant=told(
                limit_report("rpm", 30, 2, resets_unix_s=NOW_UNIX_S + 20.2),
                limit_report("dollars", 12_400_000_000_001, 0, 50 * PICOS),
                limit_report("trial", 150),
            ),
        ),
        gateway(
            "gw-1",
            tenant=told(
                limit_report("rpm", 10, 1, resets_unix_s=NOW_UNIX_S + 10),
                limit_report("dollars", 0, PICOS // 2, 50 * PICOS),
                limit_report("trial", 0),
            ),
        ),
    )

    assert status["limits"] == [
        {
            "name": "rpm",
            "resource": "Requests",
            "scope": "Tenant",
            "mode": "Enforce",
            "amount": 100,
            "used": 40,
            "held": 3,
            "remaining": 57,
            "utilization": 43,
            "resetsAt": "2026-03-01T12:00:21Z",
        },
        {
            "name": "dollars",
            "resource": "USD",
            "scope": "Tenant",
            "mode": "Enforce",
            "amount": "50",
            "used": "12.400000000001",
            "held": "0.5",
            "remaining": "37.099999999999",
            "utilization": 25,
        },
        {
            "name": "trial",
            "resource": "Requests",
            "scope": "PerUser",
            "mode": "Shadow",
            "amount": 100,
            "used": 150,
            "held": 0,
            "remaining": 0,
            "utilization": 150,
        },
    ]
    assert (status["spend"], status["tightest"]) == ("12.40/50.00", "rpm 43%")
    assert status["observedAt"] == NOW


def test_of_what_a_store_told_the_report_that_changed_last_counts_and_is_not_added_to() -> None:
    before = told(limit_report("rpm", 20, 5, shared=True), changed_s=NOW_S - 9)
    after = told(limit_report("rpm", 30, 1, shared=True), changed_s=NOW_S - 2)
    alone = told(limit_report("rpm", 7), changed_s=NOW_S)
    status = roll(
        QUOTA,
        gateway("gw-0", tenant=after),
        gateway("gw-1", tenant=before, age_s=0.0),
        gateway("gw-2", tenant=alone),
    )

    assert (status["limits"][0]["used"], status["limits"][0]["held"]) == (30, 1)


def test_a_limit_of_which_no_gateway_has_told_has_an_amount_alone() -> None:
    overridden = replace(RPM, overrides=(Override(amount=500, until_unix_s=NOW_UNIX_S + 1),))
    over = replace(RPM, name="was", overrides=(Override(amount=500, until_unix_s=NOW_UNIX_S),))
    status = roll(quota_verdict(2, 2, overridden, over, DOLLARS))

    assert [(one["name"], one["amount"]) for one in status["limits"]] == [
        ("rpm", 500),
        ("was", 100),
        ("dollars", "50"),
    ]
    assert not [one for one in status["limits"] if one.keys() & {"used", "held", "remaining", "utilization"}]
    assert (status["spend"], status["tightest"]) == ("Unknown", "Unknown")


def test_while_an_edit_is_on_its_way_the_newest_word_on_the_amount_counts() -> None:
    status = roll(
        QUOTA,
        gateway("gw-0", tenant=told(limit_report("rpm", 1, amount=200), changed_s=NOW_S)),
        gateway("gw-1", tenant=told(limit_report("rpm", 1, amount=100), changed_s=NOW_S - 1)),
    )

    assert status["limits"][0]["amount"] == 200


def test_what_gateways_say_of_a_limit_that_is_gone_is_not_shown() -> None:
    status = roll(QUOTA, gateway("gw-0", tenant=told(limit_report("old", 99), limit_report("rpm", 1))))

    assert [one["name"] for one in status["limits"]] == ["rpm"]


def test_a_quota_without_limits_has_dashes() -> None:
    status = roll(quota_verdict(), gateway("gw-0"))

    assert (status["spend"], status["tightest"]) == ("-", "-")
    assert not status.keys() & {"limits", "keys"}


@pytest.mark.parametrize(
    ("used", "amount", "shown"),
    [
        (0, 50, "0.00/50.00"),
        (12.409, 50, "12.40/50.00"),
        (49.999999, 50, "49.99/50.00"),
        (0.0041, 0.005, "0.004/0.005"),
        (0.1, 0.5, "0.10/0.50"),
        (120, 99.95, "120.00/99.95"),
    ],
)
def test_spend_has_as_many_digits_as_the_amount_and_is_never_rounded_up(
    used: float, amount: float, shown: str
) -> None:
    assert roll(quota_verdict(2, 2, DOLLARS), spending(used, amount))["spend"] == shown


def test_the_first_of_equally_tight_limits_is_told_and_shadows_are_passed_over() -> None:
    verdict = quota_verdict(2, 2, limit("trial", shadow=True), limit("a"), limit("b"))
    view = gateway(
        "gw-0", tenant=told(limit_report("trial", 100), limit_report("a", 83), limit_report("b", 83))
    )

    assert roll(verdict, view)["tightest"] == "a 83%"


def test_keys_are_shown_newest_first_in_whole_minutes_and_no_more_than_32() -> None:
    many = {f"{i:012d}": NOW_UNIX_S - 60 * i for i in range(40)}
    status = roll(
        quota_verdict(),
        gateway("gw-0", tenant=told(keys={"aaaaaaaaaaaa": NOW_UNIX_S + 59.9, **many})),
        gateway("gw-1", age_s=500.0, tenant=told(keys={"aaaaaaaaaaaa": NOW_UNIX_S - 9, "ci": NOW_UNIX_S})),
    )

    assert len(status["keys"]) == 32
    assert show_key_uses(status)[:4] == [
        ("000000000000", NOW),
        ("aaaaaaaaaaaa", NOW),
        ("ci", NOW),
        ("000000000001", at(-60)),
    ]


def test_what_was_known_of_keys_stays_when_the_gateways_begin_anew() -> None:
    before = roll(quota_verdict(), gateway("gw-0", tenant=told(keys={"old": NOW_UNIX_S, "new": 60.0})))
    after = roll(
        quota_verdict(), gateway("gw-0", tenant=told(keys={"new": NOW_UNIX_S + 60})), previous=before
    )

    assert show_key_uses(after) == [("new", at(60)), ("old", NOW)]


def test_exhausted_stays_said_for_a_minute_and_while_less_than_a_twentieth_is_free() -> None:
    exhausted = roll(QUOTA, using(100), now=NOW)
    soon = roll(QUOTA, using(50), previous=exhausted, now=at(59))
    scarce = roll(QUOTA, using(95), previous=soon, now=at(600))
    free = roll(QUOTA, using(94), previous=scarce, now=at(601))

    assert condition(soon, "WithinLimits") == (
        "False",
        "Exhausted",
        "used up a moment ago; the tightest now: rpm 50%",
    )
    assert condition(scarce, "WithinLimits")[:2] == ("False", "Exhausted")
    assert condition(free, "WithinLimits") == ("True", "NearLimit", "80% or more is taken: rpm 94%")


def test_an_edit_takes_exhausted_back_at_once() -> None:
    exhausted = roll(QUOTA, using(100))
    raised = roll(quota_verdict(2, 2, RPM, generation=4), using(100, 102), previous=exhausted, now=at(1))

    assert condition(raised, "WithinLimits")[:2] == ("True", "NearLimit")


@pytest.mark.parametrize("time", ["yesterday", "2026-03-01T11:59:59", None])
def test_a_transition_time_that_somebody_else_wrote_keeps_nothing_exhausted(time: str | None) -> None:
    exhausted = roll(QUOTA, using(100))
    for one in exhausted["conditions"]:
        one["lastTransitionTime"] = time

    assert condition(roll(QUOTA, using(99), previous=exhausted), "WithinLimits")[0] == "True"


def test_a_time_of_reset_that_drifts_is_shown_as_before() -> None:
    before = roll(QUOTA, using(5, resets_unix_s=NOW_UNIX_S + 30))
    drifted = roll(QUOTA, using(5, resets_unix_s=NOW_UNIX_S + 31.5), previous=before, now=at(5))
    moved = roll(QUOTA, using(5, resets_unix_s=NOW_UNIX_S + 33), previous=before, now=at(5))

    assert same_status(before, drifted)
    assert moved["limits"][0]["resetsAt"] == at(33)


@pytest.mark.parametrize("shown", ["soon", "2026-03-01T12:00:30"])
def test_a_time_of_reset_that_somebody_else_wrote_is_replaced(shown: str) -> None:
    before = roll(QUOTA, using(5, resets_unix_s=NOW_UNIX_S + 30))
    before["limits"][0]["resetsAt"] = shown

    after = roll(QUOTA, using(5, resets_unix_s=NOW_UNIX_S + 30), previous=before)

    assert after["limits"][0]["resetsAt"] == at(30)


def test_at_rest_nothing_changes_but_the_time_of_observation() -> None:
    views = [gateway(f"gw-{i}", tenant=told(limit_report("rpm", i), keys={"ci": 90.0})) for i in range(3)]
    before = roll(QUOTA, *views, now=EARLIER)
    after = roll(QUOTA, *views, previous=before, now=NOW)

    assert same_status(before, after)
    assert (before["observedAt"], after["observedAt"]) == (EARLIER, NOW)


def test_a_new_leader_keeps_what_was_said_of_a_quotas_use() -> None:
    verdict = quota_verdict(2, 2, RPM, DOLLARS)
    view = gateway(
        "gw-0",
        tenant=told(
            limit_report("rpm", 90, resets_unix_s=NOW_UNIX_S),
            limit_report("dollars", PICOS, 0, 50 * PICOS),
            keys={"ci": NOW_UNIX_S},
        ),
    )
    before = roll(verdict, view, now=EARLIER)

    assert roll(verdict, previous=before, settled=False) == before


def test_a_new_leader_completes_a_kept_status_that_lacks_values() -> None:
    before = roll(QUOTA, using(5))
    for field in ("spend", "tightest", "limits", "observedAt"):
        del before[field]
    after = roll(QUOTA, previous=before, settled=False)

    assert after["limits"] == [{"name": "rpm", "resource": "Requests", "scope": "Tenant", "mode": "Enforce"}]
    assert (after["spend"], after["tightest"]) == ("Unknown", "Unknown")
    assert "observedAt" not in after


def test_a_new_leader_knows_nothing_of_the_use_of_a_new_generation() -> None:
    before = roll(QUOTA, using(100))
    after = roll(quota_verdict(2, 2, RPM, generation=4), using(100), previous=before, settled=False)

    assert condition(after, "WithinLimits")[:2] == ("Unknown", "NoReports")


_numbers = st.integers(0, 10**15)
_reports = st.lists(
    st.tuples(_numbers, _numbers, st.booleans(), st.floats(0.0, NOW_S), st.none() | st.integers(0, 10**9)),
    max_size=5,
    unique_by=lambda report: report[3],
)


def _view(name: str, report: Sequence[Any]) -> GatewayView:
    used, held, shared, changed_s, resets = report
    said = limit_report("rpm", used, held, 10**9, resets, shared=shared)
    return gateway(name, tenant=told(said, changed_s=changed_s))


@given(_reports, st.randoms(use_true_random=False))
def test_the_order_of_gateways_does_not_matter(reports: list[Any], chance: Any) -> None:
    views = [_view(f"gw-{i}", report) for i, report in enumerate(reports)]
    shuffled = list(views)
    chance.shuffle(shuffled)

    assert roll(QUOTA, *views) == roll(QUOTA, *shuffled)


@given(_reports)
def test_a_status_worked_out_again_from_the_same_reports_says_the_same(reports: list[Any]) -> None:
    views = [_view(f"gw-{i}", report) for i, report in enumerate(reports)]
    before = roll(QUOTA, *views)

    assert same_status(before, roll(QUOTA, *views, previous=before, now=at(3600)))


@given(_reports)
def test_used_held_and_remaining_are_the_amount_unless_it_is_overdrawn(reports: list[Any]) -> None:
    (shown,) = roll(QUOTA, *(_view(f"gw-{i}", report) for i, report in enumerate(reports)))["limits"]
    taken = shown.get("used", 0) + shown.get("held", 0)

    assert shown.get("remaining", shown["amount"]) == max(0, shown["amount"] - taken)
    assert (shown.get("utilization", 0) >= 100) == (shown.get("remaining") == 0)
