"""Several workers' words as one: reports for the operator, parts of the pod's limits.

In: what each worker told last. Out: what is true of the pod. Pure; `pod` and `admin` call it.

An endpoint's circuit is the worst that any worker holds, because some callers meet it, and the reason counts
them: `open in 1 of 4 workers: …`. Health is the parent's own, which alone sends probes. What was used of a
limit adds up, unless a store has told a worker what all have used.
"""

from collections.abc import Sequence
from typing import NamedTuple

from gateway_runtime.contract.amount import find_amount
from gateway_runtime.contract.health import Circuit, EndpointReport, KeyUse, LimitReport, TenantReport
from gateway_runtime.contract.stream import Share
from gateway_runtime.contract.tenant import Limit, Tenant


class ToldTenant(NamedTuple):
    """What one worker said last of a tenant."""

    report: TenantReport
    changed_s: float
    """When its numbers last changed."""


def share_for(pod: Share, worker: int, workers: int) -> Share:
    """The parts of a pod's workers add up to the pod's own part, exactly, however many workers the other pods
    have: that is why workers count in steps of `pod.gateways`.
    """
    return Share(index=pod.index + worker * pod.gateways, gateways=pod.gateways * workers)


def join_reports(probed: EndpointReport, told: Sequence[EndpointReport], workers: int) -> EndpointReport:
    """probed: what the parent knows. told: by the workers that have said anything of this endpoint."""
    circuit = _find_worst([report.circuit for report in told])
    holders = [report for report in told if report.circuit == circuit]
    reasons = [
        _count_holders(circuit, holders, workers) if circuit != "Closed" else _first_reason(holders),
        probed.reason,
    ]
    # Open began with the first worker that opened; what is better, when the last one changed.
    times = [report.since_s for report in (holders if circuit == "Open" else told)]
    since_s = min(times) if circuit == "Open" else max(times, default=0.0)
    return EndpointReport(
        endpoint=probed.endpoint,
        health=probed.health,
        circuit=circuit,
        reason="; ".join(reason for reason in reasons if reason),
        since_s=max(probed.since_s, since_s),
        latency_ms=_join_latency(told),
        requests=sum(report.requests for report in told),
        failures=sum(report.failures for report in told),
    )


def join_tenant(tenant: Tenant, told: Sequence[ToldTenant], unix_s: float) -> TenantReport:
    """told: by the workers that have said anything of it. unix_s: now, by the overrides."""
    by_name: dict[str, list[tuple[float, LimitReport]]] = {limit.name: [] for limit in tenant.limits}
    for one in told:
        for report in one.report.limits:
            if report.name in by_name:
                by_name[report.name].append((one.changed_s, report))
    return TenantReport(
        tenant=tenant.id,
        limits=tuple(_join_limit(limit, by_name[limit.name], unix_s) for limit in tenant.limits),
        keys=_join_keys([one.report.keys for one in told]),
    )


def _join_limit(limit: Limit, told: Sequence[tuple[float, LimitReport]], unix_s: float) -> LimitReport:
    shared = [one for one in told if one[1].shared]
    counted = [max(shared, key=lambda one: one[0])] if shared else told
    resets = [report.resets_unix_s for _, report in counted if report.resets_unix_s is not None]
    return LimitReport(
        name=limit.name,
        amount=find_amount(limit, unix_s),
        used=sum(report.used for _, report in counted),
        held=sum(report.held for _, report in counted),
        resets_unix_s=max(resets, default=None),
        shared=bool(shared),
    )


def _join_keys(told: Sequence[tuple[KeyUse, ...]]) -> tuple[KeyUse, ...]:
    last: dict[str, float] = {}
    for keys in told:
        for key in keys:
            last[key.key_id] = max(key.last_unix_s, last.get(key.key_id, 0.0))
    return tuple(KeyUse(key_id=key, last_unix_s=last[key]) for key in sorted(last))


def _find_worst(circuits: Sequence[Circuit]) -> Circuit:
    if "Open" in circuits:
        return "Open"
    return "HalfOpen" if "HalfOpen" in circuits else "Closed"


def _count_holders(circuit: Circuit, holders: Sequence[EndpointReport], workers: int) -> str:
    name = "open" if circuit == "Open" else "half-open"
    reason = _first_reason(holders)
    return f"{name} in {len(holders)} of {workers} workers{f': {reason}' if reason else ''}"


def _first_reason(holders: Sequence[EndpointReport]) -> str:
    """The newest, which is the one whose cause may still be there."""
    newest = sorted(holders, key=lambda report: report.since_s, reverse=True)
    return next((report.reason for report in newest if report.reason), "")


def _join_latency(told: Sequence[EndpointReport]) -> float | None:
    """Weighted by recent requests; by none of them, each counts alike."""
    known = [(report.latency_ms, report.requests) for report in told if report.latency_ms is not None]
    if not known:
        return None
    total = sum(requests for _, requests in known)
    if total == 0:
        return sum(latency_ms for latency_ms, _ in known) / len(known)
    return sum(latency_ms * requests for latency_ms, requests in known) / total
