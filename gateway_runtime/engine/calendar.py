"""The days, weeks and months by which budgets are counted: a moment in, the bounds of its period out.

`limits` counts with `PeriodCount`, `lease` names periods to the store with `find_period`. Zones are those of
the IANA database; a day there has 23 to 25 hours.

The subtle rule: a period ends at the same moment for everybody, so it is found from Unix time, and only then
put on the clock of whoever counts. That clock never goes back; a wall clock may be set, and goes on while a
laptop sleeps. So it is looked at every minute, and a period that has begun is never begun again: what a clock
that was set back shows once more counts on.
"""

from collections import deque
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import lru_cache
from math import inf
from typing import Final, NamedTuple
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from gateway_runtime.contract.tenant import Calendar
from gateway_runtime.engine.window import Slot

_LOOK_S: Final = 60.0
"""So much later at most it is noticed that the wall clock was set. A guess at where nobody minds."""


class Period(NamedTuple):
    start_unix_s: int
    end_unix_s: int
    """The first second that is out."""


@lru_cache(256)
def find_zone(name: str) -> ZoneInfo:
    """Raises ValueError: `compile` has looked, but another machine's database may be older."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, OSError) as error:
        raise ValueError(f'the time zones of this machine have no "{name}"') from error


def find_period(unix_s: float, calendar: Calendar, zone: ZoneInfo) -> Period:
    """The one that `unix_s` is in."""
    local = datetime.fromtimestamp(int(unix_s), zone)  # a datetime rounds, and the last µs is not tomorrow's
    # Without a zone while we count days: noon and midnight are 12 hours apart on the calendar, always.
    day = datetime(local.year, local.month, local.day)
    if calendar == "day":
        start, end = day, day + timedelta(days=1)
    elif calendar == "week":
        start = day - timedelta(days=day.weekday())
        end = start + timedelta(days=7)
    else:
        start = day.replace(day=1)
        end = (start + timedelta(days=31)).replace(day=1)
    return Period(_find_midnight(start, zone), _find_midnight(end, zone))


def _find_midnight(day: datetime, zone: ZoneInfo) -> int:
    """Where clocks skip it, the moment in which they do."""
    return int(day.replace(tzinfo=zone).timestamp())


class PeriodEnd(NamedTuple):
    at_s: float
    """On the counter's clock, as far as is known now."""
    unix_s: int
    """Which period it is: of two the later has the later end."""


EndOf = Callable[[float], PeriodEnd]
"""From a moment on the counter's clock to the end of the period that it is in."""


class PeriodCount:
    """As `window.RollingCount`, for a period of the calendar: everything leaves at its end."""

    __slots__ = ("_end", "_end_of", "_look_s", "_slots", "_total")

    def __init__(self, end_of: EndOf) -> None:
        self._end_of = end_of
        self._end: PeriodEnd | None = None
        """None: what is counted counts in whichever period comes next."""
        self._look_s = -inf
        """Until then the end is believed."""
        self._slots: deque[Slot] = deque()
        """One of this period; more when it has taken over what a rolling window counted."""
        self._total = 0

    @property
    def window_s(self) -> float:
        """Of a refusal that no wait helps. A day: who asks again tomorrow may meet another amount."""
        return 86_400.0

    def adopt(self, slots: deque[Slot], now_s: float) -> None:
        """Goes on with what another count has: all of it counts until the end of the period."""
        self._roll(now_s)
        for slot in slots:
            slot.owner = self
            self._slots.append(slot)
            self._total += slot.count

    def give_slots(self, now_s: float) -> deque[Slot]:
        """For another count to adopt. This one is over."""
        self._roll(now_s)
        slots, self._slots = self._slots, deque()
        self._total = 0
        return slots

    def set_calendar(self, end_of: EndOf, now_s: float) -> None:
        """What was used in a period that has not ended stays, until the end of the new one."""
        self._look_s = -inf  # else a reload would carry what has just ended into the new period
        self._roll(now_s)
        self._end_of = end_of
        self._end, self._look_s = None, -inf

    def add(self, now_s: float) -> None:
        slot = self._slot(now_s)
        slot.count += 1
        self._total += 1

    def hold(self, now_s: float, amount: int) -> Slot:
        slot = self._slot(now_s)
        slot.count += amount
        slot.held += amount
        self._total += amount
        return slot

    def settle(self, slot: Slot, held: int, spent: int) -> None:
        if not slot.has_left:
            slot.held -= held
            slot.count -= held - spent
            self._total -= held - spent

    def total(self, now_s: float) -> int:
        self._roll(now_s)
        return self._total

    def held(self, now_s: float) -> int:
        self._roll(now_s)
        return sum([slot.held for slot in self._slots])

    def wait_for_drop(self, now_s: float, drop: int) -> float:
        """Seconds until the sum will have dropped by so much: nothing leaves before the period's end."""
        end = self._roll(now_s)
        return 0.0 if drop <= 0 else max(0.0, end.at_s - now_s)

    def wait_for_newest(self, now_s: float) -> float:
        return self.wait_for_drop(now_s, 1)

    def _slot(self, now_s: float) -> Slot:
        self._roll(now_s)
        if not self._slots:
            self._slots.append(Slot(now_s, self))
        return self._slots[-1]

    def _roll(self, now_s: float) -> PeriodEnd:
        before = self._end
        if before is not None and now_s < self._look_s:
            return before
        end = self._end = self._end_of(now_s)
        self._look_s = min(end.at_s, now_s + _LOOK_S)
        if before is not None and end.unix_s > before.unix_s:
            for slot in self._slots:
                slot.has_left = True
            self._slots.clear()
            self._total = 0
        return end
