"""What was truly admitted of one limit: admissions, endings and amounts in, the fullest window out, and how
often more was admitted than there was.

    set_amount -> admit -> settle | lapse -> overruns, fullest

It knows no buckets, no leases and no store: a window is all that was admitted within `window_s` of an
admission, what is running with its bound, what has ended with what it used. Of Concurrency it is what is
running. All that is told has to come in the order of time.

The subtle rule: amounts are edited, and a gateway that is stopped learns of it late. A window may hold the
largest amount that was in force at any gateway within it.
"""

from collections import deque
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Final, NamedTuple

from gateway_runtime.contract.tenant import LimitResource


class Fullest(NamedTuple):
    """The window with most in it, by what it might have held."""

    used: int
    amount: int

    @property
    def percent(self) -> float:
        return 100.0 * self.used / self.amount if self.amount else 0.0


@dataclass(slots=True)
class _Entry:
    at_s: float
    cost: int
    gateway: str
    counts: bool = True


class LimitLog:
    def __init__(self, name: str, resource: LimitResource, window_s: float) -> None:
        self.name: Final = name
        self.resource: Final = resource
        self.window_s: Final = window_s
        self.fullest = Fullest(0, 0)
        self.admitted = 0
        self.overruns = 0
        self.first_overrun: str | None = None
        self._counts_running = resource == "Concurrency"
        self._entries: dict[Hashable, _Entry] = {}
        """Those that may still end, or count."""
        self._window: deque[_Entry] = deque()
        self._used = 0
        """In the window, or running."""
        self._amounts: dict[str, int] = {}
        """In force now, by gateway."""
        self._former: deque[tuple[float, int]] = deque()
        """Until when an amount was in force at some gateway."""
        self._lapsed_until: dict[str, float] = {}

    def set_amount(self, gateway: str, amount: int, now_s: float) -> None:
        before = self._amounts.get(gateway)
        if before is not None and before != amount:
            self._former.append((now_s, before))
        self._amounts[gateway] = amount

    def end_gateway(self, gateway: str, now_s: float) -> None:
        """It was killed, or is done: nothing runs there any more, and what ran is charged with its bound."""
        amount = self._amounts.pop(gateway, None)
        if amount is not None:
            self._former.append((now_s, amount))
        self.lapse(gateway, now_s)
        for key in [key for key, entry in self._entries.items() if entry.gateway == gateway]:
            del self._entries[key]

    def admit(self, gateway: str, key: Hashable, cost: int, now_s: float) -> None:
        """key: of the request."""
        if self._counts_running and now_s < self._lapsed_until.get(gateway, now_s):
            return
        entry = self._entries[key] = _Entry(now_s, cost, gateway)
        self._used += cost
        self.admitted += 1
        if not self._counts_running:
            self._window.append(entry)
            self._drop(now_s)
        allowed = self._find_allowed(now_s)
        if self._used * max(1, self.fullest.amount) > self.fullest.used * max(1, allowed):
            self.fullest = Fullest(self._used, allowed)
        if self._used > allowed:
            self.overruns += 1
            self.first_overrun = self.first_overrun or f"{self._used} of {allowed} at {now_s:.3f} s"

    def settle(self, key: Hashable, cost: int) -> None:
        """cost: what it did use. Nothing happens for one that is not known, or not any more."""
        entry = self._entries.pop(key, None)
        if entry is None:
            return
        if entry.counts:
            self._used += (0 if self._counts_running else cost) - entry.cost
        entry.cost = cost

    def lapse(self, gateway: str, until_s: float) -> None:
        """Of Concurrency: it could not say for a term that its requests run, and nobody counts them again.
        Nor those that it admits before `until_s`.
        """
        if self._counts_running:
            self._lapsed_until[gateway] = until_s
            for entry in self._entries.values():
                if entry.gateway == gateway and entry.counts:
                    entry.counts = False
                    self._used -= entry.cost

    def _drop(self, now_s: float) -> None:
        window = self._window
        while window[0].at_s <= now_s - self.window_s:
            entry = window.popleft()
            entry.counts = False
            self._used -= entry.cost

    def _find_allowed(self, now_s: float) -> int:
        if self._counts_running:
            since_s = next((entry.at_s for entry in self._entries.values() if entry.counts), now_s)
        else:
            since_s = now_s - self.window_s
        former = self._former
        while former and former[0][0] <= since_s:
            former.popleft()
        return max([*self._amounts.values(), *(amount for _, amount in former)], default=0)

    def __repr__(self) -> str:
        return f"<LimitLog {self.name}: at most {self.fullest.used} of {self.fullest.amount}>"
