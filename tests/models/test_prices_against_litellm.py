"""What usages cost, compared with litellm's own calculation, model by model, to the picodollar."""

from collections.abc import Iterator
from typing import Any

import pytest

from gateway_runtime.providers.models.facts import ModelFacts, cost_of, load_facts
from gateway_runtime.providers.usage import Usage

USAGES = (
    Usage(1000, 500),
    Usage(1000, 500, cached_tokens=400, reasoning_tokens=100),
    Usage(1000, 500, cached_tokens=400, reasoning_tokens=100, cache_write_tokens=300),
    Usage(200_000, 1000),
    Usage(300_001, 1000, cached_tokens=100_000, reasoning_tokens=100, cache_write_tokens=7),
)
PROVIDERS = (
    "anthropic",
    "azure",
    "bedrock",
    "fireworks_ai",
    "gemini",
    "mistral",
    "openai",
    "vertex_ai",
    "xai",
)
NOT_FOUND = {
    "azure": ("gpt-3.5-turbo-instruct", "gpt-35-turbo-instruct"),
    "openai": ("babbage-", "davinci-", "ft:babbage-", "ft:davinci-", "gpt-3.5-turbo-instruct"),
    "vertex_ai": (
        "deepseek-ai/",
        "google/",
        "minimaxai/",
        "moonshotai/",
        "openai/",
        "qwen/",
        "xai/",
        "zai-org/",
    ),
}
"""Names under which litellm's calculation misses its own table."""


@pytest.fixture(scope="module")
def litellm() -> Iterator[Any]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LITELLM_LOCAL_MODEL_COST_MAP", "True")
        patch.setenv("LITELLM_LOCAL_ANTHROPIC_BETA_HEADERS", "True")
        patch.setenv("LITELLM_MODE", "PRODUCTION")
        yield pytest.importorskip("litellm")


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("provider", PROVIDERS)
def test_every_priced_model_costs_what_litellm_says(provider: str, litellm: Any) -> None:
    compared = 0
    for name, facts in find_priced(provider):
        for usage in USAGES:
            if facts.mode in ("embedding", "rerank"):
                usage = Usage(usage.input_tokens, 0)
            theirs = litellm.cost_per_token(
                model=name, custom_llm_provider=provider, usage_object=build_usage(usage)
            )

            # Floats of dollars: a picodollar is exact up to a thousand dollars.
            assert cost_of(facts, usage) == round(sum(theirs) * 1e12), (name, usage)
            compared += 1

    assert compared > 50


def find_priced(provider: str) -> Iterator[tuple[str, ModelFacts]]:
    for name, facts in load_facts().providers[provider].items():
        if facts.prices is not None and not name.startswith(NOT_FOUND.get(provider, ("\0",))):
            yield name, facts


def build_usage(usage: Usage) -> Any:
    from litellm.types.utils import CompletionTokensDetailsWrapper, PromptTokensDetailsWrapper
    from litellm.types.utils import Usage as TheirUsage

    return TheirUsage(
        prompt_tokens=usage.input_tokens,
        completion_tokens=usage.output_tokens,
        total_tokens=usage.input_tokens + usage.output_tokens,
        prompt_tokens_details=PromptTokensDetailsWrapper(
            cached_tokens=usage.cached_tokens, cache_creation_tokens=usage.cache_write_tokens
        ),
        completion_tokens_details=CompletionTokensDetailsWrapper(
            reasoning_tokens=usage.reasoning_tokens, text_tokens=usage.output_tokens - usage.reasoning_tokens
        ),
    )
