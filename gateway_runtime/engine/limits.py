"""A tenant's limits and how it stands with them; for those with limits of requests alone, the whole answer to
"may this one go ahead": the time in, Taken or Refused out.

`server` keeps what `build_limits` gives it for each tenant. Once per request it asks `take_all`, or, where
`counts_amounts` says so, `hold.reserve`. Either every limit is charged or none is. With several gateways each
enforces its own share of the amount, so that the hot path asks nobody: see `share_of`.

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
from typing import Final

import msgspec

from gateway_runtime.contract.stream import Share
from gateway_runtime.contract.table import Limit, LimitResource
from gateway_runtime.engine.amounts import PLACES
from gateway_runtime.engine.window import RollingCount

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


class RollingLimit:
    """At most `amount` of a resource in any `window_s` seconds. Of Concurrency: at once, and `window_s` says
    nothing.
    """

    __slots__ = ("amount", "count", "name", "place", "resource", "shadow")

    def __init__(
        self,
        name: str,
        amount: int,
        window_s: float,
        resource: LimitResource = "Requests",
        *,
        shadow: bool = False,
    ) -> None:
        self.name = name
        self.amount = amount
        self.resource: Final = resource
        self.place: Final = PLACES[resource]
        self.shadow = shadow
        self.count = RollingCount(_window_of(resource, window_s))
        """`take_all` and `hold` charge it; nobody else does."""

    def configure(self, amount: int, window_s: float, *, shadow: bool = False) -> None:
        """A reload, or a new share. A longer window can't bring back what a shorter one has forgotten."""
        self.amount = amount
        self.shadow = shadow
        self.count.window_s = _window_of(self.resource, window_s)

    def used(self, now_s: float) -> int:
        return self.count.total(now_s) - self.count.held(now_s)

    def remaining(self, now_s: float) -> int:
        return max(0, self.amount - self.count.total(now_s))

    def wait_for_room(self, now_s: float, need: int = 1) -> float:
        """Seconds until `need` more fits; the whole window when it never does."""
        return self._wait_for_drop(now_s, self.count.total(now_s) - self.amount + need)

    def standing(self, now_s: float) -> Standing:
        total = self.count.total(now_s)
        return Standing(
            self.name, self.amount, max(0, self.amount - total), self._wait_for_drop(now_s, total)
        )

    def standing_after_take(self, remaining: int) -> Standing:
        """In the step in which something was taken: what was taken now is the last to leave."""
        return Standing(self.name, self.amount, remaining, self.count.window_s)

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


def build_limits(
    wanted: Sequence[Limit], before: Sequence[RollingLimit], share: Share
) -> tuple[RollingLimit, ...]:
    """A tenant's limits after a reload, or with a new share. before: those it had; they are configured anew
    and go on with what was used. One that counts something else now is a new limit: what was held in the old
    one is settled there. Amounts of Concurrency are shared out like all others, so one below the number of
    gateways leaves some with none.
    """
    kept = {(limit.name, limit.resource): limit for limit in before}
    limits = []
    for limit in wanted:
        amount = share_of(limit.amount, share.index, share.gateways)
        rolling = kept.get((limit.name, limit.resource))
        if rolling is None:
            rolling = RollingLimit(limit.name, amount, limit.window_s, limit.resource, shadow=limit.shadow)
        else:
            rolling.configure(amount, limit.window_s, shadow=limit.shadow)
        limits.append(rolling)
    return tuple(limits)


def counts_amounts(limits: Sequence[RollingLimit]) -> bool:
    """Whether `hold.reserve` is to be asked: some limit counts other than requests, or refuses nobody, which
    `take_all` does not look at. To be kept beside the limits, not to be asked for each request.
    """
    return any(limit.resource != "Requests" or limit.shadow for limit in limits)


def take_all(limits: Sequence[RollingLimit], now_s: float) -> Taken | Refused:
    """Charges one request to every limit, or to none of them. limits: see `counts_amounts`."""
    binding: RollingLimit | None = None
    least = 0
    for limit in limits:
        remaining = limit.amount - limit.count.total(now_s)
        if remaining <= 0:
            return _refuse(limits, now_s)
        if binding is None or remaining < least:
            binding, least = limit, remaining
    for limit in limits:
        limit.count.add(now_s)
    return _NOTHING_TAKEN if binding is None else Taken(binding.standing_after_take(least - 1))


_NOTHING_TAKEN = Taken(None)


def _refuse(limits: Sequence[RollingLimit], now_s: float) -> Refused:
    waits = [(limit.wait_for_room(now_s), limit) for limit in limits if limit.remaining(now_s) == 0]
    wait_s, longest = max(waits, key=lambda wait: wait[0])
    return Refused(longest.standing(now_s), wait_s)
