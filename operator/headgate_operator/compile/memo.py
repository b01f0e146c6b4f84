"""What one compile leaves for the next, so that an edit costs what it touches: for each object its entry,
with all that it was made from.

An entry is taken over as it is while its manifest and everything else it was made from are the same. One that
is made anew keeps the parts that came out equal as the same Python objects: the codec and the status writer
see by identity what changed.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from gateway_runtime.contract.table import Provider, Route
from gateway_runtime.contract.tenant import Tenant
from headgate_operator.api.manifest import (
    BrokenManifest,
    ProviderManifest,
    QuotaManifest,
    RouteManifest,
)
from headgate_operator.compile.api_keys import SecretsRead
from headgate_operator.compile.claims import Lost
from headgate_operator.compile.fallbacks import Resolvable
from headgate_operator.compile.findings import Finding
from headgate_operator.compile.resources import Cluster, Resources, UnknownCluster
from headgate_operator.compile.subjects import SubjectsRead
from headgate_operator.compile.verdict import Verdict

Part = TypeVar("Part")


@dataclass(frozen=True, slots=True)
class ProviderEntry:
    manifest: ProviderManifest | BrokenManifest
    secrets: SecretsRead
    resource: Provider | None
    verdict: Verdict
    admitted: frozenset[str] | None
    """Other namespaces whose routes may name it; None: all."""
    models: tuple[str, ...]
    """Empty: any."""
    infers: bool
    """It serves the names of its family that no route covers."""

    def admits(self, namespace: str) -> bool:
        return (
            self.admitted is None or namespace == self.manifest.meta.namespace or namespace in self.admitted
        )


@dataclass(frozen=True, slots=True)
class RouteEntry:
    manifest: RouteManifest | BrokenManifest
    wanted: Route | None
    """What the spec says, before models are lost and targets dropped; None for a broken one that never was
    good.
    """
    lost: Lost
    behind: tuple[ProviderEntry | None, ...]
    """What stood behind `wanted.targets`."""
    neighbours: tuple[str, ...] | None
    """The providers of its namespace, when a message lists them."""
    fallbacks: Resolvable
    """Which of `wanted.fallbacks` some route served."""
    resource: Route | None
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class QuotaEntry:
    manifest: QuotaManifest | BrokenManifest
    secrets: SecretsRead
    cluster: Cluster | UnknownCluster | None
    """What its service accounts were read with."""
    subjects: SubjectsRead
    asked: Tenant | None
    """What the spec says; of a broken one what was good, None where nothing was."""
    wanted: Tenant | None
    """What may be served, before claims are lost: `asked`, or what was good if its parent cannot be one."""
    claims: tuple[str, ...]
    """Of `wanted`."""
    good: Tenant | None
    """What was wanted last."""
    fault: Finding | None
    """Of the parent that it asks for."""
    lost: Lost
    resource: Tenant | None
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class Memo:
    """Entries are by `<namespace>/<name>`, sorted."""

    providers: Mapping[str, ProviderEntry] = field(default_factory=dict)
    routes: Mapping[str, RouteEntry] = field(default_factory=dict)
    inferred: tuple[Route, ...] = ()
    """Routes that nobody wrote, sorted by id."""
    quotas: Mapping[str, QuotaEntry] = field(default_factory=dict)
    cluster: Cluster | UnknownCluster | None = None
    """Whose service accounts the quotas were compiled for."""
    resources: Resources | None = None
    """What they were made from; None before the first compile."""


def keep_equal(new: Part, before: Part | None) -> Part:
    """`before` when the two are equal, so that what did not change stays the same object."""
    return before if before is not None and (before is new or before == new) else new
