"""The ledger in one SQLite file: rows in, sums out. All processes of a pod write to the same.

`Ledger` calls `write` and `prune` from its thread; anybody may call `sum_usage` and `list_rows` meanwhile,
also from another process. The file is in WAL mode with `synchronous=NORMAL`: what was written outlives a
killed process; when the machine itself goes down, the last transactions may be missing, the file stays sound.

The one subtle rule: a statement carries a hundred rows. Python's module gives the interpreter's lock away in
each step of a statement, and beside a busy event loop it waits for it again, up to 5 ms: row by row that
makes 1,300 rows/s, a hundred at once 130,000.
"""

import os
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Final

import msgspec

from gateway_runtime.ledger.query import UsageQuery
from gateway_runtime.ledger.report import Sum
from gateway_runtime.ledger.row import UsageRow
from gateway_runtime.ledger.store import StoreFailed
from gateway_runtime.ledger.sums import (
    COLUMN_LIST,
    COLUMNS,
    Tongue,
    build_listing,
    build_select,
    build_sums,
)

SCHEMA: Final = 2
"""Of `PRAGMA user_version`. A file of an earlier one is brought here; one of a later is left alone."""
BUSY_S: Final = 5.0
"""How long a process waits for another's transaction, which takes milliseconds."""

_ROWS_AT_ONCE: Final = (100, 25, 5, 1)
"""Few sizes, so that each statement is prepared once: 100 rows take 0.8 ms to prepare."""
_READ_ROWS: Final = 1000
_BOOLEANS: Final = tuple(COLUMNS.index(name) for name in ("stream", "priced", "estimated"))
_CREATE: Final = (
    """\
CREATE TABLE usage (
    request_id         TEXT    NOT NULL PRIMARY KEY,
    ended_unix_ms      INTEGER NOT NULL,
    tenant             TEXT    NOT NULL,
    user               TEXT,
    key_id             TEXT,
    route              TEXT    NOT NULL,
    provider           TEXT    NOT NULL,
    model              TEXT    NOT NULL,
    upstream_model     TEXT    NOT NULL,
    operation          TEXT    NOT NULL,
    status             INTEGER NOT NULL,
    error              TEXT,
    stream             INTEGER NOT NULL,
    input_tokens       INTEGER,
    output_tokens      INTEGER,
    cached_tokens      INTEGER,
    cache_write_tokens INTEGER,
    reasoning_tokens   INTEGER,
    cost_usd_picos     INTEGER,
    priced             INTEGER NOT NULL,
    estimated          INTEGER NOT NULL,
    duration_ms        INTEGER NOT NULL,
    first_token_ms     INTEGER,
    attempts           INTEGER NOT NULL,
    fallback           TEXT,
    "end"              TEXT    NOT NULL DEFAULT '',
    tags               TEXT,
    input_usd_picos    INTEGER,
    output_usd_picos   INTEGER,
    cached_input_usd_picos INTEGER,
    cache_write_usd_picos  INTEGER,
    reasoning_usd_picos    INTEGER
)""",
    "CREATE INDEX usage_by_time ON usage (ended_unix_ms)",
)
_MIGRATIONS: Final[Mapping[int, Sequence[str]]] = {
    1: (
        "ALTER TABLE usage ADD COLUMN \"end\" TEXT NOT NULL DEFAULT ''",
        "ALTER TABLE usage ADD COLUMN tags TEXT",
        "ALTER TABLE usage ADD COLUMN input_usd_picos INTEGER",
        "ALTER TABLE usage ADD COLUMN output_usd_picos INTEGER",
        "ALTER TABLE usage ADD COLUMN cached_input_usd_picos INTEGER",
        "ALTER TABLE usage ADD COLUMN cache_write_usd_picos INTEGER",
        "ALTER TABLE usage ADD COLUMN reasoning_usd_picos INTEGER",
    )
}
"""From a schema to the next."""
_AS_IF_NEW: Final = {
    1: """\
CREATE TEMP VIEW usage AS SELECT *, '' AS "end", NULL AS tags, NULL AS input_usd_picos,
    NULL AS output_usd_picos, NULL AS cached_input_usd_picos, NULL AS cache_write_usd_picos,
    NULL AS reasoning_usd_picos FROM main.usage""",
}
"""For reading a file which no gateway has brought to the present schema yet."""
_PRUNE: Final = """\
DELETE FROM usage WHERE rowid IN (
    SELECT rowid FROM usage WHERE ended_unix_ms < ? ORDER BY ended_unix_ms LIMIT ?
)"""
_TONGUE: Final = Tongue(
    table="usage",
    day="date(ended_unix_ms / 1000, 'unixepoch')",
    tag="json_extract(tags, '$.\"' || {} || '\"')",
    parameter="?",
)


