"""Whose a model is, by its name."""

from typing import get_args

import pytest

from gateway_runtime.contract.inference import PATTERNS, infer_types, matches
from gateway_runtime.providers.models.facts import ALIASES, load_facts
from headgate_operator.api.provider_types import ProviderType


@pytest.mark.parametrize(
    ("model", "likeliest"),
    [
        ("gpt-4o", "openai"),
        ("chatgpt-4o-latest", "openai"),
        ("o1", "openai"),
        ("o3-mini", "openai"),
        ("o4-mini-2025-04-16", "openai"),
        ("ft:gpt-4o-2024-08-06:acme::7p4lURel", "openai"),
        ("text-embedding-3-small", "openai"),
        ("text-embedding-005", "vertex"),
        ("claude-sonnet-4-5", "anthropic"),
        ("gemini-2.5-pro", "google"),
        ("llama-3.3-70b-versatile", "meta"),
        ("Llama-4-Scout-17B-16E-Instruct-FP8", "meta"),
        ("meta-llama/Llama-3.3-70B-Instruct", "together"),
        ("command-a-03-2025", "cohere"),
        ("embed-v4.0", "cohere"),
        ("rerank-v3.5", "cohere"),
        ("mistral-large-latest", "mistral"),
        ("codestral-2508", "mistral"),
        ("ministral-8b-latest", "mistral"),
        ("grok-4.3", "xai"),
        ("deepseek-chat", "deepseek"),
        ("deepseek-ai/DeepSeek-R1", "together"),
        ("gpt-oss-120b", "together"),
        ("openai/gpt-oss-120b-maas", "vertex"),
        ("amazon.nova-pro-v1:0", "bedrock"),
        ("us.anthropic.claude-sonnet-4-5-20250929-v1:0", "bedrock"),
        ("arn:aws:bedrock:us-east-1:1:provisioned-model/x", "bedrock"),
    ],
)
def test_a_name_tells_the_likeliest_type(model: str, likeliest: str) -> None:
    assert infer_types(model)[0] == likeliest


@pytest.mark.parametrize("model", ["", "my-model", "GPT-4o", "xgpt-4o"])
def test_a_name_of_nobodys_tells_nothing(model: str) -> None:
    assert infer_types(model) == ()


@pytest.mark.parametrize(
    ("provider", "ours", "unknown"),
    [
        ("anthropic", "anthropic", ()),
        ("cohere", "cohere", ()),
        ("deepseek", "deepseek", ()),
        ("gemini", "google", ("deep-research-", "lyria-")),
        ("meta_llama", "meta", ()),
        ("mistral", "mistral", ("glm-", "labs-", "zai-")),
        ("openai", "openai", ("chat-latest", "daybreak-")),
        ("xai", "xai", ()),
    ],
)
def test_every_model_that_a_maker_sells_is_found_to_be_its_own(
    provider: str, ours: str, unknown: tuple[str, ...]
) -> None:
    missed = [
        name
        for name in load_facts().providers[provider]
        if infer_types(name)[:1] != (ours,) and not (unknown and name.startswith(unknown))
    ]

    # Google's Gemma and Meta's Llama have other makers' hosts behind them, and stand first nonetheless.
    assert missed == []


def test_every_pattern_decides_something() -> None:
    """A pattern behind a wider one is never asked."""
    reached = {
        next(other for other, _ in PATTERNS if matches(other, pattern.replace("*", "x")))
        for pattern, _ in PATTERNS
    }

    assert reached == {pattern for pattern, _ in PATTERNS}
    assert all(pattern.count("*") <= 1 for pattern, _ in PATTERNS)


def test_every_type_is_one_that_a_manifest_may_name() -> None:
    types = {name for _, types in PATTERNS for name in types}

    assert types <= set(get_args(ProviderType))
    assert {ALIASES.get(name, name) for name in types - {"litellm", "vllm"}} <= set(load_facts().providers)


@pytest.mark.parametrize(
    ("pattern", "name", "expected"),
    [
        ("a*b", "ab", True),
        ("a*b", "axb", True),
        ("a*a", "a", False),
        ("a", "a", True),
        ("a", "ab", False),
        ("*a", "ba", True),
        ("*", "", True),
    ],
)
def test_one_star_stands_for_any_text(pattern: str, name: str, expected: bool) -> None:
    assert matches(pattern, name) is expected
