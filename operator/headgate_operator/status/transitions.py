"""What of a new status is worth a Kubernetes Event: pure.

A condition that turns False is a warning; one that turns from False to True, and a `Ready` that becomes
True, are told too. Not told: what every edit and every restart passes through (a generation that is on its
way to the gateways, no gateways yet, no reports yet), what is daily business (a limit that is used up: a
thousand busy tenants would spend all that may be posted), and `Ready` turning False, since the condition
behind it says why.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal, NamedTuple

from headgate_operator.api.reasons import ConditionType, Reason

_PASSING: Final = frozenset(
    {Reason.PENDING, Reason.NO_GATEWAYS, Reason.NOT_PUBLISHED, Reason.NO_REPORTS, Reason.EXHAUSTED}
)


class Transition(NamedTuple):
    type: Literal["Normal", "Warning"]
    reason: str
    message: str


def find_transitions(before: Mapping[str, Any] | None, after: Mapping[str, Any]) -> tuple[Transition, ...]:
    """`before`, `after`: `.status` of one object."""
    old = {condition["type"]: condition for condition in _conditions(before)}
    found = (_judge(old.get(condition["type"], {}), condition) for condition in _conditions(after))
    return tuple(transition for transition in found if transition is not None)


def _judge(old: Mapping[str, Any], new: Mapping[str, Any]) -> Transition | None:
    is_ready = new["type"] == ConditionType.READY
    old_status, old_reason = old.get("status"), old.get("reason")
    if new["status"] == "False":
        if is_ready or new["reason"] in _PASSING or (old_status, old_reason) == ("False", new["reason"]):
            return None
        return Transition("Warning", new["reason"], new["message"])
    if new["status"] == "True" and old_status != "True":
        recovered = old_status == "False" and old_reason not in _PASSING
        return Transition("Normal", new["reason"], new["message"]) if is_ready or recovered else None
    return None


def _conditions(status: Mapping[str, Any] | None) -> Sequence[Mapping[str, Any]]:
    return (status or {}).get("conditions") or ()
