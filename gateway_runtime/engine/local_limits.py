"""Limits that are counted at this gateway alone: what `book` makes where gateways share no store.

Each gateway spends an equal part of an amount, so that together they never admit more: see `share_of`.
"""

from collections.abc import Callable

from gateway_runtime.contract.amount import find_amount
from gateway_runtime.contract.stream import Share
from gateway_runtime.contract.tenant import Limit, Tenant
from gateway_runtime.engine.book import LimitIdentity
from gateway_runtime.engine.calendar import EndOf, PeriodEnd, find_period, find_zone
from gateway_runtime.engine.limits import RollingLimit, TenantLimit, share_of


class LocalMaker:
    def __init__(self, now: Callable[[], float], unix: Callable[[], float], share: Share) -> None:
        self._now = now
        self._unix = unix
        self.share = share
        """Set before the book is configured anew."""

    def build(self, owner: Tenant, limit: Limit, key: LimitIdentity) -> RollingLimit:
        return RollingLimit(
            limit.name,
            self._find_part(limit),
            limit.window_s,
            limit.resource,
            shadow=limit.shadow,
            end_of=self._find_end(limit),
            owner=owner.id,
            whose=key.whose,
        )

    def update(self, built: TenantLimit, owner: Tenant, limit: Limit) -> None:
        assert isinstance(built, RollingLimit), "the book has only what this has built"
        built.configure(
            self._find_part(limit),
            limit.window_s,
            shadow=limit.shadow,
            end_of=self._find_end(limit),
            now_s=self._now(),
        )

    def forget(self, built: TenantLimit) -> None:
        """What runs settles where it was charged; nobody looks there any more."""

    def _find_part(self, limit: Limit) -> int:
        return share_of(find_amount(limit, self._unix()), self.share.index, self.share.gateways)

    def _find_end(self, limit: Limit) -> EndOf | None:
        calendar = limit.calendar
        if calendar is None:
            return None
        zone, unix = find_zone(limit.zone), self._unix

        def end_of(now_s: float) -> PeriodEnd:
            unix_s = unix()
            end_unix_s = find_period(unix_s, calendar, zone).end_unix_s
            return PeriodEnd(now_s + end_unix_s - unix_s, end_unix_s)

        return end_of
