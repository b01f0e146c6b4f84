"""Whose use is to be told next: tenants that moved in, their TenantReports out, a hundred at a time.

    a table, a new listener -> all of its tenants -.
    requests that ended     -> their tenants -------+-> due -> described -> told, where it is news
    time that goes by       -> those in motion, by turn'

`report` asks once a second. A tenant that nothing happened to is not even looked at, since to describe 10,000
would take a tenth of each second. In motion are those that have used something, which gets free again by
time alone, and those with an override, which ends by it.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import Final

from gateway_runtime.contract.health import TenantReport
from gateway_runtime.contract.ids import TenantId
from gateway_runtime.contract.tenant import Tenant

AT_ONCE: Final = 100
"""Described without a pause: 1 ms."""
PER_BEAT: Final = 1_000
"""12 ms of each second at most. Where more tenants are at work, each is told every few seconds."""
BY_TURN: Final = 100
"""Of those in motion. A guess: small installations see a window drain within the second."""


class TenantNews:
    def __init__(
        self, describe: Callable[[Tenant], TenantReport], take_moved: Callable[[], Iterable[TenantId]]
    ) -> None:
        """take_moved: tenants of requests that have ended since it was called last."""
        self._describe = describe
        self._take_moved = take_moved
        self._tenants: dict[TenantId, Tenant] = {}
        self._due: dict[TenantId, None] = {}
        """In the order in which they are told."""
        self._in_motion: dict[TenantId, None] = {}
        self._told: dict[TenantId, TenantReport] = {}
        """To the listener of now."""
        self._begins = True
        """A listener has heard nothing yet."""

    def note_table(self, tenants: Sequence[Tenant]) -> None:
        before = self._tenants
        self._tenants = {tenant.id: tenant for tenant in tenants}
        for tenant in tenants:
            known = before.get(tenant.id)
            if known is None or known.limits != tenant.limits:
                self._due[tenant.id] = None
        self._begins = self._begins or not before
        for gone in before.keys() - self._tenants.keys():
            self._due[gone] = None

    def begin(self) -> None:
        """There is a new listener, who knows nothing."""
        self._told.clear()
        self._due = dict.fromkeys(self._tenants)
        self._begins = True

    def take_batches(self) -> Iterator[tuple[TenantReport, ...]]:
        """To be called once a second. A new listener gets all at once: what it has not heard of would be
        unknown to it, and be told so to others.
        """
        self._due.update(dict.fromkeys(self._take_moved()))
        for tenant in list(islice(self._in_motion, BY_TURN)):
            del self._in_motion[tenant]
            self._due[tenant] = None
        left = len(self._due) if self._begins else PER_BEAT
        self._begins = False
        while self._due and left > 0:
            batch = list(islice(self._due, min(AT_ONCE, left)))
            left -= len(batch)
            if news := tuple([report for tenant in batch if (report := self._look(tenant)) is not None]):
                yield news

    def _look(self, tenant_id: TenantId) -> TenantReport | None:
        """None: it is as was told."""
        del self._due[tenant_id]
        tenant = self._tenants.get(tenant_id)
        told = self._told.get(tenant_id)
        if tenant is None:
            self._in_motion.pop(tenant_id, None)
            if told is None:
                return None
            del self._told[tenant_id]
            return TenantReport(tenant=tenant_id, limits=())
        report = self._describe(tenant)
        overridden = any(limit.overrides for limit in tenant.limits)
        if overridden or any(limit.used or limit.held for limit in report.limits):
            self._in_motion[tenant_id] = None
        if report == told or (told is None and not report.limits and not report.keys):
            return None
        self._told[tenant_id] = report
        return report
