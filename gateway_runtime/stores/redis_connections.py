"""Connections to Redis: a StoreUrl and a password in, connections out that know which process answers them.

    take -> (dial, TLS, ask sentinels for the master, log in, ask for its run_id) -> give_back

`redis` enters. What redis-py does by itself is kept to that: it sends no command of ours, so that it can
repeat none.

The one subtle rule: a process is known by its `run_id`, which is drawn anew at each start. Where a failover
or a restart puts another one behind the same address, the connection breaks, and the next one asks.
"""

import asyncio
import re
from typing import Any, Final
from weakref import WeakKeyDictionary

from redis.asyncio.connection import AbstractConnection, Connection, ConnectionPool, SSLConnection
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import Sentinel, SentinelConnectionPool
from redis.backoff import NoBackoff
from redis.exceptions import AuthenticationError, NoPermissionError, ResponseError

from gateway_runtime.stores.url import StoreUrl

PATIENCE_S: Final = 1.0
"""For all of an exchange, dialling included. A server on the same network answers in a millisecond; a second
is one that is not there.
"""
_RUN_ID: Final = re.compile(rb"^run_id:(\w+)", re.MULTILINE)
_NO_PASSWORD_SET: Final = "without any password configured"


class Connections:
    def __init__(self, url: StoreUrl, password: str | None) -> None:
        self._url = url
        self._servers: WeakKeyDictionary[AbstractConnection, str] = WeakKeyDictionary()
        options: dict[str, Any] = {
            "username": url.user,
            "password": password,
            "protocol": 2,  # all that is needed; with 3 a server may ask clients to move by themselves
            "retry": Retry(NoBackoff(), 0),
            "socket_timeout": None,  # an exchange has one deadline: see `redis`
            "socket_connect_timeout": PATIENCE_S,
        }
        if url.tls:
            options["ssl_check_hostname"] = True
            options["ssl_ca_certs"] = None if url.authority is None else str(url.authority)
        self._sentinel: Sentinel | None = None
        self._pool: ConnectionPool
        if url.master is None:
            ((host, port),) = url.hosts
            self._pool = ConnectionPool(
                SSLConnection if url.tls else Connection,
                host=host,
                port=port,
                db=url.database,
                redis_connect_func=self._greet,
                **options,
            )
            return
        # One that is gone must leave time for the others, which are asked in turn.
        patience_s = PATIENCE_S / (len(url.hosts) + 1)
        asking = {
            **options,
            "ssl": url.tls,
            "socket_timeout": patience_s,
            "socket_connect_timeout": patience_s,
            "redis_connect_func": _greet_sentinel,
        }
        self._sentinel = Sentinel(url.hosts, sentinel_kwargs=asking)  # type: ignore[no-untyped-call]
        self._pool = SentinelConnectionPool(  # type: ignore[no-untyped-call]
            url.master, self._sentinel, ssl=url.tls, redis_connect_func=self._greet, **options
        )

    def server_of(self, connection: AbstractConnection) -> str:
        """Which process answers there. Empty: it does not say."""
        return self._servers[connection]

    async def take(self) -> AbstractConnection:
        """It stands. Raises what redis-py raises."""
        connection: AbstractConnection = await self._pool.get_connection()  # type: ignore[no-untyped-call]
        return connection

    async def give_back(self, connection: AbstractConnection) -> None:
        await self._pool.release(connection)

    async def close(self) -> None:
        """Raises what redis-py raises; all are closed then, too."""
        sentinels = [] if self._sentinel is None else self._sentinel.sentinels
        closing = [self._pool.aclose(), *(client.aclose() for client in sentinels)]
        for outcome in await asyncio.gather(*closing, return_exceptions=True):
            if isinstance(outcome, BaseException):
                raise outcome

    async def _greet(self, connection: AbstractConnection) -> None:
        """Called by redis-py for each new connection, in place of `on_connect`."""
        await connection.on_connect()
        try:
            await connection.send_command("INFO", "server", check_health=False)
            found = _RUN_ID.search(await connection.read_response())
        except NoPermissionError:
            found = None  # then a failover is known by what was counted alone
        self._servers[connection] = "" if found is None else found[1].decode()

    def __repr__(self) -> str:
        url = self._url
        hosts = ", ".join([f"{host}:{port}" for host, port in url.hosts])
        return hosts if url.master is None else f"{url.master} of {hosts}"


async def _greet_sentinel(connection: AbstractConnection) -> None:
    """Sentinels often want no password where their servers do."""
    try:
        await connection.on_connect()
    except (AuthenticationError, ResponseError) as error:
        if _NO_PASSWORD_SET not in str(error):
            raise
        connection.username = connection.password = None
        await connection.on_connect()