class SqliteStore:
    """See `store.Store`. Nothing is touched before the first call."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._connection: sqlite3.Connection | None = None
        """For writing."""
        self._inode = 0

    def __repr__(self) -> str:
        return f"<SqliteStore {self._path}>"

    def open(self) -> None:
        with self._writing():
            pass

    def write(self, rows: Sequence[UsageRow]) -> None:
        with self._writing() as connection, _transaction(connection):
            start = 0
            for count in _ROWS_AT_ONCE:
                while len(rows) - start >= count:
                    values: list[object] = []
                    for row in rows[start : start + count]:
                        values += msgspec.structs.astuple(row)
                    connection.execute(_INSERTS[count], values)
                    start += count

    def prune(self, before_unix_ms: int, limit: int) -> int:
        with self._writing() as connection:
            return connection.execute(_PRUNE, (before_unix_ms, limit)).rowcount

    def sum_usage(self, query: UsageQuery) -> Sequence[Sum]:
        """Opens the file for itself."""
        statement, values = build_select(query, _TONGUE)
        with _failures_of(self._path), closing(self._open_to_read()) as connection:
            return build_sums(connection.execute(statement, values), query)

    def list_rows(self, query: UsageQuery) -> Iterator[Sequence[UsageRow]]:
        """The same."""
        statement, values = build_listing(query, _TONGUE)
        with _failures_of(self._path), closing(self._open_to_read()) as connection:
            cursor = connection.execute(statement, values)
            while found := cursor.fetchmany(_READ_ROWS):
                yield [_build_row(list(one)) for one in found]

    def close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        """After a failure the file is opened anew: whoever mends it may put another in its place."""
        with _failures_of(self._path):
            try:
                if self._connection is not None and not self._is_in_place():
                    self.close()
                if self._connection is None:
                    self._connection = self._open_to_write()
                yield self._connection
            except (sqlite3.Error, OSError):
                self.close()
                raise

    def _is_in_place(self) -> bool:
        """What is written to a file that was moved or deleted is found by nobody."""
        try:
            return os.stat(self._path).st_ino == self._inode
        except FileNotFoundError:
            return False

    def _open_to_write(self) -> sqlite3.Connection:
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        # Who used what is nobody else's business; SQLite gives its other two files the same rights.
        os.close(os.open(self._path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600))
        connection = sqlite3.connect(
            self._path, timeout=BUSY_S, isolation_level=None, check_same_thread=False
        )
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = NORMAL")
            if _read_schema(connection, self._path) < SCHEMA:
                _bring_schema(connection, self._path)
            self._inode = os.stat(self._path).st_ino
        except BaseException:
            connection.close()
            raise
        return connection

    def _open_to_read(self) -> sqlite3.Connection:
        uri = f"{self._path.absolute().as_uri()}?mode=ro"
        connection = sqlite3.connect(uri, uri=True, timeout=BUSY_S, isolation_level=None)
        try:
            _show_as_new(connection, self._path)
        except BaseException:
            connection.close()
            raise
        return connection


def _build_row(values: list[Any]) -> UsageRow:
    for at in _BOOLEANS:
        values[at] = bool(values[at])
    return UsageRow(*values)


def _build_insert(rows: int) -> str:
    one = f"({', '.join('?' * len(COLUMNS))})"
    values = ", ".join([one] * rows)
    # Not OR IGNORE, which would also pass over rows that break another rule of the table.
    return f"INSERT INTO usage ({COLUMN_LIST}) VALUES {values} ON CONFLICT (request_id) DO NOTHING"


_INSERTS: Final = {count: _build_insert(count) for count in _ROWS_AT_ONCE}


def _read_schema(connection: sqlite3.Connection, path: Path) -> int:
    """0: there is none yet."""
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if not 0 <= version <= SCHEMA:
        raise StoreFailed(
            f"{path} has schema {version}, which a later Headgate made; this one knows {SCHEMA}"
        )
    return int(version)


def _show_as_new(connection: sqlite3.Connection, path: Path) -> None:
    """Also a file of an earlier schema, without a change in it."""
    found = _read_schema(connection, path)
    if found == 0:
        raise StoreFailed(f"{path} is no ledger")
    if found < SCHEMA:
        connection.execute(_AS_IF_NEW[found])


def _bring_schema(connection: sqlite3.Connection, path: Path) -> None:
    with _transaction(connection):
        found = _read_schema(connection, path)  # another process may have been faster
        if found == 0:
            if connection.execute("SELECT 1 FROM sqlite_master").fetchone() is not None:
                raise StoreFailed(f"{path} is the database of another program")
            statements: Sequence[str] = _CREATE
        else:
            statements = [one for step in range(found, SCHEMA) for one in _MIGRATIONS[step]]
        for statement in statements:
            connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {SCHEMA}")


@contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[None]:
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


@contextmanager
def _failures_of(path: Path) -> Iterator[None]:
    """As StoreFailed. A value that SQLite cannot keep is another matter: that is the row's fault."""
    try:
        yield
    except sqlite3.DatabaseError as error:
        if isinstance(error, sqlite3.ProgrammingError | sqlite3.IntegrityError | sqlite3.DataError):
            raise
        raise StoreFailed(f"{path}: {error}") from error
    except OSError as error:
        raise StoreFailed(f"{path}: {error.strerror or error}") from error
