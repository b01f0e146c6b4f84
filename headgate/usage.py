"""What stands behind `headgate usage`: what the ledger adds up to, its rows for others, and where it is.

In: the ledger's place and a question. Out: text for stdout, or a file. The sums come from the function that
answers `GET /v1/usage`, so that the two cannot differ.
"""

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import msgspec

from gateway_runtime.ledger.export import NoParquet, build_csv_lines, write_parquet
from gateway_runtime.ledger.focus import build_focus_lines
from gateway_runtime.ledger.place import is_url, make_store
from gateway_runtime.ledger.query import UsageQuery
from gateway_runtime.ledger.report import build_csv, build_json, build_table
from gateway_runtime.ledger.store import Store, StoreFailed, read_report


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


def show_usage(place: str, environment: Mapping[str, str], query: UsageQuery, output: str) -> str:
    """output: table, csv or json. Raises Unreadable."""
    store = _find_store(place, environment)
    try:
        report = read_report(store, query)
    except StoreFailed as error:
        raise Unreadable(str(error)) from error
    if output == "json":
        return msgspec.json.format(msgspec.json.encode(build_json(report))).decode()
    return build_csv(report).rstrip("\n") if output == "csv" else build_table(report)


def export_usage(
    place: str, environment: Mapping[str, str], query: UsageQuery, form: str, path: Path | None
) -> None:
    """form: csv, parquet or focus. path: None for standard output. Raises Unreadable."""
    rows = _find_store(place, environment).list_rows(query)
    try:
        with _open_output(path) as file:
            if form == "parquet":
                write_parquet(rows, file)
            else:
                for lines in build_focus_lines(rows) if form == "focus" else build_csv_lines(rows):
                    file.write(lines)
    except StoreFailed as error:
        raise Unreadable(str(error)) from error
    except NoParquet as error:
        raise Unreadable(str(error)) from error
    except OSError as error:
        raise Unreadable(f"{path or 'standard output'}: {error.strerror or error}") from error


def _find_store(place: str, environment: Mapping[str, str]) -> Store:
    """Raises Unreadable."""
    if not is_url(place) and not Path(place).exists():
        raise Unreadable(
            f"no ledger at {place}: `headgate up` and `headgate gateway --ledger PATH` keep one; "
            "name it with --ledger"
        )
    return make_store(place, environment)


@contextmanager
def _open_output(path: Path | None) -> Iterator[BinaryIO]:
    """A half-written file could be taken for whole, so there is none until it is."""
    if path is None:
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
    elif path.exists() and not path.is_file():
        with path.open("wb") as file:  # a pipe, a device
            yield file
    else:
        part = path.with_name(f"{path.name}.part")
        try:
            with part.open("wb") as file:
                yield file
            os.replace(part, path)
        finally:
            part.unlink(missing_ok=True)
