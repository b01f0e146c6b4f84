"""Judgements as conditions of a status: Ready on top of them, generation and transition times added.

A transition time moves only when the condition's status does, whatever else changes about it.
"""

from collections.abc import Sequence

from headgate_operator.api.reasons import ConditionType, Reason
from headgate_operator.rollup.judgement import Judgement
from headgate_operator.rollup.previous import PreviousStatus


def build_conditions(
    judgements: Sequence[Judgement], previous: PreviousStatus, generation: int, now: str
) -> list[dict[str, object]]:
    """`now`: RFC 3339."""
    conditions: list[dict[str, object]] = []
    for judgement in (*judgements, judge_ready(judgements)):
        said = previous.condition(judgement.type)
        unmoved = said is not None and said.status == judgement.status and said.last_transition_time
        conditions.append(
            {
                "type": str(judgement.type),
                "status": judgement.status,
                "observedGeneration": generation,
                "lastTransitionTime": unmoved or now,
                "reason": str(judgement.reason),
                "message": judgement.message,
            }
        )
    return conditions


def judge_ready(judgements: Sequence[Judgement]) -> Judgement:
    """False for the first reason that is, else Unknown for the first that is, else True.

    WithinLimits has no say: a quota that is used up is served as its owner meant it to be. Were it not Ready,
    every roll-out that waits for it would stand still until the window is over, and Argo CD would call an
    application broken because it was used a lot.
    """
    for status in ("False", "Unknown"):
        for judgement in judgements:
            if judgement.status == status and judgement.type is not ConditionType.WITHIN_LIMITS:
                return judgement._replace(type=ConditionType.READY)
    live = [j.message for j in judgements if j.type in (ConditionType.PROGRAMMED, ConditionType.HEALTHY)]
    return Judgement(ConditionType.READY, "True", Reason.READY, "; ".join(live))
