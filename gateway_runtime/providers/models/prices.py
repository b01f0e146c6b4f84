"""What tokens cost: a model's prices and a usage in, picodollars out. Whole numbers throughout: 0.15 US
dollars per million tokens are 150000 picodollars a token, and no provider's list is finer than that.

The subtle rule: above a threshold a long prompt makes all of its tokens dearer, and the answer's too, not
only those behind the threshold: https://ai.google.dev/gemini-api/docs/pricing. So the rates of one usage come
from one tier.

Not in here, since a Usage does not count it: tokens of audio and images at prices of their own, caches that
are kept for an hour, searches, hours in which a provider is cheaper, service tiers and batches.
"""

from collections.abc import Iterable
from typing import NamedTuple

import msgspec

from gateway_runtime.providers.usage import Usage


class Rates(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Of one token, in picodollars."""

    input_usd_picos: int
    output_usd_picos: int
    cached_input_usd_picos: int | None = None
    """Read from the provider's cache. None: as any other input."""
    cache_write_usd_picos: int | None = None
    """Put into the provider's cache. None: as any other input."""
    reasoning_usd_picos: int | None = None
    """None: as any other output."""


class Tier(Rates, frozen=True, kw_only=True, omit_defaults=True):
    above_input_tokens: int
    """A prompt with more tokens than this, cached ones included, has these rates."""


class Prices(Rates, frozen=True, kw_only=True, omit_defaults=True):
    tiers: tuple[Tier, ...] = ()
    """By `above_input_tokens`, rising."""


def find_rates(prices: Prices, usage: Usage) -> Rates:
    """Of all its tokens."""
    rates: Rates = prices
    for tier in prices.tiers:
        if usage.input_tokens > tier.above_input_tokens:
            rates = tier
    return rates


def price_usage(prices: Prices, usage: Usage) -> int:
    """Picodollars for all of it."""
    return price_tokens(find_rates(prices, usage) if prices.tiers else prices, usage)


def price_tokens(rates: Rates, usage: Usage) -> int:
    """The same, at these rates."""
    cost = usage.input_tokens * rates.input_usd_picos + usage.output_tokens * rates.output_usd_picos
    if rates.cached_input_usd_picos is not None:
        cost += usage.cached_tokens * (rates.cached_input_usd_picos - rates.input_usd_picos)
    if rates.cache_write_usd_picos is not None:
        cost += usage.cache_write_tokens * (rates.cache_write_usd_picos - rates.input_usd_picos)
    if rates.reasoning_usd_picos is not None:
        cost += usage.reasoning_tokens * (rates.reasoning_usd_picos - rates.output_usd_picos)
    return cost


class Ceiling(NamedTuple):
    """The most that tokens can come to, whatever becomes of them."""

    above_input_tokens: int
    """Of prompts that have more than this; -1: of all."""
    input_usd_picos: int
    """Of a token, as the next: all of the prompt may have to be written into a cache, and all of the answer
    may be reasoning.
    """
    output_usd_picos: int


def list_ceilings(several: Iterable[Prices]) -> tuple[Ceiling, ...]:
    """Of models of which any may be asked, without those that never count."""
    found = {_find_ceiling(rates) for prices in several for rates in (prices, *prices.tiers)}
    return tuple(
        sorted(one for one in found if not any(other != one and _covers(other, one) for other in found))
    )


def price_dearest(ceilings: Iterable[Ceiling], tokens_in: int, tokens_out: int) -> int:
    """Picodollars for so many tokens at most: a shorter prompt may fall under any tier below."""
    dearest = 0
    for above, rate_in, rate_out in ceilings:
        cost = tokens_in * rate_in + tokens_out * rate_out
        if cost > dearest and tokens_in > above:
            dearest = cost
    return dearest


def _find_ceiling(rates: Rates) -> Ceiling:
    return Ceiling(
        rates.above_input_tokens if isinstance(rates, Tier) else -1,
        max(rates.input_usd_picos, rates.cached_input_usd_picos or 0, rates.cache_write_usd_picos or 0),
        max(rates.output_usd_picos, rates.reasoning_usd_picos or 0),
    )


def _covers(one: Ceiling, other: Ceiling) -> bool:
    return (
        one.above_input_tokens <= other.above_input_tokens
        and one.input_usd_picos >= other.input_usd_picos
        and one.output_usd_picos >= other.output_usd_picos
    )
