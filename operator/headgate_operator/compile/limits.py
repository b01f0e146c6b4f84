"""A TenantQuota's limits to the table's: windows in seconds, US dollars in picodollars.

In: a spec that makes sense. Out: Limits in the order of the manifest, those of one line first. Called by
`quotas`. No two of them have one name: the API refuses that, since gateways keep what a limit has counted
under its name.
"""

from collections.abc import Iterator
from typing import Final

from gateway_runtime.contract.table import Limit
from headgate_operator.api import quota
from headgate_operator.api.fields import parse_duration, parse_usd_micros
from headgate_operator.api.quota import TenantQuotaSpec

_PICOS_PER_MICRO: Final = 1_000_000
"""Prices are picodollars per token, so what is spent is counted in them: a million dollars are 10^18, and fit
into 64 bits.
"""
_MINUTE_S: Final = 60.0
_HOUR_S: Final = 3600.0


def build_limits(spec: TenantQuotaSpec) -> tuple[Limit, ...]:
    return (*_build_shorthands(spec), *(_build_limit(limit) for limit in spec.limits))


def _build_shorthands(spec: TenantQuotaSpec) -> Iterator[Limit]:
    if spec.requests_per_minute is not None:
        yield Limit(name="requests-per-minute", amount=spec.requests_per_minute, window_s=_MINUTE_S)
    if spec.requests_per_hour is not None:
        yield Limit(name="requests-per-hour", amount=spec.requests_per_hour, window_s=_HOUR_S)
    if spec.tokens_per_minute is not None:
        yield Limit(
            name="tokens-per-minute",
            amount=spec.tokens_per_minute,
            window_s=_MINUTE_S,
            resource="TotalTokens",
        )


def _build_limit(limit: quota.Limit) -> Limit:
    amount = limit.amount
    return Limit(
        name=limit.name,
        amount=parse_usd_micros(amount) * _PICOS_PER_MICRO if isinstance(amount, str) else amount,
        window_s=0.0 if limit.window is None else parse_duration(limit.window),
        resource=limit.resource,
        shadow=limit.mode == "Shadow",
    )
