"""A tenant's limits and how it stands with them; for those with limits of requests alone, the whole answer to
"may this one go ahead": the time in, Taken or Refused out.

`book` keeps them for each tenant. Once per request `server` asks `take_all`, or, where there are others than
of requests, `hold.reserve`. Either every limit is charged or none is. With several gateways each enforces its
own share of the amount, so that the hot path asks nobody (see `share_of`), or they share a store (`lease`).

    resource         one request counts with               and in the end with
    Requests         1                                     1, whatever became of it
    …Tokens, USD     what it may cost at most              what it did cost
    Concurrency      1                                     0

The subtle rule: a limit holds for *every* window of its length, not for clock minutes. What was admitted is
remembered in slots (see `window`), rounded to the strict side, so no window anywhere on the time line holds
more than the amount. A request counts from its admission on for one window, also when it runs for longer.
Concurrency is the same rule with a window that has no end. A reload or a new share changes the amount, never
what was used.
"""

from collections.abc import Sequence
from math import inf
from typing import Final, NamedTuple, Protocol

import msgspec

from gateway_runtime.contract.ids import TenantId
from gateway_runtime.contract.tenant import LimitResource
from gateway_runtime.engine.amounts import PLACES
from gateway_runtime.engine.calendar import EndOf, PeriodCount
from gateway_runtime.engine.window import RollingCount, Slot

NOBODY: Final = TenantId("")
"""Of limits that are part of no table."""
UNKNOWN_WAIT_S: Final = 1.0
"""When a running request ends is not known. A guess, as long as a short answer takes."""


class Standing(msgspec.Struct, frozen=True, gc=False):
    """How a caller stands with the limit that binds it: what the x-ratelimit headers say."""

    name: str
    limit: int
    """The amount in force at this gateway: its share of what the quota says."""
    remaining: int
    reset_s: float
    """Seconds until all of the amount is free again, if nothing more is taken. Of Concurrency: a guess."""


class LimitState(msgspec.Struct, frozen=True, gc=False):
    """For people: status and listings."""

    name: str
    resource: LimitResource
    amount: int
    """In force at this gateway, in requests, tokens or picodollars."""
    used: int
    """In the window, by requests that have ended. It may be above the amount, after a reload or in shadow."""
    held: int
    """In the window, for requests that are running. Of Concurrency: how many there are."""
    remaining: int
    reset_s: float
    """As in Standing."""
    shadow: bool
    shared: bool = False
    """Of all gateways, as the store that they share told last; else of this gateway alone."""


class Mark(Protocol):
    """Where something was charged: to be settled there, once."""

    def settle(self, held: int, spent: int) -> None: ...


class TenantLimit(Protocol):
    """A limit as requests see it: `RollingLimit` counts here, `lease.LeasedLimit` for many gateways."""

    name: str
    owner: TenantId
    """Whose quota says so: the tenant that asks, or its parent."""
    whose: str
    """Of one user, key or model alone: which; empty where it holds for all. See `book.LimitIdentity`."""
    amount: int
    """In force here: this gateway's part, or the whole where a store shares it out."""
    shadow: bool
    is_overdrawn: bool
    """A running request has taken all that was left, and may spend more: see `hold`."""

    @property
    def resource(self) -> LimitResource: ...

    @property
    def place(self) -> int:
        """See `amounts`."""

    @property
    def longest_s(self) -> float:
        """The window, for callers whom no wait helps."""

    def room(self, now_s: float) -> int:
        """What may be charged now; negative where more was used than there is."""

    def may_ask(self, now_s: float, need: int) -> bool:
        """Whether the store might grant so much."""

    def add(self, now_s: float) -> None:
        """Charges one request, for good."""

    def hold(self, now_s: float, amount: int) -> Mark: ...

    def wait_for_room(self, now_s: float, need: int = 1) -> float: ...

    def standing(self, now_s: float) -> Standing: ...

    def overall(self, left: int) -> int:
        """What may still be charged, where so much is left here: of limits the least binds."""

    def standing_after_take(self, remaining: int, now_s: float) -> Standing:
        """remaining: as `overall` says."""

    def state(self, now_s: float) -> LimitState: ...

    def is_idle(self, now_s: float) -> bool: ...


