#!/usr/bin/env python3
"""Freezes the table of models that litellm's wheel carries into `models.json` of
`gateway_runtime/providers/models`:

    .venv/bin/python scripts/freeze_models.py [--check]

Reads the file and does not import litellm, whose import costs seconds. One model a line, sorted, so that a
diff tells what changed. `--check` writes nothing, and fails when the file is not what this would write.

Rules: prices in whole picodollars a token; a price that is not one is rounded (floating-point noise of the
source). Both prices 0 is no price. Names lose the provider that the source writes before them.
"""

import argparse
import importlib.metadata
import importlib.util
import json
import re
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Final

import msgspec

from gateway_runtime.providers.models.facts import ModelFacts
from gateway_runtime.providers.models.prices import Prices, Tier

TARGET: Final = Path(__file__).parent.parent / "gateway_runtime" / "providers" / "models" / "models.json"
SOURCE: Final = "model_prices_and_context_window_backup.json"
MODES: Final = ("chat", "completion", "embedding", "rerank", "responses")
OWN: Final = (
    *("ai21", "anthropic", "azure", "azure_ai", "bedrock", "cerebras", "cloudflare", "cohere", "databricks"),
    *("deepinfra", "deepseek", "fireworks_ai", "friendliai", "gemini", "groq", "hyperbolic", "meta_llama"),
    *("mistral", "moonshot", "nebius", "novita", "nvidia_nim", "oci", "openai", "openrouter", "perplexity"),
    *("replicate", "sambanova", "snowflake", "together_ai", "vertex_ai", "watsonx", "xai"),
)
"""Providers that a wire of ours speaks to, or litellm's for us."""
MERGED: Final = {
    "azure_text": "azure",
    "bedrock_converse": "bedrock",
    "cohere_chat": "cohere",
    "fireworks_ai-embedding-models": "fireworks_ai",
    "text-completion-openai": "openai",
}
CAPABILITIES: Final = {
    "supports_assistant_prefill": "prefill",
    "supports_audio_input": "audio_input",
    "supports_audio_output": "audio_output",
    "supports_function_calling": "tools",
    "supports_parallel_function_calling": "parallel_tools",
    "supports_pdf_input": "pdf",
    "supports_prompt_caching": "prompt_caching",
    "supports_reasoning": "reasoning",
    "supports_response_schema": "json_schema",
    "supports_tool_choice": "tool_choice",
    "supports_video_input": "video_input",
    "supports_vision": "vision",
    "supports_web_search": "web_search",
}
RATES: Final = {
    "input_cost_per_token": "input_usd_picos",
    "output_cost_per_token": "output_usd_picos",
    "cache_read_input_token_cost": "cached_input_usd_picos",
    "cache_creation_input_token_cost": "cache_write_usd_picos",
    "output_cost_per_reasoning_token": "reasoning_usd_picos",
}
THRESHOLD: Final = re.compile(rf"({'|'.join(RATES)})_above_(\d+)k_tokens")
FIREWORKS_CACHED: Final = Decimal("0.5")
"""Of the price of input, where the source names none: https://docs.fireworks.ai/guides/prompt-caching."""

Row = Mapping[str, object]

_encoder = msgspec.json.Encoder(order="sorted")  # a set has no order of its own


def main() -> int:
    parser = argparse.ArgumentParser(description="Freeze litellm's table of models.")
    parser.add_argument("--check", action="store_true", help="write nothing, fail when the file is stale")
    check = parser.parse_args().check
    built = build_table(find_source().read_bytes())
    models = sum(len(rows) for rows in built.values())
    if check:
        frozen = json.loads(TARGET.read_bytes())["providers"]
        fresh = json.loads(_encoder.encode(built))
        print(f"{models} models:", "as frozen" if frozen == fresh else "not as frozen")
        return int(frozen != fresh)
    TARGET.write_text(write_table(built))
    print(f"{models} models of {len(built)} providers, {TARGET.stat().st_size} bytes")
    return 0


def find_source() -> Path:
    spec = importlib.util.find_spec("litellm")
    if spec is None or not spec.submodule_search_locations:
        raise SystemExit("litellm is not installed: pip install 'headgate[litellm]'")
    return Path(spec.submodule_search_locations[0]) / SOURCE


