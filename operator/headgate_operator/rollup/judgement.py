"""A condition before it gets its generation and time: what is said of an object, and in which words.

Each of `accepted`, `programmed` and `healthy` makes some; `roll_up` puts them together. The names of things
are listed up to a bound, since a status is no place for a thousand pods.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

from headgate_operator.api.reasons import ConditionType
from headgate_operator.rollup.previous import ConditionStatus, PreviousStatus

SHOWN: Final = 5


class Judgement(NamedTuple):
    type: ConditionType
    status: ConditionStatus
    reason: str
    """A `Reason`, or what another version wrote when an old judgement is kept."""
    message: str


def keep_judgement(previous: PreviousStatus, kind: ConditionType, generation: int) -> Judgement | None:
    """What was said of the same generation before."""
    said = previous.condition(kind)
    if said is None or said.observed_generation != generation:
        return None
    return Judgement(kind, said.status, said.reason, said.message)


def enumerate_some(items: Sequence[str]) -> str:
    shown = ", ".join(items[:SHOWN])
    return f"{shown} and {len(items) - SHOWN} more" if len(items) > SHOWN else shown


def count(n: int, total: int, noun: str, verb: tuple[str, str]) -> str:
    """`1 of 2 endpoints is`. `verb`: as it stands after one, and after several."""
    counted = f"{n} of {total} {noun}{'' if total == 1 else 's'}"
    return f"{counted} {verb[0] if 1 in (n, total) else verb[1]}"
