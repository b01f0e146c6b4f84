"""How a ledger is asked: a UsageQuery in, a statement of SQL out; its rows in, Sums out. SQLite and
PostgreSQL get the same statement but for a few words, so that their sums are the same.

Sums are exact. SQLite adds up in 64 bits, and of picodollars those end at 9 million dollars: millions and
rest are added up apart and put together here.
"""

from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import Final, NamedTuple

from gateway_runtime.ledger.query import TAG, By, UsageQuery
from gateway_runtime.ledger.report import Sum
from gateway_runtime.ledger.row import UsageRow


class Tongue(NamedTuple):
    """What the two say differently."""

    table: str
    day: str
    """Of `ended_unix_ms`, in UTC: `2026-11-01`."""
    tag: str
    """The text of the tag whose name is `{}`, a parameter."""
    parameter: str
    """Before its number."""


COLUMNS: Final = UsageRow.__struct_fields__
COLUMN_LIST: Final = ", ".join(f'"{name}"' for name in COLUMNS)  # `user` is a word of PostgreSQL's own

_GROUPS: Final[dict[By, str]] = {
    "tenant": "tenant",
    "user": '"user"',
    "key": "key_id",
    "route": "route",
    "provider": "provider",
    "model": "model",
    "upstream-model": "upstream_model",
    "operation": "operation",
}
_COUNTS: Final = {
    "requests": "TRUE",
    "errors": "error IS NOT NULL OR (status >= 400 AND status <> 499)",
    "unpriced": "NOT priced",
    "uncounted": "input_tokens IS NULL AND error IS NULL AND status < 400",
    "estimated": "estimated",
}
_AMOUNTS: Final = (
    "input_tokens",
    "output_tokens",
    "cached_tokens",
    "cache_write_tokens",
    "reasoning_tokens",
    "cost_usd_picos",
)
_SPLIT: Final = 1_000_000


def build_select(query: UsageQuery, tongue: Tongue) -> tuple[str, list[object]]:
    """The statement and its parameters. No text of the query gets into it."""
    values: list[object] = []
    groups = [_build_group(name, tongue, values) for name in query.by]
    wanted = [*groups, *(f"COUNT(*) FILTER (WHERE {condition})" for condition in _COUNTS.values())]
    for name in _AMOUNTS:
        wanted += [f"COALESCE(SUM({name} / {_SPLIT}), 0)", f"COALESCE(SUM({name} % {_SPLIT}), 0)"]
    where = _build_where(query, tongue, values)
    by = f" GROUP BY {', '.join(map(str, range(1, len(groups) + 1)))}" if groups else ""
    return f"SELECT {', '.join(wanted)} FROM {tongue.table} WHERE {where}{by}", values


def build_listing(query: UsageQuery, tongue: Tongue) -> tuple[str, list[object]]:
    """All rows that the sums are made of, the oldest first. The query's groups say nothing here."""
    values: list[object] = []
    where = _build_where(query, tongue, values)
    return (
        f"SELECT {COLUMN_LIST} FROM {tongue.table} WHERE {where} ORDER BY ended_unix_ms, request_id",
        values,
    )


def build_sums(found: Iterable[Sequence[object]], query: UsageQuery) -> list[Sum]:
    """Sorted by group. found: rows of the select."""
    groups = len(query.by)
    return sorted(
        (_build_sum(row, groups) for row in found),
        key=lambda one: [(name is not None, name or "") for name in one.group],
    )


def _build_group(name: str, tongue: Tongue, values: list[object]) -> str:
    if name == "day":
        return tongue.day
    if name.startswith(TAG):
        values.append(name.removeprefix(TAG))
        return tongue.tag.format(f"{tongue.parameter}{len(values)}")
    return next(expression for known, expression in _GROUPS.items() if known == name)


def _build_where(query: UsageQuery, tongue: Tongue, values: list[object]) -> str:
    conditions = ["ended_unix_ms >= {}", "ended_unix_ms < {}"]
    asked: list[object] = [query.since_unix_ms, query.until_unix_ms]
    if query.tenant is not None:
        conditions.append("tenant = {}")
        asked.append(query.tenant)
    parts = []
    for condition, value in zip(conditions, asked, strict=True):
        values.append(value)
        parts.append(condition.format(f"{tongue.parameter}{len(values)}"))
    return " AND ".join(parts)


def _build_sum(row: Sequence[object], groups: int) -> Sum:
    names = tuple(None if name is None else str(name) for name in row[:groups])
    counts = [int(value) for value in row[groups:] if isinstance(value, int | Decimal)]
    numbers = dict(zip(_COUNTS, counts, strict=False))
    halves = counts[len(_COUNTS) :]
    for at, name in enumerate(_AMOUNTS):
        numbers[name] = halves[2 * at] * _SPLIT + halves[2 * at + 1]
    return Sum(group=names, **numbers)
