"""The ledger in PostgreSQL, for many pods: rows in, sums out. By asyncpg, which the extra `postgres` brings.

    write    COPY into a temporary table, INSERT ... ON CONFLICT DO NOTHING from there, in one transaction
    prune    months that are over are dropped whole, the rest is deleted a few rows at a time

`Ledger` calls `write` and `prune` from its thread, where they run on a loop of their own; anybody may call
`sum_usage` and `list_rows`, each with a connection of its own. The table is cut into months by the end of the
request (UTC), each made with the first row of the one before, by whichever gateway comes first.

The one subtle rule: the primary key begins with the end of the request, since PostgreSQL wants it in the key
of a table that is cut by it. A row that comes twice has the same end both times, so it is kept once.
"""

import asyncio
from collections.abc import Coroutine, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final, TypeVar

import asyncpg  # type: ignore[import-untyped]
from msgspec.structs import astuple

from gateway_runtime.ledger.month import Month, find_month
from gateway_runtime.ledger.postgres_table import (
    TABLE,
    Connection,
    create_schema,
    drop_month,
    list_months,
    make_months,
    read_schema,
)
from gateway_runtime.ledger.postgres_url import PostgresUrl
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

CONNECT_S: Final = 5.0
COMMAND_S: Final = 15.0
"""A batch takes milliseconds; a server that is this late is as good as away."""
READ_S: Final = 300.0
"""To add up years of rows."""

_Result = TypeVar("_Result")
_READ_ROWS: Final = 1000
_BATCH: Final = f"CREATE TEMPORARY TABLE headgate_batch (LIKE {TABLE}) ON COMMIT DELETE ROWS"
_INSERT: Final = f"""\
INSERT INTO {TABLE} ({COLUMN_LIST}) SELECT {COLUMN_LIST} FROM pg_temp.headgate_batch ON CONFLICT DO NOTHING"""
_DELETE: Final = f"""\
DELETE FROM {TABLE} WHERE (ended_unix_ms, request_id) IN (
    SELECT ended_unix_ms, request_id FROM {TABLE} WHERE ended_unix_ms < $1 ORDER BY ended_unix_ms LIMIT $2
)"""
_TONGUE: Final = Tongue(
    table=TABLE,
    day="to_char(to_timestamp(ended_unix_ms / 1000) AT TIME ZONE 'UTC', 'YYYY-MM-DD')",
    tag="(tags::json ->> {}::text)",
    parameter="$",
)


