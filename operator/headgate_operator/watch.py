"""Kopf in a thread and a loop of its own, and what its watches let us see of their life.

In: `Connection` (address, TLS, tokens) and where events go. Out: events, handed over into the main loop;
`signs`, which the liveness probe judges; `on_relist`, when a watch had to list anew and may have missed
deletions. Made by `main`.

Its own loop, because at its end Kopf cancels every task of the loop it ran in. The one subtle rule: Kopf
shows neither bookmarks nor new lists, so we look at its HTTP responses: its session is ours, and each chunk
that a watch's response brings is a sign of life.

So are its sockets. asyncio forgets to close a TLS connection that is given up in the very step that opens it,
and ends the others politely, later than Kopf's loop: we end them before it does.
"""

import asyncio
import socket
import threading
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import suppress
from typing import Any, Final

import aiohttp
import kopf
import structlog

from headgate_operator.kube import Connection

log = structlog.get_logger()

STOP_TIMEOUT_S: Final = 8.0
"""Kopf gives its workers two seconds, and hung tasks five."""
RESTART_S: Final = 1.0
SOCKETS_S: Final = 1.0
"""Its loop sees within a turn or two that a socket has ended. A guess, for a machine that is very busy."""


class Signs:
    """Of each watch, by path: when it was last seen alive. Written by Kopf's thread, read by the probes;
    each access is one step of the interpreter.
    """

    def __init__(self, paths: Sequence[str], on_relist: Callable[[], None]) -> None:
        self._seen: dict[str, float] = {}
        self._paths = tuple(paths)
        self._on_relist = on_relist

    def start(self, now: float) -> None:
        """From here on each watch is expected to show itself."""
        self._seen = dict.fromkeys(self._paths, now)

    def see(self, path: str) -> None:
        self._seen[path] = time.monotonic()

    def see_list(self, path: str) -> None:
        """Also the first list counts: what was deleted between ours and Kopf's would stay."""
        if path in self._seen:
            self.see(path)
            self._on_relist()

    def age(self, path: str) -> float:
        """Seconds since its last sign; 0 before `start`."""
        now = time.monotonic()
        return now - self._seen.get(path, now)

    def find_dead(self, now: float, reachable_since: float | None, limit_s: float) -> tuple[str, ...]:
        """Watches that show no life though others are answered. During an outage of the API server none is
        dead: a restart would not help, and would lose what we know. After one, each has the whole limit
        again.
        """
        if reachable_since is None:
            return ()
        return tuple(
            path for path, at in sorted(self._seen.items()) if now - max(at, reachable_since) > limit_s
        )


