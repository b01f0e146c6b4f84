"""LLMProvider: where completions come from, how to authenticate there, and when to stop sending."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from headgate_operator.api.fields import (
    BaseUrl,
    Duration,
    ItemName,
    ModelName,
    NamespaceName,
    ProbePath,
    SecretKeyRef,
    parse_duration,
)
from headgate_operator.api.model import ApiModel, Rule


class Endpoint(ApiModel):
    """One replica of the provider. Each has its own health and its own circuit."""

    list_map_keys: ClassVar = ("name",)

    name: ItemName
    """Identifies the endpoint in status, metrics and logs; its circuit lives under this name."""
    url: BaseUrl
    """Base URL up to and including the version, such as `http://vllm-0.vllm:8000/v1`."""


class Credential(ApiModel):
    """An API key for the provider, from a Secret."""

    list_map_keys: ClassVar = ("name",)

    name: ItemName
    """Identifies the credential in status and logs."""
    secret_ref: SecretKeyRef
    """Where the key is. It never appears in status, events or logs."""


class ProviderModel(ApiModel):
    """A model that this provider serves."""

    list_map_keys: ClassVar = ("name",)

    name: ModelName
    """The name that routes and callers use."""
    upstream_name: ModelName | None = None
    """What the provider calls it. Without it, `name`."""


class PassiveHealth(ApiModel):
    """Health from the outcomes of real requests."""

    enabled: bool = True
    """Connection failures, timeouts, 5xx and malformed answers count against the endpoint's circuit. When
    false, the circuit never opens.
    """


class ActiveHealth(ApiModel):
    """Health from a small request of the gateway's own. It lists models and is not billed by any known
    provider.
    """

    cel_rules: ClassVar = (
        Rule(
            "duration(self.timeout) <= duration(self.interval)",
            "timeout must not be longer than interval: lower timeout or raise interval",
            lambda h: parse_duration(h.timeout) <= parse_duration(h.interval),
        ),
    )

    enabled: bool = True
    """When false, health comes from real requests alone and is Unknown without them."""
    path: ProbePath = "/models"
    """Asked with GET below each endpoint's URL. 2xx is good; 401 and 403 mean the credential is refused; any
    other 4xx shows a living server; 5xx and silence are failures.
    """
    interval: Duration = "30s"
    """Between two probes of one endpoint, from each gateway."""
    timeout: Duration = "5s"
    """A probe without an answer for so long has failed."""
    unhealthy_after: Annotated[int, Field(ge=1, le=10)] = 2
    """So many failed probes in a row make the endpoint unhealthy: it then gets traffic only when nothing
    better is left.
    """
    healthy_after: Annotated[int, Field(ge=1, le=10)] = 1
    """So many good probes in a row make it healthy again."""


class Health(ApiModel):
    """How the gateways judge the provider's endpoints."""

    passive: PassiveHealth = Field(default_factory=PassiveHealth)
    """Outcomes of real requests."""
    active: ActiveHealth = Field(default_factory=ActiveHealth)
    """Probes."""


class Circuit(ApiModel):
    """The circuit breaker of each endpoint. Closed: requests pass. Open: none do, they go to other targets.
    After `openFor` it is half-open: one trial request at a time decides whether it closes or opens again.
    """

    cel_rules: ClassVar = (
        Rule(
            "self.consecutiveFailures > 0 || self.failurePercent > 0",
            "consecutiveFailures and failurePercent are both 0: set one, or set health.passive.enabled to "
            "false for a circuit that never opens",
            lambda c: c.consecutive_failures > 0 or c.failure_percent > 0,
        ),
    )

    consecutive_failures: Annotated[int, Field(ge=0, le=1000)] = 5
    """Opens after so many failures in a row. 0 turns this rule off."""
    failure_percent: Annotated[int, Field(ge=0, le=100)] = 50
    """Opens when at least this share of the requests within `window` failed. 0 turns this rule off."""
    min_requests: Annotated[int, Field(ge=1, le=100000)] = 20
    """`failurePercent` is judged only from so many requests on."""
    window: Duration = "30s"
    """The time that `failurePercent` looks back."""
    open_for: Duration = "15s"
    """How long an open circuit refuses before a trial."""