class PostgresStore:
    """See `store.Store`. Nothing is dialled before the first call."""

    def __init__(self, url: PostgresUrl) -> None:
        self._url = url
        self._runner: asyncio.Runner | None = None
        """Of the thread that writes."""
        self._connection: Connection | None = None
        self._months: set[Month] = set()
        """That are there, as far as this connection knows."""

    def __repr__(self) -> str:
        return f"<PostgresStore {self._url}>"

    def open(self) -> None:
        self._run(self._open())

    def write(self, rows: Sequence[UsageRow]) -> None:
        self._run(self._write(rows))

    def prune(self, before_unix_ms: int, limit: int) -> int:
        return self._run(self._prune(before_unix_ms, limit))

    def sum_usage(self, query: UsageQuery) -> Sequence[Sum]:
        with _failures_of(self._url), asyncio.Runner() as runner:
            return runner.run(self._sum_usage(query))

    def list_rows(self, query: UsageQuery) -> Iterator[Sequence[UsageRow]]:
        statement, values = build_listing(query, _TONGUE)
        with _failures_of(self._url), asyncio.Runner() as runner:
            connection = runner.run(self._dial_to_read())
            try:
                runner.run(connection.execute("BEGIN READ ONLY"))
                cursor = runner.run(_open_cursor(connection, statement, values))
                while found := runner.run(cursor.fetch(_READ_ROWS)):
                    yield [UsageRow(*one) for one in found]
            finally:
                connection.terminate()

    def close(self) -> None:
        runner, self._runner = self._runner, None
        connection, self._connection = self._connection, None
        if runner is not None:
            if connection is not None:
                connection.terminate()  # nothing is under way
            runner.close()

    def _run(self, work: Coroutine[Any, Any, _Result]) -> _Result:
        with _failures_of(self._url):
            if self._runner is None:
                self._runner = asyncio.Runner()
            return self._runner.run(work)

    async def _open(self) -> None:
        await self._connect()

    async def _connect(self) -> Connection:
        """What was dialled before, while it lives."""
        if self._connection is not None and not self._connection.is_closed():
            return self._connection
        self._months.clear()
        connection = await self._dial(COMMAND_S)
        try:
            if await read_schema(connection, self._url) == 0:
                await create_schema(connection, self._url)
            await connection.execute(_BATCH)
        except BaseException:
            connection.terminate()
            raise
        self._connection = connection
        return connection

    async def _write(self, rows: Sequence[UsageRow]) -> None:
        connection = await self._connect()
        try:
            try:
                await self._insert(connection, rows)
            except asyncpg.CheckViolationError:
                self._months.clear()  # another gateway has dropped a month that is over
                await self._insert(connection, rows)
        except (asyncpg.DataError, asyncpg.IntegrityConstraintViolationError):
            raise  # the rows' fault
        except BaseException:
            self._hang_up()
            raise

    async def _insert(self, connection: Connection, rows: Sequence[UsageRow]) -> None:
        await self._make_months(connection, rows)
        async with connection.transaction():
            await connection.copy_records_to_table(
                "headgate_batch",
                records=[astuple(row) for row in rows],
                columns=COLUMNS,
                schema_name="pg_temp",
                timeout=COMMAND_S,
            )
            await connection.execute(_INSERT)

    async def _make_months(self, connection: Connection, rows: Sequence[UsageRow]) -> None:
        """Those of the rows, and the next of each, so that nobody waits for it on its first day."""
        first, last = (find_month(pick(row.ended_unix_ms for row in rows)) for pick in (min, max))
        months = {first} if first == last else {find_month(row.ended_unix_ms) for row in rows}
        wanted = months | {find_month(month.end_unix_ms) for month in months}
        if not wanted <= self._months:
            await make_months(connection, wanted)
            self._months |= wanted

    async def _prune(self, before_unix_ms: int, limit: int) -> int:
        connection = await self._connect()
        try:
            for month in await list_months(connection):
                if month.end_unix_ms <= before_unix_ms:
                    self._months.discard(month)
                    if not await drop_month(connection, month):
                        return 0  # somebody reads it; in an hour again
            done = await connection.execute(_DELETE, before_unix_ms, limit)
        except BaseException:
            self._hang_up()
            raise
        return int(done.rpartition(" ")[2])

    async def _sum_usage(self, query: UsageQuery) -> list[Sum]:
        statement, values = build_select(query, _TONGUE)
        connection = await self._dial_to_read()
        try:
            return build_sums(await connection.fetch(statement, *values), query)
        finally:
            connection.terminate()

    async def _dial_to_read(self) -> Connection:
        connection = await self._dial(READ_S)
        try:
            version = await read_schema(connection, self._url)
        except BaseException:
            connection.terminate()
            raise
        if version == 0:
            connection.terminate()
            raise StoreFailed(f"{self._url} has no ledger yet")
        return connection

    async def _dial(self, command_s: float) -> Connection:
        return await asyncpg.connect(
            self._url.text,
            password=self._url.reveal_password(),
            timeout=CONNECT_S,
            command_timeout=command_s,
            server_settings={"application_name": "headgate"},
        )

    def _hang_up(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.terminate()


async def _open_cursor(connection: Connection, statement: str, values: Sequence[object]) -> Any:
    return await connection.cursor(statement, *values)


@contextmanager
def _failures_of(url: PostgresUrl) -> Iterator[None]:
    """As StoreFailed. A value that PostgreSQL cannot keep is another matter: that is the row's fault."""
    try:
        yield
    except (asyncpg.DataError, asyncpg.IntegrityConstraintViolationError):
        raise
    except TimeoutError as error:
        raise StoreFailed(f"{url} does not answer") from error
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError) as error:
        told = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise StoreFailed(f"{url}: {told}") from error
