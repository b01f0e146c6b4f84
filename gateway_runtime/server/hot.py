"""The straight way from a socket to `front`: the ordinary request, without aiohttp between.

In: connections of the front port. Out: an `Incoming` for each completion or embedding that comes as SDKs
send it. Anything else (another path, a chunked or compressed body, a head in two pieces, what is not quite
HTTP) is not judged here: the connection, with all it has sent, goes to aiohttp and stays there.

`head` says what is ordinary. The one subtle rule: a request begins before its body is whole, so that nobody
without a key can make us hold one; a body that nobody wants is read and thrown away for a moment, since a
close in the middle of it would be a reset, which hides our answer.
"""

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from email.utils import formatdate
from functools import partial
from http import HTTPStatus
from typing import Final, cast

from gateway_runtime.server.express import Express
from gateway_runtime.server.front import Front, Incoming
from gateway_runtime.server.head import Head, read_head
from gateway_runtime.server.plain import LINGER_S, describe_stall, find_address
from gateway_runtime.server.record import Record
from gateway_runtime.server.refusal import refuse_unreadable_body
from gateway_runtime.server.reply import CallerGone
from gateway_runtime.server.ride import Ride

KEEPALIVE_S: Final = 630.0
"""An idle connection is closed after this long: later than the load balancers before us would (AWS 60 s,
Google Cloud 600 s), since whoever closes first must not be the one that requests are sent to.
"""
SWEEP_S: Final = 30.0
MAX_PIPELINED_BYTES: Final = 64 * 1024
"""Of requests that come before the one under way is answered; then the caller has to wait."""

_STATUS_LINES: Final = {status: f"HTTP/1.1 {status} \r\n" for status in range(200, 600)} | {
    status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n" for status in HTTPStatus
}
"""Some providers' statuses are nobody's standard: 498, 529. A phrase may be empty (RFC 9112, 4)."""


class HotListener:
    """Makes connections, and knows them all."""

    def __init__(self, front: Front, hand_over: Callable[[], asyncio.Protocol]) -> None:
        """hand_over: makes the protocol that takes a connection which is not for us."""
        self.front = front
        self.hand_over = hand_over
        self.express = Express(front)
        self.now = front.room.clock.now
        """uvloop's own time is that of the loop's last turn, in milliseconds."""
        self.connections: set[HotConnection] = set()
        self.loop = asyncio.get_running_loop()
        self._dated_s = -1
        self._date = ""
        self._sweep = self.loop.call_later(SWEEP_S, self._close_forgotten)

    def __call__(self) -> "HotConnection":
        return HotConnection(self)

    def close_idle(self) -> None:
        for connection in tuple(self.connections):
            connection.close_if_idle()

    async def close(self) -> None:
        """Cuts whatever is under way."""
        self._sweep.cancel()
        self.front.load.close()
        tasks = [task for connection in tuple(self.connections) if (task := connection.abort())]
        if tasks:
            await asyncio.wait(tasks)

    def date(self) -> str:
        """As the `date` header says it; made once a second."""
        now_s = int(self.front.room.clock.unix())
        if now_s != self._dated_s:
            self._dated_s = now_s
            self._date = formatdate(now_s, usegmt=True)
        return self._date

    def _close_forgotten(self) -> None:
        latest_s = self.loop.time() - KEEPALIVE_S
        for connection in tuple(self.connections):
            connection.close_if_idle(latest_s)
        self._sweep = self.loop.call_later(SWEEP_S, self._close_forgotten)