class ProviderTimeouts(ApiModel):
    """Per attempt. A route may set its own."""

    connect: Duration = "5s"
    """For the connection and its TLS handshake."""
    first_token: Duration = "60s"
    """From the request being sent to the first byte of the answer's body. Reasoning models may think for
    minutes: raise it for them.
    """
    idle: Duration = "60s"
    """The longest silence inside an answer."""
    total: Duration = "10m"
    """One attempt, from connecting to its last byte."""


class RouteNamespaces(ApiModel):
    """Namespaces whose ModelRoutes may name this provider."""

    cel_rules: ClassVar = (
        Rule(
            "(self.from == 'Selected') == (size(self.names) > 0)",
            "names goes with from: Selected, and only with it: list the namespaces there, or remove names",
            lambda n: (n.from_ == "Selected") == bool(n.names),
        ),
    )

    from_: Annotated[Literal["Same", "Selected", "All"], Field(alias="from")] = "Same"
    """Same: the provider's own namespace. Selected: that and `names`. All: every namespace."""
    names: Annotated[
        tuple[NamespaceName, ...], Field(max_length=64, json_schema_extra={"x-kubernetes-list-type": "set"})
    ] = ()
    """The namespaces of `from: Selected`."""


class AllowedRoutes(ApiModel):
    """Who may route to this provider."""

    namespaces: RouteNamespaces = Field(default_factory=RouteNamespaces)
    """By namespace."""


class LLMProviderSpec(ApiModel):
    """An LLM provider: its endpoints, its credentials, and how the gateways treat it."""

    cel_rules: ClassVar = (
        Rule(
            "!(has(self.baseUrl) && size(self.endpoints) > 0)",
            "baseUrl and endpoints exclude each other: keep baseUrl for one address, endpoints for several",
            lambda s: not (s.base_url is not None and s.endpoints),
        ),
        Rule(
            "self.type != 'openai-compatible' || has(self.baseUrl) || size(self.endpoints) > 0",
            "type openai-compatible needs an address: set baseUrl, such as http://vllm:8000/v1, or endpoints",
            lambda s: s.type != "openai-compatible" or s.base_url is not None or bool(s.endpoints),
        ),
        Rule(
            "self.type != 'openai' || size(self.credentials) > 0",
            "type openai needs an API key: add credentials with a secretRef, or use type openai-compatible "
            "for a server without keys",
            lambda s: s.type != "openai" or bool(s.credentials),
        ),
    )

    type: Literal["openai", "openai-compatible"]
    """openai: api.openai.com unless `baseUrl` or `endpoints` say otherwise. openai-compatible: any server
    that speaks OpenAI's API (vLLM, Ollama's /v1, Groq, Mistral, Together, DeepSeek, OpenRouter, ...).
    """
    base_url: BaseUrl | None = None
    """Base URL up to and including the version, such as `https://api.groq.com/openai/v1`."""
    endpoints: Annotated[tuple[Endpoint, ...], Field(max_length=64)] = ()
    """Several addresses that serve the same models, such as the replicas of a self-hosted one."""
    credentials: Annotated[tuple[Credential, ...], Field(max_length=8)] = ()
    """API keys, the first in use. When the provider refuses it (401, 403), the next takes its place. Rotate
    by adding the new key, moving it to the front, and removing the old one.
    """
    models: Annotated[tuple[ProviderModel, ...], Field(max_length=256)] = ()
    """The models served here. Empty: any name is passed on as it is."""
    health: Health = Field(default_factory=Health)
    """How the gateways judge the endpoints."""
    circuit: Circuit = Field(default_factory=Circuit)
    """When to stop sending, and when to try again."""
    timeouts: ProviderTimeouts = Field(default_factory=ProviderTimeouts)
    """How long to wait, per attempt."""
    allowed_routes: AllowedRoutes = Field(default_factory=AllowedRoutes)
    """Which ModelRoutes may name this provider; those of its own namespace always may."""
