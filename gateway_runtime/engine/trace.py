"""Why one request went where it went: decisions in, as they are made, lines for a person out.

`server` makes one Trace per request that wants one and hands it to `balance` and `retry`, which note what is
out of the ordinary; it notes attempts, fallbacks and hedges itself. Headers and the log line render it.

Nothing is formatted before it is asked for: a note is a tuple in a list, and an ordinary request has one.
"""

from enum import Enum
from typing import NamedTuple


class Why(Enum):
    """The value is the line: `{0}` the subject, `{1}` the detail."""

    CIRCUIT_OPEN = "{0} skipped: circuit open"
    LAST_RESORT = "{0} last: circuit open, kept as a last resort"
    DOUBTFUL = "{0} late: its probe fails"
    PANIC = "{0} counted as ready although its probe fails: only {1} are ready"
    LIMIT_LEARNT = "{0} late: limit learnt, free in {1:.3g} s"
    CHOSEN = "{0} chosen: {1}"
    CREDENTIAL = "{0} again: {1}, next credential"
    RETRY = "{0} failed: {1}, next attempt"
    NOT_TRIED_AGAIN = "no retry: {1}"
    FALLBACK = "fallback to model {0}: {1}"
    HEDGED = "{0} hedged: no answer after {1:.3g} s"


class Decision(NamedTuple):
    why: Why
    subject: str
    """An endpoint's id, or a model's name; empty when the line has none."""
    detail: str | float

    def __str__(self) -> str:
        return self.why.value.format(self.subject, self.detail)


class Trace:
    __slots__ = ("decisions", "is_shown")

    def __init__(self, *, is_shown: bool = False) -> None:
        self.is_shown = is_shown
        """To the caller, in a header; else in the log alone."""
        self.decisions: list[Decision] = []
        """In the order in which they were made."""

    def note(self, why: Why, subject: str = "", detail: str | float = "") -> None:
        """`detail`: a number for the lines that give one its format."""
        self.decisions.append(Decision(why, subject, detail))

    def lines(self) -> tuple[str, ...]:
        return tuple(str(decision) for decision in self.decisions)

    def __str__(self) -> str:
        """One line, as a header takes it: all of it is printable ASCII if the details are."""
        return "; ".join(self.lines())
