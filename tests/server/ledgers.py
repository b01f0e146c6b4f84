"""A gateway that keeps a ledger, and what stands in it."""

import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path

from gateway_runtime.contract.table import Model, Price
from gateway_runtime.ledger.row import UsageRow
from gateway_runtime.server.settings import GatewaySettings
from tests.server.rig import settings

PRICED = Model(
    name="gpt", upstream_name="up-1", price=Price(input_usd_picos=150_000, output_usd_picos=600_000)
)
"""The dollars of gpt-4o-mini."""


def with_ledger(path: Path) -> GatewaySettings:
    return replace(settings(), ledger=str(path))


def read_rows(path: Path) -> list[UsageRow]:
    """In the order in which they ended. All are there once the gateway has stopped."""
    with closing(sqlite3.connect(path)) as connection:
        rows = connection.execute("SELECT * FROM usage ORDER BY rowid").fetchall()
    booleans = {UsageRow.__struct_fields__.index(name) for name in ("stream", "priced", "estimated")}
    return [
        UsageRow(*(bool(value) if at in booleans else value for at, value in enumerate(row))) for row in rows
    ]


def count_rows(path: Path) -> int:
    """While it runs."""
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as connection:
            (count,) = connection.execute("SELECT COUNT(*) FROM usage").fetchone()
    except sqlite3.OperationalError:
        return 0  # not made yet
    return int(count)
