"""What models cost: from a manifest's strings to the table, and routes that go by prices nobody told."""

from collections.abc import Sequence
from typing import Any

import pytest

from gateway_runtime.contract.table import Price
from headgate_operator.compile import Compiled, compile_resources
from tests.compile.builders import build, provider, resources

CHEAP = {"input": "0.15", "output": "0.60"}


def offering(**prices: dict[str, str] | None) -> Any:
    """LLMProvider team-a/p with these models; None: without a price."""
    models = [{"name": name} | ({"price": price} if price else {}) for name, price in prices.items()]
    return provider("team-a/p", spec={"models": models})


def routed(models: Sequence[str], *targets: str | None, strategy: str = "Cost") -> Any:
    """ModelRoute team-a/r; for each target at team-a/p the model that it names, if any."""
    refs = [{"providerRef": {"name": "p"}} | ({"model": model} if model else {}) for model in targets]
    return build("ModelRoute", "team-a/r", {"models": list(models), "targets": refs, "strategy": strategy})


def lacks_prices(compiled: Compiled) -> bool:
    return compiled.verdicts["ModelRoute/team-a/r"].lacks_prices


@pytest.mark.parametrize(
    ("text", "picos"),
    [
        ("0.15", 150_000),
        ("0.6", 600_000),
        ("0.60", 600_000),
        ("2", 2_000_000),
        ("0", 0),
        ("0.000001", 1),
        ("1.1", 1_100_000),
        ("999999.999999", 999_999_999_999),
    ],
)
def test_dollars_per_million_tokens_are_picodollars_per_token(text: str, picos: int) -> None:
    compiled = compile_resources(resources(offering(m={"input": text, "output": "1"})))

    assert compiled.table.providers[0].models[0].price == Price(
        input_usd_picos=picos, output_usd_picos=1_000_000
    )


def test_a_model_without_a_price_has_none_in_the_table() -> None:
    compiled = compile_resources(resources(offering(m=None)))

    assert compiled.table.providers[0].models[0].price is None


@pytest.mark.parametrize(
    ("offered", "models", "targets", "expected"),
    [
        ({"m": CHEAP}, ["m"], [None], False),
        ({"m": None}, ["m"], [None], True),
        ({}, ["m"], [None], True),
        ({"m": None, "other": CHEAP}, ["m"], [None], True),
        ({"m": None, "other": CHEAP}, ["m"], ["other"], False),
        ({"m": CHEAP, "other": None}, ["m"], ["other"], True),
        ({"m": None, "other": CHEAP}, ["m"], ["m", "other"], False),
        ({"m": None, "other": CHEAP}, ["o*"], [None], False),
        ({"m": {"input": "0", "output": "0"}}, ["m"], [None], False),
    ],
    ids=[
        *("priced", "without", "unlisted", "another-model", "the-targets-model", "not-the-targets-model"),
        *("one-of-two", "by-a-pattern", "free"),
    ],
)
def test_strategy_cost_lacks_prices_when_no_model_that_it_asks_for_has_one(
    offered: dict[str, dict[str, str] | None], models: list[str], targets: list[str | None], expected: bool
) -> None:
    compiled = compile_resources(resources(offering(**offered), routed(models, *targets)))

    assert lacks_prices(compiled) is expected


@pytest.mark.parametrize("strategy", ["Weighted", "Latency"])
def test_other_strategies_lack_no_prices(strategy: str) -> None:
    compiled = compile_resources(resources(offering(m=None), routed(["m"], None, strategy=strategy)))

    assert not lacks_prices(compiled)


def test_a_route_without_a_live_target_hears_of_that_alone() -> None:
    assert not lacks_prices(compile_resources(resources(routed(["m"], None))))


def test_a_price_that_is_added_is_seen_by_the_routes_and_changes_no_entry_of_theirs() -> None:
    route = routed(["m"], None)
    before = compile_resources(resources(offering(m=None), route))
    after = compile_resources(resources(offering(m=CHEAP), route), before)

    assert (lacks_prices(before), lacks_prices(after)) == (True, False)
    assert after.table.routes[0] is before.table.routes[0]
    assert after == compile_resources(resources(offering(m=CHEAP), route))
