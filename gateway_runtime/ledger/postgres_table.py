"""The ledger's table in PostgreSQL: made once, cut into months of UTC by the end of the request, and these
made and dropped by whichever gateway comes first. `postgres` asks.

The one subtle rule: who changes the table's shape holds an advisory lock, so that several gateways do it one
after the other; and nothing here locks out those who write, but for the moment in which a month is dropped.
"""

from collections.abc import Iterable
from typing import Any, Final, TypeAlias

import asyncpg  # type: ignore[import-untyped]

from gateway_runtime.ledger.month import Month, read_month
from gateway_runtime.ledger.postgres_url import PostgresUrl
from gateway_runtime.ledger.store import StoreFailed

SCHEMA: Final = 1
"""Of the table `headgate_ledger`. One of a later Headgate is left alone."""
TABLE: Final = "headgate_usage"

Connection: TypeAlias = Any  # asyncpg tells no types

_LOCK: Final = 0x4865616467617465
"""Of our DDL and our pruning among all gateways: "Headgate" in ASCII."""
_LOCK_WAIT_MS: Final = 500
"""For a month to be dropped: whoever writes waits behind us meanwhile."""
_CREATE: Final = f"""\
CREATE TABLE {TABLE} (
    request_id             text    NOT NULL,
    ended_unix_ms          bigint  NOT NULL,
    tenant                 text    NOT NULL,
    "user"                 text,
    key_id                 text,
    route                  text    NOT NULL,
    provider               text    NOT NULL,
    model                  text    NOT NULL,
    upstream_model         text    NOT NULL,
    operation              text    NOT NULL,
    status                 integer NOT NULL,
    error                  text,
    stream                 boolean NOT NULL,
    input_tokens           bigint,
    output_tokens          bigint,
    cached_tokens          bigint,
    cache_write_tokens     bigint,
    reasoning_tokens       bigint,
    cost_usd_picos         bigint,
    priced                 boolean NOT NULL,
    estimated              boolean NOT NULL,
    duration_ms            bigint  NOT NULL,
    first_token_ms         bigint,
    attempts               integer NOT NULL,
    fallback               text,
    "end"                  text    NOT NULL,
    tags                   text,
    input_usd_picos        bigint,
    output_usd_picos       bigint,
    cached_input_usd_picos bigint,
    cache_write_usd_picos  bigint,
    reasoning_usd_picos    bigint,
    PRIMARY KEY (ended_unix_ms, request_id)
) PARTITION BY RANGE (ended_unix_ms);
CREATE TABLE headgate_ledger (schema integer NOT NULL);
INSERT INTO headgate_ledger VALUES ({SCHEMA})"""
_IS_THERE: Final = """\
SELECT count(*) FROM pg_class WHERE relname = 'headgate_ledger' AND pg_table_is_visible(oid)"""
"""Not to_regclass, which remembers within a transaction that there was none before it waited for the lock."""
_PARTITIONS: Final = f"""\
SELECT relname FROM pg_inherits JOIN pg_class ON pg_class.oid = inhrelid
WHERE inhparent = '{TABLE}'::regclass ORDER BY relname"""


async def read_schema(connection: Connection, url: PostgresUrl) -> int:
    """0: there is none yet."""
    if not await connection.fetchval(_IS_THERE):
        return 0
    version = await connection.fetchval("SELECT max(schema) FROM headgate_ledger")
    if not isinstance(version, int) or version > SCHEMA:
        raise StoreFailed(f"{url} has schema {version}, which a later Headgate made; this one knows {SCHEMA}")
    return version


async def create_schema(connection: Connection, url: PostgresUrl) -> None:
    async with connection.transaction():
        await connection.execute("SELECT pg_advisory_xact_lock($1)", _LOCK)
        if await read_schema(connection, url) == 0:  # else another gateway was faster
            await connection.execute(_CREATE)


async def list_months(connection: Connection) -> list[Month]:
    """That there are, the oldest first."""
    names = [name for (name,) in await connection.fetch(_PARTITIONS)]
    return [month for name in names if (month := read_month(name, TABLE)) is not None]


async def make_months(connection: Connection, months: Iterable[Month]) -> None:
    """Those that are not there."""
    async with connection.transaction():
        await connection.execute("SELECT pg_advisory_xact_lock($1)", _LOCK)
        there = await list_months(connection)
        for month in sorted(set(months).difference(there)):
            name = month.name_partition(TABLE)
            # Attached, not made as a partition: that would lock out all who write meanwhile.
            await connection.execute(f"CREATE TABLE {name} (LIKE {TABLE} INCLUDING ALL)")
            await connection.execute(
                f"ALTER TABLE {TABLE} ATTACH PARTITION {name} "
                f"FOR VALUES FROM ({month.begin_unix_ms}) TO ({month.end_unix_ms})"
            )


async def drop_month(connection: Connection, month: Month) -> bool:
    """False: it is in use, or another gateway is about it."""
    try:
        async with connection.transaction():
            if not await connection.fetchval("SELECT pg_try_advisory_xact_lock($1)", _LOCK):
                return False
            await connection.execute(f"SET LOCAL lock_timeout = {_LOCK_WAIT_MS}")
            await connection.execute(f"DROP TABLE IF EXISTS {month.name_partition(TABLE)}")
    except asyncpg.LockNotAvailableError:
        return False
    return True
