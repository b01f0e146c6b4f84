"""How urgent it is to write a status."""

from typing import Any

import pytest

from headgate_operator.status.desk import rank_change
from headgate_operator.status.queue import Rank


def status(kind: str, state: str, reason: str, **more: Any) -> dict[str, Any]:
    condition = {"type": kind, "status": state, "reason": reason, "observedGeneration": 1}
    return {"observedGeneration": 1, "conditions": [condition], **more}


@pytest.mark.parametrize(
    ("state", "reason", "rank"),
    [
        ("True", "WithinLimits", None),
        ("True", "NearLimit", Rank.VALUES),
        ("False", "Exhausted", Rank.TRANSITION),
        ("Unknown", "NoReports", Rank.TRANSITION),
    ],
)
def test_to_come_near_a_limit_is_a_change_of_values_and_to_use_it_up_a_transition(
    state: str, reason: str, rank: Rank | None
) -> None:
    before = status("WithinLimits", "True", "WithinLimits")

    assert rank_change(before, status("WithinLimits", state, reason)) == rank


def test_another_reason_for_the_same_is_a_transition_of_every_other_condition() -> None:
    before = status("Healthy", "True", "Healthy")

    assert rank_change(before, status("Healthy", "True", "Degraded")) == Rank.TRANSITION


def test_what_was_used_is_a_change_of_values() -> None:
    before, after = (
        status("WithinLimits", "True", "WithinLimits", limits=[{"name": "rpm", "used": used}])
        for used in (1, 2)
    )

    assert rank_change(before, after) == Rank.VALUES
    assert rank_change(before, {**after, "observedGeneration": 2}) == Rank.EDIT


def test_the_time_of_observation_is_no_change() -> None:
    before, after = (
        status("WithinLimits", "True", "WithinLimits", observedAt=at, keys=[{"id": "a"}])
        for at in ("2026-03-01T12:00:00Z", "2026-03-01T13:00:00Z")
    )

    assert rank_change(before, after) is None
