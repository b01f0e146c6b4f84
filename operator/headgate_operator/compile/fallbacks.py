"""Which fallbacks of a route resolve: does some route of its namespace serve the model.

Part of the routes pass, after all claims are entered. A fallback that nobody serves is left out of the table
and told in the verdict; the others stay. No loop can come of them: a gateway follows the fallbacks of the
route that the caller asked for, never those of a fallback, and a route whose only model is its own fallback
is refused as a field that makes no sense.
"""

from collections.abc import Mapping
from functools import cached_property
from typing import Final, NamedTuple

from gateway_runtime.contract.table import FallbackRule, Route
from headgate_operator.compile.claims import Claims
from headgate_operator.compile.findings import Finding, fallback_not_served
from headgate_operator.compile.pattern import matches


class ServedModels:
    """What the routes of one namespace serve, names and patterns."""

    def __init__(self, claims: Claims) -> None:
        self._names = claims.texts

    def __contains__(self, model: str) -> bool:
        return model in self._names or any(matches(pattern, model) for pattern in self._patterns)

    @cached_property
    def listed(self) -> tuple[str, ...]:
        """Sorted, for messages."""
        return tuple(sorted(self._names))

    @cached_property
    def _patterns(self) -> tuple[str, ...]:
        return tuple(name for name in self._names if "*" in name)


class Resolvable(NamedTuple):
    """All that a route's fallbacks depend on outside of its manifest: equal ones give the same entry."""

    served: tuple[bool, ...] = ()
    """Of each fallback, whether some route serves it."""
    listed: tuple[str, ...] = ()
    """The models of the namespace, when a message lists them."""


NO_FALLBACKS: Final = Resolvable()


class ResolvedFallbacks(NamedTuple):
    live: tuple[FallbackRule, ...]
    findings: tuple[Finding, ...]


def look_up_fallbacks(route: Route, served: Mapping[str, ServedModels]) -> Resolvable:
    """`served`: by namespace; the route's own is among them."""
    if not route.fallbacks:
        return NO_FALLBACKS
    models = served[route.namespace]
    flags = tuple(fallback.model in models for fallback in route.fallbacks)
    return Resolvable(flags, () if all(flags) else models.listed)


def resolve_fallbacks(route: Route, resolvable: Resolvable) -> ResolvedFallbacks:
    pairs = list(zip(route.fallbacks, resolvable.served, strict=True))
    return ResolvedFallbacks(
        tuple(fallback for fallback, served in pairs if served),
        tuple(
            fallback_not_served(f"spec.fallbacks[{i}]", fallback.model, resolvable.listed)
            for i, (fallback, served) in enumerate(pairs)
            if not served
        ),
    )