def build_table(source: bytes) -> dict[str, dict[str, ModelFacts]]:
    rows = json.loads(source, parse_float=Decimal)
    table: dict[str, dict[str, ModelFacts]] = {}
    # Names with their provider come last, and stay: they are what litellm looks up first.
    for name, row in sorted(rows.items(), key=lambda item: ("/" in item[0], item[0])):
        provider = find_provider(row.get("litellm_provider", ""))
        if provider in OWN and row.get("mode") in MODES and "commitment" not in name:
            facts = build_facts(provider, row)
            if facts.context_window or facts.prices or facts.capabilities or facts.search_usd_picos:
                table.setdefault(provider, {})[name.removeprefix(f"{provider}/")] = facts
    return {provider: dict(sorted(models.items())) for provider, models in sorted(table.items())}


def find_provider(name: str) -> str:
    return "vertex_ai" if name.startswith("vertex_ai-") else MERGED.get(name, name)


def build_facts(provider: str, row: Row) -> ModelFacts:
    search = convert_price(row.get("input_cost_per_query"))
    return msgspec.convert(
        {
            "mode": row["mode"],
            "context_window": convert_count(row.get("max_input_tokens")),
            "max_output_tokens": convert_count(row.get("max_output_tokens")),
            "capabilities": sorted(word for name, word in CAPABILITIES.items() if row.get(name) is True),
            "prices": build_prices(provider, row),
            "search_usd_picos": search or None,
        },
        ModelFacts,
    )


def build_prices(provider: str, row: Row) -> Prices | None:
    rates = read_rates(row, "")
    if row["mode"] in ("embedding", "rerank"):
        rates.setdefault("output_usd_picos", 0)
    if "input_usd_picos" not in rates or "output_usd_picos" not in rates or not any(rates.values()):
        return None
    cached = row.get("cache_read_input_token_cost")
    if provider == "fireworks_ai" and cached is None and isinstance(row["input_cost_per_token"], Decimal):
        rates["cached_input_usd_picos"] = convert_price(row["input_cost_per_token"] * FIREWORKS_CACHED) or 0
    tiers: list[tuple[int, dict[str, int]]] = []
    for threshold in sorted({int(match[2]) for match in map(THRESHOLD.fullmatch, row) if match}):
        # What a tier does not name costs what it costs below it.
        rates_there = {
            **(tiers[-1][1] if tiers else rates),
            **read_rates(row, f"_above_{threshold}k_tokens"),
        }
        # xAI's tier begins at its threshold, the others' behind it.
        tiers.append((threshold * 1000 - (provider == "xai"), rates_there))
    return Prices(
        **shrink(rates),
        tiers=tuple(Tier(above_input_tokens=above, **shrink(there)) for above, there in tiers),
    )


def read_rates(row: Row, suffix: str) -> dict[str, int]:
    found = {ours: convert_price(row.get(name + suffix)) for name, ours in RATES.items()}
    return {name: price for name, price in found.items() if price is not None}


def shrink(rates: dict[str, int]) -> dict[str, int]:
    """Without what costs the same as input or output anyhow."""
    same = {
        "cached_input_usd_picos": rates["input_usd_picos"],
        "cache_write_usd_picos": rates["input_usd_picos"],
        "reasoning_usd_picos": rates["output_usd_picos"],
    }
    return {name: price for name, price in rates.items() if same.get(name) != price}


def convert_price(usd: object) -> int | None:
    """Dollars to picodollars; None for what is no number."""
    return int((Decimal(usd) * 10**12).to_integral_value()) if isinstance(usd, Decimal | int) else None


def convert_count(tokens: object) -> int | None:
    return int(tokens) if isinstance(tokens, Decimal | int) and tokens > 0 else None


def write_table(table: dict[str, dict[str, ModelFacts]]) -> str:
    """One model a line."""
    providers = ",\n".join(
        f'"{provider}": {{\n'
        + ",\n".join(
            f" {json.dumps(name)}: {_encoder.encode(facts).decode()}" for name, facts in models.items()
        )
        + "\n}"
        for provider, models in table.items()
    )
    head = {
        "source": f"litellm/{SOURCE} of the litellm distribution, MIT license",
        "litellm_version": importlib.metadata.version("litellm"),
        "frozen_on": f"{datetime.now(UTC):%Y-%m-%d}",
    }
    return json.dumps(head, indent=0)[:-2] + f',\n"providers": {{\n{providers}\n}}\n}}\n'


if __name__ == "__main__":
    sys.exit(main())
