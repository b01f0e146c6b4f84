"""TenantQuota: who the callers are, which models they may use, and how much."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field
from pydantic.alias_generators import to_snake

from headgate_operator.api.fields import (
    Amount,
    Count,
    ItemName,
    ModelPattern,
    SecretKeyRef,
    parse_usd_micros,
)
from headgate_operator.api.model import ApiModel, Rule


class Subject(ApiModel):
    """Callers that this quota serves."""

    list_map_keys: ClassVar = ("name",)
    cel_rules: ClassVar = (
        Rule(
            "(self.type == 'APIKey') == has(self.secretRef)",
            "secretRef goes with type APIKey, and only with it: add it, or use type Anonymous",
            lambda s: (s.type == "APIKey") == (s.secret_ref is not None),
        ),
    )

    name: ItemName
    """Identifies the subject in status and logs."""
    type: Literal["APIKey", "Anonymous"]
    """APIKey: callers that send the key in the Secret. Anonymous: callers that send none; without such a
    subject somewhere, nobody is served without a key.
    """
    secret_ref: SecretKeyRef | None = None
    """The API key: as text, or as `sha256:` and its SHA-256 in hex, so that the key itself need not be stored
    anywhere.
    """


class Limit(ApiModel):
    """How much of a resource within a time, or at once."""

    list_map_keys: ClassVar = ("name",)
    cel_rules: ClassVar = (
        Rule(
            "(has(self.resource) && self.resource == 'USD') == (type(self.amount) == string)",
            'amount goes in quotes for resource USD, such as "2.50", and is a whole number without quotes '
            "for every other resource: correct amount, or resource",
            lambda limit: (limit.resource == "USD") == isinstance(limit.amount, str),
        ),
        Rule(
            "type(self.amount) != string || self.amount.matches('[1-9]')",
            "amount must be more than 0 US dollars: raise it, or remove the limit",
            lambda limit: not isinstance(limit.amount, str) or parse_usd_micros(limit.amount) > 0,
        ),
        Rule(
            "(has(self.resource) && self.resource == 'Concurrency') != has(self.window)",
            "window goes with every resource but Concurrency, which counts what is under way at one moment: "
            "set it to 1m or 1h, or remove it",
            lambda limit: (limit.resource == "Concurrency") != (limit.window is not None),
        ),
    )

    name: ItemName
    """Identifies the limit in status, errors and metrics."""
    resource: Literal["Requests", "InputTokens", "OutputTokens", "TotalTokens", "USD", "Concurrency"] = (
        "Requests"
    )
    """What is counted. Requests: what is asked of models, however many attempts it
    takes. InputTokens, OutputTokens,
    TotalTokens (both together): tokens as the provider counts them, cached and reasoning ones included. USD:
    what the tokens cost by the price of the provider's model. Concurrency: requests under way at one moment.
    """
    amount: Amount
    """A whole number, for resource USD dollars in quotes, such as `"2.50"`: so much within any `window`, or
    at one moment. The connected gateways share it out in equal parts, so that together they never admit more.
    """
    window: Literal["1m", "1h"] | None = None
    """A rolling minute or hour. Every resource but Concurrency needs it."""
    mode: Literal["Enforce", "Shadow"] = "Enforce"
    """Enforce: what does not fit is refused. Shadow: it is counted and told, and nobody is refused, to try
    out an amount.
    """


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


class TenantQuotaSpec(ApiModel):
    """A tenant: its callers, its models, its limits. The tenant sees the ModelRoutes of its own namespace."""

    cel_rules: ClassVar = (
        _keep_name("requestsPerMinute", "requests-per-minute"),
        _keep_name("requestsPerHour", "requests-per-hour"),
        _keep_name("tokensPerMinute", "tokens-per-minute"),
    )

    subjects: Annotated[tuple[Subject, ...], Field(min_length=1, max_length=256)]
    """Who the tenant is."""
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
    on_unpriced: Literal["Deny", "Allow"] = "Deny"
    """What becomes of requests to a model without a known price while a limit of USD holds. Deny: they are
    refused. Allow: they are served, and count nothing there.
    """
