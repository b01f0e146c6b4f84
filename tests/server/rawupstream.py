"""An upstream that says exactly the bytes it is told to, for what no decent server does: garbage, cuts,
resets.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from tests.server.rig import read_head

Script = Callable[["RawUpstream", asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]

STREAM_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"


class RawUpstream:
    def __init__(self, script: Script) -> None:
        self._script = script
        self.connections = 0
        self.requests = 0
        self.url = ""
        self.release = asyncio.Event()
        """For scripts that wait for the test."""
        self.reached = asyncio.Event()
        """Set by each request."""

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while True:
                await read_head(reader)
                self.requests += 1
                self.reached.set()
                await self._script(self, reader, writer)
                await writer.drain()
                if writer.is_closing():
                    return
        except (asyncio.IncompleteReadError, ConnectionError):
            return
        finally:
            writer.close()


@asynccontextmanager
async def raw_upstream(script: Script) -> AsyncIterator[RawUpstream]:
    upstream = RawUpstream(script)
    server = await asyncio.start_server(upstream.handle, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    upstream.url = f"http://127.0.0.1:{port}/v1"
    try:
        yield upstream
    finally:
        server.close()


def saying(*pieces: bytes, then_close: bool = True) -> Script:
    """Answers each request with these bytes."""

    async def script(_: RawUpstream, __: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
        if then_close:
            writer.close()

    return script


def answering(body: bytes, status: str = "200 OK", headers: str = "content-type: application/json") -> Script:
    """A whole answer on a connection that stays open."""
    head = f"HTTP/1.1 {status}\r\n{headers}\r\ncontent-length: {len(body)}\r\n\r\n".encode()
    return saying(head + body, then_close=False)


def chunk(data: bytes) -> bytes:
    """As chunked transfer encoding frames it."""
    return b"%x\r\n%b\r\n" % (len(data), data)
