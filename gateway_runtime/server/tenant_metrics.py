"""What Prometheus is told of tenants: tokens, cost and refusals of each, and how its limits stand.

`metrics` passes on every record that is over, and each new table; `tenant_news` asks whose requests have
ended. How limits stand comes at each scrape from the function that tells the operator.

The one subtle rule: labels are given out when a table comes, in its order, so that all workers and gateways
that serve the same tables have the same ones. A request adds to plain numbers that one look-up finds.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from gateway_runtime.contract.health import TenantReport
from gateway_runtime.contract.ids import TenantId
from gateway_runtime.contract.tenant import LimitResource, Tenant
from gateway_runtime.contract.usd import PICOS
from gateway_runtime.ledger.row import LARGEST
from gateway_runtime.server.record import Record
from gateway_runtime.server.used import find_used

MOST_TENANTS: Final = 1_000
"""With series of their own. Each has a dozen with two limits, so that these are about as many series as all
others together; ten times as many would make each scrape half a second's work.
"""
OTHER: Final = TenantId("other")
"""All that came after them, together. No tenant is called so: their ids have a slash."""


class TenantTally:
    """Since the process began."""

    __slots__ = ("cost_usd_picos", "input_tokens", "output_tokens", "refusals")

    def __init__(self) -> None:
        self.input_tokens = 0
        self.output_tokens = 0
        self.cost_usd_picos = 0
        """Exact; a scraper gets it as a float, in dollars."""
        self.refusals: dict[tuple[str, LimitResource], int] = {}
        """By the limit's name and what it counts. `OTHER` has no names: they would be without bound."""


class TenantMetrics:
    def __init__(self) -> None:
        self._labelled: dict[TenantId, Tenant] = {}
        self._tallies: dict[TenantId, TenantTally] = {}
        """Of those that have asked for something; those without a label share one."""
        self._other = TenantTally()
        self._has_others = False
        self._moved: set[TenantId] = set()
        self._describe: Callable[[Tenant], TenantReport] | None = None

    def watch(self, describe: Callable[[Tenant], TenantReport]) -> None:
        """Asked at each scrape, for each tenant with a label."""
        self._describe = describe

    def note_table(self, tenants: Sequence[Tenant]) -> None:
        """Who has a label keeps it while it is in the table; the table's order decides about the rest."""
        there = {tenant.id: tenant for tenant in tenants}
        kept = {tenant: there[tenant] for tenant in self._labelled if tenant in there}
        for tenant in tenants:
            if len(kept) >= MOST_TENANTS:
                break
            kept.setdefault(tenant.id, tenant)
        self._labelled = kept
        self._tallies = {
            tenant: tally
            for tenant, tally in self._tallies.items()
            if tenant in kept and tally is not self._other
        }
        for tenant_id, tally in self._tallies.items():
            names = _name_limits(kept[tenant_id], there)
            tally.refusals = {key: count for key, count in tally.refusals.items() if key[0] in names}

    def count(self, record: Record, tenant: Tenant) -> None:
        """record: over. tenant: the record's. It counts what the ledger's row says, and takes 0.2 µs."""
        tenant_id = tenant.id
        tally = self._tallies.get(tenant_id)
        if tally is None:
            tally = self._find_tally(tenant_id)
        self._moved.add(tenant_id)
        used = record.used
        if used is None and record.asked_bytes:
            used = find_used(record)
        # Where no ledger asked and nothing was estimated, it is what providers told: to find that takes 1 µs.
        if used is None:
            usage, cost = record.usage, record.cost_usd_picos
        else:
            usage, cost = used.usage, used.cost_usd_picos
        if usage is not None:
            tally.input_tokens += usage.input_tokens
            tally.output_tokens += usage.output_tokens
        if cost is not None and 0 <= cost <= LARGEST:
            tally.cost_usd_picos += cost
        if record.refused is not None:
            name = "" if tally is self._other else record.refused.standing.name
            key = (name, record.refused.resource)
            tally.refusals[key] = tally.refusals.get(key, 0) + 1

    def take_moved(self) -> set[TenantId]:
        """Whose requests have ended since the last call."""
        moved, self._moved = self._moved, set()
        return moved

    def collect(self) -> Iterator[Metric]:
        yield from self._collect_tallies()
        if self._describe is not None:
            yield from self._collect_limits(self._describe)

    def _find_tally(self, tenant: TenantId) -> TenantTally:
        tally = TenantTally()
        if tenant not in self._labelled:
            tally = self._other
            self._has_others = True
        self._tallies[tenant] = tally
        return tally

    def _collect_tallies(self) -> Iterator[Metric]:
        tokens = CounterMetricFamily(
            "headgate_tenant_tokens", "Tokens of tenants.", labels=["tenant", "direction"]
        )
        cost = CounterMetricFamily(
            "headgate_tenant_cost_usd", "What tenants' tokens cost, in US dollars.", labels=["tenant"]
        )
        refusals = CounterMetricFamily(
            "headgate_tenant_limit_refusals",
            "Requests that a limit refused.",
            labels=["tenant", "limit", "resource"],
        )
        tallies = {tenant: tally for tenant, tally in self._tallies.items() if tally is not self._other}
        if self._has_others:
            tallies[OTHER] = self._other
        for tenant, tally in tallies.items():
            tokens.add_metric([tenant, "input"], tally.input_tokens)
            tokens.add_metric([tenant, "output"], tally.output_tokens)
            cost.add_metric([tenant], tally.cost_usd_picos / PICOS)
            for (limit, resource), count in tally.refusals.items():
                refusals.add_metric([tenant, limit, resource], count)
        yield from (tokens, cost, refusals)

    def _collect_limits(self, describe: Callable[[Tenant], TenantReport]) -> Iterator[Metric]:
        labels = ["tenant", "limit"]
        amounts = GaugeMetricFamily(
            "headgate_tenant_limit_amount",
            "Of a limit, in force now: requests, tokens, dollars.",
            labels=labels,
        )
        used = GaugeMetricFamily(
            "headgate_tenant_limit_used", "Of it, used in its window or period.", labels=labels
        )
        held = GaugeMetricFamily(
            "headgate_tenant_limit_held", "Of it, reserved for running requests.", labels=labels
        )
        for tenant_id, tenant in self._labelled.items():
            units = {limit.name: PICOS if limit.resource == "USD" else 1 for limit in tenant.limits}
            for report in describe(tenant).limits if tenant.limits else ():
                unit, at = units.get(report.name, 1), [tenant_id, report.name]
                amounts.add_metric(at, report.amount / unit)
                used.add_metric(at, report.used / unit)
                held.add_metric(at, report.held / unit)
        yield from (amounts, used, held)


def _name_limits(tenant: Tenant, tenants: Mapping[TenantId, Tenant]) -> set[str]:
    """Those that may refuse it: its own and its parent's."""
    parent = None if tenant.parent is None else tenants.get(tenant.parent)
    return {limit.name for owner in (tenant, parent) if owner is not None for limit in owner.limits}
