"""What compile says about one object: what is wrong with it, and what of it serves.

Made by the passes; `rollup` turns it into conditions, `headgate validate` into lines on a terminal. It holds
no secret value and nothing about health: that comes from the gateways.
"""

from dataclasses import dataclass
from typing import Final, Literal, NamedTuple, TypeAlias

from gateway_runtime.contract.ids import EndpointId, ProviderId
from gateway_runtime.contract.table import Provider, Route
from gateway_runtime.contract.tenant import Limit, Tenant
from headgate_operator.api.manifest import BrokenManifest, Meta
from headgate_operator.compile.findings import Finding
from headgate_operator.compile.resources import AnyManifest, SecretId

Serving: TypeAlias = Literal["Current", "LastGood", "Nothing"]
"""Current: this generation is in the table. LastGood: it makes no sense or its TLS cannot be made out, and an
earlier one is. Nothing: the table has no entry of the object.
"""

_TABLE_KIND: Final = {"LLMProvider": "Provider", "ModelRoute": "Route", "TenantQuota": "Tenant"}


def judge_serving(manifest: AnyManifest, resource: Provider | Route | Tenant | None) -> Serving:
    if resource is None:
        return "Nothing"
    stale = isinstance(manifest, BrokenManifest) or resource.generation != manifest.meta.generation
    return "LastGood" if stale else "Current"


class EndpointName(NamedTuple):
    id: EndpointId
    name: str
    url: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    meta: Meta
    findings: tuple[Finding, ...]
    """In the order of the spec's fields."""
    serving: Serving
    serving_generation: int | None
    """The generation that is in the table; None when nothing is."""
    refs_total: int
    """What the version under judgement refers to: credentials and TLS of a provider, targets of a route,
    subjects of a quota.
    """
    refs_resolved: int
    """How many of them are there, may be used, and are in use."""
    unwatched: tuple[SecretId, ...] = ()
    """Secrets whose changes are seen only when they are read again."""
    endpoints: tuple[EndpointName, ...] = ()
    """Of a provider."""
    providers: tuple[ProviderId, ...] = ()
    """Of a route: one for each target that resolves, in the order in which they are tried."""
    models: tuple[str, ...] = ()
    """Of a route: the names that it serves, without those that an older route claims."""
    lacks_prices: bool = False
    """Of a route: its strategy is Cost, and no model of its targets has a price."""
    limits: tuple[Limit, ...] = ()
    """Of a quota: those that are in the table."""

    @property
    def key(self) -> str:
        """`<Kind>/<namespace>/<name>` with the custom resource's kind: unique over all verdicts."""
        return f"{self.meta.kind}/{self.meta.id}"

    @property
    def resource_key(self) -> str:
        """`contract.table.resource_key` of the object's entry in the table."""
        return f"{_TABLE_KIND[self.meta.kind]}/{self.meta.id}"
