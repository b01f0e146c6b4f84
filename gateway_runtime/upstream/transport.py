"""The transport towards providers: PooledTransport is `server`'s Transport on pools of our own.

`main` makes one for the process, and tells it with `retain` at each table which endpoints there are; `relay`
and `probe` send through it. So that pools live on over tables and leave with their endpoints.

A request goes out twice in one case only: it was written on a connection that had served before, and that
connection was closed (FIN or RST, nothing else) before one byte of an answer came. A server that closes idle
connections looks like this when our request crosses its FIN (RFC 9112, 9.3.1), and every client must expect
it. It is sent once more, on a new connection, POST too, and nobody sees it. A server that dies over a request
looks the same, and then it meets the request twice; but a provider that hangs up is tried again anyway (see
`engine.retry`), so nothing is repeated here that would not be repeated there.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping

from gateway_runtime.contract.table import UpstreamLimits
from gateway_runtime.engine.retry import Outcome
from gateway_runtime.upstream.answer import Answer
from gateway_runtime.upstream.connection import Connection
from gateway_runtime.upstream.dial import Dialer, Way
from gateway_runtime.upstream.endpoint import DEFAULT_LIMITS, Upstream
from gateway_runtime.upstream.exchange import (
    IDLE_CONNECTION_S,
    DiedIdle,
    PoolStatistics,
    UpstreamFailure,
    UpstreamRequest,
)
from gateway_runtime.upstream.origin import MalformedUrl, parse_url
from gateway_runtime.upstream.pool import Pool, choose_strictest
from gateway_runtime.upstream.proxy import Proxies
from gateway_runtime.upstream.request import build_head, build_lines, build_opening
from gateway_runtime.upstream.resolver import Resolver
from gateway_runtime.upstream.trust import DEFAULT_TLS, TlsSettings


class PooledTransport:
    """Made and used inside a running event loop."""

    def __init__(
        self,
        *,
        proxies: Proxies | None = None,
        resolver: Resolver | None = None,
        idle_s: float = IDLE_CONNECTION_S,
    ) -> None:
        """proxies: None reads the environment. idle_s: how long an unused connection is kept."""
        self._proxies = proxies or Proxies.from_environment()
        self._dialer = Dialer(resolver or Resolver())
        self._idle_s = idle_s
        self._pools: dict[Way, Pool] = {}
        self._limits: dict[Way, UpstreamLimits] = {}
        self._ways: dict[tuple[str, str], Way | None] = {}
        """Of the endpoints that there are, by URL and TLS identity. To find 2,000 of them anew would take
        each reload 55 ms of the loop's time instead of 3. None for a URL that cannot be parsed.
        """
        self._known: dict[tuple[str, str], tuple[Pool, str]] = {}
        """URL and TLS identity to the pool and the prepared lines: parsing costs 20 µs for each attempt.
        Bounded by endpoints times paths, and `retain` empties it.
        """
        self._closed = False

    async def send(
        self,
        request: UpstreamRequest,
        connected: Callable[[], None],
        tls: TlsSettings = DEFAULT_TLS,
        *,
        again: bool = False,
    ) -> Answer:
        """Returns when the head of the answer is there. Calls `connected` when a connection is at hand and
        the request goes out, a second time when it goes out again. again: it went out before, on a connection
        that had died idle. Raises UpstreamFailure. A cancelled call leaves no connection behind.
        """
        if self._closed:
            raise UpstreamFailure(Outcome.CANCELLED, "the gateway stops")
        known = self._known.get((request.url, tls.identity))
        pool, lines = self._find(request.url, tls) if known is None else known
        head = build_head(request.method, lines, request.headers, request.body)
        if not pool.try_enter():
            await pool.wait_turn(request.rank, may_queue=request.may_queue)
        connection = None if again else pool.take_idle()
        if connection is not None:
            try:
                return await self._exchange(connection, head, request, connected)
            except DiedIdle:
                pass  # the place in the pool is still ours
        connection = await pool.dial(request.connect_s)
        return await self._exchange(connection, head, request, connected)

    def prepare(
        self, url: str, headers: Mapping[str, str], tls: TlsSettings = DEFAULT_TLS
    ) -> "PreparedRequest":
        """For POST requests, until the next `retain`. Raises UpstreamFailure for what cannot be sent."""
        known = self._known.get((url, tls.identity))
        pool, lines = self._find(url, tls) if known is None else known
        return PreparedRequest(pool, build_opening("POST", lines, headers))

    def retain(self, upstreams: Iterable[Upstream]) -> None:
        """These are all that there are. What left loses its idle connections now and the others as they
        become idle; new limits hold from now on. Endpoints that share an origin share its pool, and the
        strictest of their limits. URLs that cannot be parsed are passed over: `send` tells.
        """
        limits: dict[Way, UpstreamLimits] = {}
        ways: dict[tuple[str, str], Way | None] = {}
        for upstream in upstreams:
            key = (upstream.url, upstream.tls.identity)
            way = ways[key] = self._ways[key] if key in self._ways else self._find_way(upstream)
            if way is not None:
                known = limits.get(way)
                limits[way] = upstream.limits if known is None else choose_strictest(known, upstream.limits)
        self._ways = ways
        self._limits = limits
        for way, pool in tuple(self._pools.items()):
            if way in limits:
                pool.configure(limits[way])
                continue
            pool.retire()
            if pool.unused:
                del self._pools[way]
        self._known.clear()
        kept = {*limits, *self._pools}
        self._dialer.contexts.retain({way.tls.identity for way in kept})
        firsts = [way.origin if way.proxy is None else way.proxy.origin for way in kept]
        self._dialer.resolver.retain({(origin.host, origin.port) for origin in firsts})

    def statistics(self) -> tuple[PoolStatistics, ...]:
        """Of each place, sorted by its name; one that left the table, until it has drained."""
        pools = self._pools.values()
        return tuple(sorted(pool.statistics() for pool in pools if pool.wanted or not pool.unused))

    async def close(self) -> None:
        """Closes all connections; whoever waits is told. Returns when all sockets are closed."""
        self._closed = True
        await asyncio.gather(*(pool.close() for pool in self._pools.values()))
        await self._dialer.resolver.close()

    @staticmethod
    async def _exchange(
        connection: Connection, head: bytes, request: UpstreamRequest, connected: Callable[[], None]
    ) -> Answer:
        body, keeps_head = request.body, request.keeps_head
        if body is None or isinstance(body, bytes):
            return await connection.exchange(request.method, head, body, connected, keeps_head=keeps_head)
        return await connection.exchange_body(request.method, head, body, connected, keeps_head=keeps_head)

    def _find_way(self, upstream: Upstream) -> Way | None:
        try:
            origin, _ = parse_url(upstream.url)
            return Way(origin, upstream.tls, self._proxies.choose(origin))
        except (MalformedUrl, UpstreamFailure):
            return None

    def _find(self, url: str, tls: TlsSettings) -> tuple[Pool, str]:
        try:
            origin, target = parse_url(url)
        except MalformedUrl as error:
            raise UpstreamFailure(Outcome.CONNECT_FAILED, f"not a URL: {error}") from error
        proxy = self._proxies.choose(origin)
        way = Way(origin, tls, proxy)
        pool = self._pools.get(way)
        if pool is None:
            limits = self._limits.get(way, DEFAULT_LIMITS)
            pool = self._pools[way] = Pool(way, self._dialer, limits, self._idle_s)
        plain_proxy = proxy if origin.scheme == "http" else None
        authorization = plain_proxy and plain_proxy.authorization
        lines = build_lines(
            origin,
            target,
            authorization.reveal() if authorization else None,
            absolute=plain_proxy is not None,
        )
        self._known[url, tls.identity] = pool, lines
        return pool, lines


class PreparedRequest:
    """See `exchange.Prepared`."""

    __slots__ = ("_opening", "_pool")

    def __init__(self, pool: Pool, opening: bytes) -> None:
        self._pool = pool
        self._opening = opening

    def send_at_once(
        self,
        request_id: str,
        body: bytes,
        tell: Callable[[Answer | UpstreamFailure], bool],
        fields: bytes = b"",
    ) -> Connection | None:
        """See `exchange.Prepared`. request_id: in ASCII, one of our own."""
        connection = self._pool.enter_at_once()
        if connection is None:
            return None
        parts = (self._opening, fields, request_id.encode(), len(body))
        head = b"%b%bx-request-id: %b\r\ncontent-length: %d\r\n\r\n" % parts
        connection.start("POST", head, body, tell)
        return connection
