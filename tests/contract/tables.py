"""Routing tables for tests: short builders with plain defaults, and hypothesis strategies over them."""

from collections.abc import Sequence

from hypothesis import strategies as st

from gateway_runtime.contract.ids import EndpointId, KeyHash, ProviderId, RouteId, TenantId
from gateway_runtime.contract.secret import Secret
from gateway_runtime.contract.table import (
    ActiveProbe,
    CircuitPolicy,
    Credential,
    Endpoint,
    Installation,
    Model,
    Price,
    Provider,
    ProviderTls,
    RetryPolicy,
    Route,
    RouteTimeouts,
    RoutingTable,
    Target,
    Timeouts,
    UpstreamLimits,
)
from gateway_runtime.contract.tenant import Limit, Tenant

CIRCUIT = CircuitPolicy(
    consecutive_failures=5, failure_percent=50, min_requests=20, window_s=10.0, open_s=30.0
)


def build_provider(
    name: str = "openai",
    *,
    namespace: str = "chat",
    endpoints: int = 1,
    models: Sequence[Model] = (),
    credentials: Sequence[Credential] = (),
    probe: ActiveProbe | None = None,
    tls: ProviderTls | None = None,
    limits: UpstreamLimits | None = None,
) -> Provider:
    return Provider(
        id=ProviderId(f"{namespace}/{name}"),
        uid=f"uid-{name}",
        generation=1,
        type="openai",
        endpoints=tuple(
            Endpoint(id=EndpointId(f"{namespace}/{name}/{i}"), url=f"http://127.0.0.1:9/{name}/{i}/v1")
            for i in range(endpoints)
        ),
        credentials=tuple(credentials),
        models=tuple(models),
        passive_health=True,
        probe=probe,
        circuit=CIRCUIT,
        timeouts=Timeouts(connect_s=5.0, first_token_s=60.0, idle_s=60.0, total_s=600.0),
        tls=tls,
        limits=limits or UpstreamLimits(),
    )


def build_target(
    provider: str = "openai",
    *,
    namespace: str = "chat",
    model: str | None = None,
    weight: int = 1,
    priority: int = 0,
) -> Target:
    return Target(
        provider=ProviderId(f"{namespace}/{provider}"), model=model, weight=weight, priority=priority
    )


def build_route(
    *models: str, name: str = "route", namespace: str = "chat", targets: Sequence[Target] = ()
) -> Route:
    return Route(
        id=RouteId(f"{namespace}/{name}"),
        uid=f"uid-{name}",
        generation=1,
        namespace=namespace,
        models=models,
        targets=tuple(targets),
        retry=RetryPolicy(max_attempts=3, backoff_s=0.1, max_backoff_s=2.0),
        timeouts=RouteTimeouts(),
    )


def build_tenant(
    *keys: str,
    name: str = "team",
    namespace: str = "chat",
    anonymous: bool = False,
    models: Sequence[str] | None = None,
    limits: Sequence[Limit] = (),
) -> Tenant:
    return Tenant(
        id=TenantId(f"{namespace}/{name}"),
        uid=f"uid-{name}",
        generation=1,
        namespace=namespace,
        keys=tuple(KeyHash(key) for key in keys),
        anonymous=anonymous,
        models=None if models is None else tuple(models),
        limits=tuple(limits),
    )


def build_table(
    *,
    providers: Sequence[Provider] = (),
    routes: Sequence[Route] = (),
    tenants: Sequence[Tenant] = (),
    salt: str = "salt",
) -> RoutingTable:
    return RoutingTable(
        installation=Installation(key_salt=Secret(salt)),
        providers=tuple(sorted(providers, key=lambda provider: provider.id)),
        routes=tuple(sorted(routes, key=lambda route: route.id)),
        tenants=tuple(sorted(tenants, key=lambda tenant: tenant.id)),
    )


_names = st.text("abcxyz-é", min_size=1, max_size=6)
_prices = st.builds(Price, input_usd_picos=st.integers(0, 10**12), output_usd_picos=st.integers(0, 10**12))
_models = st.builds(Model, name=_names, upstream_name=_names, price=st.none() | _prices)
_credentials = st.builds(Credential, name=_names, value=st.builds(Secret, st.text(max_size=8)))
_probes = st.none() | st.builds(
    ActiveProbe,
    path=st.just("/models"),
    interval_s=st.floats(1, 60),
    timeout_s=st.floats(1, 5),
    unhealthy_after=st.integers(1, 5),
    healthy_after=st.integers(1, 5),
)
_texts = st.none() | st.text(max_size=8)
_tls = st.none() | st.builds(
    ProviderTls,
    ca=_texts,
    certificate=_texts,
    key=st.none() | st.builds(Secret, st.text(max_size=8)),
    server_name=_texts,
)
_upstream_limits = st.builds(UpstreamLimits, max_in_flight=st.integers(1, 9), queue_s=st.floats(0.1, 60))
_providers = st.builds(
    build_provider,
    _names,
    namespace=_names,
    endpoints=st.integers(1, 3),
    models=st.lists(_models, max_size=2),
    credentials=st.lists(_credentials, max_size=2),
    probe=_probes,
    tls=_tls,
    limits=_upstream_limits,
)
_targets = st.builds(
    build_target, _names, model=st.none() | _names, weight=st.integers(0, 5), priority=st.integers(0, 2)
)
_routes = st.builds(
    build_route, _names, name=_names, namespace=_names, targets=st.lists(_targets, max_size=2)
)
_limits = st.builds(
    Limit, name=_names, amount=st.integers(0, 2**53), window_s=st.sampled_from([60.0, 3600.0])
)
_tenants = st.builds(
    build_tenant,
    _names,
    name=_names,
    namespace=_names,
    anonymous=st.booleans(),
    models=st.none() | st.lists(_names, max_size=2),
    limits=st.lists(_limits, max_size=2),
)

tables = st.builds(
    build_table,
    providers=st.lists(_providers, max_size=4, unique_by=lambda provider: provider.id),
    routes=st.lists(_routes, max_size=4, unique_by=lambda route: route.id),
    tenants=st.lists(_tenants, max_size=4, unique_by=lambda tenant: tenant.id),
    salt=st.text(max_size=8),
)
"""Any small table, references left dangling: the codec must not care."""
