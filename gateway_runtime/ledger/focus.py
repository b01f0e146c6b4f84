"""Billing rows for a billing system, in the manner of FOCUS 1.x: rows of the ledger in, lines of CSV out.

    hour, tenant, provider, model, tags  ->  a line for each kind of token that has a price

Columns and words are those of https://focus.finops.org/focus-specification/. The lines add up to the ledger's
cost exactly, in decimal text. The one subtle rule: a row is told by kind only where its tokens at its prices
are its cost. One of several attempts at different prices, or with a part that has no price, is told as one
amount. Rows without any price are not in it, since nothing can be billed for them.
"""

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from typing import Final, NamedTuple

from gateway_runtime.contract.usd import format_usd
from gateway_runtime.ledger.month import find_month
from gateway_runtime.ledger.query import format_moment
from gateway_runtime.ledger.row import UsageRow

_HOUR_MS: Final = 3_600_000
_ALL: Final = "Tokens at several prices"


class Charge(NamedTuple):
    """What is added up in one line. Sorted by it."""

    hour_unix_ms: int
    tenant: str
    provider: str
    model: str
    upstream_model: str
    tags: str
    meter: str
    rate_usd_picos: int
    """Of a token; -1: there is no one rate."""


class Part(NamedTuple):
    """Of a row."""

    meter: str
    tokens: int
    rate_usd_picos: int
    cost_usd_picos: int


def build_focus_lines(batches: Iterable[Sequence[UsageRow]]) -> Iterator[bytes]:
    """batches: the oldest rows first; those of one hour are held."""
    yield _write_csv([_COLUMNS])
    hour_unix_ms = -1
    sums: dict[Charge, tuple[int, int]] = {}
    for row in (row for rows in batches for row in rows):
        began_unix_ms = row.ended_unix_ms - row.ended_unix_ms % _HOUR_MS
        if began_unix_ms != hour_unix_ms:
            yield _close_hour(sums)
            hour_unix_ms, sums = began_unix_ms, {}
        for part in split_row(row):
            charge = Charge(
                hour_unix_ms,
                row.tenant,
                row.provider,
                row.model,
                row.upstream_model,
                row.tags or "",
                part.meter,
                part.rate_usd_picos,
            )
            tokens, cost = sums.get(charge, (0, 0))
            sums[charge] = tokens + part.tokens, cost + part.cost_usd_picos
    yield _close_hour(sums)


def split_row(row: UsageRow) -> list[Part]:
    """By kind of token; the costs add up to the row's."""
    cost = row.cost_usd_picos
    if cost is None:
        return []
    tokens_in, tokens_out = row.input_tokens or 0, row.output_tokens or 0
    rate_in, rate_out = row.input_usd_picos, row.output_usd_picos
    if rate_in is not None and rate_out is not None:
        cached, written = row.cached_tokens or 0, row.cache_write_tokens or 0
        thought = row.reasoning_tokens or 0
        kinds = (
            ("Input tokens", tokens_in - cached - written, rate_in),
            ("Cached input tokens", cached, _or(row.cached_input_usd_picos, rate_in)),
            ("Cache write tokens", written, _or(row.cache_write_usd_picos, rate_in)),
            ("Output tokens", tokens_out - thought, rate_out),
            ("Reasoning tokens", thought, _or(row.reasoning_usd_picos, rate_out)),
        )
        parts = [Part(meter, tokens, rate, tokens * rate) for meter, tokens, rate in kinds if tokens]
        if sum(part.cost_usd_picos for part in parts) == cost:
            return parts
    return [Part(_ALL, tokens_in + tokens_out, -1, cost)]


def _or(rate: int | None, other: int) -> int:
    return other if rate is None else rate


def _close_hour(sums: dict[Charge, tuple[int, int]]) -> bytes:
    return _write_csv(list(_describe(charge, *sums[charge]).values()) for charge in sorted(sums))


def _describe(charge: Charge, tokens: int, cost_usd_picos: int) -> dict[str, object]:
    month = find_month(charge.hour_unix_ms)
    cost = format_usd(cost_usd_picos)
    rate = None if charge.rate_usd_picos < 0 else format_usd(charge.rate_usd_picos)
    return {
        "BilledCost": cost,
        "BillingAccountId": charge.provider,
        "BillingCurrency": "USD",
        "BillingPeriodEnd": format_moment(month.end_unix_ms),
        "BillingPeriodStart": format_moment(month.begin_unix_ms),
        "ChargeCategory": "Usage",
        "ChargeClass": None,
        "ChargeDescription": f"{charge.meter} of {charge.upstream_model}",
        "ChargeFrequency": "Usage-Based",
        "ChargePeriodEnd": format_moment(charge.hour_unix_ms + _HOUR_MS),
        "ChargePeriodStart": format_moment(charge.hour_unix_ms),
        "ConsumedQuantity": tokens,
        "ConsumedUnit": "tokens",
        "ContractedCost": cost,
        "ContractedUnitPrice": rate,
        "EffectiveCost": cost,
        "InvoiceIssuerName": charge.provider,
        "ListCost": cost,
        "ListUnitPrice": rate,
        "PricingCategory": "Standard",
        "PricingQuantity": tokens,
        "PricingUnit": "tokens",
        "ProviderName": charge.provider,
        "PublisherName": charge.provider,
        "ResourceId": charge.model,
        "ResourceType": "Model",
        "ServiceCategory": "AI and Machine Learning",
        "ServiceName": "Model inference",
        "ServiceSubcategory": "Generative AI",
        "SkuId": charge.upstream_model,
        "SkuMeter": charge.meter,
        "SubAccountId": charge.tenant,
        "SubAccountName": charge.tenant,
        "Tags": charge.tags,
    }


def _write_csv(rows: Iterable[Sequence[object]]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue().encode()


_COLUMNS: Final = tuple(_describe(Charge(0, "", "", "", "", "", "", -1), 0, 0))
