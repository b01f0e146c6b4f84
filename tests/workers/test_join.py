"""Several workers' words as one."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from gateway_runtime.contract.health import (
    Circuit,
    EndpointReport,
    Health,
    KeyUse,
    LimitReport,
    TenantReport,
)
from gateway_runtime.contract.ids import EndpointId
from gateway_runtime.contract.stream import Share
from gateway_runtime.contract.tenant import Limit, Override
from gateway_runtime.engine.limits import share_of
from gateway_runtime.workers.join import ToldTenant, join_reports, join_tenant, share_for
from tests.contract.tables import build_tenant


def report(
    circuit: Circuit = "Closed",
    *,
    health: Health = "Unknown",
    reason: str = "",
    since_s: float = 100.0,
    latency_ms: float | None = None,
    requests: int = 0,
    failures: int = 0,
) -> EndpointReport:
    return EndpointReport(
        endpoint=EndpointId("chat/openai/e0"),
        health=health,
        circuit=circuit,
        reason=reason,
        since_s=since_s,
        latency_ms=latency_ms,
        requests=requests,
        failures=failures,
    )


def join(*told: EndpointReport, probed: EndpointReport | None = None, workers: int = 4) -> EndpointReport:
    return join_reports(probed or report(), told, workers)


@given(
    amount=st.integers(0, 10_000),
    index=st.integers(0, 20),
    more=st.integers(1, 20),
    workers=st.integers(1, 64),
)
def test_the_parts_of_a_pods_workers_add_up_to_the_pods_part(
    amount: int, index: int, more: int, workers: int
) -> None:
    pod = Share(index=index, gateways=index + more)

    parts = [share_for(pod, worker, workers) for worker in range(workers)]

    assert sum(share_of(amount, part.index, part.gateways) for part in parts) == share_of(
        amount, pod.index, pod.gateways
    )


@given(amount=st.integers(0, 1_000), pods=st.lists(st.integers(1, 16), min_size=1, max_size=6))
def test_pods_with_different_numbers_of_workers_still_share_the_whole_amount(
    amount: int, pods: Sequence[int]
) -> None:
    parts = [
        share_for(Share(index=index, gateways=len(pods)), worker, workers)
        for index, workers in enumerate(pods)
        for worker in range(workers)
    ]

    assert sum(share_of(amount, part.index, part.gateways) for part in parts) == amount


def test_a_circuit_that_one_worker_holds_open_is_open_and_the_reason_counts() -> None:
    joined = join(report(), report("Open", reason="5 failures in a row, last: timeout"), report(), report())

    assert joined.circuit == "Open"
    assert joined.reason == "open in 1 of 4 workers: 5 failures in a row, last: timeout"


def test_the_newest_of_several_reasons_is_told() -> None:
    joined = join(report("Open", reason="old", since_s=1.0), report("Open", reason="new", since_s=2.0))

    assert joined.reason == "open in 2 of 4 workers: new"


def test_half_open_is_worse_than_closed_and_better_than_open() -> None:
    half, opened = report("HalfOpen"), report("Open")

    assert join(report(), half).circuit == "HalfOpen"
    assert join(report(), half).reason == "half-open in 1 of 4 workers"
    assert join(report(), half, opened).circuit == "Open"


def test_the_parents_probes_alone_say_what_health_is() -> None:
    joined = join(
        report("Open", health="Healthy", reason="5 failures in a row"),
        probed=report(health="Unhealthy", reason="probe failed: 503 from upstream"),
    )

    assert joined.health == "Unhealthy"
    assert joined.reason == "open in 1 of 4 workers: 5 failures in a row; probe failed: 503 from upstream"


def test_requests_and_failures_add_up() -> None:
    joined = join(report(requests=10, failures=1), report(requests=5, failures=2))

    assert (joined.requests, joined.failures) == (15, 3)


def test_latency_is_weighted_by_requests() -> None:
    joined = join(report(latency_ms=100.0, requests=30), report(latency_ms=200.0, requests=10), report())

    assert joined.latency_ms == 125.0


def test_latency_without_recent_requests_counts_alike_and_unknown_stays_unknown() -> None:
    assert join(report(latency_ms=100.0), report(latency_ms=200.0)).latency_ms == 150.0
    assert join(report(), report()).latency_ms is None


@pytest.mark.parametrize(
    ("circuits", "since_s"),
    [
        (("Open", "Open", "Closed"), 10.0),
        (("HalfOpen", "Closed", "Closed"), 30.0),
        (("Closed", "Closed", "Closed"), 30.0),
    ],
)
def test_a_state_began_with_the_first_open_circuit_or_the_last_other_change(
    circuits: Sequence[Circuit], since_s: float
) -> None:
    told = [report(circuit, since_s=10.0 * (i + 1)) for i, circuit in enumerate(circuits)]

    assert join(*told, probed=report(since_s=5.0)).since_s == since_s
    assert join(*told, probed=report(since_s=50.0)).since_s == 50.0


def test_what_no_worker_has_spoken_of_is_as_the_parent_knows_it() -> None:
    probed = report(health="Healthy")

    assert join(probed=probed) == probed


@given(st.permutations([report("Open", since_s=1.0), report("Closed"), replace(report("Open"), requests=3)]))
def test_the_order_of_workers_does_not_matter(told: list[EndpointReport]) -> None:
    assert join(*told) == join(*reversed(told))


RPM = Limit(name="rpm", amount=100, window_s=60.0)
TENANT = build_tenant(limits=[RPM])


def use(
    used: int,
    held: int = 0,
    resets_unix_s: float | None = None,
    *,
    name: str = "rpm",
    shared: bool = False,
    changed_s: float = 0.0,
    keys: tuple[KeyUse, ...] = (),
) -> ToldTenant:
    limit = LimitReport(
        name=name, amount=100, used=used, held=held, resets_unix_s=resets_unix_s, shared=shared
    )
    return ToldTenant(TenantReport(tenant=TENANT.id, limits=(limit,), keys=keys), changed_s)


def joined_limit(*told: ToldTenant) -> LimitReport:
    (limit,) = join_tenant(TENANT, told, 0.0).limits
    return limit


def test_what_workers_have_used_adds_up_and_is_free_when_the_last_of_it_is() -> None:
    joined = joined_limit(use(3, 1, 60.0), use(4, 2, 70.0), use(0))

    assert joined == LimitReport(name="rpm", amount=100, used=7, held=3, resets_unix_s=70.0)


def test_what_a_store_told_is_not_added_up_and_the_last_change_counts() -> None:
    joined = joined_limit(
        use(30, shared=True, changed_s=1.0), use(40, 1, shared=True, changed_s=2.0), use(5, changed_s=3.0)
    )

    assert (joined.used, joined.held, joined.shared) == (40, 1, True)


def test_a_tenant_of_whom_no_worker_has_told_has_used_nothing_of_what_is_in_force() -> None:
    override = Override(amount=500, until_unix_s=10.0)
    raised = build_tenant(limits=[replace(RPM, overrides=(override,))])

    assert [join_tenant(raised, (), unix_s).limits[0].amount for unix_s in (9.0, 10.0)] == [500, 100]
    assert join_tenant(raised, (), 0.0).limits[0].used == 0


def test_a_limit_that_left_the_table_is_passed_over() -> None:
    assert joined_limit(use(9, name="old"), use(1)).used == 1


def test_the_last_use_of_a_key_is_the_last_at_any_worker() -> None:
    first = use(1, keys=(KeyUse(key_id="a", last_unix_s=5.0), KeyUse(key_id="b", last_unix_s=1.0)))
    second = use(1, keys=(KeyUse(key_id="a", last_unix_s=4.0), KeyUse(key_id="c", last_unix_s=9.0)))

    assert join_tenant(TENANT, (second, first), 0.0).keys == (
        KeyUse(key_id="a", last_unix_s=5.0),
        KeyUse(key_id="b", last_unix_s=1.0),
        KeyUse(key_id="c", last_unix_s=9.0),
    )
