"""ModelRoute: which models callers may ask for, and which providers answer, in what order and proportion."""

from typing import Annotated, ClassVar

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
    """The longest wait."""


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


class ModelRouteSpec(ApiModel):
    """A route from model names to providers."""

    cel_rules: ClassVar = (
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
    retry: Retry = Field(default_factory=Retry)
    """What happens when an attempt fails."""
    timeouts: RouteTimeouts = Field(default_factory=RouteTimeouts)
    """How long to wait."""
