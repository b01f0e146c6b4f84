"""The tables of these runs: one provider, one route, one tenant with the limits that a run is about.

In: limits, and the provider's port. Out: a `RoutingTable`, made of what `bench.providers` compiles, so that
everything else (a key, a list of models, circuits, probes) is as there. The model's price is written down, so
that a run can add up what was spent to the last picodollar.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from msgspec.structs import replace

from bench.providers.cases import OPENAI
from bench.providers.gateways import build_table
from gateway_runtime.contract.table import Price, RoutingTable
from gateway_runtime.contract.tenant import Limit

MODEL: Final = OPENAI.wire
"""What callers ask for."""
PRICE: Final = Price(input_usd_picos=150_000, output_usd_picos=600_000)
"""Of gpt-4o-mini."""
PICOS_PER_USD: Final = 10**12
MINUTE_S: Final = 60.0
HOUR_S: Final = 3600.0
DAY_S: Final = 86_400.0


def build_quota_table(
    limits: Sequence[Limit], upstream: int, folder: Path, *, deny_without_store: bool = False
) -> RoutingTable:
    """folder: for the manifests that the rest is made of."""
    like = build_table((OPENAI,), upstream, folder)
    (provider,), (tenant,) = like.providers, like.tenants
    (model,) = provider.models
    return replace(
        like,
        providers=(replace(provider, models=(replace(model, price=PRICE),)),),
        tenants=(replace(tenant, limits=tuple(limits), deny_without_store=deny_without_store),),
    )


def price_picos(input_tokens: int, output_tokens: int) -> int:
    return input_tokens * PRICE.input_usd_picos + output_tokens * PRICE.output_usd_picos