class Claim(NamedTuple):
    """What a request that has no room needs of one limit."""

    limit: TenantLimit
    need: int


class Taken(msgspec.Struct, frozen=True, gc=False):
    standing: Standing | None
    """With the limit that has least left. None: there are no limits."""


class Refused(msgspec.Struct, frozen=True):
    standing: Standing
    """With the limit that keeps the caller waiting longest."""
    retry_after_s: float
    """Until the same request would fit, if nothing more is taken and those that run cost all that they may.
    When that is `never`: the window, for callers who try again nevertheless.
    """
    resource: LimitResource = "Requests"
    """Of that limit."""
    needed: int = 1
    """Of that limit, by this request. 0 when it is `unpriced`."""
    never: bool = False
    """No wait helps: it needs more tokens or money than the amount in force here, or it is `unpriced`."""
    unpriced: bool = False
    """The limit counts money, and what the request may cost is not known."""
    shadow: tuple[str, ...] = ()
    """Limits in shadow that would have refused it, too."""
    askable: tuple[Claim, ...] = ()
    """All that it needs, where a store might have it. Not empty: ask it, and then again here."""
    owner: TenantId = NOBODY
    """Of that limit: the tenant or its parent, which may have limits of the same name."""
    whose: str = ""
    """Of that limit."""


class RollingLimit:
    """At most `amount` of a resource in any `window_s` seconds, or in each period of a calendar. Of
    Concurrency: at once, and `window_s` says nothing.
    """

    __slots__ = ("amount", "count", "is_overdrawn", "name", "owner", "place", "resource", "shadow", "whose")

    def __init__(
        self,
        name: str,
        amount: int,
        window_s: float,
        resource: LimitResource = "Requests",
        *,
        shadow: bool = False,
        end_of: EndOf | None = None,
        owner: TenantId = NOBODY,
        whose: str = "",
    ) -> None:
        """end_of: of a calendar's period; then `window_s` says nothing."""
        self.name = name
        self.owner = owner
        self.whose = whose
        self.is_overdrawn = False
        self.amount = amount
        self.resource: Final = resource
        self.place: Final = PLACES[resource]
        self.shadow = shadow
        self.count: RollingCount | PeriodCount
        """`take_all` and `hold` charge it; nobody else does."""
        if end_of is None:
            self.count = RollingCount(_window_of(resource, window_s))
        else:
            self.count = PeriodCount(end_of)

    def configure(
        self,
        amount: int,
        window_s: float,
        *,
        shadow: bool = False,
        end_of: EndOf | None = None,
        now_s: float = 0.0,
    ) -> None:
        """A reload, or a new share. A longer window can't bring back what a shorter one has forgotten; from
        a window to a calendar and back, what was used counts on.
        """
        self.amount = amount
        self.shadow = shadow
        count = self.count
        if isinstance(count, RollingCount) and end_of is None:
            count.window_s = _window_of(self.resource, window_s)
        elif isinstance(count, PeriodCount) and end_of is not None:
            count.set_calendar(end_of, now_s)
        else:
            new = RollingCount(_window_of(self.resource, window_s)) if end_of is None else PeriodCount(end_of)
            new.adopt(count.give_slots(now_s), now_s)
            self.count = new

    @property
    def longest_s(self) -> float:
        return self.count.window_s

    def room(self, now_s: float) -> int:
        return self.amount - self.count.total(now_s)

    def may_ask(self, now_s: float, need: int) -> bool:
        return False

    def add(self, now_s: float) -> None:
        self.count.add(now_s)

    def hold(self, now_s: float, amount: int) -> Slot:
        return self.count.hold(now_s, amount)

    def used(self, now_s: float) -> int:
        return self.count.total(now_s) - self.count.held(now_s)

    def remaining(self, now_s: float) -> int:
        return max(0, self.room(now_s))

    def is_idle(self, now_s: float) -> bool:
        """Nothing of it counts any more, so that it may be forgotten."""
        return self.count.total(now_s) == 0

    def wait_for_room(self, now_s: float, need: int = 1) -> float:
        """Seconds until `need` more fits; the whole window when it never does."""
        return self._wait_for_drop(now_s, self.count.total(now_s) - self.amount + need)

    def standing(self, now_s: float) -> Standing:
        total = self.count.total(now_s)
        return Standing(
            self.name, self.amount, max(0, self.amount - total), self._wait_for_drop(now_s, total)
        )

    def overall(self, left: int) -> int:
        return left

    def standing_after_take(self, remaining: int, now_s: float) -> Standing:
        """In the step in which something was taken: what was taken now is the last to leave."""
        return Standing(self.name, self.amount, remaining, self.count.wait_for_newest(now_s))

    def state(self, now_s: float) -> LimitState:
        standing = self.standing(now_s)
        return LimitState(
            name=self.name,
            resource=self.resource,
            amount=self.amount,
            used=self.used(now_s),
            held=self.count.held(now_s),
            remaining=standing.remaining,
            reset_s=standing.reset_s,
            shadow=self.shadow,
        )

    def _wait_for_drop(self, now_s: float, drop: int) -> float:
        wait_s = self.count.wait_for_drop(now_s, drop)
        return UNKNOWN_WAIT_S if wait_s == inf else wait_s

    def __repr__(self) -> str:
        what = "" if self.resource == "Requests" else f" {self.resource}"
        within = "" if self.resource == "Concurrency" else f" per {self.count.window_s:g} s"
        if isinstance(self.count, PeriodCount):
            within = " in each period"
        shadow = ", in shadow" if self.shadow else ""
        return f"<RollingLimit {self.name}: {self.amount}{what}{within}{shadow}>"


