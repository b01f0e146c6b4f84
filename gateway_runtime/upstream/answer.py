"""An answer whose head is there and whose body is coming: what `Transport.send` returns.

`server` reads it; `connection` fills it. It owns its unread pieces, so the connection can already carry the
next request while the last pieces of this answer wait to be read.

The one subtle rule: what came before a break is handed out before the break is told.
"""

import asyncio
from collections.abc import Callable, Mapping
from typing import Protocol

from gateway_runtime.upstream.exchange import UpstreamFailure


class Source(Protocol):
    """The connection, as the answer knows it."""

    def note_taken(self) -> None:
        """Everything that had come was read; more may come."""

    def linger(self) -> None: ...

    def abort(self) -> None: ...


class Answer:
    __slots__ = (
        "_failure",
        "_loop",
        "_parts",
        "_pumped",
        "_source",
        "_take",
        "_waiter",
        "headers",
        "status",
    )

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        source: Source | None,
        status: int,
        headers: Mapping[str, str],
        parts: list[bytes],
    ) -> None:
        """source: None for an answer that is whole. parts: the parser's own list, to which pieces are added
        as they come.
        """
        self._loop = loop
        self._source = source
        self._parts = parts
        self._failure: UpstreamFailure | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._take: Callable[[bytes], bool] | None = None
        self._pumped: asyncio.Future[bool]
        """Set with `_take`."""
        self.status = status
        self.headers = headers
        """Names are matched without regard to case; of a name that came twice, the first is found."""

    def whole(self) -> bytes | None:
        """The whole body, when it has come already; asked before anything else is read of it. It stays
        unread: `next_chunk` gives it too.
        """
        if self._source is not None or self._failure is not None:
            return None
        parts = self._parts
        if len(parts) != 1:
            parts[:] = (b"".join(parts),)
        return parts[0]

    async def next_chunk(self) -> bytes:
        """All that has come by now, in one piece; empty at the end. Raises UpstreamFailure where it breaks
        off. One reader at a time.
        """
        parts = self._parts
        while not parts:
            if self._failure is not None:
                raise self._failure
            if self._source is None:
                return b""
            self._waiter = self._loop.create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        chunk = parts[0] if len(parts) == 1 else b"".join(parts)
        parts.clear()
        if self._source is not None:
            self._source.note_taken()
        return chunk

    async def pump(self, take: Callable[[bytes], bool]) -> bool:
        """See `exchange.UpstreamAnswer`."""
        self._take = take
        pumped: asyncio.Future[bool] = self._loop.create_future()
        self._pumped = pumped
        self._deliver()
        try:
            return await pumped
        finally:
            self._take = None

    def linger(self) -> None:
        """What is left matters to nobody. If it is only the end of the body, and that comes soon, then the
        connection can be used again; otherwise it is closed. Nobody waits for it.
        """
        if self._source is not None:
            self._source.linger()

    def close(self) -> None:
        """Gives up what was not read, and with it the connection, at once. May be called again."""
        if self._source is not None:
            self._parts.clear()
            self._source.abort()

    # What follows is called by the connection.

    def wake(self) -> None:
        if self._take is not None:
            self._deliver()
        elif self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def end(self, failure: UpstreamFailure | None) -> None:
        """No more pieces come. failure: why the answer is not whole."""
        self._source = None
        self._failure = failure
        self.wake()

    def _deliver(self) -> None:
        """To `take`, until it has enough."""
        pumped = self._pumped
        if self._take is None or pumped.done():
            return  # whoever pumped was cancelled, or has enough and has not come to it yet
        parts = self._parts
        if parts:
            chunk = parts[0] if len(parts) == 1 else b"".join(parts)
            parts.clear()
            if self._source is not None:
                self._source.note_taken()
            try:
                if not self._take(chunk):
                    pumped.set_result(True)
                    return
            except Exception as error:
                pumped.set_exception(error)
                return
        if self._failure is not None:
            pumped.set_exception(self._failure)
        elif self._source is None:
            pumped.set_result(False)
