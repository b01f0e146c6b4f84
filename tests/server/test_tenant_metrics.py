"""Metrics of tenants: what is counted, and that their number stays bounded."""

from collections.abc import Sequence

from msgspec.structs import replace
from prometheus_client import CollectorRegistry
from prometheus_client.registry import Collector

from gateway_runtime.contract.health import LimitReport, TenantReport
from gateway_runtime.contract.tenant import Limit, LimitResource, Tenant
from gateway_runtime.contract.usd import PICOS
from gateway_runtime.engine.limits import Refused, Standing
from gateway_runtime.ledger.row import LARGEST
from gateway_runtime.providers.usage import Usage
from gateway_runtime.server.record import Record, Used
from gateway_runtime.server.tenant_metrics import MOST_TENANTS, OTHER, TenantMetrics
from tests.contract.tables import build_tenant

RPM = Limit(name="rpm", amount=10, window_s=60.0)
DOLLARS = Limit(name="dollars", amount=50 * PICOS, window_s=3600.0, resource="USD")
TEAM = build_tenant(limits=[RPM, DOLLARS])


def make(*tenants: Tenant) -> TenantMetrics:
    metrics = TenantMetrics()
    metrics.note_table(tenants)
    return metrics


def end(tenant: Tenant, usage: Usage | None = None, cost: int | None = None) -> Record:
    """A request of the tenant is over."""
    record = Record("id", "/v1/chat/completions", 0.0)
    record.tenant, record.attempts, record.status = tenant, 1, 200
    record.usage, record.cost_usd_picos = usage, cost
    return record


def refuse(tenant: Tenant, limit: str, resource: LimitResource = "Requests") -> Record:
    record = end(tenant)
    record.attempts, record.status = 0, 429
    record.refused = Refused(Standing(limit, 10, 0, 60.0), 60.0, resource=resource)
    return record


def count(metrics: TenantMetrics, *records: Record) -> None:
    for record in records:
        assert record.tenant is not None
        metrics.count(record, record.tenant)


def read(metrics: TenantMetrics, name: str, **labels: str) -> float | None:
    class Room(Collector):
        def collect(self) -> Sequence[object]:  # type: ignore[override]  # an iterator would be spent
            return list(metrics.collect())

    registry = CollectorRegistry()
    registry.register(Room())
    return registry.get_sample_value(f"headgate_tenant_{name}", labels)


