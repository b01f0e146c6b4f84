"""ModelRoute: which models callers may ask for, and which providers answer, in what order and proportion."""

from typing import Annotated, ClassVar, Literal, TypeAlias

from pydantic import Field

from headgate_operator.api.fields import (
    Duration,
    ModelName,
    ModelPattern,
    NamespaceName,
    ObjectName,
    parse_duration,
)
from headgate_operator.api.model import ApiModel, Rule

RetryCause: TypeAlias = Literal[
    "ConnectFailure", "Reset", "Timeout", "ServerError", "RateLimited", "Malformed"
]
FallbackCause: TypeAlias = Literal[
    "ConnectFailure",
    "Reset",
    "Timeout",
    "ServerError",
    "RateLimited",
    "Malformed",
    "CredentialRefused",
    "Unsuitable",
    "Unavailable",
]


class ProviderRef(ApiModel):
    """Names an LLMProvider."""

    name: ObjectName
    """Name of the LLMProvider."""
    namespace: NamespaceName | None = None
    """Its namespace, when it is not the route's own. That provider's `allowedRoutes` must admit this one."""


class Target(ApiModel):
    """A provider that may answer."""

    provider_ref: ProviderRef
    """The provider."""
    model: ModelName | None = None
    """The model's name in that provider's `models`. Without it, the name that the caller asked for."""
    weight: Annotated[int, Field(ge=0, le=1000)] = 1
    """Share of the traffic among targets of the same priority. 0 gets none, unless the others of its priority
    fail.
    """
    priority: Annotated[int, Field(ge=0, le=15)] = 0
    """Lower numbers first. A higher one is used only when all targets of the lower ones are unavailable or
    have failed.
    """


class Retry(ApiModel):
    """What happens when an attempt fails before the caller has received a byte. Only what can succeed is
    tried again: connection failures, timeouts, 429, 5xx and malformed answers; each time on another endpoint
    where there is one.
    """

    cel_rules: ClassVar = (
        Rule(
            "duration(self.backoff) <= duration(self.maxBackoff)",
            "backoff must not be longer than maxBackoff: lower backoff or raise maxBackoff",
            lambda r: parse_duration(r.backoff) <= parse_duration(r.max_backoff),
        ),
    )

    max_attempts: Annotated[int, Field(ge=1, le=10)] = 3
    """All attempts together, the first included. 1 turns retrying off."""
    backoff: Duration = "100ms"
    """The first wait before the same endpoint is tried again; it doubles each time, with full jitter. Another
    endpoint is tried at once.
    """
    max_backoff: Duration = "2s"
    """The longest wait. A provider that asks for a longer one (`Retry-After`) is not asked again."""
    causes: Annotated[
        tuple[RetryCause, ...] | None,
        Field(min_length=1, max_length=6, json_schema_extra={"x-kubernetes-list-type": "set"}),
    ] = None
    """What is tried again. Without it, all of these: ConnectFailure (no connection), Reset (it broke before
    the answer), Timeout, ServerError (5xx), RateLimited (429), Malformed (no usable answer). A refused
    credential always gives way to the next one.
    """
    budget_percent: Annotated[int, Field(ge=0, le=1000)] = 20
    """Retries and hedges together, as a share of the route's requests in the last 10 seconds at each gateway:
    above it, failures go to the caller, so that retries never become a storm. Three a second are always free,
    so that little traffic can retry too.
    """


class RouteTimeouts(ApiModel):
    """Overrides of the provider's timeouts; what is absent stays the provider's."""

    connect: Duration | None = None
    """For the connection and its TLS handshake."""
    first_token: Duration | None = None
    """From the request being sent to the first byte of the answer's body."""
    idle: Duration | None = None
    """The longest silence inside an answer."""
    total: Duration | None = None
    """The whole request with all its attempts."""


