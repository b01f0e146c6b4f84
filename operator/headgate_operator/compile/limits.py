"""A TenantQuota's limits to the table's: windows in seconds, US dollars in picodollars, overrides by end.

In: a spec that makes sense. Out: Limits in the order of the manifest, those of one line first. Called by
`quotas`. No two of them have one name: the API refuses that, since gateways keep what a limit has counted
under its name. Overrides that have ended stay in: there is no clock here, and a gateway passes over them.
"""

from collections.abc import Iterator, Mapping
from typing import Final

from msgspec import structs

from gateway_runtime.contract.tenant import Calendar, Limit, Override
from headgate_operator.api import quota_limit
from headgate_operator.api.fields import parse_usd_micros
from headgate_operator.api.quota import TenantQuotaSpec
from headgate_operator.api.times import parse_moment

_PICOS_PER_MICRO: Final = 1_000_000
"""Prices are picodollars per token, so what is spent is counted in them: a million dollars are 10^18, and fit
into 64 bits.
"""
_MINUTE_S: Final = 60.0
_HOUR_S: Final = 3600.0
_ROLLING_S: Final = {"1m": _MINUTE_S, "1h": _HOUR_S, "1d": 86_400.0}
_CALENDAR: Final[Mapping[str, Calendar]] = {"day": "day", "week": "week", "month": "month"}


def build_limits(spec: TenantQuotaSpec) -> tuple[Limit, ...]:
    overrides: dict[str, list[Override]] = {}
    for override in sorted(spec.overrides, key=lambda o: parse_moment(o.until)):
        overrides.setdefault(override.limit, []).append(_build_override(override))
    limits = (*_build_shorthands(spec), *(_build_limit(limit) for limit in spec.limits))
    if not overrides:
        return limits
    return tuple(structs.replace(limit, overrides=tuple(overrides.get(limit.name, ()))) for limit in limits)


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


def _build_limit(limit: quota_limit.Limit) -> Limit:
    return Limit(
        name=limit.name,
        amount=_count_amount(limit.amount),
        window_s=_ROLLING_S.get(limit.window or "", 0.0),
        resource=limit.resource,
        shadow=limit.mode == "Shadow",
        calendar=_CALENDAR.get(limit.window or ""),
        zone=limit.time_zone or "UTC",
        scope=limit.scope,
    )


def _build_override(override: quota_limit.Override) -> Override:
    return Override(amount=_count_amount(override.amount), until_unix_s=parse_moment(override.until))


def _count_amount(amount: int | str) -> int:
    return parse_usd_micros(amount) * _PICOS_PER_MICRO if isinstance(amount, str) else amount
