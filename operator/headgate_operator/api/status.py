"""The status of the three resources, as the operator writes it. Everything is optional and nothing has a
default: an object written by another version of the operator must stay valid.
"""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from headgate_operator.api.fields import Used
from headgate_operator.api.model import ApiModel

Text = Annotated[str, Field(max_length=1024)]


class Condition(ApiModel):
    """One thing that is true, false or not known about the object."""

    list_map_keys: ClassVar = ("type",)

    type: Annotated[str, Field(max_length=316)]
    """Accepted, ResolvedRefs, Programmed, Healthy, WithinLimits or Ready."""
    status: Literal["True", "False", "Unknown"]
    """Whether it holds."""
    observed_generation: Annotated[int, Field(json_schema_extra={"format": "int64"})] | None = None
    """The generation of the spec that this was said of."""
    last_transition_time: Annotated[str, Field(json_schema_extra={"format": "date-time"})] | None = None
    """When `status` last changed."""
    reason: Text | None = None
    """One word for machines."""
    message: Annotated[str, Field(max_length=32768)] | None = None
    """A sentence for people: what, where, and what to do."""


class EndpointStatus(ApiModel):
    """An endpoint as the gateways see it: the worst of their views."""

    list_map_keys: ClassVar = ("name",)

    name: Text
    """Name of the endpoint; `default` for a provider with a `baseUrl`."""
    url: Annotated[str, Field(max_length=2048)] | None = None
    """Its base URL."""
    health: Literal["Healthy", "Unhealthy", "Unknown"] | None = None
    """Unknown when no gateway has said anything recently."""
    circuit: Literal["Closed", "Open", "HalfOpen", "Unknown"] | None = None
    """Open when it is open at any gateway."""
    message: Text | None = None
    """Why, when something is wrong."""
    latency_milliseconds: Annotated[int, Field(json_schema_extra={"format": "int64"})] | None = None
    """Recent time to the first byte of good requests, averaged over the gateways, in steps."""
    observed_at: Annotated[str, Field(json_schema_extra={"format": "date-time"})] | None = None
    """When the gateways' reports behind these values were last joined and written."""


class LimitStatus(ApiModel):
    """How a limit stands, all gateways added up."""

    list_map_keys: ClassVar = ("name",)

    name: Text
    """Name of the limit."""
    resource: Text | None = None
    """What it counts: Requests, InputTokens, OutputTokens, TotalTokens, USD or Concurrency."""
    scope: Text | None = None
    """Tenant, or PerUser, PerKey, PerModel: then the values are of the one that is nearest to the amount."""
    mode: Text | None = None
    """Enforce, or Shadow, which refuses nobody."""
    amount: Used | None = None
    """What is in force now, overrides included: a whole number, or US dollars in quotes."""
    used: Used | None = None
    """In the window or period, by requests that have ended. Absent when no gateway has told."""
    held: Used | None = None
    """Reserved for requests that are running."""
    remaining: Used | None = None
    """What is neither used nor held."""
    utilization: Annotated[int, Field(json_schema_extra={"format": "int64"})] | None = None
    """Used and held, in percent of the amount, rounded down. Above 100 after the amount was lowered, and in
    mode Shadow.
    """
    resets_at: Annotated[str, Field(json_schema_extra={"format": "date-time"})] | None = None
    """When all of it is free again, if nothing more is used. Absent when nothing is used, and of
    Concurrency.
    """


class KeyUseStatus(ApiModel):
    """When callers have last come with a key, or as a subject."""

    list_map_keys: ClassVar = ("id",)

    id: Text
    """The first 12 digits of the key's salted hash, as in the ledger, or the name of a subject that has no
    key.
    """
    last_used: Annotated[str, Field(json_schema_extra={"format": "date-time"})] | None = None
    """Rounded down to the minute."""


class CommonStatus(ApiModel):
    """What the operator says of every resource."""

    observed_generation: Annotated[int, Field(json_schema_extra={"format": "int64"})] | None = None
    """The generation of the spec that this status is about."""
    conditions: Annotated[tuple[Condition, ...], Field(max_length=8)] | None = None
    """Accepted, ResolvedRefs, Programmed, Healthy or WithinLimits, Ready."""
    gateways: Text | None = None
    """`n/m`: n of m gateways run this generation."""


class LLMProviderStatus(CommonStatus):
    """Set by the operator."""

    endpoints: Annotated[tuple[EndpointStatus, ...], Field(max_length=64)] | None = None
    """Each endpoint, live."""
    health: Text | None = None
    """The endpoints' health in a word: Healthy, Degraded, Unhealthy or Unknown."""
    circuit: Text | None = None
    """The worst circuit among the endpoints: Closed, HalfOpen, Open or Unknown."""


class ModelRouteStatus(CommonStatus):
    """Set by the operator."""

    targets: Text | None = None
    """`n/m`: n of m targets are in service (they resolve and their provider has a healthy endpoint)."""
    models: (
        Annotated[
            tuple[Annotated[str, Field(max_length=256)], ...],
            Field(max_length=64, json_schema_extra={"x-kubernetes-list-type": "atomic"}),
        ]
        | None
    ) = None
    """The model names that this route serves, without those that an older route claims."""


class TenantQuotaStatus(CommonStatus):
    """Set by the operator."""

    subjects: Text | None = None
    """`n/m`: n of m subjects are in service."""
    spend: Text | None = None
    """`used/amount` of the first limit of USD in dollars, rounded down; `-` without one, Unknown when no
    gateway has told.
    """
    tightest: Text | None = None
    """The limit of which most is used and held, in percent; `-` without one that refuses. Unknown when no
    gateway has told.
    """
    limits: Annotated[tuple[LimitStatus, ...], Field(max_length=64)] | None = None
    """Each limit, live."""
    keys: Annotated[tuple[KeyUseStatus, ...], Field(max_length=32)] | None = None
    """The 32 that were used last, the newest first."""
    observed_at: Annotated[str, Field(json_schema_extra={"format": "date-time"})] | None = None
    """When the values were last joined and written: they are written when they have changed."""
