"""Who may call what: a RoutingTable in, a LiveTable out, which answers requests in a few dictionary look-ups.

`server` builds one LiveTable per table version, aside, and swaps one reference; a request keeps the LiveTable
it began with. All that can be prepared is prepared at load: keys, names, patterns, targets by priority.

The subtle rule is precedence. An exact name beats any pattern; among patterns the longer literal part wins;
among equally long ones the alphabet decides, so that every gateway chooses the same route. What is inferred
comes after all that somebody wrote, however long.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from gateway_runtime.contract.ids import EndpointId, KeyHash, ProviderId, RouteId, TenantId
from gateway_runtime.contract.table import Endpoint, Provider, Route, RoutingTable
from gateway_runtime.contract.tenant import JwtSubject, KeyTerm, ProxySubject, Tenant
from gateway_runtime.engine.identity import Identity, Term
from gateway_runtime.engine.plan import Candidate, Plan, build_candidates, build_plan

_PLANS_KEPT: Final = 256
"""Of each route. One with a pattern gets whatever names callers think of; who cycles through more than these
pays for a new plan each time.
"""

_KEY_DIGITS: Final = 12
"""Of a key's hash: enough to tell keys apart, and no use to anybody who would call with them."""


class _Pattern(NamedTuple):
    prefix: str
    suffix: str
    shortest: int
    """Length of prefix and suffix together: a name must not let them overlap."""


class _Namespace(NamedTuple):
    exact: Mapping[str, Route]
    patterns: tuple[tuple[_Pattern, Route], ...]
    """In order of precedence."""


class _AllowList(NamedTuple):
    exact: frozenset[str]
    patterns: tuple[_Pattern, ...]


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class LiveTable:
    """One table version, ready for requests. Made by `build_live_table`."""

    table: RoutingTable
    identities: Mapping[KeyHash, Identity]
    anonymous: Identity | None
    jwts: tuple[tuple[Tenant, JwtSubject], ...]
    """Of all tenants, by id; those of one in its own order."""
    proxies: tuple[tuple[Tenant, ProxySubject], ...]
    """As `jwts`."""
    namespaces: Mapping[str, _Namespace]
    """Of routes that somebody wrote."""
    inferred: Mapping[str, _Namespace]
    """Of the others."""
    allow_lists: Mapping[TenantId, _AllowList]
    """Only tenants that have one."""
    providers_by_id: Mapping[ProviderId, Provider]
    endpoints_by_id: Mapping[EndpointId, tuple[Provider, Endpoint]]
    candidates_by_route: Mapping[RouteId, tuple[tuple[Candidate, ...], ...]]
    """By priority."""
    _listings: dict[TenantId, tuple[str, ...]] = field(default_factory=dict, init=False)
    """`models_for`, once asked: a client that keeps asking for unknown models must not cost a sort each
    time (the 404 names the models).
    """
    _plans: dict[RouteId, dict[str, Plan]] = field(default_factory=dict, init=False)
    """`plan`, once asked: 0.1 µs instead of 2."""
    _reaches: dict[TenantId, Mapping[ProviderId, Route]] = field(default_factory=dict, init=False)
    """`reach`, once asked."""

    def authenticate(self, key: KeyHash | None) -> Identity | None:
        """Whose key it is, be it before or past its term, which the asker looks at. `key` None: no key was
        sent. A wrong key is never served as anonymous.
        """
        return self.anonymous if key is None else self.identities.get(key)

    def match_route(self, tenant: Tenant, model: str) -> Route | None:
        """None: no such model for this tenant, be it unrouted or not on its allow-list."""
        allowed = self.allow_lists.get(tenant.id)
        if allowed is not None and not _allows(allowed, model):
            return None
        return self.find_route(tenant.namespace, model)

    def find_route(self, namespace: str, model: str) -> Route | None:
        """Whether anybody may use it or not."""
        for written in (self.namespaces.get(namespace), self.inferred.get(namespace)):
            if written is None:
                continue
            exact = written.exact.get(model)
            if exact is not None:
                return exact
            for pattern, route in written.patterns:
                if _fits(pattern, model):
                    return route
        return None

    def models_for(self, tenant: Tenant) -> tuple[str, ...]:
        """Sorted: the exact names, and for a pattern those models of its targets' providers that match it."""
        listing = self._listings.get(tenant.id)
        if listing is None:
            listing = self._listings[tenant.id] = self._list_models(tenant)
        return listing

    def provider(self, provider_id: ProviderId) -> Provider:
        """Raises KeyError for a provider that is not in this table."""
        return self.providers_by_id[provider_id]

    def reach(self, tenant: Tenant) -> Mapping[ProviderId, Route]:
        """The providers that it may use without naming a model, for what they keep: those behind a route of
        which it may ask for some model. With the first such route, by id, which lends its timeouts.
        """
        reach = self._reaches.get(tenant.id)
        if reach is None:
            reach = self._reaches[tenant.id] = self._find_reach(tenant)
        return reach

    def endpoints(self) -> Mapping[EndpointId, tuple[Provider, Endpoint]]:
        return self.endpoints_by_id

    def plan(self, route: Route, model: str) -> Plan:
        """The route's endpoints for a model that a caller asks for. `route` is one of this table."""
        plans = self._plans.get(route.id)
        if plans is None:
            plans = self._plans[route.id] = {}
        plan = plans.get(model)
        if plan is None:
            if len(plans) == _PLANS_KEPT:
                plans.clear()
            plan = plans[model] = build_plan(self.candidates_by_route[route.id], model)
        return plan

    def _find_reach(self, tenant: Tenant) -> Mapping[ProviderId, Route]:
        namespace = self.namespaces.get(tenant.namespace)
        if namespace is None:
            return {}
        allowed = self.allow_lists.get(tenant.id)
        routes = {
            route.id: route
            for name, route in namespace.exact.items()
            if self.match_route(tenant, name) is route
        }
        for pattern, route in namespace.patterns:
            if (
                allowed is None
                or any(_meet(pattern, other) for other in allowed.patterns)
                or any(self.match_route(tenant, name) is route for name in allowed.exact)
            ):
                routes[route.id] = route
        reach: dict[ProviderId, Route] = {}
        for _, route in sorted(routes.items()):
            for target in route.targets:
                reach.setdefault(target.provider, route)
        return reach

    def __repr__(self) -> str:
        table = self.table
        return (
            f"<LiveTable {len(table.providers)} providers, {len(table.routes)} routes, "
            f"{len(table.tenants)} tenants>"
        )

    def _list_models(self, tenant: Tenant) -> tuple[str, ...]:
        names: set[str] = set()
        for namespace in (self.namespaces.get(tenant.namespace), self.inferred.get(tenant.namespace)):
            if namespace is None:
                continue
            names.update(namespace.exact)
            for pattern, route in namespace.patterns:
                for target in route.targets:
                    provider = self.providers_by_id[target.provider]
                    names.update(m.name for m in provider.models if _fits(pattern, m.name))
        return tuple(sorted(name for name in names if self.match_route(tenant, name) is not None))


