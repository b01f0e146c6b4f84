"""What a usage costs."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway_runtime.providers.models.prices import Prices, Tier, list_ceilings, price_dearest, price_usage
from gateway_runtime.providers.usage import Usage

PLAIN = Prices(input_usd_picos=3_000_000, output_usd_picos=15_000_000)
CACHING = Prices(
    input_usd_picos=3_000_000,
    output_usd_picos=15_000_000,
    cached_input_usd_picos=300_000,
    cache_write_usd_picos=3_750_000,
)
TIERED = Prices(
    input_usd_picos=10,
    output_usd_picos=100,
    cached_input_usd_picos=1,
    tiers=(
        Tier(above_input_tokens=1000, input_usd_picos=20, output_usd_picos=150, cached_input_usd_picos=2),
        Tier(above_input_tokens=5000, input_usd_picos=40, output_usd_picos=300, cached_input_usd_picos=4),
    ),
)


def test_a_million_tokens_at_three_dollars_a_million_cost_three_dollars() -> None:
    assert price_usage(PLAIN, Usage(1_000_000, 0)) == 3 * 10**12


def test_input_and_output_are_priced_apart() -> None:
    assert price_usage(PLAIN, Usage(2, 3)) == 2 * 3_000_000 + 3 * 15_000_000


def test_cached_and_written_tokens_are_a_part_of_the_input_at_prices_of_their_own() -> None:
    usage = Usage(1000, 0, cached_tokens=600, cache_write_tokens=300)

    assert price_usage(CACHING, usage) == 100 * 3_000_000 + 600 * 300_000 + 300 * 3_750_000


def test_cached_tokens_without_a_price_of_their_own_cost_what_input_costs() -> None:
    usage = Usage(1000, 0, cached_tokens=600, cache_write_tokens=300)

    assert price_usage(PLAIN, usage) == price_usage(PLAIN, Usage(1000, 0))


def test_a_price_of_zero_for_cached_tokens_is_a_price() -> None:
    free = Prices(input_usd_picos=5, output_usd_picos=5, cached_input_usd_picos=0)

    assert price_usage(free, Usage(10, 0, cached_tokens=4)) == 6 * 5


def test_reasoning_tokens_are_a_part_of_the_output_at_a_price_of_their_own() -> None:
    dear = Prices(input_usd_picos=2, output_usd_picos=8, reasoning_usd_picos=3)

    assert price_usage(dear, Usage(0, 100, reasoning_tokens=40)) == 60 * 8 + 40 * 3
    assert price_usage(PLAIN, Usage(0, 100, reasoning_tokens=40)) == 100 * 15_000_000


@pytest.mark.parametrize(
    ("input_tokens", "cost"),
    [(1000, 1000 * 10 + 100), (1001, 1001 * 20 + 150), (5000, 5000 * 20 + 150), (5001, 5001 * 40 + 300)],
)
def test_a_prompt_above_a_threshold_has_the_rates_of_its_tier_for_everything(
    input_tokens: int, cost: int
) -> None:
    assert price_usage(TIERED, Usage(input_tokens, 1)) == cost


def test_cached_tokens_count_towards_the_threshold() -> None:
    assert price_usage(TIERED, Usage(1001, 0, cached_tokens=1001)) == 1001 * 2


_RATES = st.integers(0, 1000)
_SOME_RATES = st.none() | _RATES
_TIERS = st.lists(
    st.builds(
        Tier,
        above_input_tokens=st.integers(0, 3000),
        input_usd_picos=_RATES,
        output_usd_picos=_RATES,
        cached_input_usd_picos=_SOME_RATES,
        cache_write_usd_picos=_SOME_RATES,
        reasoning_usd_picos=_SOME_RATES,
    ),
    max_size=3,
).map(lambda tiers: tuple(sorted(tiers, key=lambda tier: tier.above_input_tokens)))
_PRICES = st.builds(
    Prices,
    input_usd_picos=_RATES,
    output_usd_picos=_RATES,
    cached_input_usd_picos=_SOME_RATES,
    cache_write_usd_picos=_SOME_RATES,
    reasoning_usd_picos=_SOME_RATES,
    tiers=_TIERS,
)


@st.composite
def _usages(draw: st.DrawFn) -> Usage:
    input_tokens, output_tokens = draw(st.integers(0, 4000)), draw(st.integers(0, 1000))
    cached = draw(st.integers(0, input_tokens))
    return Usage(
        input_tokens,
        output_tokens,
        cached_tokens=cached,
        cache_write_tokens=draw(st.integers(0, input_tokens - cached)),
        reasoning_tokens=draw(st.integers(0, output_tokens)),
    )


@given(several=st.lists(_PRICES, min_size=1, max_size=3), usage=_usages(), more=st.integers(0, 2000))
def test_whatever_becomes_of_the_tokens_they_cost_no_more_than_was_bounded(
    several: list[Prices], usage: Usage, more: int
) -> None:
    dearest = price_dearest(list_ceilings(several), usage.input_tokens + more, usage.output_tokens + more)

    assert max(price_usage(prices, usage) for prices in several) <= dearest


def test_all_of_a_prompt_may_be_written_to_a_cache_while_all_of_the_answer_is_reasoning() -> None:
    dear = Prices(input_usd_picos=4, output_usd_picos=8, cache_write_usd_picos=5, reasoning_usd_picos=10)

    assert price_dearest(list_ceilings([dear]), 100, 10) == 100 * 5 + 10 * 10


def test_what_another_covers_is_not_looked_at() -> None:
    cheap, dear = (Prices(input_usd_picos=each, output_usd_picos=each) for each in (1, 2))
    rising = Tier(above_input_tokens=100, input_usd_picos=3, output_usd_picos=3)

    ceilings = list_ceilings([cheap, dear, Prices(input_usd_picos=2, output_usd_picos=2, tiers=(rising,))])

    assert ceilings == ((-1, 2, 2), (100, 3, 3))
    assert price_dearest(ceilings, 100, 0) == 200
    assert price_dearest(ceilings, 101, 0) == 303
