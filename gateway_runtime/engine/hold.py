"""Reserve what a request may cost, then settle what it did cost: a Bound in, Reserved with its Hold or
Refused out.

    reserve -> Hold --settle(spent)--> the rest is given back
                '----release---------> all is given back, but for the request itself

`server` asks `reserve` before the request is sent, and ends the hold exactly once, whatever became of it.
Nothing waits between the check of the limits and their charge, so that either all are charged or none is.

Rules. `settled + held <= amount` in every window of every limit: a hold counts with its bound, and settling
only ever lowers it, in the slot of its admission. So what was spent above the bound is cut to it, and told. A
request that was admitted counts for Requests however it ends: they bound how often a caller may ask, and one
whose requests all fail must not ask without end. A limit in shadow is charged like any other and refuses
nobody; its name is told where it would have.

Where one request may go over, it holds what is left of a limit, and what it spends above that is charged when
it ends. Until then no second one takes a rest: what others give back meanwhile may be spent already.
"""

from collections.abc import Sequence
from typing import TypeAlias

import msgspec

from gateway_runtime.engine.amounts import NOTHING, REQUESTS, TOTAL_TOKENS, USD, Bound, Needs, Spent
from gateway_runtime.engine.limits import (
    UNKNOWN_WAIT_S,
    Mark,
    Refused,
    Standing,
    TenantLimit,
    find_askable,
)

Charge: TypeAlias = tuple[TenantLimit, Mark, int]
"""What was charged, where, how much."""


class Hold:
    """Of one running request. It is not ended by being forgotten: then its bound counts for a window, and
    its part of Concurrency for ever.
    """

    __slots__ = ("charges", "cut", "ended_s", "may_exceed", "overdrawn")

    def __init__(
        self,
        charges: Sequence[Charge],
        *,
        may_exceed: bool = False,
        overdrawn: Sequence[TenantLimit] = (),
    ) -> None:
        """may_exceed: what was spent above what was held is charged, too. overdrawn: of which it holds less
        than it may spend.
        """
        self.charges = charges
        self.may_exceed = may_exceed
        self.overdrawn = overdrawn
        self.ended_s: float | None = None
        self.cut: tuple[str, ...] = ()
        """Limits by which more was spent than was held, or less than nothing: our bound was none, or the
        provider's usage is not to be believed.
        """

    @property
    def ended(self) -> bool:
        return self.ended_s is not None

    def settle(self, spent: Spent, now_s: float) -> bool:
        """Gives back what was held and not spent. False: it had ended before, and nothing happened."""
        if self.ended_s is not None:
            return False
        self.ended_s = now_s
        amounts = spent.by_place()
        for limit, mark, held in self.charges:
            amount = amounts[limit.place]
            if not 0 <= amount <= held and not (self.may_exceed and amount > held):
                self.cut = (*self.cut, limit.name)
                amount = min(max(0, amount), held)
            mark.settle(held, amount)
        for limit in self.overdrawn:
            limit.is_overdrawn = False
        return True

    def release(self, now_s: float) -> bool:
        """Nothing was spent. False: it had ended before, and nothing happened."""
        return self.settle(NOTHING, now_s)

    def __repr__(self) -> str:
        held = ", ".join([f"{limit.name} {amount}" for limit, _, amount in self.charges])
        ended = "" if self.ended_s is None else f", ended at {self.ended_s:g} s"
        return f"<Hold of {held or 'nothing'}{ended}>"


class Reserved(msgspec.Struct, frozen=True, gc=False):
    hold: Hold
    requests: Standing | None
    """With the limit of requests that has least left, this one counted. None: there is none. Limits in
    shadow stay unseen.
    """
    tokens: Standing | None
    """The same, among InputTokens, OutputTokens and TotalTokens."""
    shadow: tuple[str, ...] = ()
    """Limits in shadow that would have refused it."""
    unpriced: bool = False
    """There is a limit of money, and nothing was charged to it."""


