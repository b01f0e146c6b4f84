"""Rows as they leave the ledger: batches in, lines of CSV or a Parquet file out, some rows at a time.

`headgate usage export` writes them. Both have the ledger's own columns, and beside them the end as a moment
and the cost in dollars, exact: text in CSV, a decimal in Parquet. `focus` makes billing rows instead.
"""

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from decimal import Decimal
from typing import Any, BinaryIO, Final, get_type_hints

from msgspec.structs import astuple

from gateway_runtime.contract.usd import format_usd
from gateway_runtime.ledger.query import format_moment
from gateway_runtime.ledger.row import UsageRow
from gateway_runtime.ledger.sums import COLUMNS

_MORE: Final = ("ended", "cost_usd")
_DIGITS: Final = (31, 12)
"""Of a decimal: all that a 64-bit number of picodollars needs, and some."""


class NoParquet(Exception):
    """The message says what to install."""


def build_csv_lines(batches: Iterable[Sequence[UsageRow]]) -> Iterator[bytes]:
    """With a head. What is not known is empty."""
    yield _write_csv([(*COLUMNS, *_MORE)])
    for rows in batches:
        yield _write_csv((*astuple(row), format_moment(row.ended_unix_ms), _show_cost(row)) for row in rows)


def write_parquet(batches: Iterable[Sequence[UsageRow]], file: BinaryIO) -> None:
    """Raises NoParquet before anything is written."""
    try:
        import pyarrow  # type: ignore[import-untyped]
        from pyarrow import parquet
    except ImportError as error:
        raise NoParquet("Parquet needs the package pyarrow: pip install 'headgate[parquet]'") from error
    schema = _build_schema(pyarrow)
    with parquet.ParquetWriter(file, schema) as writer:
        for rows in batches:
            columns: list[Sequence[object]] = list(zip(*(astuple(row) for row in rows), strict=True))
            columns.append([row.ended_unix_ms for row in rows])
            columns.append([_find_dollars(row) for row in rows])
            arrays = [
                pyarrow.array(column, field.type) for column, field in zip(columns, schema, strict=True)
            ]
            writer.write_batch(pyarrow.record_batch(arrays, schema=schema))


def _write_csv(rows: Iterable[Sequence[object]]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue().encode()


def _show_cost(row: UsageRow) -> str | None:
    return None if row.cost_usd_picos is None else format_usd(row.cost_usd_picos)


def _find_dollars(row: UsageRow) -> Decimal | None:
    return None if row.cost_usd_picos is None else Decimal(row.cost_usd_picos).scaleb(-12)


def _build_schema(pyarrow: Any) -> Any:
    kinds = {str: pyarrow.string(), int: pyarrow.int64(), bool: pyarrow.bool_()}
    hints = get_type_hints(UsageRow)
    fields = []
    for name in COLUMNS:
        kind = next(one for one in kinds if hints[name] in (one, one | None))
        fields.append(pyarrow.field(name, kinds[kind], nullable=hints[name] != kind))
    fields.append(pyarrow.field("ended", pyarrow.timestamp("ms", tz="UTC"), nullable=False))
    fields.append(pyarrow.field("cost_usd", pyarrow.decimal128(*_DIGITS)))
    return pyarrow.schema(fields)
