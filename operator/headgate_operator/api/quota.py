"""TenantQuota: who the callers are, which models they may use, and how much."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from headgate_operator.api.fields import ItemName, ModelPattern, SecretKeyRef
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
    """How much of a resource within a time."""

    list_map_keys: ClassVar = ("name",)

    name: ItemName
    """Identifies the limit in status, errors and metrics."""
    resource: Literal["Requests"] = "Requests"
    """What is counted. Requests: calls of the completions and embeddings API, however many attempts they
    take.
    """
    amount: Annotated[int, Field(ge=1, le=1_000_000_000, json_schema_extra={"format": "int64"})]
    """So many within any `window`. The connected gateways share it out in equal parts, so that together they
    never admit more.
    """
    window: Literal["1m", "1h"]
    """A rolling minute or hour."""


class TenantQuotaSpec(ApiModel):
    """A tenant: its callers, its models, its limits. The tenant sees the ModelRoutes of its own namespace."""

    subjects: Annotated[tuple[Subject, ...], Field(min_length=1, max_length=256)]
    """Who the tenant is."""
    models: Annotated[
        tuple[ModelPattern, ...] | None,
        Field(max_length=256, json_schema_extra={"x-kubernetes-list-type": "set"}),
    ] = None
    """Allow-list of model names, exact or with one `*`. Absent: every routed model. Empty: none."""
    limits: Annotated[tuple[Limit, ...], Field(max_length=16)] = ()
    """All of them hold at once."""
