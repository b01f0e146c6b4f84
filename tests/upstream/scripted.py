"""Servers that say what they are told to, and short ways to ask them through the transport."""

import asyncio
import os
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import NamedTuple, TypeAlias

from gateway_runtime.upstream.exchange import PoolStatistics, UpstreamRequest
from gateway_runtime.upstream.transport import PooledTransport
from gateway_runtime.upstream.trust import DEFAULT_TLS, TlsSettings
from tests.server.rawupstream import RawUpstream, Script

Handle: TypeAlias = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]

HEADERS = {"content-type": "application/json", "authorization": "Bearer sk-planted"}


class Got(NamedTuple):
    status: int
    body: bytes


class Heard(RawUpstream):
    """Remembers every byte that came, and when connections end."""

    def __init__(self, script: Script) -> None:
        super().__init__(script)
        self.port = 0
        self.heads: list[bytes] = []
        self.ended = 0
        self.writers: list[asyncio.StreamWriter] = []
        self.more = asyncio.Condition()

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.writers.append(writer)
        read = reader.readuntil

        async def readuntil(separator: bytes = b"\n") -> bytes:
            head = await read(separator)
            self.heads.append(head)
            return head

        reader.readuntil = readuntil  # type: ignore[method-assign]  # to see what `read_head` reads
        try:
            await super().handle(reader, writer)
        except ssl.SSLError:
            return  # a client that did not like our certificate
        finally:
            self.ended += 1
            async with self.more:
                self.more.notify_all()

    async def wait_for_ends(self, count: int) -> None:
        async with self.more:
            await self.more.wait_for(lambda: self.ended >= count)


@asynccontextmanager
async def scripted(
    script: Script, tls: ssl.SSLContext | None = None, *, path: str = "/v1"
) -> AsyncIterator[Heard]:
    """Each request gets what the script says."""
    upstream = Heard(script)
    async with listening(upstream.handle, tls) as upstream.port:
        upstream.url = f"{'http' if tls is None else 'https'}://127.0.0.1:{upstream.port}{path}"
        yield upstream


@asynccontextmanager
async def listening(handle: Handle, tls: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    """Each connection is handled so. Gives the port."""
    writers: list[asyncio.StreamWriter] = []

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        await handle(reader, writer)

    server = await asyncio.start_server(accept, "127.0.0.1", 0, ssl=tls)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for writer in writers:
            writer.transport.abort()
        await asyncio.sleep(0)  # then the sockets are closed


def build_request(
    url: str, *, method: str = "POST", body: bytes | None = b"{}", connect_s: float = 5.0
) -> UpstreamRequest:
    return UpstreamRequest(method, url, HEADERS, body, connect_s)


async def ask(
    transport: PooledTransport,
    url: str,
    *,
    method: str = "POST",
    body: bytes | None = b"{}",
    connect_s: float = 5.0,
    tls: TlsSettings = DEFAULT_TLS,
) -> Got:
    """Raises what the transport raises, also for a body that breaks off."""
    request = build_request(url, method=method, body=body, connect_s=connect_s)
    answer = await transport.send(request, lambda: None, tls)
    parts = []
    try:
        while part := await answer.next_chunk():
            parts.append(part)
    finally:
        answer.close()
    return Got(answer.status, b"".join(parts))


def only(transport: PooledTransport) -> PoolStatistics:
    (statistics,) = transport.statistics()
    return statistics


async def wait_for_queue(transport: PooledTransport, length: int) -> None:
    await wait_until(lambda: sum(place.queued for place in transport.statistics()) == length)


async def wait_until(condition: Callable[[], bool]) -> None:
    """For what the other side of a socket causes and nobody announces."""
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110 (there is no event)
            await asyncio.sleep(0.001)


def reset(writer: asyncio.StreamWriter) -> None:
    """Closes with RST instead of FIN."""
    sock: socket.socket = writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


def count_descriptors() -> int:
    return len(os.listdir("/dev/fd"))
