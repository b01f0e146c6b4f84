"""The transport towards providers: one request out, one answer back, nothing decided.

`attempt` and `probe` call it through `Transport`, which is all that they know of it; `AiohttpTransport` is
the plain engine behind it. Every foreign exception is mapped here, once, to an `UpstreamFailure` that carries
the `Outcome` which circuit and retry judge.

The one subtle rule: an answer that was read to its end has given its connection back to the pool by itself;
`close` after that does nothing, and before it closes the connection.
"""

import asyncio
import ssl
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from types import SimpleNamespace
from typing import Final, NamedTuple, Protocol

import aiohttp
from yarl import URL

from gateway_runtime.engine.retry import Outcome

MAX_CONNECTIONS: Final = 4096
"""To all providers together; a guess that stays below the usual limit of open files with a caller for each.
"""

IDLE_CONNECTION_S: Final = 4.0
"""uvicorn, under most self-hosted models, drops an idle connection after 5 s; a longer wait here would race
it.
"""

LINGER_S: Final = 1.0
"""For the end of a stream's body behind its last event. A guess: it mostly comes in the same packet."""

MAX_HEADER_BYTES: Final = 32 * 1024
"""Providers behind CDNs send cookies and policies; aiohttp's 8 KiB has been too little for some."""


class UpstreamFailure(Exception):
    """No usable answer. `reason` is one clause for a person, without secrets: `connection refused`."""

    def __init__(self, outcome: Outcome, reason: str) -> None:
        super().__init__(reason)
        self.outcome = outcome
        self.reason = reason


class UpstreamRequest(NamedTuple):
    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes | None
    connect_s: float


class UpstreamAnswer(Protocol):
    status: int
    headers: Mapping[str, str]
    """Names are matched without regard to case."""

    def whole(self) -> bytes | None:
        """The whole body, when it has come already; asked before anything else is read of it."""

    async def next_chunk(self) -> bytes:
        """The next piece of the body as it arrives; empty at its end. Raises UpstreamFailure when it breaks
        off before.
        """

    def linger(self) -> None:
        """What is left matters to nobody. If it is only the end of the body, and that comes soon, then the
        connection can be used again; otherwise it is closed. Nobody waits for it.
        """

    def close(self) -> None:
        """Gives up what was not read. May be called again."""


class Transport(Protocol):
    async def send(self, request: UpstreamRequest, connected: Callable[[], None]) -> UpstreamAnswer:
        """Returns when the head of the answer is there. Calls `connected` when a connection is at hand and
        the request goes out. Raises UpstreamFailure. A cancelled call leaves no connection behind.
        """

    async def close(self) -> None:
        """Closes all connections."""


class AiohttpTransport:
    """One session for all providers: kept connections, no cookies, no redirects, bodies as they come."""

    def __init__(self) -> None:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=MAX_CONNECTIONS, keepalive_timeout=IDLE_CONNECTION_S),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            trust_env=False,
            max_line_size=MAX_HEADER_BYTES,
            max_field_size=MAX_HEADER_BYTES,
            skip_auto_headers=("User-Agent", "Accept-Encoding", "Content-Type"),
            trace_configs=[_build_trace()],
        )
        self._lingering: set[_AiohttpAnswer] = set()

    async def send(self, request: UpstreamRequest, connected: Callable[[], None]) -> UpstreamAnswer:
        with _map_errors(request.connect_s):
            response = await self._session.request(
                request.method,
                _parse_url(request.url),
                data=request.body,
                headers=request.headers,
                allow_redirects=False,
                timeout=aiohttp.ClientTimeout(total=None, connect=request.connect_s),
                trace_request_ctx=connected,
            )
        return _AiohttpAnswer(response, self._lingering)

    async def close(self) -> None:
        for answer in tuple(self._lingering):
            answer.close()
        await self._session.close()


class _AiohttpAnswer:
    __slots__ = ("_lingering", "_response", "headers", "status")

    def __init__(self, response: aiohttp.ClientResponse, lingering: "set[_AiohttpAnswer]") -> None:
        self._response = response
        self._lingering = lingering
        self.status = response.status
        self.headers: Mapping[str, str] = response.headers

    def whole(self) -> bytes | None:
        return None  # aiohttp does not tell

    async def next_chunk(self) -> bytes:
        with _map_errors(connect_s=0):
            return await self._response.content.readany()

    def linger(self) -> None:
        if self._response.connection is not None:
            self._lingering.add(self)
            asyncio.get_running_loop().call_later(LINGER_S, self.close)

    def close(self) -> None:
        self._lingering.discard(self)
        self._response.close()


def _build_trace() -> aiohttp.TraceConfig:
    """aiohttp tells the moment of connection only to tracers."""

    async def note_connected(
        _session: aiohttp.ClientSession, context: SimpleNamespace, _parameters: object
    ) -> None:
        context.trace_request_ctx()

    trace = aiohttp.TraceConfig()
    trace.on_connection_create_end.append(note_connected)
    trace.on_connection_reuseconn.append(note_connected)
    return trace


@contextmanager
def _map_errors(connect_s: float) -> Iterator[None]:
    """Most specific first: aiohttp's connection timeout is a TimeoutError and an OSError too."""
    try:
        yield
    except aiohttp.ConnectionTimeoutError as error:
        raise UpstreamFailure(Outcome.CONNECT_FAILED, f"no connection within {connect_s:g} s") from error
    except aiohttp.ClientConnectorCertificateError as error:
        problem = error.certificate_error
        why = problem.verify_message if isinstance(problem, ssl.SSLCertVerificationError) else str(problem)
        raise UpstreamFailure(Outcome.CONNECT_FAILED, f"certificate not accepted: {why}") from error
    except aiohttp.ClientConnectorDNSError as error:
        raise UpstreamFailure(Outcome.CONNECT_FAILED, f"host name {error.host} not found") from error
    except aiohttp.ClientConnectorError as error:
        raise UpstreamFailure(Outcome.CONNECT_FAILED, _describe_os_error(error.os_error)) from error
    except aiohttp.InvalidURL as error:
        raise UpstreamFailure(Outcome.CONNECT_FAILED, f"not a URL: {error}") from error
    except aiohttp.ClientResponseError as error:
        # The parser's text quotes what the other side sent; that belongs in no message to a caller.
        raise UpstreamFailure(Outcome.MALFORMED, "the answer is not HTTP") from error
    except aiohttp.ServerDisconnectedError as error:
        raise UpstreamFailure(Outcome.RESET, "the connection was closed before an answer came") from error
    except aiohttp.ClientPayloadError as error:
        raise UpstreamFailure(Outcome.RESET, "the answer was cut off") from error
    except (aiohttp.ClientError, ConnectionError) as error:
        raise UpstreamFailure(Outcome.RESET, "the connection was reset") from error


def _describe_os_error(error: OSError) -> str:
    """`Connect call failed ('127.0.0.1', 1)` becomes `connection refused`."""
    match error:
        case ConnectionRefusedError():
            return "connection refused"
        case ConnectionResetError():
            return "connection reset"
    return (error.strerror or str(error)).lower()


@lru_cache(maxsize=8192)
def _parse_url(url: str) -> URL:
    """20 µs otherwise, for each attempt. Bounded by endpoints times paths, not by callers."""
    return URL(url)
