"""An endpoint as all gateways together see it: the worst of their views.

| health, the worst | circuit, the worst | in service           |
|-------------------|--------------------|----------------------|
| any               | Open               | no                   |
| any               | HalfOpen           | no, still recovering |
| Unhealthy         | Closed             | no                   |
| Healthy           | Closed             | yes                  |
| Unknown           | Closed             | not known            |
| no report within 45 s                  | | not known            |

A gateway that knows nothing yet (no request, no probe) says nothing against one that does. Called by
`roll_up`, for the endpoints of one provider at a time.
"""

from collections.abc import Callable, Sequence
from typing import Final, Literal, NamedTuple, TypeAlias

from gateway_runtime.contract.health import Circuit, EndpointReport, Health
from gateway_runtime.contract.ids import GatewayId
from headgate_operator.compile.verdict import EndpointName
from headgate_operator.rollup.views import STALE_S, GatewayView

CircuitWord: TypeAlias = Circuit | Literal["Unknown"]
_CIRCUITS: Final[tuple[Circuit, ...]] = ("Open", "HalfOpen", "Closed")
_HEALTHS: Final[tuple[Health, ...]] = ("Unhealthy", "Healthy")
_REASON_CHARACTERS: Final = 500
"""Of a gateway's reason so many are shown; the status field holds 1,024."""

_Reports: TypeAlias = Sequence[tuple[GatewayId, EndpointReport]]


class EndpointState(NamedTuple):
    name: str
    url: str
    health: Health
    circuit: CircuitWord
    in_service: bool | None
    """None: not known."""
    message: str
    """Why it is not in service; empty when it is."""
    latency_ms: float | None
    """Averaged over the gateways."""


def judge_endpoint(endpoint: EndpointName, gateways: Sequence[GatewayView], now_s: float) -> EndpointState:
    reports = [
        (view.gateway, view.reports[endpoint.id])
        for view in sorted(gateways, key=lambda view: view.gateway)
        if view.is_fresh(now_s) and endpoint.id in view.reports
    ]
    health = _find_worst_health([report.health for _, report in reports])
    circuit = find_worst_circuit([report.circuit for _, report in reports])
    in_service, message = _judge_service(health, circuit, reports)
    latencies = [report.latency_ms for _, report in reports if report.latency_ms is not None]
    latency_ms = sum(latencies) / len(latencies) if latencies else None
    return EndpointState(endpoint.name, endpoint.url, health, circuit, in_service, message, latency_ms)


def find_worst_circuit(circuits: Sequence[CircuitWord]) -> CircuitWord:
    """Unknown only when nothing is known of any."""
    return next((c for c in _CIRCUITS if c in circuits), "Unknown")


def _find_worst_health(healths: Sequence[Health]) -> Health:
    return next((h for h in _HEALTHS if h in healths), "Unknown")


def _judge_service(health: Health, circuit: CircuitWord, reports: _Reports) -> tuple[bool | None, str]:
    if circuit == "Open":
        return False, _explain("circuit open", reports, lambda r: r.circuit == "Open")
    if circuit == "HalfOpen":
        said = "circuit half-open, still recovering,"
        return False, _explain(said, reports, lambda r: r.circuit == "HalfOpen")
    if health == "Unhealthy":
        return False, _explain("unhealthy", reports, lambda r: r.health == "Unhealthy")
    if health == "Healthy":
        return True, ""
    return None, "no request and no probe yet" if reports else f"no report within {STALE_S:.0f} s"


def _explain(what: str, reports: _Reports, is_it: Callable[[EndpointReport], bool]) -> str:
    """`circuit open at 1 of 2 gateways, gw-1: 5 failures in a row`."""
    where = [(gateway, report) for gateway, report in reports if is_it(report)]
    gateway, report = where[0]
    reason = f": {report.reason[:_REASON_CHARACTERS]}" if report.reason else ""
    return f"{what} at {len(where)} of {len(reports)} gateways, {gateway}{reason}"
