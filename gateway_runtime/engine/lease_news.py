"""What the store told last of one limit, for all gateways together: its News.

`lease` tells callers from it what remains, and what is used. Amounts are in the store's unit.
"""

from math import inf
from typing import Final

from gateway_runtime.engine.lease_call import ScopeAnswer

NEWS_S: Final = 1.0
"""What the store told may be so old when somebody looks."""


class News:
    __slots__ = ("_is_in_use", "_told_s", "are_wanted", "free", "held", "total")

    def __init__(self) -> None:
        self.free: int | None = None
        """As ScopeAnswer has it, and the next two. None: it has told nothing yet."""
        self.total = 0
        self.held = 0
        self.are_wanted = False
        """Somebody has looked, and they were old."""
        self._is_in_use = False
        self._told_s = -inf

    def are_old(self, now_s: float) -> bool:
        """Of a limit that nobody uses they stay as they are."""
        return self.free is None or (self._is_in_use and now_s > self._told_s + NEWS_S)

    def note_answer(self, answer: ScopeAnswer, now_s: float) -> None:
        self.free, self.total, self.held = answer.free, answer.total, answer.held
        self._is_in_use = bool(answer.total or answer.leased)
        self._told_s = now_s
        self.are_wanted = False