def reserve(
    limits: Sequence[TenantLimit], bound: Bound, now_s: float, *, allow_unpriced: bool, one_over: bool = False
) -> Reserved | Refused:
    """Charges the bound to every limit, or to none of them.

    allow_unpriced: a request without a known price passes limits of money, which then count nothing.
    one_over: of tokens and money whatever is left will do, for one request at a time.
    """
    needs = bound.by_place()
    requests: TenantLimit | None = None
    tokens: TenantLimit | None = None
    least_requests = least_tokens = 0
    shadow: tuple[str, ...] = ()
    for limit in limits:
        place = limit.place
        need = needs[place]
        left = -1 if need is None or need < 0 else limit.room(now_s) - need
        if left < 0 and need != 0:
            if need is None and allow_unpriced:
                continue
            if need is not None and need < 0:
                raise ValueError(f"a request can't cost less than nothing: {bound}")
            takes_rest = one_over and need is not None and _leaves_rest(limit, need, now_s)
            if limit.shadow:
                shadow = shadow if takes_rest else (*shadow, limit.name)
                continue
            if not takes_rest:
                return _refuse(limits, needs, now_s, allow_unpriced=allow_unpriced, one_over=one_over)
            left = 0
        if limit.shadow:
            continue
        if place == REQUESTS:
            left = limit.overall(left)
            if requests is None or left < least_requests:
                requests, least_requests = limit, left
        elif place <= TOTAL_TOKENS:
            left = limit.overall(left)
            if tokens is None or left < least_tokens:
                tokens, least_tokens = limit, left
    charges: list[Charge] = []
    overdrawn: list[TenantLimit] = []
    unpriced = False
    for limit in limits:
        place = limit.place
        if place == REQUESTS:
            limit.add(now_s)
        elif (need := needs[place]) is None:
            unpriced = True
        else:  # nothing is held too, so that `settle` tells when something was spent nevertheless
            held = need
            if one_over and place <= USD and not limit.shadow and 0 < (room := limit.room(now_s)) < need:
                held = room
                limit.is_overdrawn = True
                overdrawn.append(limit)
            charges.append((limit, limit.hold(now_s, held), held))
    return Reserved(
        Hold(charges, may_exceed=one_over, overdrawn=overdrawn),
        None if requests is None else requests.standing_after_take(least_requests, now_s),
        None if tokens is None else _standing_with_tokens(tokens, needs, least_tokens, now_s),
        shadow,
        unpriced,
    )


def _leaves_rest(limit: TenantLimit, need: int, now_s: float) -> bool:
    """Whether a request that may go over can have what is left, since nobody has it and no store has more."""
    return (
        limit.place <= USD
        and not limit.is_overdrawn
        and limit.room(now_s) > 0
        and not limit.may_ask(now_s, need)
    )


def _standing_with_tokens(limit: TenantLimit, needs: Needs, remaining: int, now_s: float) -> Standing:
    """Embeddings put nothing out, so nothing may have been taken."""
    return limit.standing_after_take(remaining, now_s) if needs[limit.place] else limit.standing(now_s)


def _refuse(
    limits: Sequence[TenantLimit], needs: Needs, now_s: float, *, allow_unpriced: bool, one_over: bool
) -> Refused:
    """Of the limits that have no room, names one that never has, or else the one to wait longest for."""
    shadow: list[str] = []
    refusing: list[tuple[bool, float, TenantLimit, int | None]] = []
    others: list[tuple[TenantLimit, int]] = []
    for limit in limits:
        need = needs[limit.place]
        room = limit.room(now_s)
        if need == 0:
            continue
        if need is None:
            never, wait_s, fits = True, limit.longest_s, allow_unpriced
        elif one_over and limit.is_overdrawn and room > 0:
            never, wait_s, fits = False, UNKNOWN_WAIT_S, room >= need
        else:
            if one_over and limit.place <= USD and not limit.may_ask(now_s, need):
                need = min(need, 1)  # anything will do, once no store has more
            # One request is never too large. Where a share is 0, another gateway may have room for it.
            never = need > limit.amount and limit.place <= USD
            wait_s, fits = limit.wait_for_room(now_s, need), room >= need
        if fits:
            if need is not None and not limit.shadow:
                others.append((limit, need))
            continue
        if limit.shadow:
            shadow.append(limit.name)
        else:
            refusing.append((never, wait_s, limit, need))
    never, wait_s, limit, need = max(refusing, key=lambda found: found[:2])
    short = [(one, need or 0) for _, _, one, need in refusing]
    return Refused(
        limit.standing(now_s),
        wait_s,
        resource=limit.resource,
        needed=need or 0,
        never=never,
        unpriced=need is None,
        shadow=tuple(shadow),
        askable=() if never else find_askable(short, others, now_s),
        owner=limit.owner,
        whose=limit.whose,
    )
