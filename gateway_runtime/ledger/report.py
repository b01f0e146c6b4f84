"""Sums as they are shown: what a Store added up in; a table, CSV or JSON out.

`headgate usage` and `GET /v1/usage` both end here, so that they cannot differ. The one subtle rule: what is
not known is never shown as nothing. Requests whose tokens have no price, whose tokens nobody told, or whose
tokens are estimated are counted beside each sum.
"""

import csv
import io
from collections.abc import Sequence

import msgspec

from gateway_runtime.contract.usd import format_usd
from gateway_runtime.ledger.query import TAG, UsageQuery, format_moment


class Sum(msgspec.Struct, frozen=True, kw_only=True):
    group: tuple[str | None, ...] = ()
    """As the query's `by` has them. None: the requests name none, such as no user."""
    requests: int = 0
    errors: int = 0
    """Answered with a status from 400 on, or broken off; callers that left are none."""
    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    """Of the input."""
    cache_write_tokens: int = 0
    """The same."""
    reasoning_tokens: int = 0
    """Of the output."""
    cost_usd_picos: int = 0
    unpriced: int = 0
    """Requests with tokens whose price is not known, which are not in the cost."""
    uncounted: int = 0
    """Requests that were answered, of which no provider told what they used."""
    estimated: int = 0


class Report(msgspec.Struct, frozen=True):
    query: UsageQuery
    sums: Sequence[Sum]
    total: Sum


def build_report(query: UsageQuery, sums: Sequence[Sum]) -> Report:
    return Report(query, sums, Sum(**{name: sum(getattr(one, name) for one in sums) for name in _NUMBERS}))


def build_json(report: Report) -> dict[str, object]:
    """Fit to be encoded. Counts are whole numbers; money is a string, since JSON's readers make floats."""
    query = report.query
    return {
        "object": "usage",
        "by": list(query.by),
        "since": format_moment(query.since_unix_ms),
        "until": format_moment(query.until_unix_ms),
        "data": [
            {**dict(zip(_name_columns(query), one.group, strict=True)), **_describe(one)}
            for one in report.sums
        ],
        "total": _describe(report.total),
    }


def build_csv(report: Report) -> str:
    """With a head; a group's missing name is empty. No line of totals: programs would count it twice."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*_name_columns(report.query), *_describe(report.total)])
    for one in report.sums:
        writer.writerow([*("" if name is None else name for name in one.group), *_describe(one).values()])
    return text.getvalue()


def build_table(report: Report) -> str:
    """For people: the main columns, a line of totals where there are several sums, and what the sums leave
    out.
    """
    query = report.query
    if not report.total.requests:
        since, until = format_moment(query.since_unix_ms), format_moment(query.until_unix_ms)
        return f"No requests between {since} and {until}."
    rows = [[*(name.upper() for name in query.by), *_SHOWN.values()]]
    rows += [[*("-" if name is None else name for name in one.group), *_show(one)] for one in report.sums]
    if query.by and len(report.sums) > 1:
        rows.append(["TOTAL", *[""] * (len(query.by) - 1), *_show(report.total)])
    return "\n".join((*_align(rows, len(query.by)), *_tell_gaps(report.total)))


_NUMBERS = tuple(name for name in Sum.__struct_fields__ if name != "group")
_SHOWN = {
    "requests": "REQUESTS",
    "errors": "ERRORS",
    "input_tokens": "INPUT",
    "cached_tokens": "CACHED",
    "output_tokens": "OUTPUT",
    "cost_usd": "USD",
}


def _name_columns(query: UsageQuery) -> list[str]:
    return [name if name.startswith(TAG) else name.replace("-", "_") for name in query.by]


def _describe(one: Sum) -> dict[str, int | str]:
    described: dict[str, int | str] = {name: getattr(one, name) for name in _NUMBERS}
    return {
        ("cost_usd" if name == "cost_usd_picos" else name): (
            format_usd(one.cost_usd_picos) if name == "cost_usd_picos" else value
        )
        for name, value in described.items()
    }


def _show(one: Sum) -> list[str]:
    described = _describe(one)
    return [str(described[name]) for name in _SHOWN]


def _align(rows: Sequence[Sequence[str]], names: int) -> list[str]:
    """names: how many columns from the left are text; the others are numbers."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "   ".join(
            cell.ljust(width) if at < names else cell.rjust(width)
            for at, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]


def _tell_gaps(total: Sum) -> list[str]:
    told = [
        (total.unpriced, "have no known price: their cost is not in the sums"),
        (total.uncounted, "were answered without a word of what they used"),
        (total.estimated, "have estimated tokens"),
    ]
    return [f"{count} of {total.requests} requests {what}." for count, what in told if count]
