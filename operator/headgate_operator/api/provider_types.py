"""Every provider type and what follows from it, as one table: what it speaks, where it is, what it must have.

`provider` and `provider_rules` make the API from it, `compile` fills in what a manifest leaves out, and
`headgate up` finds the providers whose keys are in the environment. The order is that of the documentation.

The one subtle rule: a type is a promise about addresses and keys; the wire is how its API is spoken. Several
types share a wire, and the gateways look at the wire alone.
"""

from collections.abc import Callable
from typing import Final, Literal, NamedTuple, TypeAlias, get_args

from gateway_runtime.contract.table import WireName

ProviderType: TypeAlias = Literal[
    "openai",
    "anthropic",
    "google",
    "vertex",
    "azure",
    "bedrock",
    "cohere",
    "groq",
    "mistral",
    "together",
    "deepseek",
    "fireworks",
    "openrouter",
    "xai",
    "meta",
    "ollama",
    "vllm",
    "openai-compatible",
    "litellm",
]

LitellmProvider: TypeAlias = Literal[
    "ai21_chat",
    "baseten",
    "cerebras",
    "cloudflare",
    "codestral",
    "dashscope",
    "databricks",
    "deepinfra",
    "deepseek",
    "featherless_ai",
    "fireworks_ai",
    "friendliai",
    "github",
    "groq",
    "heroku",
    "huggingface",
    "hyperbolic",
    "inception",
    "lambda_ai",
    "meta_llama",
    "minimax",
    "mistral",
    "modelscope",
    "moonshot",
    "morph",
    "nebius",
    "novita",
    "nscale",
    "nvidia_nim",
    "openrouter",
    "ovhcloud",
    "perplexity",
    "sambanova",
    "snowflake",
    "tencent",
    "together_ai",
    "v0",
    "vercel_ai_gateway",
    "volcengine",
    "wandb",
    "xai",
    "zai",
]
"""Those that the gateways' litellm wire serves; a test holds the two lists together. Said here, so that the
API server refuses another one at once.
"""


class TypeFacts(NamedTuple):
    wire: WireName
    url: str | None = None
    """Without `baseUrl` and `endpoints`; `{location}` and `{region}` come from the type's own object. None:
    the manifest must say it.
    """
    needs_key: bool = False
    """It must have credentials, or where the type knows it a workload identity."""
    probe: str = "/models"
    """Path of the list of models, or of whatever answers without being billed."""
    probe_authorized: bool = True
    """False where the probe asks for a sign of life alone: a token for each probe would cost an exchange, and
    Amazon's signatures are made for requests with a body.
    """


TYPES: Final[dict[ProviderType, TypeFacts]] = {
    "openai": TypeFacts("openai", "https://api.openai.com/v1", needs_key=True),
    "anthropic": TypeFacts("anthropic", "https://api.anthropic.com/v1", needs_key=True),
    "google": TypeFacts("google", "https://generativelanguage.googleapis.com/v1beta", needs_key=True),
    "vertex": TypeFacts(
        "vertex",
        "https://{location}-aiplatform.googleapis.com/v1",
        needs_key=True,
        probe="/publishers/google/models",
        probe_authorized=False,
    ),
    # Its probe depends on the API version: see `compile.provider_type`.
    "azure": TypeFacts("azure", needs_key=True, probe="/openai/v1/models"),
    "bedrock": TypeFacts(
        "bedrock",
        "https://bedrock-runtime.{region}.amazonaws.com",
        needs_key=True,
        probe="/",
        probe_authorized=False,
    ),
    "cohere": TypeFacts("cohere", "https://api.cohere.com/v2", needs_key=True),
    "groq": TypeFacts("openai", "https://api.groq.com/openai/v1", needs_key=True),
    "mistral": TypeFacts("openai", "https://api.mistral.ai/v1", needs_key=True),
    "together": TypeFacts("openai", "https://api.together.xyz/v1", needs_key=True),
    "deepseek": TypeFacts("openai", "https://api.deepseek.com/v1", needs_key=True),
    "fireworks": TypeFacts("openai", "https://api.fireworks.ai/inference/v1", needs_key=True),
    "openrouter": TypeFacts("openai", "https://openrouter.ai/api/v1", needs_key=True),
    "xai": TypeFacts("openai", "https://api.x.ai/v1", needs_key=True),
    "meta": TypeFacts("openai", "https://api.llama.com/compat/v1", needs_key=True),
    "ollama": TypeFacts("ollama", probe="/tags"),
    "vllm": TypeFacts("openai"),
    "openai-compatible": TypeFacts("openai"),
    "litellm": TypeFacts("litellm"),
}

VERTEX_HOSTS: Final = {
    "global": "https://aiplatform.googleapis.com/v1",
    "us": "https://aiplatform.us.rep.googleapis.com/v1",
    "eu": "https://aiplatform.eu.rep.googleapis.com/v1",
}
"""By location; all others are regions, which follow the pattern of `TYPES`.
https://docs.cloud.google.com/gemini-enterprise-agent-platform/resources/locations
"""

OWN_HOSTS: Final = {
    "azure": "[.](openai|cognitiveservices|services[.]ai)[.]azure[.](com|us|cn)",
    "vertex": "[.]googleapis[.]com",
    "bedrock": "[.](amazonaws[.]com|amazonaws[.]com[.]cn|api[.]aws)",
}
"""Ends of the hosts that a workload identity's token may be sent to, as regular expressions. Nobody but the
cloud reads there what is sent.
"""


def find_types(holds: Callable[[TypeFacts], bool]) -> tuple[ProviderType, ...]:
    """In the order of the table."""
    return tuple(name for name in get_args(ProviderType) if holds(TYPES[name]))