class Watcher:
    def __init__(
        self,
        connection: Connection,
        registry: kopf.OperatorRegistry,
        settings: kopf.OperatorSettings,
        namespaces: Sequence[str],
        signs: Signs,
        on_answer: Callable[[str, int | None], None],
    ) -> None:
        """`namespaces`: empty for the whole cluster. `on_answer(method, status)`: for each request that was
        answered.
        """
        self._connection = connection
        self._registry = registry
        self._settings = settings
        self._namespaces = tuple(namespaces)
        self._signs = signs
        self._on_answer = on_answer
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None
        self._thread: threading.Thread | None = None
        self._sockets: set[_Socket] = set()
        """Those that are open. Of Kopf's thread, as is the next."""
        self._closed: asyncio.Event | None = None
        """Set when one is closed."""
        kopf.on.login(registry=registry)(self._login)

    @property
    def ended(self) -> bool:
        """It ran, and does not any more."""
        return self._thread is not None and not self._thread.is_alive()

    async def run(self) -> None:
        """Until cancelled. Raises what ended Kopf, which never ends by itself. Only a connection that breaks
        while Kopf is asking what the API server serves is not its end: Kopf does not try that twice, so we
        start it again.
        """
        self._signs.start(time.monotonic())
        while True:
            error = await self._run_once()
            if isinstance(error, aiohttp.ClientError | TimeoutError):
                log.warning(
                    "kopf could not start; starting it again", error=f"{type(error).__name__}: {error}"
                )
                self._thread = None
                await asyncio.sleep(RESTART_S)
                continue
            raise RuntimeError(
                "Kopf, which watches the cluster, has ended; this process must start anew"
            ) from error

    async def _run_once(self) -> BaseException | None:
        """What Kopf raised at its end."""
        loop = asyncio.get_running_loop()
        ended: asyncio.Future[BaseException | None] = loop.create_future()

        def work() -> None:
            error: BaseException | None = None
            try:
                asyncio.run(self._operate())
            except BaseException as raised:  # also Kopf's own cancellations: the main loop must know of each
                error = raised
            loop.call_soon_threadsafe(ended.set_result, error)

        self._thread = threading.Thread(target=work, name="kopf", daemon=True)
        self._thread.start()
        try:
            await asyncio.wait((ended,))  # not `await ended`: cancelling this task would cancel it
        finally:
            self._ask_to_stop()
            await asyncio.wait((ended,), timeout=STOP_TIMEOUT_S)
            if ended.done():
                self._thread.join()
        return ended.result()

    async def _operate(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        self._closed = asyncio.Event()
        try:
            await kopf.operator(
                registry=self._registry,
                settings=self._settings,
                clusterwide=not self._namespaces,
                namespaces=self._namespaces,
                standalone=True,  # with peering, a stranger's object called `default` could freeze us
                stop_flag=self._stop,
            )
        finally:
            await self._end_sockets(self._closed)

    async def _end_sockets(self, closed: asyncio.Event) -> None:
        """Those that Kopf has left open."""
        for one in self._sockets:
            with suppress(OSError):  # the other side has ended it
                one.shutdown(socket.SHUT_RDWR)
        with suppress(TimeoutError):
            async with asyncio.timeout(SOCKETS_S):
                while self._sockets:
                    closed.clear()
                    await closed.wait()
        self._sockets.clear()

    def _make_socket(self, address: aiohttp.AddrInfoType) -> socket.socket:
        family, kind, protocol, _, _ = address
        made = _Socket(family, kind, protocol, on_close=self._note_closed)
        self._sockets.add(made)
        return made

    def _note_closed(self, one: "_Socket") -> None:
        self._sockets.discard(one)
        if self._closed is not None:
            self._closed.set()

    def _ask_to_stop(self) -> None:
        if self._loop is not None and self._stop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._stop.set)

    async def _login(self, **_: object) -> kopf.AiohttpSession:
        """Kopf calls it at its start, and again after a 401."""
        trace = aiohttp.TraceConfig()
        trace.on_request_start.append(self._authorize)
        session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                limit=0, ssl=self._connection.ssl_context, socket_factory=self._make_socket
            ),
            trace_configs=[trace],
            response_class=_tap_responses(self._signs, self._on_answer),
        )
        return kopf.AiohttpSession(server=self._connection.server, aiohttp_session=session)

    async def _authorize(
        self, session: object, context: object, request: aiohttp.TraceRequestStartParams
    ) -> None:
        # For each request anew: a watch lives five minutes, a token may have less left.
        if (authorization := await self._connection.authorization()) is not None:
            request.headers["Authorization"] = authorization


def _tap_responses(
    signs: Signs, on_answer: Callable[[str, int | None], None]
) -> type[aiohttp.ClientResponse]:
    class TappedResponse(aiohttp.ClientResponse):
        async def start(self, connection: Any) -> aiohttp.ClientResponse:
            await super().start(connection)
            on_answer(self.method, self.status)
            path = self.url.path
            if self.status == 200 and "watch" in self.url.query:
                signs.see(path)
                self.content = _TappedContent(self.content, lambda: signs.see(path))  # type: ignore[assignment]
            elif self.status == 200:
                signs.see_list(path)
            return self

        def release(self) -> Any:
            # A watch ends in the middle of a body. The polite end of TLS would outlive Kopf's loop.
            connection = self.connection
            if connection is not None and connection.transport is not None and not self._is_read():
                connection.transport.abort()
            return super().release()

        def _is_read(self) -> bool:
            # Without a content when the connection broke before the headers came.
            return bool(self.content) and self.content.at_eof()

    return TappedResponse


class _Socket(socket.socket):
    """Tells when it is closed."""

    def __init__(
        self, family: int, kind: int, protocol: int, *, on_close: Callable[["_Socket"], None]
    ) -> None:
        super().__init__(family, kind, protocol)
        self._on_close = on_close

    def close(self) -> None:
        super().close()
        self._on_close(self)


class _TappedContent:
    """A StreamReader whose chunks are counted on their way to Kopf."""

    def __init__(self, content: aiohttp.StreamReader, on_chunk: Callable[[], None]) -> None:
        self._content = content
        self._on_chunk = on_chunk

    def __getattr__(self, name: str) -> Any:
        return getattr(self._content, name)

    async def iter_chunked(self, size: int) -> AsyncIterator[bytes]:
        async for chunk in self._content.iter_chunked(size):
            self._on_chunk()
            yield chunk
