"""The pieces that rollup is given, in few words."""

from collections.abc import Sequence
from typing import Any

from gateway_runtime.contract.health import (
    Circuit,
    EndpointReport,
    Health,
    KeyUse,
    LimitReport,
    TenantReport,
)
from gateway_runtime.contract.ids import EndpointId, GatewayId, ProviderId, TenantId
from gateway_runtime.contract.stream import Fault, Nack, Version
from gateway_runtime.contract.tenant import Limit, LimitResource
from gateway_runtime.contract.usd import PICOS
from headgate_operator.api.manifest import Meta
from headgate_operator.compile.findings import Finding
from headgate_operator.compile.verdict import EndpointName, Serving, Verdict
from headgate_operator.rollup import GatewayView, HeardTenant, ProviderHealth, Published, roll_up

NOW_S = 1_000.0
NOW = "2026-03-01T12:00:00Z"
NOW_UNIX_S = 1772366400.0
EARLIER = "2026-03-01T11:00:00Z"
TENANT = TenantId("team-a/all")
OLD, NEW = Version(3, 7), Version(3, 8)


def provider_verdict(
    *endpoints: str,
    generation: int = 3,
    serving: Serving = "Current",
    serving_generation: int | None = 3,
    findings: Sequence[Finding] = (),
    **more: Any,
) -> Verdict:
    """LLMProvider team-a/openai with endpoints of these names."""
    return Verdict(
        meta=Meta(EARLIER, "team-a", "openai", "LLMProvider", "uid", generation),
        findings=tuple(findings),
        serving=serving,
        serving_generation=serving_generation,
        endpoints=tuple(
            EndpointName(EndpointId(f"team-a/openai/{name}"), name, f"http://{name}/v1") for name in endpoints
        ),
        **{"refs_total": 1, "refs_resolved": 1, **more},
    )


def route_verdict(
    *providers: str,
    total: int | None = None,
    serving: Serving = "Current",
    findings: Sequence[Finding] = (),
    generation: int = 3,
    lacks_prices: bool = False,
) -> Verdict:
    """ModelRoute team-a/chat with targets at these providers, and perhaps more that do not resolve."""
    return Verdict(
        meta=Meta(EARLIER, "team-a", "chat", "ModelRoute", "uid", generation),
        findings=tuple(findings),
        serving=serving,
        serving_generation=None if serving == "Nothing" else 3,
        refs_total=len(providers) if total is None else total,
        refs_resolved=len(providers),
        providers=tuple(ProviderId(provider) for provider in providers),
        models=() if serving == "Nothing" else ("gpt-4o",),
        lacks_prices=lacks_prices,
    )


def quota_verdict(
    resolved: int = 2,
    total: int = 2,
    *limits: Limit,
    serving: Serving = "Current",
    findings: Sequence[Finding] = (),
    generation: int = 3,
) -> Verdict:
    """TenantQuota team-a/all."""
    return Verdict(
        meta=Meta(EARLIER, "team-a", "all", "TenantQuota", "uid", generation),
        findings=tuple(findings),
        serving=serving,
        serving_generation=None if serving == "Nothing" else 3,
        refs_total=total,
        refs_resolved=resolved,
        limits=limits,
    )


def limit(name: str, amount: int = 100, resource: LimitResource = "Requests", **more: Any) -> Limit:
    """In a minute. `amount`: of USD in whole dollars."""
    unit = PICOS if resource == "USD" else 1
    return Limit(name=name, amount=amount * unit, window_s=60.0, resource=resource, **more)


def limit_report(
    name: str,
    used: int,
    held: int = 0,
    amount: int = 100,
    resets_unix_s: float | None = None,
    *,
    shared: bool = False,
) -> LimitReport:
    return LimitReport(
        name=name, amount=amount, used=used, held=held, resets_unix_s=resets_unix_s, shared=shared
    )


def told(*limits: LimitReport, keys: dict[str, float] | None = None, changed_s: float = NOW_S) -> HeardTenant:
    """Of tenant team-a/all. `keys`: when each was used, as Unix time."""
    uses = tuple(KeyUse(key_id=key, last_unix_s=at) for key, at in sorted((keys or {}).items()))
    return HeardTenant(TenantReport(tenant=TENANT, limits=limits, keys=uses), changed_s)


def report(
    endpoint: str,
    health: Health = "Healthy",
    circuit: Circuit = "Closed",
    reason: str = "",
    latency_ms: float | None = None,
) -> EndpointReport:
    """Of an endpoint of team-a/openai."""
    return EndpointReport(
        endpoint=EndpointId(f"team-a/openai/{endpoint}"),
        health=health,
        circuit=circuit,
        reason=reason,
        since_s=0.0,
        latency_ms=latency_ms,
        requests=0,
        failures=0,
    )


def gateway(
    name: str,
    *reports: EndpointReport,
    applied: Version | None = NEW,
    refused: Nack | None = None,
    connected: bool = True,
    age_s: float | None = 1.0,
    tenant: HeardTenant | None = None,
) -> GatewayView:
    """`age_s`: of its last report; None when it has sent none."""
    return GatewayView(
        gateway=GatewayId(name),
        connected=connected,
        applied=applied,
        refused=refused,
        reports={r.endpoint: r for r in reports},
        reported_at_s=None if age_s is None else NOW_S - age_s,
        tenants={} if tenant is None else {TENANT: tenant},
    )


def nack(version: Version, *faults: tuple[str, str]) -> Nack:
    return Nack(version=version, faults=tuple(Fault(resource=r, message=m) for r, m in faults))


def published(verdict: Verdict, since: Version = NEW) -> Published:
    return Published(NEW, {verdict.resource_key: since})


def roll(
    verdict: Verdict,
    *gateways: GatewayView,
    previous: dict[str, object] | None = None,
    health: dict[str, ProviderHealth] | None = None,
    since: Version | None = NEW,
    settled: bool = True,
    now: str = NOW,
) -> dict[str, Any]:
    """`since` None: nothing was published yet."""
    return roll_up(
        verdict,
        previous,
        None if since is None else published(verdict, since),
        gateways,
        {ProviderId(name): word for name, word in (health or {}).items()},
        NOW_S,
        now,
        settled=settled,
    )


def condition(status: dict[str, Any], kind: str) -> tuple[str, str, str]:
    """Status, reason and message."""
    found = next(c for c in status["conditions"] if c["type"] == kind)
    return found["status"], found["reason"], found["message"]
