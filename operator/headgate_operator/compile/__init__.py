"""Resources in, a routing table and a verdict for every object out: pure, total and deterministic.

    providers -> routes -> quotas

Three passes, each a module. Providers come first, since a route's targets resolve against them, and some of
them bring routes of their own (`inferred`); routes and quotas do not know each other. Within a pass each
object comes by itself to what it wants (its manifest and its Secrets), then the claims of all are weighed,
and then each gets what is left to it. What is wrong becomes a finding in the object's verdict; the valid rest
goes live.

`reconcile` calls it after each change, `headgate up` and `validate` for files.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from heapq import merge
from typing import NamedTuple

from gateway_runtime.contract.table import Installation, Route, RoutingTable
from headgate_operator.compile.inferred import infer_routes
from headgate_operator.compile.last_good import LastGood
from headgate_operator.compile.memo import Memo, keep_equal
from headgate_operator.compile.providers import compile_providers
from headgate_operator.compile.quotas import compile_quotas
from headgate_operator.compile.resources import Cluster, Resources, UnknownCluster
from headgate_operator.compile.routes import compile_routes
from headgate_operator.compile.verdict import Verdict


@dataclass(frozen=True, slots=True)
class Compiled:
    """Two are equal when their tables and verdicts are, however they came about."""

    table: RoutingTable
    verdicts: Mapping[str, Verdict]
    """By `Verdict.key`, that is `<Kind>/<namespace>/<name>`; sorted."""
    memo: Memo = field(repr=False, compare=False)
    """For the next compile."""


def compile_resources(
    resources: Resources, previous: Compiled | None = None, last_good: RoutingTable | None = None
) -> Compiled:
    """Never raises for what users write.

    `previous`: what the last compile gave. It makes this one fast, what did not change stays the same Python
    objects, and broken objects keep the version that was good then. `last_good`: an older table, where broken
    objects are looked up that `previous` knows no good version of: what was published last, for the first
    compile after a restart or a take-over.
    """
    memo = previous.memo if previous is not None else Memo()
    salted = memo.resources is not None and memo.resources.key_salt == resources.key_salt
    earlier = LastGood(last_good, resources.key_salt)
    same = _compare(resources, memo.resources if last_good is None else None)
    providers = memo.providers if same.providers else compile_providers(resources, memo.providers, earlier)
    routes = memo.routes if same.routes else compile_routes(resources, providers, memo.routes, earlier)
    inferred = memo.inferred if same.providers else infer_routes(providers, memo.inferred)
    known_quotas = memo.quotas if salted else {}
    cluster = _remember_cluster(resources, (None if previous is None else previous.table, last_good))
    signed = same.quotas and cluster == memo.cluster
    quotas = memo.quotas if signed else compile_quotas(resources, cluster, known_quotas, earlier)
    verdicts = {f"LLMProvider/{identity}": entry.verdict for identity, entry in providers.items()}
    verdicts |= {f"ModelRoute/{identity}": entry.verdict for identity, entry in routes.items()}
    verdicts |= {f"TenantQuota/{identity}": entry.verdict for identity, entry in quotas.items()}
    known = cluster if isinstance(cluster, Cluster) else None
    installation = Installation(
        key_salt=resources.key_salt,
        cluster_issuer=None if known is None else known.issuer,
        cluster_keys=None if known is None else known.keys,
    )
    return Compiled(
        table=RoutingTable(
            installation=keep_equal(installation, None if previous is None else previous.table.installation),
            providers=tuple([e.resource for e in providers.values() if e.resource is not None]),
            routes=_merge([e.resource for e in routes.values() if e.resource is not None], inferred),
            tenants=tuple([e.resource for e in quotas.values() if e.resource is not None]),
        ),
        verdicts=verdicts,
        memo=Memo(
            providers, routes, inferred, quotas, cluster, replace(resources, secrets=dict(resources.secrets))
        ),
    )


def _remember_cluster(
    resources: Resources, before: Iterable[RoutingTable | None]
) -> Cluster | UnknownCluster | None:
    """While the cluster does not say who signs, those who did go on: after a restart, too."""
    if not isinstance(resources.cluster, UnknownCluster):
        return resources.cluster
    for table in before:
        if table is not None and (issuer := table.installation.cluster_issuer) is not None:
            return Cluster(issuer, table.installation.cluster_keys or "")
    return resources.cluster


def _merge(written: list[Route], inferred: tuple[Route, ...]) -> tuple[Route, ...]:
    """Both are sorted by id."""
    if not inferred:
        return tuple(written)
    return tuple(merge(written, inferred, key=lambda route: route.id))


class _Same(NamedTuple):
    """Which passes have just the inputs that they had last time. They are skipped: that halves an edit."""

    providers: bool
    routes: bool
    quotas: bool


def _compare(now: Resources, before: Resources | None) -> _Same:
    if before is None:
        return _Same(providers=False, routes=False, quotas=False)
    secrets = now.secrets == before.secrets
    providers = secrets and now.providers == before.providers
    return _Same(
        providers=providers,
        routes=providers and now.routes == before.routes,
        quotas=secrets and now.key_salt == before.key_salt and now.quotas == before.quotas,
    )
