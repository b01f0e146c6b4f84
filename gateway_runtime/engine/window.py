"""How much happened in the last `window_s` seconds, in bounded memory: times and amounts in, a count out.

`circuit` counts failures with it, `limits` counts admitted requests. A log of every request would be exact
and without bound; so events close together share a slot, and the whole slot leaves when its *latest* event is
`window_s` old. The count is therefore never too small, and too large by at most what one slot holds.
"""

from collections import deque
from typing import Final

_SLOTS: Final = 60
"""A minute's window remembers seconds, an hour's minutes: what has left is seen at most 1/60 of the window
late (a guess at where nobody notices). At most `_SLOTS` + 2 slots are kept.
"""


class _Slot:
    __slots__ = ("count", "first_s", "last_s")

    def __init__(self, now_s: float) -> None:
        self.first_s = now_s
        self.last_s = now_s
        self.count = 0


class RollingCount:
    """`now_s` is a monotonic clock's: it never goes back from one call to the next."""

    __slots__ = ("_newest", "_slots", "_total", "window_s")

    def __init__(self, window_s: float) -> None:
        self.window_s = window_s
        self._slots: deque[_Slot] = deque()
        self._newest: _Slot | None = None
        """The last of them, at hand: this is called six times for each request."""
        self._total = 0

    def add(self, now_s: float) -> None:
        slot = self._newest
        if slot is None or now_s - slot.first_s >= self.window_s / _SLOTS:
            self.total(now_s)  # drops what is over, for a caller that only ever adds
            slot = self._newest = _Slot(now_s)
            self._slots.append(slot)
        slot.last_s = now_s
        slot.count += 1
        self._total += 1

    def total(self, now_s: float) -> int:
        slots = self._slots
        if slots and slots[0].last_s + self.window_s <= now_s:
            self._drop(now_s)
        return self._total

    def wait_for_drop(self, now_s: float, drop: int) -> float:
        """Seconds until the count will have dropped by `drop`; `window_s` when it is smaller than that."""
        if drop == self._total and self._slots:  # all of it: the last to leave is the newest
            return max(0.0, self._slots[-1].last_s + self.window_s - now_s)
        for slot in self._slots:
            drop -= slot.count
            if drop <= 0:
                return max(0.0, slot.last_s + self.window_s - now_s)
        return self.window_s

    def _drop(self, now_s: float) -> None:
        """What is over by now."""
        slots = self._slots
        while slots and slots[0].last_s + self.window_s <= now_s:
            self._total -= slots.popleft().count
        if not slots:
            self._newest = None

    def clear(self) -> None:
        self._slots.clear()
        self._newest = None
        self._total = 0

    def slots(self) -> int:
        """How many slots are held: the memory this count takes."""
        return len(self._slots)
