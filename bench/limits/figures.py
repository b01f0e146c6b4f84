"""Whether a limit held, from what the provider has seen: pure arithmetic on charges.

In: `Charge`s, each at its moment on one monotonic clock, in order. Out: sums. Called by `exact_report`.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

TRAVEL_S: Final = 0.05
"""From a request's admission at a gateway to its arrival at the provider: one may take so much longer than
another, and two that were admitted a window apart arrive closer together.
"""


class Charge(NamedTuple):
    at_s: float
    amount: int
    """Of one resource: 1 request, or tokens, or picodollars."""


def find_most(charges: Sequence[Charge], length_s: float) -> int:
    """That any stretch of time of that length holds, its end not included."""
    most = held = first = 0
    for charge in charges:
        held += charge.amount
        while charges[first].at_s <= charge.at_s - length_s:
            held -= charges[first].amount
            first += 1
        most = max(most, held)
    return most


def find_most_on_the_clock(charges: Sequence[Charge], length_s: float, offset_s: float) -> int:
    """The same of stretches that begin at multiples of their length. offset_s: from the charges' clock to
    the one that counts.
    """
    held: dict[int, int] = {}
    for charge in charges:
        stretch = int((charge.at_s + offset_s) // length_s)
        held[stretch] = held.get(stretch, 0) + charge.amount
    return max(held.values(), default=0)


def sum_between(charges: Sequence[Charge], begin_s: float, end_s: float) -> int:
    return sum(charge.amount for charge in charges if begin_s <= charge.at_s < end_s)
