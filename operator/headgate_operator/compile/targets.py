"""Which targets of a route resolve: is the provider there, may this route use it, does it have the model.

Part of the routes pass. A provider of another namespace that is missing and one that does not admit the route
give the same finding, so that nobody can find out what other namespaces have.
"""

from collections.abc import Mapping
from functools import cached_property
from typing import NamedTuple, TypeAlias

from gateway_runtime.contract.ids import ProviderId
from gateway_runtime.contract.table import Route, Target
from headgate_operator.compile import findings
from headgate_operator.compile.findings import Finding
from headgate_operator.compile.memo import ProviderEntry
from headgate_operator.compile.pattern import matches

Behind: TypeAlias = tuple[ProviderEntry | None, ...]
"""What stands behind each target of a route; None where no such provider exists."""


class ResolvedTargets(NamedTuple):
    live: tuple[Target, ...]
    """Those whose provider is in the table."""
    providers: tuple[ProviderId, ...]
    """Of each target that resolves, in the order in which they are tried."""
    findings: tuple[Finding, ...]
    """What is wrong with the others."""


class Neighbours:
    """The names of the providers by namespace, for messages; built at the first question."""

    def __init__(self, providers: Mapping[str, ProviderEntry]) -> None:
        self._providers = providers

    def of(self, namespace: str) -> tuple[str, ...]:
        """Sorted."""
        return self._names.get(namespace, ())

    @cached_property
    def _names(self) -> dict[str, tuple[str, ...]]:
        names: dict[str, list[str]] = {}
        for entry in self._providers.values():
            meta = entry.manifest.meta
            names.setdefault(meta.namespace, []).append(meta.name)
        return {namespace: tuple(sorted(found)) for namespace, found in names.items()}


def resolve_targets(
    route: Route, models: tuple[str, ...], behind: Behind, neighbours: Neighbours
) -> ResolvedTargets:
    """`models`: those that callers can reach the route by."""
    live: list[Target] = []
    resolved: list[Target] = []
    found: list[Finding] = []
    for i, (target, entry) in enumerate(zip(route.targets, behind, strict=True)):
        match _resolve_target(f"spec.targets[{i}]", route.namespace, models, target, entry, neighbours):
            case Finding() as finding:
                found.append(finding)
            case provider:
                resolved.append(target)
                if provider.resource is not None:
                    live.append(target)
    providers = tuple(target.provider for target in sorted(resolved, key=lambda target: target.priority))
    return ResolvedTargets(tuple(live), providers, tuple(found))


def lack_prices(targets: tuple[Target, ...], models: tuple[str, ...], behind: Behind) -> bool:
    """Whether no model that callers can reach there has a price, so that strategy Cost has nothing to go by.
    `targets`: the live ones; `models` as above. Without targets nothing lacks.
    """
    offered = {entry.resource.id: entry.resource.models for entry in behind if entry and entry.resource}
    return bool(targets) and not any(
        model.price is not None and _asks_for(target, models, model.name)
        for target in targets
        for model in offered[target.provider]
    )


def _asks_for(target: Target, models: tuple[str, ...], name: str) -> bool:
    if target.model is not None:
        return target.model == name
    return any(matches(pattern, name) for pattern in models)


def _resolve_target(
    field: str,
    namespace: str,
    models: tuple[str, ...],
    target: Target,
    provider: ProviderEntry | None,
    neighbours: Neighbours,
) -> ProviderEntry | Finding:
    its_namespace, _, name = target.provider.partition("/")
    if its_namespace != namespace and (provider is None or not provider.admits(namespace)):
        return findings.ref_not_permitted(field, target.provider, namespace)
    if provider is None:
        return findings.provider_not_found(field, name, neighbours.of(namespace))
    listed = provider.models
    if not listed or target.model in listed:
        return provider
    if target.model is not None:
        return findings.model_not_found(field, name, target.model, sorted(listed))
    if any(matches(pattern, model) for pattern in models for model in listed):
        return provider
    return findings.no_model_served(field, name, sorted(listed))
