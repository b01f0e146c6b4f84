"""LLMProvider: where completions come from, how to authenticate there, and when to stop sending."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from headgate_operator.api.fields import (
    BaseUrl,
    Duration,
    HostName,
    ItemName,
    ModelName,
    NamespaceName,
    ObjectName,
    ProbePath,
    SecretKey,
    SecretKeyRef,
    Usd,
    parse_duration,
)
from headgate_operator.api.model import ApiModel, Rule
from headgate_operator.api.provider_options import Azure, Bedrock, Litellm, Vertex
from headgate_operator.api.provider_rules import PROVIDER_RULES
from headgate_operator.api.provider_types import ProviderType


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


class ModelPrice(ApiModel):
    """US dollars per million tokens, in quotes: `"0.15"`, `"2"`; `"0"` for what costs nothing."""

    input: Usd
    """For the prompt's tokens. What is taken off for cached ones is left out of account."""
    output: Usd
    """For the answer's tokens, those of reasoning included. `"0"` for embeddings, which have none."""


class ProviderModel(ApiModel):
    """A model that this provider serves."""

    list_map_keys: ClassVar = ("name",)

    name: ModelName
    """The name that routes and callers use."""
    upstream_name: ModelName | None = None
    """What the provider calls it. Without it, `name`."""
    price: ModelPrice | None = None
    """What it costs here: for limits of US dollars and the ledger, which otherwise go by what is known of the
    model by its name, and for routes with `strategy: Cost`. Those know nothing else: without it such a
    route asks this provider after those whose price is known.
    """
    max_output_tokens: Annotated[int, Field(ge=1, le=10_000_000)] | None = None
    """The most that it can write in one answer, for APIs that insist on a limit (Anthropic's does) when the
    caller sets none. Without it, what is known of the model by its name.
    """


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
    path: ProbePath | None = None
    """Asked with GET below each endpoint's URL. Without it, the type's own list of models: `/models`, of type
    ollama `/tags`; vertex and bedrock are asked for a sign of life, without a credential. 2xx is good; 401
    and 403 mean the credential is refused, where one was sent; any other 4xx shows a living server; 5xx and
    silence are failures.
    """
    interval: Duration = "30s"
    """Between two probes of one endpoint, from each gateway."""
    timeout: Duration = "5s"
    """A probe without an answer for so long has failed."""
    unhealthy_after: Annotated[int, Field(ge=1, le=10)] = 2
    """So many failed probes in a row make the endpoint unhealthy: it then gets traffic only when nothing
    better is left, or when too few of its priority are ready (the route's `panicPercent`).
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
            "self.consecutiveFailures > 0 || self.failurePercent > 0 || self.slowCallPercent > 0",
            "consecutiveFailures, failurePercent and slowCallPercent are all 0: set one, or set "
            "health.passive.enabled to false for a circuit that never opens",
            lambda c: c.consecutive_failures > 0 or c.failure_percent > 0 or c.slow_call_percent > 0,
        ),
    )

    consecutive_failures: Annotated[int, Field(ge=0, le=1000)] = 5
    """Opens after so many failures in a row. 0 turns this rule off."""
    failure_percent: Annotated[int, Field(ge=0, le=100)] = 50
    """Opens when at least this share of the requests within `window` failed. 0 turns this rule off."""
    slow_call_percent: Annotated[int, Field(ge=0, le=100)] = 0
    """Opens when at least this share of the requests within `window` was slow, whether they ended well or
    not; a slow trial opens the circuit again. 0 turns this rule off.
    """
    slow_call_duration: Duration = "60s"
    """A request that takes so long is slow. A stream's time is its time to the first byte, another request's
    the time to its end.
    """
    min_requests: Annotated[int, Field(ge=1, le=100000)] = 20
    """`failurePercent` and `slowCallPercent` are judged only from so many requests on."""
    window: Duration = "30s"
    """The time that `failurePercent` and `slowCallPercent` look back."""
    open_for: Duration = "15s"
    """How long an open circuit refuses before a trial."""
    max_open_percent: Annotated[int, Field(ge=0, le=100)] = 100
    """So much of the provider's endpoints, rounded down, may be refused at once. The others with an open
    circuit, the longest open first, get a request when nothing better is left, and status still shows them
    Open. 0 never refuses an endpoint altogether; 100 refuses each whose circuit is open, also the last one.
    """


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


class CaSecretRef(SecretKeyRef):
    """Certificates of authorities, in PEM form, in a Secret of the same namespace."""

    key: SecretKey = Field(default="ca.crt")
    """Key inside the Secret's data."""


class ClientCertificateSecretRef(ApiModel):
    """A Secret of the same namespace with the keys `tls.crt` and `tls.key`, as type kubernetes.io/tls has
    them.
    """

    name: ObjectName
    """Name of the Secret. Label it `headgate.dev/watched: "true"` and a renewed certificate is live at once;
    without the label it is read again every few minutes.
    """


