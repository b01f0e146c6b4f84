"""What tokens cost: a model's prices and a usage in, picodollars out. Whole numbers throughout: 0.15 US
dollars per million tokens are 150000 picodollars a token, and no provider's list is finer than that.

The subtle rule: above a threshold a long prompt makes all of its tokens dearer, and the answer's too, not
only those behind the threshold: https://ai.google.dev/gemini-api/docs/pricing. So the rates of one usage come
from one tier.

Not in here, since a Usage does not count it: tokens of audio and images at prices of their own, caches that
are kept for an hour, searches, hours in which a provider is cheaper, service tiers and batches.
"""

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
