"""What is known of a model: a provider and the model's name there in, ModelFacts out.

    >>> find_facts("anthropic", "claude-sonnet-4-5").context_window
    200000

The table is read from `models.json` at the first question, which takes some milliseconds: call `load_facts`
before requests come. A question takes 0.2 µs after that.

The subtle rule: nothing is guessed. A model of whose name a part is known is not known; and one for which the
table says that tokens cost nothing has no prices, since it cannot tell what is free from what nobody noted.
"""

from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Final, Literal, TypeAlias

import msgspec

from gateway_runtime.providers.models.prices import Prices, price_usage
from gateway_runtime.providers.usage import Usage

Mode: TypeAlias = Literal["chat", "completion", "embedding", "rerank", "responses"]
Capability: TypeAlias = Literal[
    "audio_input",
    "audio_output",
    "json_schema",
    "parallel_tools",
    "pdf",
    "prefill",
    "prompt_caching",
    "reasoning",
    "tool_choice",
    "tools",
    "video_input",
    "vision",
    "web_search",
]
"""`prefill`: a last message of the assistant is gone on with. `responses` among the modes: it answers there
alone, not in chat completions.
"""


class ModelFacts(msgspec.Struct, frozen=True, omit_defaults=True):
    mode: Mode
    context_window: int | None = None
    """Tokens that the prompt may have."""
    max_output_tokens: int | None = None
    capabilities: frozenset[Capability] = frozenset()
    """What the table says that it can do. What is not in here it may still be able to do."""
    prices: Prices | None = None
    """None: not known, or it is not paid by the token."""
    search_usd_picos: int | None = None
    """Of one search, for rerankers that are paid by it."""


class ModelTable(msgspec.Struct, frozen=True):
    """`models.json`."""

    source: str
    litellm_version: str
    frozen_on: str
    """The day, `YYYY-MM-DD`."""
    providers: dict[str, dict[str, ModelFacts]]
    """By litellm's name of the provider, then by the provider's name of the model."""


ALIASES: Final = MappingProxyType(
    {
        "azure-openai": "azure",
        "bedrock_converse": "bedrock",
        "cohere_chat": "cohere",
        "fireworks": "fireworks_ai",
        "google": "gemini",
        "meta": "meta_llama",
        "together": "together_ai",
        "vertex": "vertex_ai",
        "vertex_ai_beta": "vertex_ai",
    }
)
"""Other names of providers, ours among them, and the table's."""

_LITELLM: Final = "litellm"


def find_facts(wire_or_provider: str, model: str) -> ModelFacts | None:
    """wire_or_provider: `openai`, `vertex`, `together_ai`; for `litellm` the provider stands before the
    model: `mistral/codestral-latest`. model: as the provider calls it; Bedrock's may have its region before
    it, and Azure's its zone, for the price there: `eu/gpt-4o-2024-08-06`. None: nothing is known of it.
    """
    if wire_or_provider == _LITELLM:
        wire_or_provider, _, model = model.partition("/")
    models = load_facts().providers.get(ALIASES.get(wire_or_provider, wire_or_provider))
    if models is None:
        return None
    facts = models.get(model)
    if facts is None and model.startswith("ft:"):
        # `ft:gpt-4o-2024-08-06:acme::7p4lURel`: a tuned model has the prices of all that are tuned from it.
        return models.get(":".join(model.split(":", 2)[:2]))
    return facts


def cost_of(facts: ModelFacts, usage: Usage) -> int | None:
    """In picodollars. None: it has no prices, which is not the same as costing nothing."""
    return None if facts.prices is None else price_usage(facts.prices, usage)


@cache
def load_facts() -> ModelTable:
    """Once per process."""
    return msgspec.json.decode(Path(__file__).with_name("models.json").read_bytes(), type=ModelTable)
