"""The transport towards providers: one request out, one answer back, nothing decided.

`request` and `probe` call it through `Transport`, which is all that they know of it; `AiohttpTransport` is the
plain engine behind it. Every foreign exception is mapped here, once, to an `UpstreamFailure` that carries the
`Outcome` which circuit and retry judge.

The one subtle rule: an answer that was not read to its end must be closed, which closes its connection; one
that was read to its end has given the connection back to the pool by itself.
"""

from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from typing import Final, NamedTuple, Protocol

import aiohttp
from yarl import URL

from gateway_runtime.engine.retry import Outcome

MAX_CONNECTIONS: Final = 4096
"""To all providers together; a guess that stays below the usual limit of open files with a caller for each."""

IDLE_CONNECTION_S: Final = 4.0
"""uvicorn, under most self-hosted models, drops an idle connection after 5 s; a longer wait here would race it."""

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

    async def read(self, limit_bytes: int) -> bytes:
        """The whole body. Raises UpstreamFailure, MALFORMED when it is longer than the limit."""

    def chunks(self) -> AsyncIterator[bytes]:
        """The body as it arrives. Raises UpstreamFailure when it breaks off."""

    def close(self) -> None:
        """Closes the connection unless the body was read to its end. May be called again."""


class Transport(Protocol):
    async def send(self, request: UpstreamRequest) -> UpstreamAnswer:
        """Returns when the head of the answer is there. Raises UpstreamFailure. A cancelled call leaves no
        connection behind.
        """

    async def close(self) -> None: ...


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
        )

    async def send(self, request: UpstreamRequest) -> UpstreamAnswer:
        with _map_errors(request.connect_s):
            response = await self._session.request(
                request.method,
                _parse_url(request.url),
                data=request.body,
                headers=request.headers,
                allow_redirects=False,
                timeout=aiohttp.ClientTimeout(total=None, connect=request.connect_s),
            )
        return _AiohttpAnswer(response)

    async def close(self) -> None:
        await self._session.close()


class _AiohttpAnswer:
    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self._response = response
        self.status = response.status
        self.headers: Mapping[str, str] = response.headers

    async def read(self, limit_bytes: int) -> bytes:
        parts: list[bytes] = []
        size = 0
        async for chunk in self.chunks():
            parts.append(chunk)
            size += len(chunk)
            if size > limit_bytes:
                raise UpstreamFailure(Outcome.MALFORMED, f"the answer is longer than {limit_bytes} bytes")
        return parts[0] if len(parts) == 1 else b"".join(parts)

    async def chunks(self) -> AsyncIterator[bytes]:
        content = self._response.content
        while True:
            with _map_errors(connect_s=None):
                chunk = await content.readany()
            if not chunk:
                return
            yield chunk

    def close(self) -> None:
        self._response.close()


@contextmanager
def _map_errors(connect_s: float | None) -> Iterator[None]:
    """Most specific first: aiohttp's tree has a connection timeout that is also an OSError."""
    try:
        yield
    except aiohttp.ConnectionTimeoutError as error:
        raise UpstreamFailure(Outcome.CONNECT_FAILED, f"no connection within {connect_s:g} s") from error
    except aiohttp.ClientConnectorCertificateError as error:
        raise UpstreamFailure(
            Outcome.CONNECT_FAILED, f"certificate not accepted: {error.certificate_error}"
        ) from error
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
    except (aiohttp.ClientPayloadError, aiohttp.ClientError, OSError) as error:
        raise UpstreamFailure(Outcome.RESET, "the connection broke in the middle") from error


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
