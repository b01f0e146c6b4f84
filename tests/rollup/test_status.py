"""The values beside the conditions, what is kept of an earlier status, and when there is nothing to write."""

from typing import Any

import pytest

from headgate_operator.rollup import same_status
from headgate_operator.rollup.latency import STEPS_MS, quantise_latency
from tests.rollup.situation import (
    EARLIER,
    NOW,
    OLD,
    condition,
    gateway,
    provider_verdict,
    quota_verdict,
    report,
    roll,
    route_verdict,
)

GOOD = gateway("gw-0", report("a", latency_ms=90.0))
BAD = gateway("gw-0", report("a", "Unhealthy", "Open", "5 failures in a row"))
SLOW = gateway("gw-1", report("a", latency_ms=200.0))


def transitions(status: dict[str, Any]) -> dict[str, str]:
    return {c["type"]: c["lastTransitionTime"] for c in status["conditions"]}


def test_a_provider_shows_each_endpoint() -> None:
    status = roll(provider_verdict("a", "b"), GOOD, SLOW)

    assert status["gateways"] == "2/2"
    assert status["health"] == "Degraded"
    assert status["circuit"] == "Closed"
    assert status["endpoints"] == [
        {
            "name": "a",
            "url": "http://a/v1",
            "health": "Healthy",
            "circuit": "Closed",
            "observedAt": NOW,
            "latencyMilliseconds": 200,
        },
        {
            "name": "b",
            "url": "http://b/v1",
            "health": "Unknown",
            "circuit": "Unknown",
            "observedAt": NOW,
            "message": "no report within 45 s",
        },
    ]


def test_the_worst_circuit_stands_for_the_provider() -> None:
    half = gateway("gw-0", report("a", circuit="HalfOpen"), report("b"))
    both = gateway("gw-1", report("a", circuit="Open"), report("b"))

    assert roll(provider_verdict("a", "b"), half)["circuit"] == "HalfOpen"
    assert roll(provider_verdict("a", "b"), half, both)["circuit"] == "Open"
    assert roll(provider_verdict("a", "b"))["circuit"] == "Unknown"


def test_a_long_reason_is_cut() -> None:
    status = roll(provider_verdict("a"), gateway("gw-0", report("a", "Unhealthy", reason="x" * 5_000)))

    assert status["endpoints"][0]["message"] == "unhealthy at 1 of 1 gateways, gw-0: " + "x" * 500


def test_a_route_counts_its_targets_and_names_its_models() -> None:
    health = {"team-a/openai": "Healthy", "team-a/azure": "Unhealthy"}
    status = roll(route_verdict("team-a/openai", "team-a/azure", total=3), GOOD, health=health)

    assert status["targets"] == "1/3"
    assert status["models"] == ["gpt-4o"]


def test_a_quota_counts_its_subjects() -> None:
    assert roll(quota_verdict(1, 2), GOOD)["subjects"] == "1/2"


def test_a_transition_time_moves_only_with_the_status() -> None:
    before = roll(provider_verdict("a"), GOOD, now=EARLIER)
    after = roll(provider_verdict("a", generation=4), BAD, previous=before)

    assert transitions(after) == {
        "Accepted": EARLIER,
        "ResolvedRefs": EARLIER,
        "Programmed": EARLIER,
        "Healthy": NOW,
        "Ready": NOW,
    }
    assert {c["observedGeneration"] for c in after["conditions"]} == {4}


def test_a_transition_time_that_is_missing_is_set() -> None:
    before = roll(quota_verdict(), GOOD, now=EARLIER)
    del before["conditions"][0]["lastTransitionTime"]

    assert transitions(roll(quota_verdict(), GOOD, previous=before))["Accepted"] == NOW


@pytest.mark.parametrize(
    "previous",
    [
        {"conditions": "all fine"},
        {"conditions": [{"type": "Ready", "status": "Perhaps"}]},
        {"endpoints": [1]},
        {},
    ],
)
def test_a_previous_status_that_makes_no_sense_counts_as_none(previous: dict[str, object]) -> None:
    assert roll(provider_verdict("a"), GOOD, previous=previous) == roll(provider_verdict("a"), GOOD)


def test_a_new_leader_keeps_what_was_said_of_the_same_generation() -> None:
    before = roll(provider_verdict("a"), GOOD, now=EARLIER)
    after = roll(provider_verdict("a"), previous=before, settled=False)

    assert after == before


