"""The store in Redis, Valkey or Dragonfly: LeaseCalls in, one EVALSHA each, all of one turn in one write.

    call -> a connection, which knows who answers it -> EVALSHA … -> answers

`open_store` makes it from a URL (see `url`) and the password, which comes from the environment. The scripts
are sent by their hash; one that the server does not know (restart, failover) is loaded first, and then those
calls are sent that it refused for that.

The one subtle rule: a call is never sent twice. One that was sent and not answered may have been counted, and
`engine.lease` knows what to do with that; sent again it would be counted twice. And a call has to say which
process counts it, so that it is written when its connection stands, and not before.
"""

import asyncio
import hashlib
import secrets
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Final, TypeAlias, cast

import msgspec
from redis.asyncio.connection import AbstractConnection
from redis.exceptions import (
    AuthenticationError,
    NoPermissionError,
    NoScriptError,
    RedisError,
    ResponseError,
)

from gateway_runtime.engine.lease_call import RECOVERY_MS, LeaseAnswer, LeaseCall, decode_answer, encode_call
from gateway_runtime.stores.redis_connections import PATIENCE_S, Connections
from gateway_runtime.stores.store import Beat, Recovery, StoreAway
from gateway_runtime.stores.url import parse_store_url

ALIVE_MS: Final = 3_000
_AT_ONCE: Final = 8
"""Connections. A store that is slow for a moment must not be met with one for each turn of our loop."""
_HERE: Final = Path(__file__).parent

Argument: TypeAlias = str | bytes | int
Command: TypeAlias = Sequence[Argument]
_BeatAnswer: TypeAlias = tuple[int, list[bytes], list[bytes], list[bytes], bytes, int]


class RedisStore:
    """See `store.LimitStore`."""

    def __init__(self, connections: Connections, prefix: str) -> None:
        self._connections = connections
        self._turns = asyncio.Semaphore(_AT_ONCE)
        self._prefix = prefix
        self._lease = _Script("lease.lua")
        self._beat = _Script("beat.lua")

    async def exchange(self, calls: Sequence[tuple[str, LeaseCall]]) -> Sequence[LeaseAnswer]:
        async with self._connect() as connection:
            server = self._connections.server_of(connection)
            answers = await _run(
                connection, self._lease, [self._build_command(root, call, server) for root, call in calls]
            )
        try:
            return [decode_answer(cast("bytes", answer)) for answer in answers]
        except msgspec.MsgspecError as error:
            raise StoreAway(f"its answer cannot be read: {error}") from error

    async def beat(self, gateway: str, recoveries: Sequence[Recovery]) -> Beat:
        told = [f"{one.root} {one.epoch}" for one in recoveries]
        keys = [self._alive_key, f"{self._prefix}:{{gateways}}:recoveries", self._memory_key]
        command: Command = [len(keys), *keys, gateway, RECOVERY_MS, ALIVE_MS, secrets.token_hex(8), *told]
        async with self._connect() as connection:
            server = self._connections.server_of(connection)
            (answer,) = await _run(connection, self._beat, [command])
        known, peers, alive, recovering, memory, age_ms = cast("_BeatAnswer", answer)
        return Beat(
            tuple(peer.decode() for peer in peers),
            tuple(peer.decode() for peer in alive),
            known == 1,
            tuple(_read_recovery(one.decode()) for one in recovering),
            f"{memory.decode()} {server}",
            age_ms / 1000,
        )

    async def leave(self, gateway: str) -> None:
        async with self._connect() as connection:
            time = cast("list[bytes]", await _ask(connection, "TIME"))
            before_ms = int(time[0]) * 1000 - 2 * ALIVE_MS
            await _ask(connection, "ZADD", self._alive_key, "XX", before_ms, gateway)

    async def forget(self, roots: Sequence[str]) -> None:
        """As a server that has lost its memory of these, in one step; for those who try that out. What
        belongs to a root that is gone counts no more. Raises StoreAway.
        """
        async with self._connect() as connection:
            await _ask(connection, "DEL", self._alive_key, self._memory_key, *map(self._root_key, roots))

    async def read_memory(self) -> str:
        """As `Beat.memory`, without a beat. Raises StoreAway."""
        async with self._connect() as connection:
            memory = cast("bytes | None", await _ask(connection, "GET", self._memory_key)) or b""
            return f"{memory.decode()} {self._connections.server_of(connection)}"

    async def clear(self) -> None:
        """Deletes all that has the prefix, a few keys at a time. Raises StoreAway."""
        cursor: Argument = 0
        while True:
            async with self._connect() as connection:
                found = await _ask(connection, "SCAN", cursor, "MATCH", f"{self._prefix}:*", "COUNT", 1000)
                cursor, keys = cast("tuple[bytes, list[bytes]]", found)
                if keys:
                    await _ask(connection, "DEL", *keys)
            if cursor == b"0":
                return

    async def close(self) -> None:
        # A server that is gone cannot say good-bye; our side is closed all the same.
        with suppress(RedisError, OSError):
            await self._connections.close()

    @property
    def _alive_key(self) -> str:
        return f"{self._prefix}:{{gateways}}:alive"

    @property
    def _memory_key(self) -> str:
        return f"{self._prefix}:{{gateways}}:memory"

    def _root_key(self, root: str) -> str:
        # One hash tag, so that a cluster keeps all that is charged in one step in one place.
        return f"{self._prefix}:{{{root}}}"

    def _build_command(self, root: str, call: LeaseCall, server: str) -> Command:
        base = self._root_key(root)
        keys = [base]
        for scope in call.scopes:
            keys += (f"{base}:l:{scope.key}", f"{base}:b:{scope.key}")
        if not call.server:
            call = msgspec.structs.replace(call, server=server)
        return [len(keys), *keys, encode_call(call)]

    @asynccontextmanager
    async def _connect(self) -> AsyncIterator[AbstractConnection]:
        """For one exchange, which ends in time. Raises StoreAway; then the connection is closed, so that no
        late answer is taken for another's, and the next finds out who answers there.
        """
        async with self._turns:
            with _explained():
                async with asyncio.timeout(PATIENCE_S):
                    connection = await self._connections.take()
                    try:
                        yield connection
                    except BaseException:
                        await connection.disconnect(nowait=True)
                        raise
                    finally:
                        await self._connections.give_back(connection)

    def __repr__(self) -> str:
        return f"<RedisStore {self._prefix} at {self._connections}>"