def _window_of(resource: LimitResource, window_s: float) -> float:
    return inf if resource == "Concurrency" else window_s


def share_of(amount: int, index: int, gateways: int) -> int:
    """What gateway number `index` of `gateways` may spend. The shares add up to `amount`, exactly.

    Raises ValueError for an index that no gateway has.
    """
    if not 0 <= index < gateways:
        raise ValueError(f"share {index} of {gateways} does not exist: index counts from 0 to gateways - 1")
    return amount // gateways + (1 if index < amount % gateways else 0)


def take_all(limits: Sequence[TenantLimit], now_s: float) -> Taken | Refused:
    """Charges one request to every limit, or to none of them. limits: of requests alone, none of
    them in shadow; see `LimitBook.reserves`.
    """
    binding: TenantLimit | None = None
    least = 0
    for limit in limits:
        room = limit.room(now_s)
        if room <= 0:
            return _refuse(limits, now_s)
        left = limit.overall(room - 1)
        if binding is None or left < least:
            binding, least = limit, left
    for limit in limits:
        limit.add(now_s)
    return _NOTHING_TAKEN if binding is None else Taken(binding.standing_after_take(least, now_s))


_NOTHING_TAKEN = Taken(None)


def _refuse(limits: Sequence[TenantLimit], now_s: float) -> Refused:
    short = [limit for limit in limits if limit.room(now_s) <= 0]
    others = [limit for limit in limits if limit not in short]
    waits = [(limit.wait_for_room(now_s), limit) for limit in short]
    wait_s, longest = max(waits, key=lambda wait: wait[0])
    return Refused(
        longest.standing(now_s),
        wait_s,
        askable=find_askable([(one, 1) for one in short], [(one, 1) for one in others], now_s),
        owner=longest.owner,
        whose=longest.whose,
    )


def find_askable(
    short: Sequence[tuple[TenantLimit, int]], others: Sequence[tuple[TenantLimit, int]], now_s: float
) -> tuple[Claim, ...]:
    """Of those that are short and of all others, if each of the former may be asked for; else none, since one
    of them refuses anyway. What is at hand of the others may not be enough for all that wait.
    """
    if all(limit.may_ask(now_s, need) for limit, need in short):
        return tuple(Claim(limit, need) for limit, need in (*short, *others))
    return ()
