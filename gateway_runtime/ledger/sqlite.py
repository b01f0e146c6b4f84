"""The ledger in one SQLite file: rows in, sums out. All processes of a pod write to the same.

`Ledger` calls `write` and `prune` from its thread; anybody may call `sum_usage` meanwhile, also from another
process. The file is in WAL mode with `synchronous=NORMAL`: what was written outlives a killed process; when
the machine itself goes down, the last transactions may be missing, the file stays sound.

The one subtle rule: a statement carries a hundred rows. Python's module gives the interpreter's lock away in
each step of a statement, and beside a busy event loop it waits for it again, up to 5 ms: row by row that
makes 1,300 rows/s, a hundred at once 130,000.

Sums are exact. A 64-bit sum of picodollars ends at 9 million dollars, so that millions and rest are added up
apart and put together in Python.
"""

import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final

import msgspec

from gateway_runtime.ledger.query import By, UsageQuery
from gateway_runtime.ledger.report import Sum
from gateway_runtime.ledger.row import UsageRow
from gateway_runtime.ledger.store import StoreFailed

SCHEMA: Final = 1
"""Of `PRAGMA user_version`. A file of a later one is left alone."""
BUSY_S: Final = 5.0
"""How long a process waits for another's transaction, which takes milliseconds."""

_ROWS_AT_ONCE: Final = (100, 25, 5, 1)
"""Few sizes, so that each statement is prepared once: 100 rows take 0.8 ms to prepare."""
_COLUMNS: Final = UsageRow.__struct_fields__
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
    fallback           TEXT
)""",
    "CREATE INDEX usage_by_time ON usage (ended_unix_ms)",
)
_PRUNE: Final = """\
DELETE FROM usage WHERE rowid IN (
    SELECT rowid FROM usage WHERE ended_unix_ms < ? ORDER BY ended_unix_ms LIMIT ?
)"""
_GROUPS: Final[dict[By, str]] = {
    "tenant": "tenant",
    "user": "user",
    "key": "key_id",
    "route": "route",
    "provider": "provider",
    "model": "model",
    "upstream-model": "upstream_model",
    "operation": "operation",
    "day": "date(ended_unix_ms / 1000, 'unixepoch')",
}
_COUNTS: Final = {
    "requests": "1",
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
        statement, values = build_select(query)
        with _failures_of(self._path), closing(self._open_to_read()) as connection:
            found = connection.execute(statement, values).fetchall()
        return sorted(
            (_build_sum(row, len(query.by)) for row in found),
            key=lambda one: [(name is not None, name or "") for name in one.group],
        )

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
            if _read_schema(connection, self._path) == 0:
                _create_schema(connection, self._path)
            self._inode = os.stat(self._path).st_ino
        except BaseException:
            connection.close()
            raise
        return connection

    def _open_to_read(self) -> sqlite3.Connection:
        uri = f"{self._path.absolute().as_uri()}?mode=ro"
        connection = sqlite3.connect(uri, uri=True, timeout=BUSY_S, isolation_level=None)
        try:
            _check_schema(connection, self._path)
        except BaseException:
            connection.close()
            raise
        return connection


def build_select(query: UsageQuery) -> tuple[str, dict[str, object]]:
    """The statement and its parameters. No text of the query gets into it."""
    groups = [_GROUPS[name] for name in query.by]
    wanted = [*groups, *(f"COALESCE(SUM({count}), 0)" for count in _COUNTS.values())]
    for name in _AMOUNTS:
        wanted += [f"COALESCE(SUM({name} / {_SPLIT}), 0)", f"COALESCE(SUM({name} % {_SPLIT}), 0)"]
    where = "ended_unix_ms >= :since AND ended_unix_ms < :until"
    if query.tenant is not None:
        where += " AND tenant = :tenant"
    by = "".join(f"{', ' if at else ' GROUP BY '}{at + 1}" for at in range(len(groups)))
    values: dict[str, object] = {"since": query.since_unix_ms, "until": query.until_unix_ms}
    if query.tenant is not None:
        values["tenant"] = query.tenant
    return f"SELECT {', '.join(wanted)} FROM usage WHERE {where}{by}", values


def _build_sum(row: Sequence[object], groups: int) -> Sum:
    names = tuple(None if name is None else str(name) for name in row[:groups])
    counts: list[int] = [value for value in row[groups:] if isinstance(value, int)]
    numbers = dict(zip(_COUNTS, counts, strict=False))
    halves = counts[len(_COUNTS) :]
    for at, name in enumerate(_AMOUNTS):
        numbers[name] = halves[2 * at] * _SPLIT + halves[2 * at + 1]
    return Sum(group=names, **numbers)


def _build_insert(rows: int) -> str:
    one = f"({', '.join('?' * len(_COLUMNS))})"
    columns, values = ", ".join(_COLUMNS), ", ".join([one] * rows)
    # Not OR IGNORE, which would also pass over rows that break another rule of the table.
    return f"INSERT INTO usage ({columns}) VALUES {values} ON CONFLICT (request_id) DO NOTHING"


_INSERTS: Final = {count: _build_insert(count) for count in _ROWS_AT_ONCE}


def _read_schema(connection: sqlite3.Connection, path: Path) -> int:
    """0: there is none yet."""
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if not 0 <= version <= SCHEMA:
        raise StoreFailed(
            f"{path} has schema {version}, which a later Headgate made; this one knows {SCHEMA}"
        )
    return int(version)


def _check_schema(connection: sqlite3.Connection, path: Path) -> None:
    if _read_schema(connection, path) == 0:
        raise StoreFailed(f"{path} is no ledger")


def _create_schema(connection: sqlite3.Connection, path: Path) -> None:
    with _transaction(connection):
        if _read_schema(connection, path) != 0:
            return  # another process was faster
        if connection.execute("SELECT 1 FROM sqlite_master").fetchone() is not None:
            raise StoreFailed(f"{path} is the database of another program")
        for statement in _CREATE:
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
