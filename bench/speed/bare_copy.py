"""What moving bytes costs in Python when nobody looks at them: each connection is joined to one of the
upstream's, and what one socket gives the other gets. `bare_copy.py PORT UPSTREAM_PORT`
"""

import asyncio
import sys


class Side(asyncio.Protocol):
    """One of two joined connections."""

    def __init__(self, upstream: int | None) -> None:
        """upstream: its port, on the callers' side; None on the other."""
        self.upstream = upstream
        self.other: Side | None = None
        self.transport: asyncio.Transport | None = None
        self.early = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        if self.upstream is not None:
            self.joining = asyncio.create_task(self.join(self.upstream))

    async def join(self, upstream: int) -> None:
        loop = asyncio.get_running_loop()
        _, self.other = await loop.create_connection(lambda: Side(None), "127.0.0.1", upstream)
        self.other.other = self
        if self.other.transport is not None:
            self.other.transport.write(self.early)

    def data_received(self, data: bytes) -> None:
        if self.other is None or self.other.transport is None:
            self.early += data
        else:
            self.other.transport.write(data)

    def connection_lost(self, exc: Exception | None) -> None:
        if self.other is not None and self.other.transport is not None:
            self.other.transport.close()


async def main(port: int, upstream: int) -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Side(upstream), "127.0.0.1", port, backlog=4096)
    await server.serve_forever()


asyncio.run(main(int(sys.argv[1]), int(sys.argv[2])))
