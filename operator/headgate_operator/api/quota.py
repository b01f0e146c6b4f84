"""TenantQuota: who the callers are, which models they may use, and how much."""

from itertools import combinations
from typing import Annotated, ClassVar, Final, Literal

from pydantic import Field
from pydantic.alias_generators import to_snake

from headgate_operator.api.fields import Count, Duration, ModelPattern, ObjectName
from headgate_operator.api.model import ApiModel, Rule
from headgate_operator.api.quota_limit import Limit, Override
from headgate_operator.api.subject import Subject
from headgate_operator.api.times import parse_moment

SHORTHANDS: Final = {
    "requestsPerMinute": "requests-per-minute",
    "requestsPerHour": "requests-per-hour",
    "tokensPerMinute": "tokens-per-minute",
}
"""Fields that are a limit in one line, and its name."""


def _keep_name(field: str, name: str) -> Rule:
    """`field` is a limit by itself, called `name`."""

    def holds(spec: "TenantQuotaSpec") -> bool:
        shorthand: int | None = getattr(spec, to_snake(field))
        return shorthand is None or all(limit.name != name for limit in spec.limits)

    return Rule(
        f"!has(self.{field}) || !self.limits.exists(l, l.name == '{name}')",
        f"{field} is the limit {name}, and limits has another of that name: rename that one, or remove one "
        "of the two",
        holds,
    )


def _name_a_limit() -> Rule:
    lines = " || ".join(f"(o.limit == '{name}' && has(self.{field}))" for field, name in SHORTHANDS.items())

    def holds(spec: "TenantQuotaSpec") -> bool:
        known = {limit.name for limit in spec.limits}
        known |= {name for field, name in SHORTHANDS.items() if getattr(spec, to_snake(field)) is not None}
        return all(override.limit in known for override in spec.overrides)

    return Rule(
        f"self.overrides.all(o, self.limits.exists(l, l.name == o.limit) || {lines})",
        "an override names no limit of this quota: correct its limit to the name of one in limits, or to "
        f"{', '.join(SHORTHANDS.values())} where that field is set, or remove the override",
        holds,
    )


def _are_of_the_limits_kind(spec: "TenantQuotaSpec") -> bool:
    in_dollars = {limit.name for limit in spec.limits if limit.resource == "USD"}
    return all(isinstance(o.amount, str) == (o.limit in in_dollars) for o in spec.overrides)


def _end_apart(spec: "TenantQuotaSpec") -> bool:
    """Of two with the same text the list says it: it is a map by both."""
    return not any(
        a.limit == b.limit and a.until != b.until and parse_moment(a.until) == parse_moment(b.until)
        for a, b in combinations(spec.overrides, 2)
    )


class Queue(ApiModel):
    """A place to wait for requests that are over a limit."""

    enabled: bool = False
    """When false, what is over a limit is refused at once."""
    timeout: Duration = "30s"
    """A request that has waited for so long is refused."""
    max_waiting: Annotated[int, Field(ge=1, le=10_000)] = 100
    """So many of this quota may wait at one gateway; more are refused at once."""


class ParentRef(ApiModel):
    """Another TenantQuota of the same namespace."""

    name: ObjectName
    """Its name."""


class TenantQuotaSpec(ApiModel):
    """A tenant: its callers, its models, its limits. The tenant sees the ModelRoutes of its own namespace."""

    cel_rules: ClassVar = (
        *(_keep_name(field, name) for field, name in SHORTHANDS.items()),
        _name_a_limit(),
        Rule(
            "self.overrides.all(o, (type(o.amount) == string) == self.limits.exists(l, l.name == o.limit && "
            "has(l.resource) && l.resource == 'USD'))",
            "the amount of an override goes in quotes for a limit of resource USD, and is a whole number "
            "without quotes for every other: write it as the limit's own",
            _are_of_the_limits_kind,
        ),
        Rule(
            "self.overrides.all(a, self.overrides.exists_one(b, a.limit == b.limit && a.until == b.until))",
            "two overrides of one limit end at the same moment: correct until of one of them, or remove one",
            _end_apart,
        ),
    )

    subjects: Annotated[tuple[Subject, ...], Field(max_length=256)] = ()
    """Who the tenant is. Without any it serves nobody: a parent of others, or a preparation."""
    models: Annotated[
        tuple[ModelPattern, ...] | None,
        Field(max_length=256, json_schema_extra={"x-kubernetes-list-type": "set"}),
    ] = None
    """Allow-list of model names, exact or with one `*`. Absent: every routed model. Empty: none."""
    limits: Annotated[tuple[Limit, ...], Field(max_length=16)] = ()
    """All of them hold at once."""
    requests_per_minute: Count | None = None
    """A limit in one line: resource Requests, window 1m, with the name `requests-per-minute`."""
    requests_per_hour: Count | None = None
    """Likewise Requests in 1h, `requests-per-hour`."""
    tokens_per_minute: Count | None = None
    """Likewise TotalTokens in 1m, `tokens-per-minute`."""
    overrides: Annotated[tuple[Override, ...], Field(max_length=16)] = ()
    """Other amounts for a time."""
    parent: ParentRef | None = None
    """The quota whose limits hold for this one, too, as a department's for its teams: a request is charged to
    all of both, or to none. It must not have a parent itself. Without its parent this quota is not served.
    """
    queue: Queue = Field(default_factory=Queue)
    """What becomes of requests over a limit."""
    priority: Annotated[int, Field(ge=-10, le=10)] = 0
    """Who goes first where several tenants wait for the same provider: higher before lower."""
    overshoot: Literal["Never", "OneRequest"] = "Never"
    """Never: a request reserves the most that it may use, so that a limit is never exceeded. OneRequest: it
    is admitted while anything is left, needs no bound, and may use more than that; then the next waits.
    """
    on_unpriced: Literal["Deny", "Allow"] = "Deny"
    """What becomes of requests to a model without a known price while a limit of USD holds. Deny: they are
    refused. Allow: they are served, and count nothing there.
    """
    on_store_unavailable: Literal["Deny", "LocalShare"] = "LocalShare"
    """What becomes of requests while the store that the gateways share cannot be reached. Deny: they are
    refused. LocalShare: each gateway spends what it was granted before, and no more.
    """
