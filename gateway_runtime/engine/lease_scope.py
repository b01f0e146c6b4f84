"""One limit as the store counts it: its Scope, from which each ScopeAsk is made.

`lease` makes one for its limit, and tells it of edits.

The one subtle rule: buckets are numbered by their width, or by the start of a calendar's period. An edit of
either leaves the numbers that were told before without a meaning, and `configure` says so.
"""

from typing import Final, Protocol

from gateway_runtime.engine.lease_call import LARGEST, ScopeAsk, Shape, find_shape
from gateway_runtime.engine.lease_demand import Wish

_SET_BACK_S: Final = 3600.0
"""By so much the store's clock may be behind ours: what has ended here may count there. A guess."""


class Periods(Protocol):
    """Of a calendar, by the wall clock of whoever made it."""

    def told(self) -> tuple[int, ...]:
        """As ScopeAsk has them."""

    def passed_s(self) -> float:
        """Of this period, so far."""

    def left_s(self) -> float:
        """Of this period."""


class Scope:
    __slots__ = ("_concurrency", "_key", "_periods", "_shape", "window_s")

    def __init__(self, key: str, window_s: float, periods: Periods | None, *, concurrency: bool) -> None:
        """periods: of a calendar; then `window_s` says nothing."""
        self._key: Final = key
        self._concurrency: Final = concurrency
        self.window_s = window_s
        self._periods = periods
        self._shape = self._find_shape()

    @property
    def longest_s(self) -> float:
        """Until what is charged now counts no more."""
        return self.window_s if self._periods is None else self._periods.left_s()

    @property
    def forgotten_s(self) -> float:
        """So long after its last charge nothing of it counts, wherever the store's memory has gone."""
        if self._periods is None:
            return 2 * self.window_s
        return self._periods.passed_s() + _SET_BACK_S

    def configure(self, window_s: float, periods: Periods | None) -> bool:
        """Whether buckets that were told before mean nothing any more."""
        before = self._shape, self._tell_periods()
        self.window_s, self._periods = window_s, periods
        self._shape = self._find_shape()
        return before != (self._shape, self._tell_periods())

    def build_ask(
        self,
        amount: int,
        spent: int,
        refunds: tuple[int, ...],
        wish: Wish,
        held: int,
        journal: tuple[int, ...],
        *,
        generation: int,
        shadow: bool,
    ) -> ScopeAsk:
        """All of it in the store's unit."""
        shape = self._shape
        return ScopeAsk(
            self._key,
            min(amount, LARGEST),
            shape.window_ms,
            shape.width_ms,
            self._tell_periods(),
            shape.concurrency,
            shadow,
            generation,
            spent,
            refunds,
            wish.keep,
            wish.need,
            wish.want,
            held,
            journal,
        )

    def _find_shape(self) -> Shape:
        return find_shape(self.window_s, concurrency=self._concurrency, calendar=self._periods is not None)

    def _tell_periods(self) -> tuple[int, ...]:
        return () if self._periods is None else self._periods.told()
