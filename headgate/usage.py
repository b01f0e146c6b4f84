"""`headgate usage`: what the ledger adds up to, and where the ledger is.

In: the file and a question. Out: text for stdout. The sums come from the function that answers
`GET /v1/usage`, so that the two cannot differ.
"""

from collections.abc import Mapping
from pathlib import Path

import msgspec

from gateway_runtime.ledger.query import UsageQuery
from gateway_runtime.ledger.report import build_csv, build_json, build_report, build_table
from gateway_runtime.ledger.sqlite import SqliteStore
from gateway_runtime.ledger.store import StoreFailed


class Unreadable(Exception):
    """There is no ledger, or none that can be read; the message says what to do."""


def find_default_ledger(environment: Mapping[str, str], home: Path) -> Path:
    """Where `headgate up` keeps it, and `headgate usage` looks: in the user's folder for state that programs
    keep, https://specifications.freedesktop.org/basedir-spec/latest/, the same for all folders of manifests.
    """
    named = Path(environment.get("XDG_STATE_HOME", ""))
    # The specification has programs ignore a path that is not absolute.
    state = named if named.is_absolute() else home / ".local" / "state"
    return state / "headgate" / "usage.db"


def show_usage(path: Path, query: UsageQuery, output: str) -> str:
    """output: table, csv or json. Raises Unreadable."""
    if not path.exists():
        raise Unreadable(
            f"no ledger at {path}: `headgate up` and `headgate gateway --ledger PATH` keep one; "
            "name it with --ledger"
        )
    try:
        report = build_report(query, SqliteStore(path).sum_usage(query))
    except StoreFailed as error:
        raise Unreadable(str(error)) from error
    if output == "json":
        return msgspec.json.format(msgspec.json.encode(build_json(report))).decode()
    return build_csv(report).rstrip("\n") if output == "csv" else build_table(report)
