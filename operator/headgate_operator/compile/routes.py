"""The second pass: ModelRoutes, against the compiled providers, to the table's Routes.

    spec -> wanted -> without the models that an older route claims -> without the targets and fallbacks that
    do not resolve

A target resolves when its provider and model are there and may be used; it is in the table when its provider
is in the table. The two differ while a provider has no usable credential: that is not the route's mistake,
and its Healthy condition tells. A route without targets stays, so that its callers hear why; one without
models goes. A broken route is told about its spec alone: what its last good version loses meanwhile shows in
the counts of its verdict.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import NamedTuple

from msgspec import structs

from gateway_runtime.contract.ids import ProviderId, RouteId
from gateway_runtime.contract.table import FallbackRule, Hedge, RetryPolicy, Route, RouteTimeouts, Target
from headgate_operator.api import route as api
from headgate_operator.api.fields import parse_duration
from headgate_operator.api.manifest import BrokenManifest, RouteManifest
from headgate_operator.api.reasons import Code
from headgate_operator.compile.claims import Claims, Lost
from headgate_operator.compile.fallbacks import (
    NO_FALLBACKS,
    Resolvable,
    ResolvedFallbacks,
    ServedModels,
    look_up_fallbacks,
    resolve_fallbacks,
)
from headgate_operator.compile.findings import Finding, invalid_fields, model_claimed
from headgate_operator.compile.last_good import LastGood
from headgate_operator.compile.memo import ProviderEntry, RouteEntry, keep_equal
from headgate_operator.compile.resources import Resources, index_by_id
from headgate_operator.compile.targets import (
    Behind,
    Neighbours,
    ResolvedTargets,
    lack_prices,
    resolve_targets,
)
from headgate_operator.compile.verdict import Verdict, judge_serving


class _Wish(NamedTuple):
    """A route before it meets the others."""

    manifest: RouteManifest | BrokenManifest
    wanted: Route | None
    """With all its models and targets; None for a broken one that never was good."""
    old: RouteEntry | None


def compile_routes(
    resources: Resources,
    providers: Mapping[str, ProviderEntry],
    before: Mapping[str, RouteEntry],
    last_good: LastGood,
) -> dict[str, RouteEntry]:
    wishes: dict[str, _Wish] = {}
    claims: defaultdict[str, Claims] = defaultdict(Claims)
    for identity, manifest in index_by_id(resources.routes).items():
        old = before.get(identity)
        if old is not None and old.manifest is manifest and old.wanted is not None:
            wish = _Wish(manifest, old.wanted, old)  # of 10,000 routes nearly all: no call for them
        else:
            wish = _wish_route(manifest, old, last_good)
        wishes[identity] = wish
        if wish.wanted is not None:
            claims[wish.wanted.namespace].enter(wish.manifest.meta, wish.wanted.models)
    neighbours = Neighbours(providers)
    served = {namespace: ServedModels(claimed) for namespace, claimed in claims.items()}
    entries: dict[str, RouteEntry] = {}
    for identity, (manifest, wanted, old) in wishes.items():
        if wanted is None:
            new = _refuse_route(manifest)
        else:
            lost = claims[wanted.namespace].find_lost(manifest.meta, wanted.models)
            behind = tuple([providers.get(target.provider) for target in wanted.targets])
            fallbacks = look_up_fallbacks(wanted, served) if wanted.fallbacks else NO_FALLBACKS
            if old is not None and _is_current(old, manifest, wanted, lost, behind, neighbours, fallbacks):
                entries[identity] = old
                continue
            new = _compile_route(manifest, wanted, lost, behind, neighbours, fallbacks)
        entries[identity] = new if old is None else _keep_equal_parts(new, old)
    return entries


def _wish_route(
    manifest: RouteManifest | BrokenManifest, old: RouteEntry | None, last_good: LastGood
) -> _Wish:
    if old is not None:
        manifest = keep_equal(manifest, old.manifest)
        if old.wanted is not None and old.manifest is manifest:
            return _Wish(manifest, old.wanted, old)
    if not isinstance(manifest, BrokenManifest):
        return _Wish(manifest, _build_route(manifest), old)
    if old is not None and old.wanted is not None and old.wanted.uid == manifest.meta.uid:
        return _Wish(manifest, old.wanted, old)
    return _Wish(manifest, last_good.route(manifest.meta), old)


def _is_current(
    old: RouteEntry,
    manifest: RouteManifest | BrokenManifest,
    wanted: Route,
    lost: Lost,
    behind: Behind,
    neighbours: Neighbours,
    fallbacks: Resolvable,
) -> bool:
    return (
        old.manifest is manifest
        and old.wanted is wanted
        and old.lost == lost
        and old.behind == behind
        and old.fallbacks == fallbacks
        and (old.neighbours is None or old.neighbours == neighbours.of(wanted.namespace))
    )


def _keep_equal_parts(new: RouteEntry, old: RouteEntry) -> RouteEntry:
    return replace(
        new, resource=keep_equal(new.resource, old.resource), verdict=keep_equal(new.verdict, old.verdict)
    )


def _refuse_route(manifest: RouteManifest | BrokenManifest) -> RouteEntry:
    """The entry of a broken route that never was good."""
    verdict = Verdict(
        meta=manifest.meta,
        findings=invalid_fields(manifest),
        serving="Nothing",
        serving_generation=None,
        refs_total=0,
        refs_resolved=0,
    )
    return RouteEntry(manifest, None, (), (), None, NO_FALLBACKS, None, verdict)


def _compile_route(
    manifest: RouteManifest | BrokenManifest,
    wanted: Route,
    lost: Lost,
    behind: Behind,
    neighbours: Neighbours,
    fallbacks: Resolvable,
) -> RouteEntry:
    taken = {model for model, _ in lost}
    models = tuple(model for model in wanted.models if model not in taken)
    reachable = models or wanted.models
    resolved = resolve_targets(wanted, reachable, behind, neighbours)
    others = resolve_fallbacks(wanted, fallbacks)
    resource: Route | None = None
    if models:
        serving = structs.replace(wanted, models=models, targets=resolved.live, fallbacks=others.live)
        resource = keep_equal(serving, wanted)
    lists_neighbours = any(finding.code is Code.PROVIDER_NOT_FOUND for finding in resolved.findings)
    return RouteEntry(
        manifest=manifest,
        wanted=wanted,
        lost=lost,
        behind=behind,
        neighbours=neighbours.of(wanted.namespace) if lists_neighbours else None,
        fallbacks=fallbacks,
        resource=resource,
        verdict=Verdict(
            meta=manifest.meta,
            findings=tuple(_find_faults(manifest, lost, resolved, others)),
            serving=judge_serving(manifest, resource),
            serving_generation=None if resource is None else resource.generation,
            refs_total=len(wanted.targets),
            refs_resolved=len(resolved.providers),
            providers=resolved.providers,
            models=models,
            lacks_prices=wanted.strategy == "Cost" and lack_prices(resolved.live, reachable, behind),
        ),
    )


def _find_faults(
    manifest: RouteManifest | BrokenManifest,
    lost: Lost,
    resolved: ResolvedTargets,
    others: ResolvedFallbacks,
) -> Iterator[Finding]:
    if isinstance(manifest, BrokenManifest):
        yield from invalid_fields(manifest)
        return
    winners = dict(lost)
    for i, model in enumerate(manifest.spec.models):
        if model in winners:
            yield model_claimed(f"spec.models[{i}]", model, manifest.meta, winners[model])
    yield from resolved.findings
    yield from others.findings


def _build_route(manifest: RouteManifest) -> Route:
    meta, spec = manifest.meta, manifest.spec
    return Route(
        id=RouteId(meta.id),
        uid=meta.uid,
        generation=meta.generation,
        namespace=meta.namespace,
        models=tuple(sorted(set(spec.models))),
        targets=tuple(_build_target(meta.namespace, target) for target in spec.targets),
        retry=RetryPolicy(
            max_attempts=spec.retry.max_attempts,
            backoff_s=parse_duration(spec.retry.backoff),
            max_backoff_s=parse_duration(spec.retry.max_backoff),
            causes=spec.retry.causes,
            budget_percent=spec.retry.budget_percent,
        ),
        timeouts=RouteTimeouts(
            connect_s=_parse_optional(spec.timeouts.connect),
            first_token_s=_parse_optional(spec.timeouts.first_token),
            idle_s=_parse_optional(spec.timeouts.idle),
            total_s=_parse_optional(spec.timeouts.total),
        ),
        strategy=spec.strategy,
        panic_percent=spec.panic_percent,
        fallbacks=tuple(FallbackRule(model=f.model, causes=f.causes) for f in spec.fallbacks),
        hedge=None if spec.hedge is None else _build_hedge(spec.hedge),
        unsupported=spec.unsupported,
    )


def _build_hedge(hedge: api.Hedge) -> Hedge:
    return Hedge(after_s=parse_duration(hedge.after), max_extra=hedge.max_extra)


def _build_target(namespace: str, target: api.Target) -> Target:
    ref = target.provider_ref
    return Target(
        provider=ProviderId(f"{ref.namespace or namespace}/{ref.name}"),
        model=target.model,
        weight=target.weight,
        priority=target.priority,
    )


def _parse_optional(duration: str | None) -> float | None:
    return None if duration is None else parse_duration(duration)
