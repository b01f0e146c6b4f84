"""What is known of models: the frozen table, and how it is asked."""

import subprocess
import sys
from pathlib import Path

import pytest

from gateway_runtime.providers.models.facts import ALIASES, ModelFacts, cost_of, find_facts, load_facts
from gateway_runtime.providers.models.prices import Prices
from gateway_runtime.providers.usage import Usage

ROOT = Path(__file__).parents[2]


def test_facts_of_a_model_are_its_mode_limits_capabilities_and_prices() -> None:
    facts = find_facts("anthropic", "claude-sonnet-4-5")

    assert facts is not None
    assert facts.mode == "chat"
    assert facts.context_window == 200_000
    assert facts.max_output_tokens == 64_000
    assert facts.capabilities >= {"tools", "vision", "pdf", "reasoning", "json_schema", "prompt_caching"}
    assert facts.prices == Prices(
        input_usd_picos=3_000_000,
        output_usd_picos=15_000_000,
        cached_input_usd_picos=300_000,
        cache_write_usd_picos=3_750_000,
    )


def test_a_longer_prompt_has_a_tier_of_prices() -> None:
    facts = find_facts("google", "gemini-2.5-pro")

    assert facts is not None
    assert facts.prices is not None
    assert [tier.above_input_tokens for tier in facts.prices.tiers] == [200_000]
    assert facts.prices.tiers[0].input_usd_picos == 2 * facts.prices.input_usd_picos


@pytest.mark.parametrize(
    ("ours", "theirs", "model"),
    [
        ("google", "gemini", "gemini-2.5-flash"),
        ("vertex", "vertex_ai", "gemini-2.5-flash"),
        ("together", "together_ai", "meta-llama/Llama-3.3-70B-Instruct-Turbo"),
        ("fireworks", "fireworks_ai", "accounts/fireworks/models/deepseek-r1"),
        ("bedrock_converse", "bedrock", "amazon.nova-lite-v1:0"),
        ("cohere_chat", "cohere", "command-a-03-2025"),
    ],
)
def test_a_provider_is_known_by_our_name_and_by_the_tables(ours: str, theirs: str, model: str) -> None:
    assert find_facts(ours, model) is find_facts(theirs, model) is not None


def test_behind_litellm_the_provider_stands_before_the_model() -> None:
    assert find_facts("litellm", "mistral/codestral-latest") is find_facts("mistral", "codestral-latest")
    assert find_facts("litellm", "codestral-latest") is None


def test_a_region_before_a_model_asks_for_the_price_there() -> None:
    there = find_facts("azure", "eu/gpt-4o-2024-08-06")
    anywhere = find_facts("azure", "gpt-4o-2024-08-06")

    assert there is not None
    assert anywhere is not None
    assert there.prices != anywhere.prices


def test_a_tuned_model_has_the_facts_of_its_family() -> None:
    family = find_facts("openai", "ft:gpt-4o-2024-08-06")

    assert family is not None
    assert find_facts("openai", "ft:gpt-4o-2024-08-06:acme::7p4lURel") is family
    assert find_facts("openai", "ft:nothing-known:acme::7p4lURel") is None


@pytest.mark.parametrize(
    ("provider", "model"), [("openai", "gpt-4"[:-1]), ("vllm", "gpt-4o"), ("", ""), ("litellm", "")]
)
def test_what_is_not_in_the_table_is_not_guessed(provider: str, model: str) -> None:
    assert find_facts(provider, model) is None


def test_a_model_without_prices_has_no_cost_which_is_not_a_cost_of_nothing() -> None:
    priced = ModelFacts("chat", prices=Prices(input_usd_picos=2, output_usd_picos=3))

    assert cost_of(priced, Usage(10, 1)) == 23
    assert cost_of(ModelFacts("chat"), Usage(10, 1)) is None


def test_a_reranker_is_paid_by_the_search() -> None:
    facts = find_facts("cohere", "rerank-v3.5")

    assert facts is not None
    assert facts.mode == "rerank"
    assert facts.search_usd_picos == 2_000_000_000
    assert facts.prices is None


def test_aliases_lead_to_providers_of_the_table() -> None:
    assert set(ALIASES.values()) <= set(load_facts().providers)


def test_no_price_in_the_table_is_negative_and_tiers_rise() -> None:
    for models in load_facts().providers.values():
        for name, facts in models.items():
            if facts.prices is None:
                continue
            thresholds = [tier.above_input_tokens for tier in facts.prices.tiers]
            rates = [facts.prices, *facts.prices.tiers]

            assert thresholds == sorted(set(thresholds)), name
            assert all(
                price is None or price >= 0
                for rate in rates
                for price in (
                    rate.input_usd_picos,
                    rate.output_usd_picos,
                    rate.cached_input_usd_picos,
                    rate.cache_write_usd_picos,
                    rate.reasoning_usd_picos,
                )
            ), name


def test_the_table_is_small_and_says_where_it_comes_from() -> None:
    table = load_facts()
    path = ROOT / "gateway_runtime" / "providers" / "models" / "models.json"

    assert path.stat().st_size < 1_000_000
    assert "litellm" in table.source
    assert table.litellm_version
    assert len(table.frozen_on.split("-")) == 3


def test_the_table_is_what_the_script_makes_of_the_pinned_litellm() -> None:
    script = [sys.executable, str(ROOT / "scripts" / "freeze_models.py"), "--check"]

    done = subprocess.run(script, capture_output=True, text=True, cwd=ROOT)

    assert done.returncode == 0, done.stdout + done.stderr


def test_asking_needs_neither_litellm_nor_the_network() -> None:
    code = (
        "import sys; from gateway_runtime.providers.models.facts import find_facts; "
        "assert find_facts('openai', 'gpt-4o'); assert not {'litellm', 'socket'} & set(sys.modules)"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)

    assert done.returncode == 0, done.stderr