class Fallback(ApiModel):
    """Another model, for when the route gives up."""

    model: ModelName
    """Asked for as if the caller had: a route of this namespace must serve it, and the caller's quota must
    allow it; where it does not, the next fallback is taken.
    """
    causes: Annotated[
        tuple[FallbackCause, ...] | None,
        Field(min_length=1, max_length=9, json_schema_extra={"x-kubernetes-list-type": "set"}),
    ] = None
    """What leads here. Without it, all of these: the causes of `retry.causes`, CredentialRefused (the
    provider takes none of our keys), Unsuitable (it has no such model, takes no request of this size, cannot
    express all of it, or our quota there is spent), Unavailable (every endpoint's circuit is open, or no
    target resolves).
    """


class Hedge(ApiModel):
    """A second copy of a request that is slow to answer, on another endpoint; the first good answer wins and
    the other request is stopped. Never for streams. Each copy may be billed.
    """

    after: Duration
    """So long without an answer, and a copy is sent; best near the 95th percentile of the latency."""
    max_extra: Annotated[int, Field(ge=1, le=3)] = 1
    """At most so many copies, `after` apart. They count against `retry.budgetPercent`."""


class ModelRouteSpec(ApiModel):
    """A route from model names to providers."""

    cel_rules: ClassVar = (
        Rule(
            "size(self.models) > 1 || !self.fallbacks.exists(f, f.model == self.models[0])",
            "a fallback leads back to the route's only model, which has failed by then: name another model",
            lambda s: len(s.models) > 1 or all(f.model != s.models[0] for f in s.fallbacks),
        ),
        Rule(
            "self.targets.exists(t, !has(t.weight) || t.weight > 0)",
            "every target has weight 0, so none would be used: give at least one a weight above 0",
            lambda s: any(t.weight > 0 for t in s.targets),
        ),
    )

    models: Annotated[
        tuple[ModelPattern, ...],
        Field(min_length=1, max_length=64, json_schema_extra={"x-kubernetes-list-type": "set"}),
    ]
    """Model names that callers ask for: exact, or with one `*`. An exact name beats a pattern, a longer
    pattern a shorter one. Claimed by two routes of one namespace, a name belongs to the older route.
    """
    targets: Annotated[
        tuple[Target, ...],
        Field(min_length=1, max_length=32, json_schema_extra={"x-kubernetes-list-type": "atomic"}),
    ]
    """Who answers. Two priorities make a failover, with nothing more said."""
    strategy: Literal["Weighted", "RoundRobin", "LeastBusy", "Latency", "Cost"] = "Weighted"
    """Who is first within a priority. Weighted: drawn by weight. RoundRobin: in turn, by weight. LeastBusy:
    the less busy of two drawn by weight, by requests in flight. Latency: the quickest of late, counting what
    is in flight; those not known yet are tried first. Cost: the lowest `price` of the model, three parts
    input and one part output; equal ones by weight, those without a price last. Whoever comes next is asked
    when the first fails.
    """
    panic_percent: Annotated[int, Field(ge=0, le=100)] = 50
    """When some of a priority's endpoints are ready, but fewer than this share, and no later priority has a
    ready one, those that a probe found unhealthy get traffic as if they were healthy: better than crushing
    the few that are left. Endpoints with an open circuit stay out. 0 turns this off.
    """
    retry: Retry = Field(default_factory=Retry)
    """What happens when an attempt fails."""
    hedge: Hedge | None = None
    """A second copy of slow requests. Without it, none."""
    fallbacks: Annotated[
        tuple[Fallback, ...], Field(max_length=8, json_schema_extra={"x-kubernetes-list-type": "atomic"})
    ] = ()
    """Other models, in this order, when all targets have failed or are refused. Those models' own fallbacks
    are not followed, so two routes may be each other's.
    """
    unsupported: Literal["Refuse", "Drop"] = "Refuse"
    """What becomes of a member of the request that the chosen provider's API cannot express. Refuse: the
    provider is not asked; another target may say it, and where none can the caller gets 400, which names it.
    Drop: the provider does not hear of it, and the answer's header `x-headgate-dropped` tells so. Hints that
    change no answer, such as user, metadata, store and safety_identifier, are always dropped and told.
    """
    timeouts: RouteTimeouts = Field(default_factory=RouteTimeouts)
    """How long to wait."""
