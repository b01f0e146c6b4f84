"""What the store has granted one gateway of one limit, and until when that may be spent: a Grant.

    answer --> balance, usable until --.
    no answer --> uncertain: the same, to the end of its term --> void: nothing, in a new generation

`lease` charges the balance, and tells it of answers. Amounts are in the store's unit.

Rules. The term is counted from when the call that renewed the grant was *sent*, and ends `margin_s` before
the store would take it back. A generation that is void is charged by the store as a whole.

The one subtle rule: an edit that lowers the amount ends the term at once, and not the generation. What is
left is not spent any more, and goes back with the next call.
"""

from math import inf
from typing import Final, NamedTuple


class Term(NamedTuple):
    """How long a grant holds. Both are guesses: long enough for a store that restarts, short enough for what
    a dead gateway held to be free again soon.
    """

    term_s: float = 10.0
    margin_s: float = 1.0
    """The store's clock may run faster than ours by a tenth."""


class Grant:
    __slots__ = ("balance", "generation", "is_recalled", "is_uncertain", "term", "usable_until_s")

    def __init__(self, term: Term) -> None:
        self.term: Final = term
        self.balance = 0
        """Granted and not charged: `lease` counts it down, for each request."""
        self.usable_until_s = -inf
        self.generation = 1
        self.is_uncertain = False
        """A call had no answer: it may have been counted or not."""
        self.is_recalled = False
        """It goes back before anything else is granted."""

    def wants_renewal(self, now_s: float) -> bool:
        """Half of its term is over, or all of it."""
        return now_s > self.usable_until_s - self.term.term_s / 2

    def recall(self) -> None:
        self.is_recalled = True
        self.usable_until_s = -inf

    def void(self) -> None:
        """All that was granted to this generation."""
        self.balance = 0
        self.usable_until_s = -inf
        self.generation += 1
        self.is_uncertain = False

    def note_answer(self, granted: int, sent_at_s: float) -> None:
        """sent_at_s: when the call was that has it."""
        self.balance += granted
        self.usable_until_s = sent_at_s + self.term.term_s - self.term.margin_s
        self.is_recalled = False
