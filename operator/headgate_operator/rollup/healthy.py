"""Healthy: can requests be answered, as the gateways see it.

A provider is as healthy as its endpoints, a route as its targets. All in service is Healthy, some is
Degraded; both are True, since requests are answered. None is Unhealthy, unless there are some of which
nothing is known.
"""

from collections.abc import Mapping, Sequence
from typing import Final, Literal, NamedTuple, TypeAlias

from gateway_runtime.contract.ids import ProviderId
from headgate_operator.api.reasons import ConditionType, Reason
from headgate_operator.compile.verdict import Verdict
from headgate_operator.rollup.endpoints import EndpointState
from headgate_operator.rollup.judgement import Judgement, count, enumerate_some
from headgate_operator.rollup.previous import ConditionStatus

HealthWord: TypeAlias = Literal["Healthy", "Degraded", "Unhealthy", "Unknown"]

_CONDITIONS: Final[Mapping[HealthWord, tuple[ConditionStatus, Reason]]] = {
    "Healthy": ("True", Reason.HEALTHY),
    "Degraded": ("True", Reason.DEGRADED),
    "Unhealthy": ("False", Reason.UNHEALTHY),
    "Unknown": ("Unknown", Reason.NO_REPORTS),
}
_PROVIDER_IN_SERVICE: Final[Mapping[HealthWord, bool | None]] = {
    "Healthy": True,
    "Degraded": True,
    "Unhealthy": False,
    "Unknown": None,
}


class Part(NamedTuple):
    """An endpoint of a provider, or a target of a route."""

    name: str
    """With the reason, when it is not in service."""
    in_service: bool | None
    """None: not known."""


class HealthSummary(NamedTuple):
    word: HealthWord
    in_service: str
    """`n/m`."""
    judgement: Judgement


def judge_provider_health(verdict: Verdict, endpoints: Sequence[EndpointState]) -> HealthSummary:
    parts = [Part(f"{e.name} ({e.message})", e.in_service) for e in endpoints]
    return _judge(verdict, parts, "endpoint")


def judge_route_health(verdict: Verdict, provider_health: Mapping[ProviderId, HealthWord]) -> HealthSummary:
    parts: list[Part] = []
    for provider in verdict.providers:
        health = provider_health.get(provider, "Unknown")
        parts.append(Part(f"{provider} ({health})", _PROVIDER_IN_SERVICE[health]))
    unresolved = verdict.refs_total - verdict.refs_resolved
    parts += [Part("a target that does not resolve", in_service=False)] * unresolved
    return _judge(verdict, parts, "target")


def _judge(verdict: Verdict, parts: Sequence[Part], noun: str) -> HealthSummary:
    serving = [part.name for part in parts if part.in_service]
    out = [part.name for part in parts if part.in_service is False]
    unknown = [part.name for part in parts if part.in_service is None]
    in_service = f"{len(serving)}/{len(parts)}"
    if verdict.serving == "Nothing":
        message = "nothing of this object is in the routing table, so no request reaches it"
        judgement = Judgement(ConditionType.HEALTHY, "False", Reason.NOT_PUBLISHED, message)
        return HealthSummary("Unhealthy", in_service, judgement)
    word: HealthWord = "Unknown" if unknown else "Unhealthy"
    if serving:
        word = "Degraded" if out or unknown else "Healthy"
    message = f"{count(len(serving), len(parts), noun, ('is', 'are'))} in service"
    if out:
        message += f"; out: {enumerate_some(out)}"
    if unknown:
        message += f"; not known: {enumerate_some(unknown)}"
    return HealthSummary(word, in_service, Judgement(ConditionType.HEALTHY, *_CONDITIONS[word], message))