def build_live_table(table: RoutingTable) -> LiveTable:
    """Linear in the size of the table: 10,000 routes take some 70 ms."""
    providers = {provider.id: provider for provider in table.providers}
    models = {p.id: {model.name: model for model in p.models} for p in table.providers}
    routes: dict[str, list[Route]] = {}
    inferred: dict[str, list[Route]] = {}
    for route in table.routes:
        (inferred if route.inferred else routes).setdefault(route.namespace, []).append(route)
    tenants = sorted(table.tenants, key=lambda tenant: tenant.id)
    identities: dict[KeyHash, Identity] = {}
    for tenant in tenants:
        terms = {term.key: _build_term(term) for term in tenant.key_terms}
        for key in tenant.keys:
            if key not in identities:
                identities[key] = Identity(tenant, key[:_KEY_DIGITS], term=terms.get(key))
    return LiveTable(
        table=table,
        identities=identities,
        anonymous=next((Identity(tenant) for tenant in tenants if tenant.anonymous), None),
        jwts=tuple((tenant, subject) for tenant in tenants for subject in tenant.jwts),
        proxies=tuple((tenant, subject) for tenant in tenants for subject in tenant.proxies),
        namespaces={namespace: _build_namespace(members) for namespace, members in routes.items()},
        inferred={namespace: _build_namespace(members) for namespace, members in inferred.items()},
        allow_lists={t.id: _build_allow_list(t.models) for t in table.tenants if t.models is not None},
        providers_by_id=providers,
        endpoints_by_id={e.id: (provider, e) for provider in table.providers for e in provider.endpoints},
        candidates_by_route={r.id: build_candidates(r.targets, providers, models) for r in table.routes},
    )


def matches(pattern: str, name: str) -> bool:
    """Whether a name or a pattern with one `*` covers `name`. The star stands for any text, also for none."""
    return pattern == name if "*" not in pattern else _fits(_build_pattern(pattern), name)


def _allows(allowed: _AllowList, name: str) -> bool:
    return name in allowed.exact or any(_fits(pattern, name) for pattern in allowed.patterns)


def _fits(pattern: _Pattern, name: str) -> bool:
    prefix, suffix, shortest = pattern
    return len(name) >= shortest and name.startswith(prefix) and name.endswith(suffix)


def _meet(one: _Pattern, other: _Pattern) -> bool:
    """Whether some name fits both. It may be as long as it takes."""
    return (one.prefix.startswith(other.prefix) or other.prefix.startswith(one.prefix)) and (
        one.suffix.endswith(other.suffix) or other.suffix.endswith(one.suffix)
    )


def _build_term(term: KeyTerm) -> Term:
    return Term(term.not_before_unix_s, term.not_after_unix_s)


def _build_pattern(text: str) -> _Pattern:
    prefix, _, suffix = text.partition("*")
    return _Pattern(prefix, suffix, len(prefix) + len(suffix))


def _build_namespace(routes: Iterable[Route]) -> _Namespace:
    exact: dict[str, Route] = {}
    patterns: dict[str, Route] = {}
    for route in routes:
        for name in route.models:
            (patterns if "*" in name else exact)[name] = route
    ranked = sorted(patterns, key=lambda text: (-len(text), text))
    return _Namespace(exact, tuple((_build_pattern(text), patterns[text]) for text in ranked))


def _build_allow_list(models: tuple[str, ...]) -> _AllowList:
    return _AllowList(
        frozenset(name for name in models if "*" not in name),
        tuple(_build_pattern(name) for name in models if "*" in name),
    )
