"""Which changes of a status are told as Kubernetes Events."""

from typing import Any

import pytest

from headgate_operator.status.transitions import Transition, find_transitions


def status(**conditions: str) -> dict[str, Any]:
    """`Accepted="True/Accepted"`."""
    return {
        "conditions": [
            {
                "type": kind,
                "status": text.split("/")[0],
                "reason": text.split("/")[1],
                "message": f"about {kind}",
            }
            for kind, text in conditions.items()
        ]
    }


def test_a_condition_that_turns_false_is_a_warning_with_its_reason_and_message() -> None:
    before = status(ResolvedRefs="True/ResolvedRefs")
    after = status(ResolvedRefs="False/ProviderNotFound")

    assert find_transitions(before, after) == (
        Transition("Warning", "ProviderNotFound", "about ResolvedRefs"),
    )


def test_a_new_reason_for_the_same_false_is_told_again() -> None:
    before = status(ResolvedRefs="False/ProviderNotFound")
    after = status(ResolvedRefs="False/ModelNotFound")

    assert find_transitions(before, after) == (Transition("Warning", "ModelNotFound", "about ResolvedRefs"),)


def test_a_recovery_is_told() -> None:
    before = status(Healthy="False/Unhealthy")
    after = status(Healthy="True/Healthy")

    assert find_transitions(before, after) == (Transition("Normal", "Healthy", "about Healthy"),)


def test_becoming_ready_is_told() -> None:
    after = status(Accepted="True/Accepted", Ready="True/Ready")

    assert find_transitions(None, after) == (Transition("Normal", "Ready", "about Ready"),)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("Programmed=True/Programmed", "Programmed=False/Pending"),
        ("Programmed=False/Pending", "Programmed=True/Programmed"),
        ("Programmed=True/Programmed", "Programmed=False/NoGateways"),
        ("Healthy=True/Healthy", "Healthy=Unknown/NoReports"),
        ("Healthy=Unknown/NoReports", "Healthy=True/Healthy"),
        ("Ready=True/Ready", "Ready=False/Unhealthy"),
        ("Healthy=False/Unhealthy", "Healthy=False/Unhealthy"),
        ("WithinLimits=True/NearLimit", "WithinLimits=False/Exhausted"),
        ("WithinLimits=False/Exhausted", "WithinLimits=True/NearLimit"),
    ],
)
def test_what_every_edit_and_every_restart_passes_through_is_not_told(before: str, after: str) -> None:
    assert find_transitions(status(**dict([before.split("=")])), status(**dict([after.split("=")]))) == ()
