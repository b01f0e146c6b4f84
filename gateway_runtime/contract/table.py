"""The routing table: everything a gateway needs to serve, with every reference resolved and every default
filled in.

`headgate_operator.compile` makes it; `codec` turns it into bytes; `gateway_runtime.engine` looks things up in
it. Values are frozen and deterministic: the same resources give the same table. All durations are seconds.
"""

from collections.abc import Iterator
from typing import Literal, TypeAlias

import msgspec

from gateway_runtime.contract.ids import EndpointId, KeyHash, ProviderId, RouteId, TenantId
from gateway_runtime.contract.secret import Secret

ProviderType: TypeAlias = Literal["openai", "openai-compatible"]


class _Frozen(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=False):
    """Unknown fields are ignored, so that an older gateway can read a newer operator's table of the same
    schema version.
    """


class Endpoint(_Frozen, frozen=True, kw_only=True):
    id: EndpointId
    url: str
    """Base URL without a trailing slash; `/chat/completions` is appended to it. Example:
    `https://api.openai.com/v1`.
    """


class Credential(_Frozen, frozen=True, kw_only=True):
    name: str
    value: Secret


class Model(_Frozen, frozen=True, kw_only=True):
    name: str
    upstream_name: str
    """What the provider calls it; equal to `name` unless the manifest says otherwise."""


class ActiveProbe(_Frozen, frozen=True, kw_only=True):
    """GET `<endpoint url><path>` every `interval_s`. Unbilled: it lists models, it does not complete
    anything.
    """

    path: str
    interval_s: float
    timeout_s: float
    unhealthy_after: int
    """So many failed probes in a row make an endpoint unhealthy."""
    healthy_after: int
    """So many good probes in a row make it healthy again."""


class CircuitPolicy(_Frozen, frozen=True, kw_only=True):
    consecutive_failures: int
    """Opens after so many failures in a row; 0 turns this rule off."""
    failure_percent: int
    """Opens when this share of the requests in `window_s` failed, given at least `min_requests`; 0 turns this
    rule off.
    """
    min_requests: int
    window_s: float
    open_s: float
    """How long an open circuit refuses before it lets one trial request through."""


class Timeouts(_Frozen, frozen=True, kw_only=True):
    connect_s: float
    first_token_s: float
    """From the request being sent to the first byte of the answer's body."""
    idle_s: float
    """The longest silence inside a stream."""
    total_s: float
    """One attempt, from connecting to its last byte."""


class RouteTimeouts(_Frozen, frozen=True, kw_only=True):
    """None leaves the provider's value. `total_s` bounds the whole request with all its attempts."""

    connect_s: float | None = None
    first_token_s: float | None = None
    idle_s: float | None = None
    total_s: float | None = None


class Provider(_Frozen, frozen=True, kw_only=True, tag_field="kind", tag="Provider"):
    id: ProviderId
    uid: str
    generation: int
    type: ProviderType
    endpoints: tuple[Endpoint, ...]
    credentials: tuple[Credential, ...]
    """The first is used; the others take its place when the provider refuses it (401, 403)."""
    models: tuple[Model, ...]
    """Empty: every model name is passed on as it is."""
    passive_health: bool
    """Outcomes of real requests count for the circuit."""
    probe: ActiveProbe | None
    circuit: CircuitPolicy
    timeouts: Timeouts


class Target(_Frozen, frozen=True, kw_only=True):
    provider: ProviderId
    model: str | None
    """The model's name at the provider entry; None passes the name on that the caller asked for."""
    weight: int
    """0 gets no traffic in the first choice, but is still a fallback within its priority."""
    priority: int
    """Lower is tried first."""


class RetryPolicy(_Frozen, frozen=True, kw_only=True):
    max_attempts: int
    """All attempts together, the first included."""
    backoff_s: float
    max_backoff_s: float


class Route(_Frozen, frozen=True, kw_only=True, tag_field="kind", tag="Route"):
    id: RouteId
    uid: str
    generation: int
    namespace: str
    models: tuple[str, ...]
    """Exact names or patterns with one `*`. No two routes of a namespace hold the same text: `compile` saw to
    it.
    """
    targets: tuple[Target, ...]
    """Only targets whose provider is in the table. May be empty: such a route answers 503 and names its
    namespace's owner.
    """
    retry: RetryPolicy
    timeouts: RouteTimeouts


class Limit(_Frozen, frozen=True, kw_only=True):
    name: str
    amount: int
    """Requests per rolling window."""
    window_s: float


class Tenant(_Frozen, frozen=True, kw_only=True, tag_field="kind", tag="Tenant"):
    """One TenantQuota: who the callers are, what they may use and how much."""

    id: TenantId
    uid: str
    generation: int
    namespace: str
    keys: tuple[KeyHash, ...]
    anonymous: bool
    """Serves callers without a key. At most one tenant of a table says so."""
    models: tuple[str, ...] | None
    """Allow-list of names or patterns with one `*`; None allows every routed model, empty allows none."""
    limits: tuple[Limit, ...]


class Installation(_Frozen, frozen=True, kw_only=True, tag_field="kind", tag="Installation"):
    """What holds for the whole installation."""

    key_salt: Secret


Resource: TypeAlias = Provider | Route | Tenant | Installation


class RoutingTable(_Frozen, frozen=True, kw_only=True):
    """Each tuple is sorted by id, and ids are unique within it."""

    installation: Installation
    providers: tuple[Provider, ...] = ()
    routes: tuple[Route, ...] = ()
    tenants: tuple[Tenant, ...] = ()

    def resources(self) -> Iterator[Resource]:
        yield self.installation
        yield from self.providers
        yield from self.routes
        yield from self.tenants


def resource_key(resource: Resource) -> str:
    """`<Kind>/<namespace>/<name>`: unique in a table, stable across edits."""
    match resource:
        case Provider():
            return f"Provider/{resource.id}"
        case Route():
            return f"Route/{resource.id}"
        case Tenant():
            return f"Tenant/{resource.id}"
        case _:
            return "Installation"
