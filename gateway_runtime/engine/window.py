"""How much happened in the last `window_s` seconds, in bounded memory: times and amounts in, a sum out.

`circuit` counts failures with it, `limits` requests, tokens and money. A log of every request would be exact
and without bound; so events close together share a slot, and the whole slot leaves when its *latest* event is
`window_s` old. The sum is therefore never too small, and too large by at most what one slot holds.

What is held is stamped when it is taken, and so is what becomes of it: `settle` changes the slot that was
charged, and never moves anything to a later one. A slot that has left is out of the sum, so there is nothing
in it to give back.
"""

from collections import deque
from typing import Final, Protocol

_SLOTS: Final = 60
"""A minute's window remembers seconds, an hour's minutes: what has left is seen at most 1/60 of the window
late (a guess at where nobody notices). At most `_SLOTS` + 2 slots are kept.
"""


class Slots(Protocol):
    """What a slot belongs to."""

    def settle(self, slot: "Slot", held: int, spent: int) -> None: ...


class Slot:
    """Events close together. Who holds something keeps its slot, to settle it there."""

    __slots__ = ("count", "first_s", "has_left", "held", "last_s", "owner")

    def __init__(self, now_s: float, owner: Slots) -> None:
        self.owner = owner
        """A count may hand its slots to another: see `calendar`."""
        self.first_s = now_s
        self.last_s = now_s
        self.count = 0
        self.held = 0
        """The part of `count` that may still be given back."""
        self.has_left = False

    def settle(self, held: int, spent: int) -> None:
        """Of what was held here, so much was spent. Once for each `hold`."""
        self.owner.settle(self, held, spent)


class RollingCount:
    """`now_s` is a monotonic clock's: it never goes back from one call to the next."""

    __slots__ = ("_newest", "_slots", "_total", "window_s")

    def __init__(self, window_s: float) -> None:
        self.window_s = window_s
        """Infinite: nothing leaves but by `settle`, and one slot is enough."""
        self._slots: deque[Slot] = deque()
        self._newest: Slot | None = None
        """The last of them, at hand: this is called six times for each request."""
        self._total = 0

    def add(self, now_s: float) -> None:
        """One event, for good."""
        slot = self._newest
        if slot is None or now_s - slot.first_s >= self.window_s / _SLOTS:
            slot = self._open_slot(now_s)
        slot.last_s = now_s
        slot.count += 1
        self._total += 1

    def hold(self, now_s: float, amount: int) -> Slot:
        """Counts `amount` until it is settled in the slot that is returned."""
        slot = self._newest
        if slot is None or now_s - slot.first_s >= self.window_s / _SLOTS:
            slot = self._open_slot(now_s)
        slot.last_s = now_s
        slot.count += amount
        slot.held += amount
        self._total += amount
        return slot

    def settle(self, slot: Slot, held: int, spent: int) -> None:
        """Of what was held in `slot`, so much was spent, be it more. Once for each `hold`."""
        if not slot.has_left:
            refund = held - spent
            slot.held -= held
            slot.count -= refund
            self._total -= refund

    def total(self, now_s: float) -> int:
        """With what is held."""
        slots = self._slots
        if slots and slots[0].last_s + self.window_s <= now_s:
            self._drop(now_s)
        return self._total

    def held(self, now_s: float) -> int:
        self.total(now_s)
        return sum([slot.held for slot in self._slots])

    def wait_for_drop(self, now_s: float, drop: int) -> float:
        """Seconds until the sum will have dropped by `drop`, if what is held is spent; `window_s` when it is
        smaller than that.
        """
        if drop <= 0:
            return 0.0
        if drop == self._total:  # all of it: the last to leave is the newest in which something is left
            slot = next(slot for slot in reversed(self._slots) if slot.count)
            return max(0.0, slot.last_s + self.window_s - now_s)
        for slot in self._slots:
            drop -= slot.count
            if drop <= 0:
                return max(0.0, slot.last_s + self.window_s - now_s)
        return self.window_s

    def wait_for_newest(self, now_s: float) -> float:
        """Seconds until what was counted just now leaves."""
        return self.window_s

    def adopt(self, slots: "deque[Slot]", now_s: float) -> None:
        """Goes on with what another count has, as if it had happened now: never too short."""
        for slot in slots:
            slot.owner = self
            slot.first_s = slot.last_s = now_s
            self._slots.append(slot)
            self._total += slot.count
        self._newest = self._slots[-1] if self._slots else None

    def give_slots(self, now_s: float) -> "deque[Slot]":
        """For another count to adopt. This one is over."""
        self.total(now_s)
        slots, self._slots = self._slots, deque()
        self._newest, self._total = None, 0
        return slots

    def _open_slot(self, now_s: float) -> Slot:
        self.total(now_s)  # drops what is over, for a caller that only ever adds
        slot = self._newest = Slot(now_s, self)
        self._slots.append(slot)
        return slot

    def _drop(self, now_s: float) -> None:
        """What is over by now."""
        slots = self._slots
        while slots and slots[0].last_s + self.window_s <= now_s:
            slot = slots.popleft()
            slot.has_left = True
            self._total -= slot.count
        if not slots:
            self._newest = None

    def clear(self) -> None:
        for slot in self._slots:
            slot.has_left = True
        self._slots.clear()
        self._newest = None
        self._total = 0

    def slots(self) -> int:
        """How many slots are held: the memory this count takes."""
        return len(self._slots)
