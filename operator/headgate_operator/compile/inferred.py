"""Routes that nobody wrote: what providers with `inferModels` serve beside their namespace's ModelRoutes.

    compiled providers -> for each namespace, which of them may have which names -> Routes, marked `inferred`

`contract.inference` tells whose a name is; it is data. The gateways ask these routes last, so that whatever
somebody wrote, be it `*`, comes first.

The one subtle rule: a name belongs to the first of its types that the namespace has. `claude-*` goes to
Anthropic's own API where there is a provider of type anthropic, and to others that may have it after that.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from functools import cache

from msgspec import structs

from gateway_runtime.contract.ids import ProviderId, RouteId
from gateway_runtime.contract.inference import PATTERNS, matches
from gateway_runtime.contract.table import Provider, RetryPolicy, Route, RouteTimeouts, Target
from headgate_operator.api.fields import parse_duration
from headgate_operator.api.route import ModelRouteSpec, Retry
from headgate_operator.compile.memo import ProviderEntry, keep_equal


def infer_routes(providers: Mapping[str, ProviderEntry], before: Sequence[Route]) -> tuple[Route, ...]:
    """Sorted by id. before: those of the last time, which stay the same objects where they are equal."""
    known = {route.id: route for route in before}
    by_namespace: defaultdict[str, list[Provider]] = defaultdict(list)
    for entry in providers.values():
        if entry.infers and entry.resource is not None:
            by_namespace[entry.manifest.meta.namespace].append(entry.resource)
    routes = [
        keep_equal(route, known.get(route.id))
        for namespace, members in by_namespace.items()
        for route in _infer(namespace, members)
    ]
    return tuple(sorted(routes, key=lambda route: route.id))


def _infer(namespace: str, providers: Sequence[Provider]) -> Iterable[Route]:
    """One for each set of providers that share names."""
    names: defaultdict[tuple[Target, ...], list[str]] = defaultdict(list)
    for pattern, types in PATTERNS:
        targets = tuple(
            Target(provider=provider.id, model=None, weight=1, priority=priority)
            for priority, kind in enumerate(types)
            for provider in providers
            if provider.type == kind and _may_have(provider, pattern)
        )
        if targets:
            names[targets].append(pattern)
    for targets, patterns in names.items():
        members = "+".join(_name(target.provider) for target in targets)
        yield structs.replace(
            _template(),
            id=RouteId(f"{namespace}/~{members}"),
            namespace=namespace,
            models=tuple(sorted(patterns)),
            targets=targets,
        )


def _may_have(provider: Provider, pattern: str) -> bool:
    return not provider.models or any(matches(pattern, model.name) for model in provider.models)


def _name(provider: ProviderId) -> str:
    return provider.partition("/")[2]


@cache
def _template() -> Route:
    """As a ModelRoute says when it says nothing."""
    retry = Retry()
    return Route(
        id=RouteId(""),
        uid="inferred",
        generation=0,
        namespace="",
        models=(),
        targets=(),
        retry=RetryPolicy(
            max_attempts=retry.max_attempts,
            backoff_s=parse_duration(retry.backoff),
            max_backoff_s=parse_duration(retry.max_backoff),
            causes=retry.causes,
            budget_percent=retry.budget_percent,
        ),
        timeouts=RouteTimeouts(),
        panic_percent=ModelRouteSpec.model_fields["panic_percent"].default,
        inferred=True,
    )
