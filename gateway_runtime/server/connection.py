"""aiohttp's server, set up for us: what is not HTTP gets an error that can be read, bodies are bounded, and
idle connections can be told from busy ones.

`front` uses it; nothing else knows aiohttp's protocol class.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from aiohttp import HttpVersion11, web
from aiohttp.web_protocol import RequestHandler

from gateway_runtime.providers.openai import build_error
from gateway_runtime.server.headers import JSON
from gateway_runtime.server.refusal import refuse_large_body, refuse_unreadable_body

MAX_HEADER_BYTES: Final = 16 * 1024
LINGER_S: Final = 2.0
"""How long the rest of a refused body is read and thrown away, so that the caller sees the answer and no
reset.
"""


class FrontServer(web.Server):
    def __init__(self, handler: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]) -> None:
        super().__init__(handler, handler_cancellation=True)
        self.busy: set[RequestHandler] = set()
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
            if connection not in self.busy:
                connection.force_close()


class _Connection(RequestHandler):
    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """What aiohttp itself could not read; errors of handlers never come here."""
        problem = f"its head is not HTTP/1.1, or has a line of more than {MAX_HEADER_BYTES} bytes"
        response = web.Response(
            status=400, body=build_error(refuse_unreadable_body(problem)), headers={"content-type": JSON}
        )
        response.force_close()
        return response


async def read_body(request: web.BaseRequest, limit_bytes: int, idle_s: float) -> bytes:
    """Raises GatewayError. A caller that leaves meanwhile cancels the handler."""
    if (request.content_length or 0) > limit_bytes:
        raise refuse_large_body(limit_bytes)
    if request.headers.get("expect", "").lower() == "100-continue" and request.version >= HttpVersion11:
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        request.writer.output_size = 0  # the answer has not begun
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
        problem = f"its body stopped after {size} bytes and nothing came for {idle_s:g} s"
        raise refuse_unreadable_body(problem) from error
    except web.RequestPayloadError as error:
        raise refuse_unreadable_body("its body is not encoded as its headers say") from error
