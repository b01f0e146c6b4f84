"""May this request go ahead: a tenant's limits and the time in, Taken or Refused out.

`server` keeps one RollingLimit per limit of a tenant and asks `take_all` once per request. Either every limit
is charged or none is. With several gateways each enforces its own share of the amount, so that the hot path
asks nobody: see `share_of`.

The subtle rule: a limit holds for *every* window of its length, not for clock minutes. What was admitted is
remembered in slots (see `window`), rounded to the strict side, so no window anywhere on the time line holds
more than the amount. A reload or a new share changes the amount, never what was used.
"""

from collections.abc import Sequence

import msgspec

from gateway_runtime.engine.window import RollingCount


class Standing(msgspec.Struct, frozen=True, gc=False):
    """How a caller stands with the limit that binds it: what the x-ratelimit headers say."""

    name: str
    limit: int
    """The amount in force at this gateway: its share of what the quota says."""
    remaining: int
    reset_s: float
    """Seconds until all of the amount is free again, if nothing more is taken."""


class Taken(msgspec.Struct, frozen=True, gc=False):
    standing: Standing | None
    """With the limit that has least left. None: there are no limits."""


class Refused(msgspec.Struct, frozen=True):
    standing: Standing
    """With the limit that keeps the caller waiting longest."""
    retry_after_s: float


class RollingLimit:
    """At most `amount` requests in any `window_s` seconds."""

    __slots__ = ("_used", "amount", "name")

    def __init__(self, name: str, amount: int, window_s: float) -> None:
        self.name = name
        self.amount = amount
        self._used = RollingCount(window_s)

    def configure(self, amount: int, window_s: float) -> None:
        """A reload, or a new share. A longer window can't bring back what a shorter one has forgotten."""
        self.amount = amount
        self._used.window_s = window_s

    def used(self, now_s: float) -> int:
        return self._used.total(now_s)

    def remaining(self, now_s: float) -> int:
        return max(0, self.amount - self._used.total(now_s))

    def take(self, now_s: float) -> None:
        """Charges one request, whether or not it fits: `take_all` asks first."""
        self._used.add(now_s)

    def wait_for_room(self, now_s: float) -> float:
        """Seconds until one more fits; the whole window when the amount is 0."""
        return self._used.wait_for_drop(now_s, self._used.total(now_s) - self.amount + 1)

    def standing(self, now_s: float) -> Standing:
        used = self._used.total(now_s)
        reset_s = self._used.wait_for_drop(now_s, used) if used else 0.0
        return Standing(self.name, self.amount, max(0, self.amount - used), reset_s)

    def standing_after_take(self, remaining: int) -> Standing:
        """In the step of a `take`: what was taken now is the last to leave."""
        return Standing(self.name, self.amount, remaining, self._used.window_s)

    def __repr__(self) -> str:
        return f"<RollingLimit {self.name}: {self.amount} per {self._used.window_s:g} s>"


def share_of(amount: int, index: int, gateways: int) -> int:
    """What gateway number `index` of `gateways` may spend. The shares add up to `amount`, exactly.

    Raises ValueError for an index that no gateway has.
    """
    if not 0 <= index < gateways:
        raise ValueError(f"share {index} of {gateways} does not exist: index counts from 0 to gateways - 1")
    return amount // gateways + (1 if index < amount % gateways else 0)


def take_all(limits: Sequence[RollingLimit], now_s: float) -> Taken | Refused:
    """Charges one request to every limit, or to none of them."""
    binding: RollingLimit | None = None
    least = 0
    for limit in limits:
        remaining = limit.amount - limit._used.total(now_s)
        if remaining <= 0:
            return _refuse(limits, now_s)
        if binding is None or remaining < least:
            binding, least = limit, remaining
    for limit in limits:
        limit._used.add(now_s)
    return _NOTHING_TAKEN if binding is None else Taken(binding.standing_after_take(least - 1))


_NOTHING_TAKEN = Taken(None)


def _refuse(limits: Sequence[RollingLimit], now_s: float) -> Refused:
    spent = [limit for limit in limits if limit.remaining(now_s) == 0]
    longest = max(spent, key=lambda limit: limit.wait_for_room(now_s))
    return Refused(longest.standing(now_s), longest.wait_for_room(now_s))
