"""Sums as they are shown: a table, CSV and JSON say the same, and none says more than is known."""

import csv
import io
import re
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from gateway_runtime.ledger.report import Sum, build_csv, build_json, build_report, build_table
from gateway_runtime.ledger.usd import format_usd
from tests.ledger.rows import NOON_MS, ask

_NAMES = st.none() | st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"]), min_size=1)
_SUMS = st.lists(
    st.builds(
        Sum,
        group=st.tuples(_NAMES, _NAMES),
        requests=st.integers(1, 10**6),
        errors=st.integers(0, 10**6),
        input_tokens=st.integers(0, 10**20),
        output_tokens=st.integers(0, 10**20),
        cached_tokens=st.integers(0, 10**20),
        cost_usd_picos=st.integers(0, 10**30),
        unpriced=st.integers(0, 10),
    ),
    min_size=1,
    max_size=5,
)
QUERY = ask("tenant", "upstream-model", since=NOON_MS, until=NOON_MS + 1500)


@given(_SUMS)
def test_all_three_forms_tell_the_same(sums: list[Sum]) -> None:
    report = build_report(QUERY, sums)
    told: Any = msgspec.json.decode(msgspec.json.encode(build_json(report)))
    lines = list(csv.DictReader(io.StringIO(build_csv(report))))
    table = build_table(report).splitlines()[1:]

    assert [{k: str("" if v is None else v) for k, v in item.items()} for item in told["data"]] == lines
    for item, line in zip(told["data"], table, strict=False):
        shown = ("requests", "errors", "input_tokens", "cached_tokens", "output_tokens", "cost_usd")
        assert re.split(r"   +", line)[2:] == [str(item[name]) for name in shown]
    assert told["total"]["cost_usd"] == format_usd(sum(one.cost_usd_picos for one in sums))
    assert told["total"]["requests"] == sum(int(line["requests"]) for line in lines)


SOME = [
    Sum(group=("a/team", "gpt-4o-mini"), requests=3, input_tokens=1200, cached_tokens=100, output_tokens=40,
        cost_usd_picos=420_000_000),
    Sum(group=("a/team", "llama"), requests=12, errors=2, input_tokens=5, output_tokens=7, unpriced=10),
    Sum(group=("b/team", "gpt-4o-mini"), requests=1, cost_usd_picos=12 * 10**12, uncounted=1, estimated=1),
]  # fmt: skip


def test_the_table_is_for_people_and_names_what_the_sums_leave_out() -> None:
    assert (
        build_table(build_report(QUERY, SOME))
        == """\
TENANT   UPSTREAM-MODEL   REQUESTS   ERRORS   INPUT   CACHED   OUTPUT        USD
a/team   gpt-4o-mini             3        0    1200      100       40    0.00042
a/team   llama                  12        2       5        0        7          0
b/team   gpt-4o-mini             1        0       0        0        0         12
TOTAL                           16        2    1205      100       47   12.00042
10 of 16 requests have no known price: their cost is not in the sums.
1 of 16 requests were answered without a word of what they used.
1 of 16 requests have estimated tokens."""
    )


def test_one_sum_has_no_line_of_totals_and_no_group_no_columns() -> None:
    assert (
        build_table(build_report(ask(), [Sum(requests=2, cost_usd_picos=1)]))
        == """\
REQUESTS   ERRORS   INPUT   CACHED   OUTPUT              USD
       2        0       0        0        0   0.000000000001"""
    )


def test_nothing_is_said_in_a_sentence() -> None:
    assert build_table(build_report(QUERY, [])) == (
        "No requests between 2026-11-01T12:00:00Z and 2026-11-01T12:00:01.500Z."
    )


def test_csv_has_every_column_and_no_total() -> None:
    named = [Sum(group=('a,"b"', None), requests=1, cost_usd_picos=5)]

    assert build_csv(build_report(QUERY, named)) == (
        "tenant,upstream_model,requests,errors,input_tokens,output_tokens,cached_tokens,cache_write_tokens,"
        "reasoning_tokens,cost_usd,unpriced,uncounted,estimated\n"
        '"a,""b""",,1,0,0,0,0,0,0,0.000000000005,0,0,0\n'
    )


def test_json_writes_money_as_a_string_and_an_absent_name_as_null() -> None:
    told: Any = build_json(build_report(QUERY, [Sum(group=("a", None), requests=1, cost_usd_picos=5)]))

    assert (told["object"], told["by"]) == ("usage", ["tenant", "upstream-model"])
    assert (told["since"], told["until"]) == ("2026-11-01T12:00:00Z", "2026-11-01T12:00:01.500Z")
    assert told["data"] == [{"tenant": "a", "upstream_model": None, **told["total"]}]
    assert told["total"]["cost_usd"] == "0.000000000005"
