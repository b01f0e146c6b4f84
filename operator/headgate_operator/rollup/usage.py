"""How each limit of a quota stands, as all gateways together tell it: reports in, a `LimitUse` for each out.

| the gateways' reports of a limit           | used and held                                                 |
|--------------------------------------------|---------------------------------------------------------------|
| of their own use                           | the sum                                                       |
| some of all gateways, by their store       | the report that changed last: the store counts for everybody, |
|                                            | and what a gateway spends without it was granted by it before |
| none within 45 s                           | not known                                                     |

A gateway that has left counts until its last report is stale: what it used was used. Of a limit that is for
each user, key or model, every gateway tells the one that is nearest to its amount, and those need not be the
same: their sum is then at most too large.

Called by `quota_values`, for the limits that the table has. Pure: times are arguments.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from gateway_runtime.contract.amount import find_amount
from gateway_runtime.contract.health import LimitReport
from gateway_runtime.contract.ids import TenantId
from gateway_runtime.contract.tenant import Limit
from headgate_operator.rollup.views import GatewayView


@dataclass(frozen=True, slots=True)
class LimitUse:
    limit: Limit
    amount: int
    """In force at the gateways; where none has told, by the table and the time."""
    used: int | None
    """None: no gateway has told."""
    held: int
    resets_unix_s: float | None
    missing: bool
    """Some gateway's own use is not in it."""

    @property
    def remaining(self) -> int:
        return max(0, self.amount - (self.used or 0) - self.held)

    @property
    def percent(self) -> int:
        """Rounded down, so that 100 is never said while something is left."""
        taken = (self.used or 0) + self.held
        return taken * 100 // self.amount if self.amount > 0 else 100


@dataclass(frozen=True, slots=True)
class QuotaUse:
    limits: tuple[LimitUse, ...]
    """In the order of the table."""
    told: int
    """Gateways whose reports are in it."""
    gateways: int
    """Those, and the connected ones that have not told."""


@dataclass(frozen=True, slots=True)
class _Told:
    report: LimitReport
    changed_at_s: float


def add_up(
    tenant: TenantId, limits: Sequence[Limit], gateways: Sequence[GatewayView], now_s: float, unix_s: float
) -> QuotaUse:
    """`now_s`: on the clock of the views. `unix_s`: the same moment, by the overrides."""
    heard = [view for view in gateways if view.is_fresh(now_s) and tenant in view.tenants]
    total = sum(view.connected or view in heard for view in gateways)
    by_name: dict[str, list[_Told]] = {limit.name: [] for limit in limits}
    for view in sorted(heard, key=lambda view: view.gateway):
        said = view.tenants[tenant]
        for report in said.report.limits:
            if report.name in by_name:
                by_name[report.name].append(_Told(report, said.changed_at_s))
    return QuotaUse(
        tuple(_join(limit, by_name[limit.name], total, unix_s) for limit in limits), len(heard), total
    )


def _join(limit: Limit, told: Sequence[_Told], gateways: int, unix_s: float) -> LimitUse:
    if not told:
        return LimitUse(limit, find_amount(limit, unix_s), None, 0, None, missing=gateways > 0)
    shared = [one for one in told if one.report.shared]
    counted = [one.report for one in told]
    if shared:
        counted = [max(shared, key=lambda one: one.changed_at_s).report]
    resets = [report.resets_unix_s for report in counted if report.resets_unix_s is not None]
    return LimitUse(
        limit,
        # While an edit is on its way the gateways differ: the newest word is the nearest to what comes.
        max(told, key=lambda one: one.changed_at_s).report.amount,
        sum(report.used for report in counted),
        sum(report.held for report in counted),
        max(resets, default=None),
        missing=not shared and len(told) < gateways,
    )
