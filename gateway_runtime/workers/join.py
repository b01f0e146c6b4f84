"""Several workers' words as one: endpoint reports for the operator, parts of the pod's limits.

In: what each worker told last. Out: what is true of the pod. Pure; `pod` and `admin` call it.

An endpoint's circuit is the worst that any worker holds, because some callers meet it, and the reason counts
them: `open in 1 of 4 workers: …`. Health is the parent's own, which alone sends probes.
"""

from collections.abc import Sequence

from gateway_runtime.contract.health import Circuit, EndpointReport
from gateway_runtime.contract.stream import Share


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
