"""What one request may cost at most, and what it did cost: in tokens and in money.

`server` bounds a request before it is sent and adds up its usage afterwards; `hold` charges the one and
settles with the other. Money is whole picodollars, never a float.

The subtle rule: limits find their own amount by a place in a tuple, which saves a look-up by name for each
limit of each request. `PLACES` says which is which; `by_place` keeps to it.
"""

from collections.abc import Mapping
from typing import Final, NamedTuple, TypeAlias

from gateway_runtime.contract.tenant import LimitResource

INPUT_TOKENS: Final = 0
OUTPUT_TOKENS: Final = 1
TOTAL_TOKENS: Final = 2
USD: Final = 3
CONCURRENCY: Final = 4
REQUESTS: Final = 5

PLACES: Final[Mapping[LimitResource, int]] = {
    "InputTokens": INPUT_TOKENS,
    "OutputTokens": OUTPUT_TOKENS,
    "TotalTokens": TOTAL_TOKENS,
    "USD": USD,
    "Concurrency": CONCURRENCY,
    "Requests": REQUESTS,
}

Needs: TypeAlias = tuple[int, int, int, int | None, int, int]


class Bound(NamedTuple):
    """What a request may cost at most. No number is negative."""

    input_tokens: int
    output_tokens: int
    usd_picos: int | None
    """At the dearest target that may be tried. None: one of them has no known price."""

    def by_place(self) -> Needs:
        """Of Requests and Concurrency it needs one each."""
        asked, answered, usd_picos = self
        return asked, answered, asked + answered, usd_picos, 1, 1


class Spent(NamedTuple):
    """What it did cost, all attempts together."""

    input_tokens: int
    output_tokens: int
    usd_picos: int

    def by_place(self) -> tuple[int, int, int, int, int, int]:
        """An ended request takes no part of Concurrency any more."""
        asked, answered, usd_picos = self
        return asked, answered, asked + answered, usd_picos, 0, 1


NOTHING: Final = Spent(0, 0, 0)
