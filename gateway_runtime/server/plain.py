"""aiohttp's way from a socket to `front`, for whatever is not ordinary: other paths, chunked or compressed
bodies, HTTP/1.0, what is not HTTP at all.

`hot` gives a connection to `PlainServer` at its first unusual request, and aiohttp keeps it from there on;
nothing else knows aiohttp's protocol class. Bodies are bounded, and idle connections can be told from busy
ones.

The subtle rule: a caller that leaves cancels its handler (`handler_cancellation`), which stops the upstream.
"""

import asyncio
from collections.abc import Awaitable, Mapping
from typing import Final

from aiohttp import HttpVersion11, web
from aiohttp.http_exceptions import LineTooLong
from aiohttp.web_protocol import RequestHandler

from gateway_runtime.providers.openai import build_error
from gateway_runtime.server.front import CALLER_LEFT, PASSED_HEADERS, Front, Incoming, find_key
from gateway_runtime.server.headers import JSON
from gateway_runtime.server.providers_api import read_visitor
from gateway_runtime.server.record import Record
from gateway_runtime.server.refusal import refuse_large_body, refuse_large_head, refuse_unreadable_body
from gateway_runtime.server.reply import CallerGone
from gateway_runtime.server.upload import Source

MAX_HEADER_BYTES: Final = 16 * 1024
PROVIDER_HEADER: Final = "x-headgate-provider"
LINGER_S: Final = 2.0
"""How long the rest of a refused body is read and thrown away, so that the caller sees the answer and no
reset.
"""


class PlainServer(web.Server):
    def __init__(self, front: Front) -> None:
        super().__init__(self._handle, handler_cancellation=True)
        self._front = front
        self._busy: set[RequestHandler] = set()
        """Connections with a request under way."""

    def __call__(self) -> RequestHandler:
        return _Connection(
            self,
            loop=asyncio.get_running_loop(),
            access_log=None,  # type: ignore[arg-type]  # aiohttp takes None, its types do not know
            max_line_size=MAX_HEADER_BYTES,
            max_field_size=MAX_HEADER_BYTES,
            lingering_time=LINGER_S,
        )

    async def close_idle(self) -> None:
        """A request that has just been read off its socket needs a few turns of the loop to become busy."""
        for _ in range(3):
            await asyncio.sleep(0)
        for connection in self.connections:
            if connection not in self._busy:
                connection.force_close()

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        front = self._front
        record = front.open_record(request.path, front.room.clock.now())
        reply = _PlainReply(front, request, record)
        settings = front.settings
        incoming = Incoming(
            request.method,
            request.path,
            read_key(request.headers),
            _PlainPeer(request),
            lambda: _read_body(request, settings.max_body_bytes, settings.body_idle_s),
            request.content_length if request.body_exists else 0,
            {name: request.headers[name] for name in PASSED_HEADERS if name in request.headers},
            request.query_string,
            _open_source(request, settings.max_upload_bytes, settings.body_idle_s),
            request.headers.get(PROVIDER_HEADER),
            read_visitor(request),
        )
        self._busy.add(request.protocol)
        try:
            await front.serve(incoming, reply, record)
        finally:
            self._busy.discard(request.protocol)
        return reply.response


class _Connection(RequestHandler):
    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """What aiohttp itself could not read; errors of handlers never come here."""
        if isinstance(exc, LineTooLong):
            error = refuse_large_head(MAX_HEADER_BYTES)
        else:
            error = refuse_unreadable_body("its head is not HTTP/1.1")
        response = web.Response(
            status=error.code.status, body=build_error(error), headers={"content-type": JSON}
        )
        response.force_close()
        return response


class _PlainPeer:
    """See `identity.Peer`."""

    def __init__(self, request: web.BaseRequest) -> None:
        self._request = request

    @property
    def address(self) -> str | None:
        transport = self._request.transport
        return None if transport is None else find_address(transport)

    def find_header(self, name: str, /) -> str | None:
        found = self._request.headers.getall(name, ())
        return found[0] if len(found) == 1 else None