class _Script:
    def __init__(self, name: str) -> None:
        self.text: Final = (_HERE / name).read_text(encoding="utf-8")
        self.sha: Final = hashlib.sha1(self.text.encode(), usedforsecurity=False).hexdigest()


def open_redis_store(url: str, password: str | None, *, prefix: str | None = None) -> RedisStore:
    """Nothing is dialled before the first call. prefix: instead of the URL's. Raises WrongStore."""
    parsed = parse_store_url(url)
    return RedisStore(Connections(parsed, password), prefix or parsed.prefix)


async def _run(
    connection: AbstractConnection, script: _Script, commands: Sequence[Command]
) -> Sequence[object]:
    """Raises what redis-py raises."""
    answers = await _send(connection, [("EVALSHA", script.sha, *command) for command in commands])
    missed = [i for i, answer in enumerate(answers) if isinstance(answer, NoScriptError)]
    if missed:
        await _ask(connection, "SCRIPT", "LOAD", script.text)
        again = await _send(connection, [("EVALSHA", script.sha, *commands[i]) for i in missed])
        for i, answer in zip(missed, again, strict=True):
            answers[i] = answer
    for answer in answers:
        if isinstance(answer, Exception):
            raise answer
    return answers


async def _ask(connection: AbstractConnection, *command: Argument) -> object:
    (answer,) = await _send(connection, [command])
    if isinstance(answer, Exception):
        raise answer
    return answer


async def _send(connection: AbstractConnection, commands: Sequence[Command]) -> list[object]:
    """In one write. A command that is refused has its error for an answer; the others stand all the same."""
    # Below `Redis`, which decides by itself when a command is sent again.
    await connection.send_packed_command(connection.pack_commands(commands), check_health=False)
    answers: list[object] = []
    for _ in commands:
        try:
            answers.append(await connection.read_response())
        except ResponseError as error:
            answers.append(error)
    return answers


@contextmanager
def _explained() -> Iterator[None]:
    try:
        yield
    except TimeoutError as error:
        raise StoreAway(f"it does not answer within {PATIENCE_S:g} s") from error
    except (RedisError, OSError) as error:
        raise StoreAway(_explain(error)) from error


def _explain(error: Exception) -> str:
    text = str(error) or type(error).__name__
    if isinstance(error, AuthenticationError):
        if "required" in text:
            return "it wants a password: set HEADGATE_STORE_PASSWORD"
        return f"it refuses the password in HEADGATE_STORE_PASSWORD, or the user in its URL: {text}"
    if isinstance(error, NoPermissionError):
        return f"its user may not do what is needed (EVALSHA, SCRIPT LOAD, INFO, hashes, sorted sets): {text}"
    return text


def _read_recovery(text: str) -> Recovery:
    root, _, epoch = text.rpartition(" ")
    return Recovery(root, int(epoch))
