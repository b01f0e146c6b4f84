"""Rows as they leave: CSV and Parquet tell what the ledger has, billing rows add up to its cost."""

import csv
import io
from collections import Counter
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import astuple
from pyarrow import parquet

from gateway_runtime.contract.usd import format_usd
from gateway_runtime.ledger.export import build_csv_lines, write_parquet
from gateway_runtime.ledger.focus import build_focus_lines
from gateway_runtime.ledger.row import UsageRow
from gateway_runtime.ledger.sums import COLUMNS
from tests.ledger.rows import NOON_MS, build_row, build_rows, some_rows

HOUR_MS = 3_600_000
PRICED: dict[str, Any] = {"input_usd_picos": 150_000, "output_usd_picos": 600_000}


def read_csv(data: bytes) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(data.decode())))


def bill(*rows: UsageRow) -> list[dict[str, str]]:
    return read_csv(b"".join(build_focus_lines([rows])))


@settings(max_examples=25, deadline=None)
@given(st.lists(some_rows(), max_size=3))
def test_csv_has_every_row_and_its_cost_in_dollars(batches: list[list[UsageRow]]) -> None:
    rows = [row for batch in batches for row in batch]
    lines = read_csv(b"".join(build_csv_lines(batches)))

    assert [[line[name] for name in COLUMNS] for line in lines] == [
        ["" if value is None else str(value) for value in astuple(row)] for row in rows
    ]
    assert [line["cost_usd"] for line in lines] == [
        "" if row.cost_usd_picos is None else format_usd(row.cost_usd_picos) for row in rows
    ]


def test_csv_tells_the_end_as_a_moment_too() -> None:
    (line,) = read_csv(b"".join(build_csv_lines([[build_row(ended_unix_ms=NOON_MS + 250)]])))

    assert line["ended"] == "2026-11-01T12:00:00.250Z"


@settings(max_examples=25, deadline=None)
@given(st.lists(some_rows(least=1), max_size=3))
def test_parquet_has_every_row_as_it_is(batches: list[list[UsageRow]]) -> None:
    rows = [row for batch in batches for row in batch]
    file = io.BytesIO()
    write_parquet(batches, file)
    table = parquet.read_table(io.BytesIO(file.getvalue()))
    found = table.to_pylist()

    assert table.column_names == [*COLUMNS, "ended", "cost_usd"]
    assert [UsageRow(**{name: one[name] for name in COLUMNS}) for one in found] == rows
    assert [one["cost_usd"] for one in found] == [
        None if row.cost_usd_picos is None else Decimal(row.cost_usd_picos).scaleb(-12) for row in rows
    ]
    assert [int(one["ended"].timestamp() * 1000) for one in found] == [row.ended_unix_ms for row in rows]


def test_a_billing_row_is_for_an_hour_a_tenant_a_provider_a_model_and_a_kind_of_token() -> None:
    rows = [build_row(name, **PRICED) for name in ("1", "2")]
    lines = bill(*rows)

    assert [(line["SkuMeter"], line["ConsumedQuantity"], line["BilledCost"]) for line in lines] == [
        ("Input tokens", "20", "0.000003"),
        ("Output tokens", "8", "0.0000048"),
    ]
    assert lines[0] == {
        "BilledCost": "0.000003",
        "BillingAccountId": "chat/openai",
        "BillingCurrency": "USD",
        "BillingPeriodEnd": "2026-12-01T00:00:00Z",
        "BillingPeriodStart": "2026-11-01T00:00:00Z",
        "ChargeCategory": "Usage",
        "ChargeClass": "",
        "ChargeDescription": "Input tokens of gpt-4o-mini",
        "ChargeFrequency": "Usage-Based",
        "ChargePeriodEnd": "2026-11-01T13:00:00Z",
        "ChargePeriodStart": "2026-11-01T12:00:00Z",
        "ConsumedQuantity": "20",
        "ConsumedUnit": "tokens",
        "ContractedCost": "0.000003",
        "ContractedUnitPrice": "0.00000015",
        "EffectiveCost": "0.000003",
        "InvoiceIssuerName": "chat/openai",
        "ListCost": "0.000003",
        "ListUnitPrice": "0.00000015",
        "PricingCategory": "Standard",
        "PricingQuantity": "20",
        "PricingUnit": "tokens",
        "ProviderName": "chat/openai",
        "PublisherName": "chat/openai",
        "ResourceId": "gpt",
        "ResourceType": "Model",
        "ServiceCategory": "AI and Machine Learning",
        "ServiceName": "Model inference",
        "ServiceSubcategory": "Generative AI",
        "SkuId": "gpt-4o-mini",
        "SkuMeter": "Input tokens",
        "SubAccountId": "chat/team",
        "SubAccountName": "chat/team",
        "Tags": "",
    }