def test_a_new_leader_keeps_what_was_wrong_with_an_endpoint() -> None:
    before = roll(provider_verdict("a", "b"), BAD, now=EARLIER)
    after = roll(provider_verdict("b", "c", "a"), previous=before, settled=False)

    assert after["health"] == "Unknown"
    assert after["circuit"] == "Open"
    assert after["endpoints"] == [
        before["endpoints"][1],
        {"name": "c", "url": "http://c/v1", "health": "Unknown", "circuit": "Unknown"},
        before["endpoints"][0],
    ]


def test_a_new_leader_keeps_a_routes_health() -> None:
    verdict = route_verdict("team-a/openai")
    before = roll(verdict, GOOD, health={"team-a/openai": "Healthy"}, now=EARLIER)
    after = roll(verdict, previous=before, health={"team-a/openai": "Unknown"}, settled=False)

    assert after == before


def test_a_new_leader_knows_nothing_of_a_new_generation() -> None:
    before = roll(provider_verdict("a"), GOOD, now=EARLIER)
    after = roll(provider_verdict("a", generation=4), GOOD, previous=before, settled=False)
    awaited = ("Unknown", "Pending", "the gateways have not dialled in to this operator yet")

    assert "gateways" not in after
    assert after["endpoints"][0]["health"] == "Unknown"
    assert condition(after, "Programmed") == awaited
    assert condition(after, "Healthy")[:2] == ("Unknown", "NoReports")
    assert condition(after, "Ready") == awaited


def test_a_new_leader_knows_nothing_of_a_new_route() -> None:
    verdict = route_verdict("team-a/openai")
    after = roll(verdict, GOOD, health={"team-a/openai": "Healthy"}, settled=False)

    assert after["targets"] == "0/1"
    assert condition(after, "Healthy")[:2] == ("Unknown", "NoReports")


def test_a_new_leader_keeps_a_quotas_gateways() -> None:
    before = roll(quota_verdict(), GOOD, now=EARLIER)

    assert roll(quota_verdict(), previous=before, settled=False) == before


def test_a_new_leader_does_not_wait_to_say_that_nothing_serves() -> None:
    before = roll(quota_verdict(), GOOD, now=EARLIER)
    after = roll(quota_verdict(serving="Nothing"), previous=before, settled=False)

    assert condition(after, "Programmed")[:2] == ("False", "NotPublished")
    assert after["gateways"] == "0/0"


def test_a_kept_status_without_live_values_is_completed() -> None:
    before = roll(provider_verdict("a"), GOOD)
    for field in ("health", "circuit", "endpoints"):
        del before[field]
    after = roll(provider_verdict("a"), previous=before, settled=False)

    assert (after["health"], after["circuit"]) == ("Unknown", "Unknown")


def test_statuses_that_differ_in_times_and_order_are_the_same() -> None:
    one = roll(provider_verdict("a", "b"), GOOD, now=EARLIER)
    two = roll(provider_verdict("a", "b"), GOOD, now=NOW)
    two["conditions"].reverse()
    two["endpoints"] = tuple(reversed(two["endpoints"]))

    assert same_status(one, two)


def test_a_changed_message_is_a_change() -> None:
    one = roll(provider_verdict("a"), GOOD)
    two = roll(provider_verdict("a"), BAD)

    assert not same_status(one, two)
    assert not same_status(
        one, roll(provider_verdict("a"), GOOD, since=OLD, previous=two) | {"gateways": "0/1"}
    )


def test_no_status_is_the_same_as_an_empty_one() -> None:
    assert same_status(None, {})
    assert not same_status(None, roll(quota_verdict(), GOOD))


def test_a_status_that_is_no_status_of_ours_is_compared_all_the_same() -> None:
    assert not same_status({"conditions": ["odd", 1]}, roll(quota_verdict(), GOOD))
    assert same_status({"models": ["a", "b"]}, {"models": ("a", "b")})
    assert not same_status({"models": ["a", "b"]}, {"models": ["b", "a"]})


@pytest.mark.parametrize(
    ("latency_ms", "shown_ms", "step_ms"),
    [
        (0.0, None, 1),
        (1.0, None, 1),
        (1.01, None, 2),
        (130.0, None, 200),
        (9_000_000.0, None, 500_000),
        (240.0, 200, 200),
        (251.0, 200, 500),
        (85.0, 200, 200),
        (79.0, 200, 100),
        (0.1, 1, 1),
        (130.0, 123, 200),
    ],
)
def test_a_latency_is_shown_in_steps_that_do_not_waver(
    latency_ms: float, shown_ms: int | None, step_ms: int
) -> None:
    assert quantise_latency(latency_ms, shown_ms) == step_ms


def test_latency_steps_ascend() -> None:
    assert list(STEPS_MS) == sorted(set(STEPS_MS))
