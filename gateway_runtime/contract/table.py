"""The routing table: everything a gateway needs to serve, with every reference resolved and every default
filled in.

`headgate_operator.compile` makes it; `codec` turns it into bytes; `gateway_runtime.engine` looks things up in
it. Values are frozen and deterministic: the same resources give the same table. All durations are seconds.
"""

from collections.abc import Iterator
from typing import Final, Literal, TypeAlias

import msgspec

from gateway_runtime.contract.ids import EndpointId, ProviderId, RouteId
from gateway_runtime.contract.secret import Secret
from gateway_runtime.contract.tenant import Tenant

WireName: TypeAlias = Literal[
    "openai", "azure", "anthropic", "google", "vertex", "bedrock", "cohere", "ollama", "litellm"
]
"""What a provider speaks."""
Unsupported: TypeAlias = Literal["Refuse", "Drop"]
"""What becomes of a request's member that its provider cannot express."""
Strategy: TypeAlias = Literal["Weighted", "RoundRobin", "LeastBusy", "Latency", "Cost"]
RetryCause: TypeAlias = Literal[
    "ConnectFailure", "Reset", "Timeout", "ServerError", "RateLimited", "Malformed"
]
FallbackCause: TypeAlias = RetryCause | Literal["CredentialRefused", "Unsuitable", "Unavailable"]
"""Unavailable: no attempt was made, since every endpoint is refused or the route has no target."""

MAX_PEM_BYTES: Final = 16 * 1024
"""Of a provider's client certificate, and of its key: they reach OpenSSL through a pipe, which takes so much
at once everywhere. A chain of four RSA certificates has half of it.
"""


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


class Price(_Frozen, frozen=True, kw_only=True):
    """Of one token, in picodollars: 0.15 US dollars per million tokens are 150000. Whatever a manifest can
    say is a whole number of them.
    """

    input_usd_picos: int
    output_usd_picos: int


class Model(_Frozen, frozen=True, kw_only=True):
    name: str
    upstream_name: str
    """What the provider calls it; equal to `name` unless the manifest says otherwise."""
    price: Price | None = None
    """None: not known."""
    max_output_tokens: int | None = None
    """What it can write at most; None: not known."""


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
    authorized: bool = True
    """It carries the credential. Without it, a provider that asks for one is alive."""


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
    slow_call_s: float = 60.0
    """A request that takes so long is slow: to its first byte if it is a stream, else to its end."""
    slow_call_percent: int = 0
    """Opens when this share of the requests in `window_s` was slow, given at least `min_requests`; 0 turns
    this rule off.
    """
    max_open_percent: int = 100
    """So much of the provider's endpoints, rounded down, may be refused at once; the others with an open
    circuit are last resorts.
    """


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


class ProviderTls(_Frozen, frozen=True, kw_only=True):
    """How the provider is recognised, and how we show it who we are. `compile` saw to it that certificates
    are ASCII and that certificate and key are a pair, both or neither.
    """

    ca: str | None = None
    """PEM: the authorities that are trusted, instead of the system's."""
    certificate: str | None = None
    """PEM: ours, with its chain."""
    key: Secret | None = None
    """PEM, unencrypted."""
    server_name: str | None = None
    """The name in the provider's certificate, where it is not the host of the URL."""


class UpstreamLimits(_Frozen, frozen=True, kw_only=True):
    """What one gateway process may ask of one endpoint. All defaults are guesses, far above what a
    self-hosted model takes and far below what a process can hold.
    """

    max_connections: int = 1024
    """Open at one moment, with those that are dialled, idle, or waited out after a stream's last event."""
    max_in_flight: int = 1024
    """Requests whose answers are waited for. HTTP/1.1 carries one at a time on a connection, so a number
    above `max_connections` is never reached.
    """
    max_queue: int = 1024
    """Requests that wait for one of the two; 0 lets none wait."""
    queue_s: float = 5.0
    """The longest that one waits there."""


class AzureOptions(_Frozen, frozen=True, kw_only=True):
    api_version: str | None = None
    """Such as `2024-10-21`; None for the v1 API, which has none."""
    tenant: str | None = None
    """Of Entra, and the next the application in it. Both None: the credential is the resource's API key."""
    client: str | None = None
    workload: bool = False
    """Tokens are got for the pod's own identity, instead of with a client secret from the credential."""


class VertexOptions(_Frozen, frozen=True, kw_only=True):
    project: str
    location: str
    workload: bool = False
    """Tokens are got for the pod's own identity, instead of with a service account's key."""


class BedrockOptions(_Frozen, frozen=True, kw_only=True):
    region: str
    workload: bool = False
    """Keys are got for the pod's own identity (IRSA or Pod Identity), instead of from the credential."""


class LitellmOptions(_Frozen, frozen=True, kw_only=True):
    provider: str
    """As litellm calls it: `databricks`."""


class Provider(_Frozen, frozen=True, kw_only=True, tag_field="kind", tag="Provider"):
    id: ProviderId
    uid: str
    generation: int
    type: str
    """As the manifest calls it; what follows from it stands in the other fields."""
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
    stream_usage: bool = True
    """It takes `stream_options.include_usage`, so that every stream is asked for its usage."""
    tls: ProviderTls | None = None
    """None: the system's authorities, the URL's host, and no certificate of ours."""
    limits: UpstreamLimits = UpstreamLimits()
    wire: WireName = "openai"
    azure: AzureOptions | None = None
    """Of wire azure; and the others likewise, of theirs."""
    vertex: VertexOptions | None = None
    bedrock: BedrockOptions | None = None
    litellm: LitellmOptions | None = None


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
    causes: tuple[RetryCause, ...] | None = None
    """What is tried again; None: all of them."""
    budget_percent: int = 20
    """Retries and hedges as a share of the route's requests: see `engine.budget`."""


class FallbackRule(_Frozen, frozen=True, kw_only=True):
    model: str
    """Asked for in the caller's name, as if the caller had: the tenant's allow-list holds."""
    causes: tuple[FallbackCause, ...] | None = None
    """What leads here; None: all of them."""


class Hedge(_Frozen, frozen=True, kw_only=True):
    """A second copy of a request that is slow to answer, to another endpoint. Never of a stream."""

    after_s: float
    max_extra: int


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
    strategy: Strategy = "Weighted"
    """Who is first within a priority."""
    panic_percent: int = 0
    """When some of a priority's endpoints are ready, but fewer than this share, and no later priority has a
    ready one, its doubtful ones count as ready; 0 turns this off.
    """
    fallbacks: tuple[FallbackRule, ...] = ()
    """Other models, in this order, when the route gives up. Theirs in turn are not followed."""
    hedge: Hedge | None = None
    unsupported: Unsupported = "Refuse"
    inferred: bool = False
    """Nobody wrote it: it follows from a provider that answers for the names of its family. Asked last, after
    all patterns of routes that somebody wrote.
    """


class Installation(_Frozen, frozen=True, kw_only=True, tag_field="kind", tag="Installation"):
    """What holds for the whole installation."""

    key_salt: Secret
    cluster_issuer: str | None = None
    """Of the tokens of the cluster's service accounts. None: there is no cluster."""
    cluster_keys: str | None = None
    """Its JWKS, a JSON text of public keys."""


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
