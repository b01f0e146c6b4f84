"""What of the status of providers and routes comes from the gateways' reports: the Healthy condition, and the
values beside the conditions. Of quotas: see `quota_values`.

One function for each kind, and a second one that keeps what the status said before: while a new leader's
gateways have not dialled in, their silence means nothing.
"""

from collections.abc import Mapping, Sequence

from gateway_runtime.contract.ids import ProviderId
from headgate_operator.api.reasons import ConditionType
from headgate_operator.compile.verdict import EndpointName, Verdict
from headgate_operator.rollup.endpoints import EndpointState, find_worst_circuit, judge_endpoint
from headgate_operator.rollup.healthy import HealthWord, judge_provider_health, judge_route_health
from headgate_operator.rollup.judgement import keep_judgement
from headgate_operator.rollup.latency import quantise_latency
from headgate_operator.rollup.live_values import LiveValues
from headgate_operator.rollup.previous import PreviousStatus
from headgate_operator.rollup.views import GatewayView


def build_provider_values(
    verdict: Verdict,
    previous: PreviousStatus,
    gateways: Sequence[GatewayView],
    now_s: float,
    observed_at: str,
) -> LiveValues:
    states = [judge_endpoint(endpoint, gateways, now_s) for endpoint in verdict.endpoints]
    health = judge_provider_health(verdict, states)
    fields: dict[str, object] = {
        "endpoints": [_build_endpoint(state, previous, observed_at) for state in states],
        "health": health.word,
        "circuit": find_worst_circuit([state.circuit for state in states]),
    }
    return LiveValues(health.judgement, fields)


def keep_provider_values(verdict: Verdict, previous: PreviousStatus) -> LiveValues | None:
    """None when the status says nothing about this generation."""
    healthy = keep_judgement(previous, ConditionType.HEALTHY, verdict.meta.generation)
    if healthy is None:
        return None
    fields: dict[str, object] = {
        "endpoints": [_keep_endpoint(endpoint, previous) for endpoint in verdict.endpoints],
        "health": previous.health or "Unknown",
        "circuit": previous.circuit or "Unknown",
    }
    return LiveValues(healthy, fields)


def build_route_values(verdict: Verdict, provider_health: Mapping[ProviderId, HealthWord]) -> LiveValues:
    health = judge_route_health(verdict, provider_health)
    return LiveValues(health.judgement, {"targets": health.in_service, "models": list(verdict.models)})


def keep_route_values(verdict: Verdict, previous: PreviousStatus) -> LiveValues | None:
    """None when the status says nothing about this generation."""
    healthy = keep_judgement(previous, ConditionType.HEALTHY, verdict.meta.generation)
    if healthy is None or previous.targets is None:
        return None
    return LiveValues(healthy, {"targets": previous.targets, "models": list(verdict.models)})


def _build_endpoint(state: EndpointState, previous: PreviousStatus, observed_at: str) -> dict[str, object]:
    endpoint: dict[str, object] = {
        "name": state.name,
        "url": state.url,
        "health": state.health,
        "circuit": state.circuit,
        "observedAt": observed_at,
    }
    if state.message:
        endpoint["message"] = state.message
    if state.latency_ms is not None:
        shown = previous.endpoint(state.name)
        shown_ms = shown.latency_milliseconds if shown is not None else None
        endpoint["latencyMilliseconds"] = quantise_latency(state.latency_ms, shown_ms)
    return endpoint


def _keep_endpoint(endpoint: EndpointName, previous: PreviousStatus) -> dict[str, object]:
    said = previous.endpoint(endpoint.name)
    kept: dict[str, object] = {"name": endpoint.name, "url": endpoint.url}
    if said is None:
        return kept | {"health": "Unknown", "circuit": "Unknown"}
    values = {
        "health": said.health,
        "circuit": said.circuit,
        "message": said.message,
        "latencyMilliseconds": said.latency_milliseconds,
        "observedAt": said.observed_at,
    }
    return kept | {field: value for field, value in values.items() if value}