class ProviderTls(ApiModel):
    """How the provider is recognised, and how the gateways show it who they are."""

    cel_rules: ClassVar = (
        Rule(
            "has(self.caSecretRef) || has(self.clientCertificateSecretRef) || has(self.serverName)",
            "tls says nothing: set caSecretRef, clientCertificateSecretRef or serverName, or remove tls; "
            "https URLs need none of it for providers with a public certificate",
            lambda t: bool(t.ca_secret_ref or t.client_certificate_secret_ref or t.server_name),
        ),
    )

    ca_secret_ref: CaSecretRef | None = None
    """The authorities that are trusted, instead of those of the gateway's system."""
    client_certificate_secret_ref: ClientCertificateSecretRef | None = None
    """The gateways' own certificate with its chain, and its key without a password, for a provider that wants
    one (mTLS).
    """
    server_name: HostName | None = None
    """The name in the provider's certificate, where it is not the host of the URL."""


class ProviderLimits(ApiModel):
    """What one gateway process may ask of one endpoint. Beyond it a request waits, and then goes to another
    endpoint or gets 503; the endpoint's circuit does not hear of it.
    """

    max_connections: Annotated[int, Field(ge=1, le=65535)] = 1024
    """Open at one moment."""
    max_in_flight: Annotated[int, Field(ge=1, le=65535)] = 1024
    """Requests under way at one moment. HTTP/1.1 carries one at a time on a connection, so a number above
    `maxConnections` is never reached.
    """
    max_queue: Annotated[int, Field(ge=0, le=65535)] = 1024
    """Requests that wait for one of the two. 0 lets none wait."""
    queue_timeout: Duration = "5s"
    """The longest that one waits there."""


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

    cel_rules: ClassVar = PROVIDER_RULES

    type: ProviderType
    """What API it has, and with that its address, how it is authorised and how it is spoken to. Callers never
    see a difference. openai, anthropic, google (Gemini API), cohere, groq, mistral, together, deepseek,
    fireworks, openrouter, xai, meta (Llama API): an API key in `credentials` is all that is needed. azure
    (Azure OpenAI): also `baseUrl`. vertex (Gemini on Vertex AI), bedrock: also the object of that name.
    ollama, vllm: `baseUrl`. openai-compatible: any server that speaks OpenAI's API, at `baseUrl`. litellm: a
    provider that litellm's code translates, see `litellm`.
    """
    base_url: BaseUrl | None = None
    """Base URL up to and including the version, such as `https://llm.example/v1`; of type azure up to the
    resource's host, of type ollama up to `/api`. Without it, the usual address of the type.
    """
    azure: Azure | None = None
    """For type azure. Without it, the v1 API and the resource's API key."""
    vertex: Vertex | None = None
    """For type vertex."""
    bedrock: Bedrock | None = None
    """For type bedrock."""
    litellm: Litellm | None = None
    """For type litellm."""
    endpoints: Annotated[tuple[Endpoint, ...], Field(max_length=64)] = ()
    """Several addresses that serve the same models, such as the replicas of a self-hosted one."""
    credentials: Annotated[tuple[Credential, ...], Field(max_length=8)] = ()
    """API keys, or of azure, vertex and bedrock what is described there; the first in use. When the provider
    refuses it (401, 403), the next takes its place. Rotate by adding the new key, moving it to the front, and
    removing the old one.
    """
    models: Annotated[tuple[ProviderModel, ...], Field(max_length=256)] = ()
    """The models served here. Empty: any name is passed on as it is."""
    health: Health = Field(default_factory=Health)
    """How the gateways judge the endpoints."""
    circuit: Circuit = Field(default_factory=Circuit)
    """When to stop sending, and when to try again."""
    timeouts: ProviderTimeouts = Field(default_factory=ProviderTimeouts)
    """How long to wait, per attempt."""
    tls: ProviderTls | None = None
    """How the provider is recognised and how the gateways show it who they are, where https alone does not
    do.
    """
    limits: ProviderLimits = Field(default_factory=ProviderLimits)
    """How much one gateway process may ask of one endpoint."""
    stream_usage: bool = True
    """Every stream of OpenAI's API is asked for its usage (`stream_options.include_usage`). Set it to false
    for servers that answer 400 to `stream_options`, such as older vLLM; the usage of their streams is then
    unknown. Other APIs always tell it.
    """
    infer_models: bool = False
    """Serves the names of its family that no ModelRoute of its namespace covers: `gpt-*` and `o1*` for type
    openai, `claude-*` for anthropic, `gemini-*` for google, `command-*` for cohere, and so on. Callers'
    quotas hold as ever; `headgate explain` shows what a name leads to.
    """
    allowed_routes: AllowedRoutes = Field(default_factory=AllowedRoutes)
    """Which ModelRoutes may name this provider; those of its own namespace always may."""

    @property
    def urls(self) -> tuple[str, ...]:
        """As they are written; empty for the address that the type brings along."""
        return (*(endpoint.url for endpoint in self.endpoints), *([self.base_url] if self.base_url else ()))