class HotConnection(asyncio.Protocol):
    """One connection: the HTTP of it, and the `Reply` of the request under way."""

    __slots__ = (
        "_body",
        "_body_length",
        "_closing",
        "_drained",
        "_head",
        "_idle_since_s",
        "_job",
        "_listener",
        "_paused",
        "_record",
        "_rest",
        "_transport",
        "_whole",
        "begun",
    )

    def __init__(self, listener: HotListener) -> None:
        self._listener = listener
        self._transport: asyncio.Transport
        self._job: asyncio.Task[None] | Ride | None = None
        """Serves the request under way."""
        self._record: Record
        self._body: bytes | bytearray = b""
        self._body_length = 0
        self._head: Head | None = None
        """Of the last request."""
        self._whole: asyncio.Future[None] | None = None
        """Set when the body has come; made when somebody waits."""
        self._rest = b""
        """Requests behind the one under way."""
        self._closing = False
        """The last answer said so."""
        self._paused = False
        self._drained: asyncio.Future[None] | None = None
        self._idle_since_s = listener.loop.time()
        self.begun = False

    # -- what the loop tells us

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._listener.connections.add(self)

    def data_received(self, data: bytes) -> None:
        if self._closing and self._job is None:
            return  # the rest of a body that nobody wants
        if self._job is None:
            self._take(data)
        elif len(self._body) < self._body_length:
            self._take_body(data)
        else:
            self._rest += data
            if len(self._rest) > MAX_PIPELINED_BYTES:
                self._transport.pause_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        self._listener.connections.discard(self)
        self._cancel_job()

    def pause_writing(self) -> None:
        self._paused = True

    def resume_writing(self) -> None:
        self._paused = False
        if self._drained is not None and not self._drained.done():
            self._drained.set_result(None)

    # -- what the listener asks

    def close_if_idle(self, since_s: float | None = None) -> None:
        """since_s: only when it has been idle from before that."""
        if self._job is None and (since_s is None or self._idle_since_s < since_s):
            self._transport.close()

    def abort(self) -> asyncio.Task[None] | None:
        """The task that comes to its end now."""
        self._cancel_job()
        self._transport.abort()
        return self._job if isinstance(self._job, asyncio.Task) else None

    # -- one request

    def _take(self, data: bytes) -> None:
        """The beginning of a request."""
        head = self._head
        start = 0 if head is None else head.measure(data)
        if start == 0:
            self._head = head = read_head(data)
            start = 0 if head is None else head.measure(data)
        length = 0 if head is None else head.length
        if head is None or length > self._listener.front.settings.max_body_bytes:
            self._hand_over(data)
            return
        self._body_length = length
        end = start + length
        if len(data) < end:
            self._body = bytearray(data[start:])
            self._begin(head)
            return
        self._body = body = data[start:end]
        self._rest = data[end:]
        self.begun = False
        try:
            if head.is_plain and self._listener.express.begin(self, head.path, head.key, body):
                return
        except Exception as bug:
            self._begin(head, bug)
        else:
            self._begin(head)

    def _begin(self, head: Head, bug: Exception | None = None) -> None:
        """bug: to be told instead of an answer."""
        front = self._listener.front
        self.begun = False
        self._record = front.open_record(head.path, front.room.clock.now())
        read = self._read_body if bug is None else partial(_raise, bug)
        incoming = Incoming("POST", head.path, head.key, self, read, self._body_length, head.headers)
        self.go_on(front.serve(incoming, self, self._record))

    async def _serve(self, work: Coroutine[None, None, None]) -> None:
        await work
        self.rest()

    def _cancel_job(self) -> None:
        if isinstance(self._job, asyncio.Task):
            # A task that is cancelled before its first step never gets to what it would have to end.
            self._listener.loop.call_soon(self._job.cancel)
        elif self._job is not None:
            ride, self._job = self._job, None
            ride.cancel()

    # -- what it shows of its caller; see `identity.Peer`

    @property
    def address(self) -> str | None:
        return find_address(self._transport)

    def find_header(self, name: str, /) -> str | None:
        return None if self._head is None else self._head.find_header(name)

    # -- what `express` asks; see `express.Caller`

    @property
    def has_unsent(self) -> bool:
        return self._transport.get_write_buffer_size() > 0

    def occupy(self, ride: Ride, record: Record) -> None:
        self._job = ride
        self._record = record

    def go_on(self, work: Coroutine[None, None, None]) -> None:
        self._job = self._listener.loop.create_task(self._serve(work))

    def answer(self, lines: str, body: bytes) -> None:
        self._write_first(self._build_head(200, lines, f"content-length: {len(body)}\r\n") + body, 200)

    def rest(self) -> None:
        loop = self._listener.loop
        self._job = None
        self._idle_since_s = loop.time()
        if self._transport.is_closing():
            return
        if len(self._body) < self._body_length:
            loop.call_later(LINGER_S, self._transport.close)
        elif self._closing:
            self._transport.close()
        elif self._rest:
            rest, self._rest = self._rest, b""
            self._transport.resume_reading()
            self._take(rest)
        elif self._listener.front.leaving:
            self._transport.close()

    # -- how it goes on otherwise

    def _hand_over(self, data: bytes) -> None:
        self._listener.connections.discard(self)
        heir = self._listener.hand_over()
        self._transport.set_protocol(heir)
        heir.connection_made(self._transport)
        heir.data_received(data)

    async def _read_body(self) -> bytes:
        """See `Incoming`."""
        if len(self._body) == self._body_length:
            return bytes(self._body)
        idle_s = self._listener.front.settings.body_idle_s
        loop = self._listener.loop
        self._whole = loop.create_future()
        try:
            while not self._whole.done():
                size = len(self._body)
                await asyncio.wait((self._whole,), timeout=idle_s)
                if len(self._body) == size:
                    raise refuse_unreadable_body(describe_stall(size, idle_s))
        finally:
            self._whole = None
        return bytes(self._body)

    def _take_body(self, data: bytes) -> None:
        assert isinstance(self._body, bytearray)
        missing = self._body_length - len(self._body)
        self._body += data[:missing]
        if len(data) >= missing:
            self._rest = data[missing:]
            if self._whole is not None and not self._whole.done():
                self._whole.set_result(None)

    # -- its answer; see `reply.Reply`

    async def send(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        head = self._build_head(status, _write_lines(headers), f"content-length: {len(body)}\r\n")
        self._write_first(head + body, status)
        if self._paused:
            await self._drain()

    async def begin(self, status: int, headers: Mapping[str, str]) -> None:
        self.begun = True
        head = self._build_head(status, _write_lines(headers), "transfer-encoding: chunked\r\n")
        self._write_first(head, status)

    async def write(self, data: bytes) -> None:
        if not self.write_now(data):
            await self._drain()

    def write_now(self, data: bytes) -> bool:
        self._write(b"%x\r\n%b\r\n" % (len(data), data))
        return not self._paused

    async def drain(self) -> None:
        if self._paused:
            await self._drain()

    async def end(self) -> None:
        self._write(b"0\r\n\r\n")

    def cut(self) -> None:
        self._transport.close()
        # A caller that reads nothing would keep the unsent bytes, and the connection, for ever.
        self._listener.loop.call_later(LINGER_S, self._transport.abort)

    def _build_head(self, status: int, lines: str, framing: str) -> bytes:
        listener = self._listener
        self._closing = listener.front.leaving or len(self._body) < self._body_length
        close = "connection: close\r\n" if self._closing else ""
        return f"{_STATUS_LINES[status]}{lines}{close}date: {listener.date()}\r\n{framing}\r\n".encode(
            "utf-8", "surrogateescape"
        )

    def _write_first(self, data: bytes, status: int) -> None:
        """Of an answer."""
        self._write(data)
        self._record.status = status
        self._record.first_byte_s = self._listener.now()

    def _write(self, data: bytes) -> None:
        if self._transport.is_closing():
            raise CallerGone
        self._transport.write(data)

    async def _drain(self) -> None:
        self._drained = self._listener.loop.create_future()
        try:
            await self._drained
        finally:
            self._drained = None


async def _raise(bug: Exception) -> bytes:
    raise bug


def _write_lines(headers: Mapping[str, str]) -> str:
    return "".join([f"{name}: {value}\r\n" for name, value in headers.items()])
