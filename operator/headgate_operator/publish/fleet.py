"""What is known of each gateway: whether it is connected, what it runs, what it refused, what it reports.

In: what sessions hear, with arrival times in seconds of one monotonic clock. Out: the `GatewayView`s that
rollup reads. `publisher` keeps one Fleet per term of leadership.

The one subtle rule: a gateway that left stays listed for `REMEMBERED_S`, so that `1/2` is said of a gateway
that crashed and not `1/1`; after that it is a gateway that was scaled away, and forgotten.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Final, NamedTuple

from gateway_runtime.contract.health import EndpointReport, HealthReport, TenantReport
from gateway_runtime.contract.ids import EndpointId, GatewayId, TenantId
from gateway_runtime.contract.stream import Nack, Version
from headgate_operator.rollup.views import GatewayView, HeardTenant

REMEMBERED_S: Final = 60.0
"""Longer than a pod needs to restart, shorter than anyone wants to see a deleted pod. A guess."""


class Reported(NamedTuple):
    """Those about which a report said something new that a status shows, counters aside."""

    endpoints: frozenset[EndpointId]
    tenants: frozenset[TenantId]


class Fleet:
    def __init__(self) -> None:
        self._views: dict[GatewayId, GatewayView] = {}
        """Replaced as a whole on each change, so that handing them out copies nothing."""
        self._left_at_s: dict[GatewayId, float] = {}
        """Of those that are not connected."""

    @property
    def connected(self) -> frozenset[GatewayId]:
        return frozenset(self._views.keys() - self._left_at_s.keys())

    @property
    def next_expiry_s(self) -> float | None:
        return min((left_at_s + REMEMBERED_S for left_at_s in self._left_at_s.values()), default=None)

    def expect(self, gateways: Iterable[GatewayId], now_s: float) -> None:
        """A new leader lists those of the old one as not connected, until they dial or are forgotten."""
        for gateway in gateways:
            self._views[gateway] = _unknown(gateway)
            self._left_at_s[gateway] = now_s

    def join(self, gateway: GatewayId, applied: Version | None) -> None:
        """What it reported before stays: a redial does not make its endpoints unknown."""
        self._left_at_s.pop(gateway, None)
        view = self._views.get(gateway, _unknown(gateway))
        self._views[gateway] = replace(view, connected=True, applied=applied)

    def leave(self, gateway: GatewayId, now_s: float) -> None:
        self._views[gateway] = replace(self._views[gateway], connected=False)
        self._left_at_s[gateway] = now_s

    def acknowledge(self, gateway: GatewayId, version: Version) -> None:
        self._views[gateway] = replace(self._views[gateway], applied=version, refused=None)

    def refuse(self, gateway: GatewayId, nack: Nack) -> bool:
        """Whether that is news."""
        before = self._views[gateway]
        self._views[gateway] = replace(before, refused=nack)
        return before.refused != nack

    def report(self, gateway: GatewayId, report: HealthReport, now_s: float) -> Reported:
        """A full report also drops the endpoints that are not in it; of tenants none is ever full."""
        view = self._views[gateway]
        before = view.reports
        said = {endpoint.endpoint: endpoint for endpoint in report.endpoints}
        gone = before.keys() - said.keys() if report.full else frozenset[EndpointId]()
        changed = {endpoint for endpoint, new in said.items() if not _same(before.get(endpoint), new)}
        after: Mapping[EndpointId, EndpointReport] = said
        if not report.full:
            after = {**before, **said} if said else before
        tenants = _hear(view.tenants, report.tenants, now_s)
        self._views[gateway] = replace(view, reports=after, reported_at_s=now_s, tenants=tenants)
        moved = {
            told.tenant
            for told in report.tenants
            if tenants.get(told.tenant) != view.tenants.get(told.tenant)
        }
        return Reported(frozenset(changed | gone), frozenset(moved))

    def forget(self, now_s: float) -> tuple[GatewayId, ...]:
        """Those that have been away for too long, now no longer listed."""
        gone = tuple(name for name, left_at_s in self._left_at_s.items() if left_at_s + REMEMBERED_S <= now_s)
        for gateway in gone:
            del self._views[gateway], self._left_at_s[gateway]
        return gone

    def views(self) -> tuple[GatewayView, ...]:
        """Sorted by name."""
        return tuple(view for _, view in sorted(self._views.items()))

    def answered(self, epoch: int) -> frozenset[GatewayId]:
        """Those connected that took or refused a version of this epoch."""
        return frozenset(name for name in self.connected if epoch in _epochs(self._views[name]))


def _epochs(view: GatewayView) -> tuple[int | None, int | None]:
    return (
        view.applied.epoch if view.applied else None,
        view.refused.version.epoch if view.refused else None,
    )


def _unknown(gateway: GatewayId) -> GatewayView:
    return GatewayView(
        gateway=gateway, connected=False, applied=None, refused=None, reports={}, reported_at_s=None
    )


def _hear(
    before: Mapping[TenantId, HeardTenant], told: Iterable[TenantReport], now_s: float
) -> Mapping[TenantId, HeardTenant]:
    """With the new reports. An empty one is of a tenant that has left the gateway's table, or has nothing to
    tell: there is nothing to remember of either.
    """
    after: dict[TenantId, HeardTenant] | None = None
    for report in told:
        if after is None:
            after = dict(before)  # 0.1 ms for 10,000 of them
        known = before.get(report.tenant)
        if not report.limits and not report.keys:
            after.pop(report.tenant, None)
        elif known is None or known.report.numbers != report.numbers:
            after[report.tenant] = HeardTenant(report, now_s)
        else:
            after[report.tenant] = HeardTenant(report, known.changed_at_s)
    return before if after is None else after


def _same(before: EndpointReport | None, after: EndpointReport) -> bool:
    return before is not None and (before.health, before.circuit, before.reason, before.latency_ms) == (
        after.health,
        after.circuit,
        after.reason,
        after.latency_ms,
    )
