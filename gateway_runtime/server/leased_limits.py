"""The limits that a gateway shares with others, one object for each key: what `book` asks for in, a
LeasedLimit out, and its end.

    build -> in use -> forget (its tenant is deleted) -> left -> (told, and nothing counts) -> dropped
                ^---------- build, update -----------------'

`lease_desk` has one of these and says what is said to the store. A limit that left gives back what it holds
in advance, and is kept until nothing of it counts any more: the store may lose its memory and has to be told
again, and the tenant may be created again.

The one subtle rule: one that comes back goes on as the same object. Two for one key would take each other's
lease, and what the first has not told yet would never be counted.
"""

from collections.abc import Callable
from itertools import islice
from typing import Final

from gateway_runtime.contract.amount import find_amount
from gateway_runtime.contract.tenant import Limit, Tenant
from gateway_runtime.engine.book import LimitIdentity
from gateway_runtime.engine.calendar import Period, find_period, find_zone
from gateway_runtime.engine.lease import LeasedLimit
from gateway_runtime.engine.lease_grant import Term
from gateway_runtime.server.endpoint import Clock

LEFT_KEPT: Final = 1000
"""Limits that left and have told all; of more the oldest are dropped, though what they used may count for
weeks: the store knows it, and tells nobody only when it loses its memory. Each takes some kilobytes. A guess.
"""


class LeasedLimits:
    def __init__(
        self,
        clock: Clock,
        term: Term,
        on_use: Callable[[LeasedLimit], None],
        on_drop: Callable[[LeasedLimit], None],
    ) -> None:
        """on_use: as LeasedLimit has it. on_drop: it has nothing to say any more."""
        self._clock = clock
        self._term = term
        self._on_use = on_use
        self._on_drop = on_drop
        self._known: dict[str, dict[str, LeasedLimit]] = {}
        """By root and key."""
        self._left: dict[LeasedLimit, float] = {}
        """Those of which nobody may know any more, and until when they are kept; the oldest first."""

    def build(self, owner: Tenant, limit: Limit, key: LimitIdentity) -> LeasedLimit:
        # Never the parent's: an edit of `parent` would let what was used be counted anew elsewhere.
        root_id, name = owner.id, "/".join((*key.kind, key.value))
        known = self._known.get(root_id, {}).get(name)
        if known is not None:
            self._configure(known, owner, limit)
            if known in self._left:  # still: the book may have it again, or a request of the table before
                self._keep_for_now(known)
            return known
        built = LeasedLimit(
            limit.name,
            find_amount(limit, self._clock.unix()),
            limit.resource,
            limit.window_s,
            key=name,
            root=root_id,
            shadow=limit.shadow,
            periods=self._find_periods(limit),
            strict=owner.deny_without_store,
            term=self._term,
            on_use=self._on_use,
            owner=owner.id,
            whose=key.whose,
        )
        self._known.setdefault(root_id, {})[name] = built
        return built

    def update(self, built: LeasedLimit, owner: Tenant, limit: Limit) -> None:
        self._left.pop(built, None)
        self._configure(built, owner, limit)

    def forget(self, built: LeasedLimit) -> None:
        """The book has: what it holds goes back with the next call."""
        if built.is_idle(self._clock.now()):
            self._drop(built)
        elif self.has(built):
            built.recall()
            self._keep_for_now(built)

    def has(self, limit: LeasedLimit) -> bool:
        """Whether it is the one for its key. Not so of one that a request still holds, and that was dropped
        and built anew since: it is granted nothing more, and what it has charged stays charged as a whole.
        """
        same = self._known.setdefault(limit.root, {})
        if limit.key not in same:  # it was dropped, and is used all the same
            same[limit.key] = limit
            self._keep_for_now(limit)
        return same[limit.key] is limit

    def has_any(self, root_id: str) -> bool:
        return root_id in self._known

    def drop_left(self, now_s: float, is_lost: Callable[[LeasedLimit], bool]) -> None:
        """Those of which nothing counts any more, and the oldest of too many. is_lost: nobody listens, and
        what it has to say may go untold. It counts no more, and its lease is charged as a whole by then.
        """
        for limit, until_s in list(self._left.items()):
            if now_s >= until_s:
                if limit.is_idle(now_s) or is_lost(limit):
                    self._drop(limit)
                else:
                    self._keep_for_now(limit)
        told = (limit for limit in self._left if not limit.has_something())
        for limit in list(islice(told, max(0, len(self._left) - LEFT_KEPT))):
            self._drop(limit)

    def _configure(self, built: LeasedLimit, owner: Tenant, limit: Limit) -> None:
        built.configure(
            find_amount(limit, self._clock.unix()),
            limit.window_s,
            shadow=limit.shadow,
            periods=self._find_periods(limit),
            strict=owner.deny_without_store,
        )

    def _keep_for_now(self, limit: LeasedLimit) -> None:
        """Seen from now, until nothing of it counts any more. It goes behind the others."""
        self._left.pop(limit, None)
        self._left[limit] = self._clock.now() + 2 * limit.longest_s + self._term.term_s

    def _drop(self, limit: LeasedLimit) -> None:
        self._left.pop(limit, None)
        same = self._known.get(limit.root, {})
        if same.get(limit.key) is limit:
            del same[limit.key]
            if not same:
                del self._known[limit.root]
            self._on_drop(limit)

    def _find_periods(self, limit: Limit) -> "_Periods | None":
        return None if limit.calendar is None else _Periods(limit, self._clock)

    def __repr__(self) -> str:
        known = sum(map(len, self._known.values()))
        return f"<LeasedLimits: {known} of {len(self._known)} roots, {len(self._left)} left>"


class _Periods:
    """See `lease_scope.Periods`."""

    def __init__(self, limit: Limit, clock: Clock) -> None:
        assert limit.calendar is not None, "a rolling window has no periods"
        self._calendar = limit.calendar
        self._zone = find_zone(limit.zone)
        self._clock = clock
        self._this: Period | None = None

    def told(self) -> tuple[int, ...]:
        this = self._find(self._clock.unix())
        following = find_period(this.end_unix_s, self._calendar, self._zone)
        return tuple(moment * 1000 for moment in (*this, *following))

    def passed_s(self) -> float:
        unix_s = self._clock.unix()
        return unix_s - self._find(unix_s).start_unix_s

    def left_s(self) -> float:
        unix_s = self._clock.unix()
        return self._find(unix_s).end_unix_s - unix_s

    def _find(self, unix_s: float) -> Period:
        """Asked for each request, and takes 6 µs to find out."""
        this = self._this
        if this is None or not this.start_unix_s <= unix_s < this.end_unix_s:
            this = self._this = find_period(unix_s, self._calendar, self._zone)
        return this
