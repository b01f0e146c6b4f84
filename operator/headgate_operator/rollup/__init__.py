"""A verdict and what the gateways say, rolled up to the `.status` of an object: pure; `now` is an argument.

    Verdict                -> Accepted, ResolvedRefs
    Published, GatewayView -> Programmed
    EndpointReports        -> Healthy, and the live values
    TenantReports          -> WithinLimits, and what is used
    all but WithinLimits   -> Ready

The status writer calls `roll_up` for each object that something changed about, and `same_status` to see
whether there is anything to write; `headgate status` shows the same without a cluster.
"""

from collections.abc import Mapping, Sequence

from gateway_runtime.contract.ids import ProviderId
from headgate_operator.compile.verdict import Verdict
from headgate_operator.rollup.accepted import judge_accepted, judge_resolved_refs
from headgate_operator.rollup.conditions import build_conditions
from headgate_operator.rollup.endpoints import judge_endpoint
from headgate_operator.rollup.healthy import HealthWord as ProviderHealth
from headgate_operator.rollup.healthy import judge_provider_health
from headgate_operator.rollup.live import (
    build_provider_values,
    build_route_values,
    keep_provider_values,
    keep_route_values,
)
from headgate_operator.rollup.live_values import LiveValues
from headgate_operator.rollup.previous import PreviousStatus, read_previous
from headgate_operator.rollup.programmed import await_gateways, judge_programmed
from headgate_operator.rollup.quota_values import build_quota_values, keep_quota_values
from headgate_operator.rollup.same import same_status
from headgate_operator.rollup.views import GatewayView, HeardTenant, Published

__all__ = [
    "GatewayView",
    "HeardTenant",
    "ProviderHealth",
    "Published",
    "judge_provider",
    "roll_up",
    "same_status",
]


def judge_provider(verdict: Verdict, gateways: Sequence[GatewayView], now_s: float) -> ProviderHealth:
    """A provider's health in a word: what `roll_up` of a route wants in `provider_health`."""
    states = [judge_endpoint(endpoint, gateways, now_s) for endpoint in verdict.endpoints]
    return judge_provider_health(verdict, states).word


def roll_up(
    verdict: Verdict,
    previous: Mapping[str, object] | None,
    published: Published | None,
    gateways: Sequence[GatewayView],
    provider_health: Mapping[ProviderId, ProviderHealth],
    now_s: float,
    observed_at: str,
    *,
    settled: bool,
) -> dict[str, object]:
    """The complete `.status` as `api.status` has it.

    `previous`: the raw `.status` that the object has; None for a new one. `provider_health` is read for
    routes only; a provider that is not in it is Unknown. `now_s` is on the clock of the views' times,
    `observed_at` is now as RFC 3339 text. `settled` is False while a new leader's gateways have not dialled
    in yet: what they would say stays as it was said of this generation, or is Unknown.
    """
    before = read_previous(previous)
    awaited = not settled and verdict.serving != "Nothing"
    programmed = (
        await_gateways(verdict, before) if awaited else judge_programmed(verdict, published, gateways)
    )
    live = _keep_values(verdict, before) if awaited else None
    if live is None:
        heard = () if awaited else gateways
        health = {} if awaited else provider_health
        live = _build_values(verdict, before, heard, health, now_s, observed_at)
    judgements = [judge_accepted(verdict), judge_resolved_refs(verdict), programmed.judgement, live.judgement]
    status: dict[str, object] = {
        "observedGeneration": verdict.meta.generation,
        "conditions": build_conditions(judgements, before, verdict.meta.generation, observed_at),
    }
    if programmed.gateways is not None:
        status["gateways"] = programmed.gateways
    return status | live.fields


def _build_values(
    verdict: Verdict,
    before: PreviousStatus,
    gateways: Sequence[GatewayView],
    provider_health: Mapping[ProviderId, ProviderHealth],
    now_s: float,
    observed_at: str,
) -> LiveValues:
    match verdict.meta.kind:
        case "LLMProvider":
            return build_provider_values(verdict, before, gateways, now_s, observed_at)
        case "ModelRoute":
            return build_route_values(verdict, provider_health)
        case _:
            return build_quota_values(verdict, before, gateways, now_s, observed_at)


def _keep_values(verdict: Verdict, before: PreviousStatus) -> LiveValues | None:
    match verdict.meta.kind:
        case "LLMProvider":
            return keep_provider_values(verdict, before)
        case "ModelRoute":
            return keep_route_values(verdict, before)
        case _:
            return keep_quota_values(verdict, before)