class _PlainReply:
    """See `reply.Reply`."""

    def __init__(self, front: Front, request: web.BaseRequest, record: Record) -> None:
        self._front = front
        self._request = request
        self._record = record
        self.response: web.StreamResponse = web.Response(status=CALLER_LEFT)
        """Replaced by the first `send` or `begin`; a caller who left before never sees it."""
        self.begun = False
        self._held = b""

    async def send(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        self.response = web.Response(status=status, headers=headers, body=body)
        self._note_begin(status)

    async def begin(self, status: int, headers: Mapping[str, str]) -> None:
        self.response = web.StreamResponse(status=status, headers=headers)
        self._note_begin(status)
        if self._request.version < HttpVersion11:
            self.response.force_close()  # without chunks only the end of the connection ends the stream
        self.begun = True
        await self._or_gone(self.response.prepare(self._request))

    async def write(self, data: bytes) -> None:
        await self._or_gone(self.response.write(data))

    def write_now(self, data: bytes) -> bool:
        self._held = data  # aiohttp writes in coroutines alone
        return False

    async def drain(self) -> None:
        held, self._held = self._held, b""
        await self.write(held)

    async def end(self) -> None:
        await self._or_gone(self.response.write_eof())

    def cut(self) -> None:
        transport = self._request.transport
        if transport is not None:
            transport.close()
            # A caller that reads nothing would keep the unsent bytes, and the connection, for ever.
            asyncio.get_running_loop().call_later(LINGER_S, transport.abort)

    def _note_begin(self, status: int) -> None:
        self._record.status = status
        self._record.first_byte_s = self._front.room.clock.now()
        if self._front.leaving or not self._request.content.is_eof():
            self.response.force_close()  # no request can come behind a body that is not there

    async def _or_gone(self, writing: Awaitable[object]) -> None:
        try:
            await writing
        except ConnectionError as error:
            raise CallerGone from error


def find_address(transport: asyncio.BaseTransport) -> str | None:
    """At the other end. None: it is no connection of IP."""
    name = transport.get_extra_info("peername")
    return str(name[0]) if isinstance(name, tuple) else None


def read_key(headers: Mapping[str, str]) -> str | None:
    return find_key(headers.get("authorization", ""), headers.get("api-key") or headers.get("x-api-key"))


def _open_source(request: web.BaseRequest, limit_bytes: int, idle_s: float) -> Source:
    """See `upload.Source`."""
    length = request.content_length
    size = 0

    async def read() -> bytes:
        nonlocal size
        if not size:
            if (length or 0) > limit_bytes:
                raise refuse_large_body(limit_bytes)
            await _invite(request)
        piece = await _read_chunk(request, size, idle_s)
        size += len(piece)
        if size > limit_bytes:
            raise refuse_large_body(limit_bytes)
        return piece

    # What is compressed has the length of its compressed form.
    is_plain = request.headers.get("content-encoding", "identity") == "identity"
    return Source(request.headers.get("content-type", ""), length if is_plain else None, read)


async def _invite(request: web.BaseRequest) -> None:
    """Who asks first whether the body is welcome."""
    if request.headers.get("expect", "").lower() == "100-continue" and request.version >= HttpVersion11:
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        request.writer.output_size = 0  # the answer has not begun


async def _read_body(request: web.BaseRequest, limit_bytes: int, idle_s: float) -> bytes:
    """Raises GatewayError. A caller that leaves meanwhile cancels the handler."""
    if (request.content_length or 0) > limit_bytes:
        raise refuse_large_body(limit_bytes)
    await _invite(request)
    parts: list[bytes] = []
    size = 0
    while True:
        chunk = await _read_chunk(request, size, idle_s)
        if not chunk:
            return parts[0] if len(parts) == 1 else b"".join(parts)
        parts.append(chunk)
        size += len(chunk)
        if size > limit_bytes:
            raise refuse_large_body(limit_bytes)


async def _read_chunk(request: web.BaseRequest, size: int, idle_s: float) -> bytes:
    try:
        async with asyncio.timeout(idle_s):
            return await request.content.readany()
    except TimeoutError as error:
        raise refuse_unreadable_body(describe_stall(size, idle_s)) from error
    except ConnectionError as error:
        raise CallerGone from error
    except web.RequestPayloadError as error:
        raise refuse_unreadable_body("its body is not encoded as its headers say") from error


def describe_stall(size: int, idle_s: float) -> str:
    return f"its body stopped after {size} bytes and nothing came for {idle_s:g} s"