def test_tokens_and_cost_add_up_by_tenant() -> None:
    metrics = make(TEAM)
    count(metrics, end(TEAM, Usage(10, 20), 3 * PICOS // 2), end(TEAM, Usage(1, 2), 10**9), end(TEAM))

    assert read(metrics, "tokens_total", tenant=TEAM.id, direction="input") == 11
    assert read(metrics, "tokens_total", tenant=TEAM.id, direction="output") == 22
    assert read(metrics, "cost_usd_total", tenant=TEAM.id) == 1.501


def test_what_was_settled_and_written_down_counts_before_what_was_told() -> None:
    metrics = make(TEAM)
    record = end(TEAM, Usage(10, 20), PICOS)
    record.used = Used(Usage(10, 25), 2 * PICOS, estimated=True)
    count(metrics, record)

    assert read(metrics, "tokens_total", tenant=TEAM.id, direction="output") == 25
    assert read(metrics, "cost_usd_total", tenant=TEAM.id) == 2


def test_an_estimate_is_counted_where_no_ledger_asked_for_it() -> None:
    metrics = make(TEAM)
    record = end(TEAM)
    record.asked_bytes, record.events = 400, 7
    count(metrics, record)

    assert read(metrics, "tokens_total", tenant=TEAM.id, direction="input") == 100
    assert read(metrics, "tokens_total", tenant=TEAM.id, direction="output") == 7


def test_a_cost_that_cannot_be_true_is_left_out_as_in_the_ledger() -> None:
    metrics = make(TEAM)
    count(metrics, end(TEAM, Usage(1, 1), LARGEST + 1))

    assert read(metrics, "cost_usd_total", tenant=TEAM.id) == 0


def test_refusals_are_counted_by_limit_and_by_what_it_counts() -> None:
    metrics = make(TEAM)
    count(metrics, refuse(TEAM, "rpm"), refuse(TEAM, "rpm"), refuse(TEAM, "dollars", "USD"))
    labels = {"tenant": TEAM.id, "limit": "rpm"}

    assert read(metrics, "limit_refusals_total", **labels, resource="Requests") == 2
    assert read(metrics, "limit_refusals_total", tenant=TEAM.id, limit="dollars", resource="USD") == 1


def test_refusals_by_a_limit_that_is_gone_are_forgotten_and_those_of_the_parent_are_not() -> None:
    parent = build_tenant(name="department", limits=[replace(RPM, name="all")])
    child = replace(TEAM, parent=parent.id)
    metrics = make(parent, child)
    count(metrics, refuse(child, "rpm"), refuse(child, "all"))
    metrics.note_table([parent, replace(child, limits=(DOLLARS,))])
    labels = {"tenant": child.id, "resource": "Requests"}

    assert read(metrics, "limit_refusals_total", **labels, limit="rpm") is None
    assert read(metrics, "limit_refusals_total", **labels, limit="all") == 1


def test_the_standing_of_limits_is_shown_in_their_own_units() -> None:
    metrics = make(TEAM, build_tenant(name="free"))
    metrics.watch(
        lambda tenant: TenantReport(
            tenant=tenant.id,
            limits=(
                LimitReport(name="rpm", amount=10, used=4, held=0, resets_unix_s=None),
                LimitReport(
                    name="dollars",
                    amount=50 * PICOS,
                    used=12 * PICOS + PICOS // 2,
                    held=PICOS,
                    resets_unix_s=None,
                ),
            ),
        )
    )

    shown = [
        read(metrics, f"limit_{what}", tenant=TEAM.id, limit=limit)
        for limit in ("rpm", "dollars")
        for what in ("used", "held", "amount")
    ]
    assert shown == [4, 0, 10, 12.5, 1, 50]


def test_a_worker_whose_parent_tells_of_limits_shows_none() -> None:
    assert [family.name for family in make(TEAM).collect()] == [
        "headgate_tenant_tokens",
        "headgate_tenant_cost_usd",
        "headgate_tenant_limit_refusals",
    ]


def test_a_tenant_that_leaves_the_table_leaves_the_metrics() -> None:
    metrics = make(TEAM)
    count(metrics, end(TEAM, Usage(1, 1)))
    metrics.note_table([])

    assert read(metrics, "tokens_total", tenant=TEAM.id, direction="input") is None


def test_tenants_beyond_the_bound_are_counted_together_and_the_first_of_the_table_by_themselves() -> None:
    tenants = [build_tenant(name=f"t{i:04d}", limits=[RPM]) for i in range(MOST_TENANTS + 2)]
    metrics = make(*tenants)
    count(metrics, *(end(tenant, Usage(1, 2), PICOS) for tenant in reversed(tenants)))
    count(metrics, refuse(tenants[-1], "rpm"), refuse(tenants[-2], "another"))

    assert read(metrics, "tokens_total", tenant=tenants[0].id, direction="input") == 1
    assert read(metrics, "tokens_total", tenant=tenants[-1].id, direction="input") is None
    assert read(metrics, "tokens_total", tenant="other", direction="output") == 4
    assert read(metrics, "cost_usd_total", tenant="other") == 2
    assert read(metrics, "limit_refusals_total", tenant="other", limit="", resource="Requests") == 2


def test_who_has_a_label_keeps_it_and_a_place_that_gets_free_goes_to_the_next() -> None:
    tenants = [build_tenant(name=f"t{i:04d}") for i in range(MOST_TENANTS)]
    newcomer, first = build_tenant(name="t9999"), build_tenant(name="a")
    metrics = make(*tenants)
    metrics.note_table([first, *tenants, newcomer])
    count(metrics, end(first, Usage(1, 0)), end(tenants[-1], Usage(2, 0)))
    metrics.note_table([*tenants[1:], newcomer])
    count(metrics, end(newcomer, Usage(4, 0)))

    shown = {
        name: read(metrics, "tokens_total", tenant=name, direction="input")
        for name in ("other", first.id, tenants[-1].id, newcomer.id)
    }
    assert shown == {"other": 1, first.id: None, tenants[-1].id: 2, newcomer.id: 4}


def test_whose_requests_have_ended_is_told_once() -> None:
    other = build_tenant(name="other-team")
    metrics = make(TEAM, other)
    count(metrics, end(TEAM), end(TEAM), end(other))

    assert (metrics.take_moved(), metrics.take_moved()) == ({TEAM.id, other.id}, set())


def test_no_tenant_can_be_called_like_those_without_a_label() -> None:
    assert "/" in TEAM.id
    assert "/" not in OTHER