def test_every_kind_of_token_has_its_own_price() -> None:
    row = build_row(
        input_tokens=100,
        output_tokens=10,
        cached_tokens=40,
        cache_write_tokens=20,
        reasoning_tokens=6,
        input_usd_picos=10,
        output_usd_picos=100,
        cached_input_usd_picos=1,
        cache_write_usd_picos=12,
        cost_usd_picos=40 * 10 + 40 * 1 + 20 * 12 + 10 * 100,
    )

    assert [(line["SkuMeter"], line["ConsumedQuantity"], line["ListUnitPrice"]) for line in bill(row)] == [
        ("Cache write tokens", "20", "0.000000000012"),
        ("Cached input tokens", "40", "0.000000000001"),
        ("Input tokens", "40", "0.00000000001"),
        ("Output tokens", "4", "0.0000000001"),
        ("Reasoning tokens", "6", "0.0000000001"),
    ]


@pytest.mark.parametrize("prices", [{}, {"input_usd_picos": 1, "output_usd_picos": 1}])
def test_a_row_whose_prices_are_not_its_cost_is_one_amount(prices: dict[str, Any]) -> None:
    (line,) = bill(build_row(cost_usd_picos=5, **prices))

    assert (line["SkuMeter"], line["ConsumedQuantity"], line["BilledCost"]) == (
        "Tokens at several prices",
        "14",
        "0.000000000005",
    )
    assert line["ListUnitPrice"] == ""


def test_what_has_no_price_is_not_billed() -> None:
    assert bill(build_row(cost_usd_picos=None, priced=False)) == []


def test_hours_tenants_and_tags_are_apart() -> None:
    rows = [
        build_row("1", ended_unix_ms=NOON_MS - 1, output_tokens=0, cost_usd_picos=1_500_000, **PRICED),
        build_row("2", output_tokens=0, cost_usd_picos=1_500_000, **PRICED),
        build_row("3", output_tokens=0, cost_usd_picos=1_500_000, tenant="a/team", **PRICED),
        build_row("4", output_tokens=0, cost_usd_picos=1_500_000, tags='{"team":"x"}', **PRICED),
    ]

    assert [
        (line["ChargePeriodStart"][11:13], line["SubAccountId"], line["Tags"]) for line in bill(*rows)
    ] == [
        ("11", "chat/team", ""),
        ("12", "a/team", ""),
        ("12", "chat/team", ""),
        ("12", "chat/team", '{"team":"x"}'),
    ]


_rates = st.none() | st.integers(0, 10**9)
_tokens = st.integers(0, 10**6)


@given(
    st.lists(
        st.builds(
            build_row,
            ended_unix_ms=st.integers(NOON_MS, NOON_MS + 3 * HOUR_MS),
            tenant=st.sampled_from(["a", "b"]),
            cached_tokens=_tokens,
            output_tokens=_tokens,
            input_tokens=st.integers(10**6, 10**7),
            cost_usd_picos=st.none() | st.integers(0, 10**18),
            input_usd_picos=_rates,
            output_usd_picos=_rates,
            cached_input_usd_picos=_rates,
        ),
        max_size=8,
    )
)
def test_billing_rows_add_up_to_the_ledgers_cost(rows: list[UsageRow]) -> None:
    rows.sort(key=lambda row: row.ended_unix_ms)
    billed: Counter[str] = Counter()
    for line in bill(*rows):
        billed[line["SubAccountId"]] += int(Decimal(line["BilledCost"]).scaleb(12))
        assert line["BilledCost"] == line["EffectiveCost"]
    expected: Counter[str] = Counter()
    for row in rows:
        expected[row.tenant] += row.cost_usd_picos or 0

    assert +billed == +expected


def test_rows_are_not_held_beyond_their_hour() -> None:
    taken: list[str] = []

    def read() -> Any:
        for at in range(5):
            taken.append(f"hour {at}")
            yield [build_row(str(at), ended_unix_ms=NOON_MS + at * HOUR_MS, **PRICED)]

    lines = build_focus_lines(read())
    seen = [next(lines) for _ in range(3)]  # the head, nothing before the first hour, the first hour

    assert b"2026-11-01T12:00:00Z" in seen[2]
    assert taken == ["hour 0", "hour 1"]


def test_csv_is_written_batch_by_batch() -> None:
    lines = build_csv_lines([build_rows(3)] * 2)

    assert [part.count(b"\n") for part in lines] == [1, 3, 3]
