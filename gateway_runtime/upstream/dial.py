"""A new connection: where to, in; an open socket under a `Connection`, TLS and proxy included, out.

    resolver -> happy eyeballs -> [CONNECT] -> [TLS] -> connection.connection_made

`pool` calls `Dialer.connect`. Every way in which it can fail is one UpstreamFailure with one clause, mapped
here. The one subtle rule: `connect_s` bounds all of it together, the look-up too.
"""

import asyncio
import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, NamedTuple

import aiohappyeyeballs

from gateway_runtime.engine.retry import Outcome
from gateway_runtime.upstream.connection import Connection
from gateway_runtime.upstream.exchange import UpstreamFailure
from gateway_runtime.upstream.failure import describe_error
from gateway_runtime.upstream.origin import Origin
from gateway_runtime.upstream.proxy import Proxy
from gateway_runtime.upstream.resolver import Resolver
from gateway_runtime.upstream.tls import TlsContexts
from gateway_runtime.upstream.trust import TlsSettings

HEAD_START_S: Final = 0.25
"""Before the next address is tried beside the one that does not answer (RFC 8305, 5)."""

MAX_CONNECT_BYTES: Final = 16 * 1024
"""Of a proxy's answer to CONNECT."""

_CONNECT_ANSWER: Final = re.compile(rb"HTTP/1\.[01] (\d{3})(?: [^\r\n]*)?\r\n")


class Way(NamedTuple):
    """What makes connections exchangeable: a pool stands for each."""

    origin: Origin
    tls: TlsSettings
    proxy: Proxy | None

    def __str__(self) -> str:
        return f"{self.origin}" if self.proxy is None else f"{self.origin} via {self.proxy.origin.authority}"


class Dialer:
    def __init__(self, resolver: Resolver) -> None:
        self.resolver = resolver
        self.contexts = TlsContexts()

    async def connect(self, way: Way, connection: Connection, connect_s: float) -> None:
        """Raises UpstreamFailure. Whatever is raised, no socket stays open."""
        with _map_errors():
            try:
                async with asyncio.timeout(connect_s) as scope:
                    await self._connect(way, connection)
            except TimeoutError as error:
                if not scope.expired():
                    raise  # the system's own, from a socket
                reason = f"no connection within {connect_s:g} s"
                raise UpstreamFailure(Outcome.CONNECT_FAILED, reason) from error

    async def _connect(self, way: Way, connection: Connection) -> None:
        origin = way.origin
        context = await self.contexts.find(way.tls) if origin.scheme == "https" else None
        with _named_proxy(way.proxy):
            first = origin if way.proxy is None else way.proxy.origin
            addresses = await self.resolver.resolve(first.host, first.port)
            sock = await self._open_socket(addresses)
        if context is not None and way.proxy is not None:
            try:
                with _named_proxy(way.proxy):
                    await _ask_proxy(sock, way.proxy, origin)
            except BaseException:
                sock.close()
                raise
        # From here on the socket is asyncio's, which closes it when something goes wrong.
        await asyncio.get_running_loop().create_connection(
            lambda: connection,
            sock=sock,
            ssl=context,
            server_hostname=None if context is None else way.tls.server_name or origin.host,
        )

    async def _open_socket(self, addresses: list[aiohappyeyeballs.AddrInfoType]) -> socket.socket:
        try:
            sock = await aiohappyeyeballs.start_connection(
                addresses, happy_eyeballs_delay=HEAD_START_S, interleave=0
            )
        except OSError:
            self.resolver.note_winner(addresses, len(addresses))
            raise
        if len(addresses) > 1:
            peer = sock.getpeername()
            winner = next((i for i, address in enumerate(addresses) if address[4] == peer), 0)
            self.resolver.note_winner(addresses, winner)
        return sock


async def _ask_proxy(sock: socket.socket, proxy: Proxy, origin: Origin) -> None:
    """Returns when the way through is open."""
    loop = asyncio.get_running_loop()
    lines = [f"CONNECT {origin.authority} HTTP/1.1", f"host: {origin.authority}"]
    if proxy.authorization is not None:
        lines.append(f"proxy-authorization: {proxy.authorization.reveal()}")
    await loop.sock_sendall(sock, "\r\n".join([*lines, "", ""]).encode())
    answer = b""
    while b"\r\n\r\n" not in answer:
        if len(answer) > MAX_CONNECT_BYTES or not (data := await loop.sock_recv(sock, MAX_CONNECT_BYTES)):
            raise UpstreamFailure(Outcome.CONNECT_FAILED, "it did not answer to CONNECT")
        answer += data
    status = _CONNECT_ANSWER.match(answer)
    if status is None:
        raise UpstreamFailure(Outcome.CONNECT_FAILED, "it does not speak HTTP")
    if not 200 <= int(status[1]) < 300:
        reason = f"it refused the way to {origin.authority} with status {int(status[1])}"
        raise UpstreamFailure(Outcome.CONNECT_FAILED, reason)
    if not answer.endswith(b"\r\n\r\n") or answer.count(b"\r\n\r\n") > 1:
        # A server speaks second in TLS; whoever speaks first is not the server.
        raise UpstreamFailure(Outcome.CONNECT_FAILED, "it sent bytes behind its answer to CONNECT")


@contextmanager
def _named_proxy(proxy: Proxy | None) -> Iterator[None]:
    """What fails in here is the proxy's fault, and the reason says so."""
    try:
        yield
    except (UpstreamFailure, OSError) as error:
        if proxy is None:
            raise
        why = error.reason if isinstance(error, UpstreamFailure) else describe_error(error)
        reason = f"proxy {proxy.origin.authority}: {why}"
        raise UpstreamFailure(Outcome.CONNECT_FAILED, reason) from error


@contextmanager
def _map_errors() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise UpstreamFailure(Outcome.CONNECT_FAILED, describe_error(error)) from error
