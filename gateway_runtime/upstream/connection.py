"""One connection to a provider: a request out, an answer in, the next request.

`pool` keeps it between requests; `transport` calls `exchange`, or `start` where no task is to wait. No task
runs here but for a body that comes in pieces: the event loop calls, and the head of the answer, or the
failure, is told to one function. It is long because all that can happen to a socket changes one state.

    state      what comes        what follows
    FRESH      start             BUSY
               anything else     CLOSED, and exchange tells why
    IDLE       start             BUSY
               bytes, end        CLOSED: nobody asked
    BUSY       last byte         IDLE when the answer allows it and the request went out whole, else CLOSED
               linger            LINGERING
               bad bytes, end    CLOSED, and whoever waits is told
    LINGERING  last byte         IDLE, as above
               too much, end     CLOSED
    any        abort             CLOSED
    CLOSED     anything          nothing

The one subtle rule: a request's place in the pool belongs to the connection from `start` until the answer
ends. Only DiedIdle hands it back to the caller, who goes on with it.
"""

import asyncio
from collections.abc import Callable
from contextlib import aclosing
from enum import Enum
from typing import Final, Protocol, cast

from gateway_runtime.engine.retry import Outcome
from gateway_runtime.upstream.answer import Answer
from gateway_runtime.upstream.exchange import LINGER_S, DiedIdle, SentBody, UpstreamFailure
from gateway_runtime.upstream.failure import describe_error
from gateway_runtime.upstream.parser import AnswerParser

_CHUNKED: Final = b"transfer-encoding: chunked\r\n\r\n"

MAX_UNREAD_BYTES: Final = 64 * 1024
"""Of an answer that nobody reads: then the socket is not read either, and the provider has to wait. With the
256 KiB that asyncio may read at once, a stream whose caller is slow holds at most 320 KiB.
"""

SLICE_BYTES: Final = 256 * 1024
"""A larger body goes out in such pieces, each when the one before has left; asyncio would copy all that the
socket does not take at once.
"""

JOIN_BYTES: Final = 64 * 1024
"""Up to here the body is copied behind the head. Above, uvloop gets both as they are and sends them in one
system call, which saves 18 of 154 µs with 100 KB; asyncio's own loop copies.
"""


class State(Enum):
    FRESH = "fresh"
    IDLE = "idle"
    BUSY = "busy"
    LINGERING = "lingering"
    CLOSED = "closed"


_FRESH, _IDLE, _BUSY, _LINGERING, _CLOSED = State
"""A member found by name costs ten times as much (until Python 3.12), and ten are needed for each request."""


class Keeper(Protocol):
    """The pool, as the connection knows it."""

    def welcome(self, connection: "Connection") -> None:
        """Its socket is open, and its TLS stands."""

    def forget(self, connection: "Connection") -> None:
        """Its socket is closed."""

    def leave(self) -> None:
        """A request has ended; its place is free."""

    def begin_linger(self) -> None: ...

    def end_linger(self) -> None: ...

    def keep(self, connection: "Connection") -> bool:
        """For the next request. False: it is not wanted."""

    def discard(self, connection: "Connection") -> None:
        """It was idle and is no more."""


Tell = Callable[[Answer | UpstreamFailure], bool]
"""Takes an answer as soon as its head is there, or why there is none. False: nobody wants it any more."""


class Connection(asyncio.Protocol):
    __slots__ = (
        "_answer",
        "_early",
        "_holds_place",
        "_keeper",
        "_linger_timer",
        "_loop",
        "_parser",
        "_reading_paused",
        "_sender",
        "_sends_body",
        "_tell",
        "_transport",
        "_unsent",
        "_used_before",
        "_writable",
        "_writing_paused",
        "state",
    )

    def __init__(self, loop: asyncio.AbstractEventLoop, keeper: Keeper) -> None:
        self._loop = loop
        self._keeper = keeper
        self._parser = AnswerParser()
        self._transport: asyncio.Transport
        """Set by `connection_made`, before anything else happens."""
        self._tell: Tell | None = None
        """Set while the head of an answer is waited for."""
        self._answer: Answer | None = None
        self._early: UpstreamFailure | None = None
        """Why it was closed before its first request."""
        self._unsent: memoryview | None = None
        self._sends_body = False
        """A body goes out piece by piece, and has not ended."""
        self._sender: asyncio.Task[None] | None = None
        """Sends it."""
        self._writable: asyncio.Future[None] | None = None
        """Set when a piece waits for the socket."""
        self._linger_timer: asyncio.TimerHandle
        """Set while LINGERING."""
        self._holds_place = False
        self._used_before = False
        self._reading_paused = False
        self._writing_paused = False
        self.state = _FRESH

    async def exchange(
        self,
        method: str,
        head: bytes,
        body: bytes | None,
        connected: Callable[[], None],
        *,
        keeps_head: bool = False,
    ) -> Answer:
        """Sends and waits for the head of the answer. Raises DiedIdle, which alone leaves the place in the
        pool to the caller, and UpstreamFailure. Cancelled, it closes the connection.
        """
        if self._early is not None:
            self._keeper.leave()
            raise self._early
        waiter: asyncio.Future[Answer | UpstreamFailure] = self._loop.create_future()

        def tell(result: Answer | UpstreamFailure) -> bool:
            if waiter.done():
                return False  # cancelled in this very step
            waiter.set_result(result)
            return True

        try:
            connected()
        except BaseException:
            self.abort()
            self._keeper.leave()
            raise
        self.start(method, head, body, tell, keeps_head=keeps_head)
        try:
            result = await waiter
        except BaseException:
            if self._tell is tell:
                self.abort()
            elif not waiter.cancelled():
                self._give_up(waiter.result())
            raise
        if isinstance(result, Answer):
            return result
        raise result

    async def exchange_body(
        self,
        method: str,
        head: bytes,
        body: SentBody,
        connected: Callable[[], None],
        *,
        keeps_head: bool = False,
    ) -> Answer:
        """The same for a body that comes in pieces: they go out beside, in a task that `_close` ends. An
        answer that refuses it before it is whole stops it; the connection is not used again then. Raises what
        `body` raises, too.
        """
        chunked = head.endswith(_CHUNKED)
        broken: list[Exception] = []
        self._sends_body = True

        async def send() -> None:
            try:
                async with aclosing(body.chunks()) as pieces:
                    async for piece in pieces:
                        await self._write_piece(b"%x\r\n%b\r\n" % (len(piece), piece) if chunked else piece)
            except Exception as error:
                broken.append(error)
                self.abort()
            else:
                if chunked:
                    await self._write_piece(b"0\r\n\r\n")
                self._sends_body = False

        def begin() -> None:
            connected()
            self._sender = self._loop.create_task(send())

        try:
            answer = await self.exchange(method, head, None, begin, keeps_head=keeps_head)
        except UpstreamFailure:
            if broken:
                raise broken[0] from None
            raise
        if answer.status >= 300:
            self._stop_sending()
        return answer

    def start(
        self, method: str, head: bytes, body: bytes | None, tell: Tell, *, keeps_head: bool = False
    ) -> None:
        """Sends. `tell` is called once, by `abort` too. An answer that comes all at once is told when it is
        whole, and then the connection may carry another request already.
        """
        self.state = _BUSY
        self._holds_place = True
        self._tell = tell
        try:
            self._parser.expect(method, keeps_head=keeps_head)
            self._write(head, body)
        except BaseException:
            self.abort()
            raise

    # What the answer asks for.

    def note_taken(self) -> None:
        self._parser.unread_bytes = 0
        self._resume_reading()

    def linger(self) -> None:
        if self.state is not _BUSY:
            return
        self.state = _LINGERING
        self._keeper.begin_linger()
        self._leave_place()
        self._linger_timer = self._loop.call_later(LINGER_S, self.abort)
        self.note_taken()

    def abort(self) -> None:
        """Closes at once, without ceremony: whoever waits for an answer learns that it was given up."""
        self._close(UpstreamFailure(Outcome.CANCELLED, "the answer was given up"))

    # What the event loop calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is none by type
        self._keeper.welcome(self)

    def data_received(self, data: bytes) -> None:
        if self.state is not _BUSY and self.state is not _LINGERING:
            self._close(UpstreamFailure(Outcome.MALFORMED, "bytes came before the request was sent"))
            return
        parser = self._parser
        problem = parser.feed(data)
        answer = self._answer
        if answer is not None:
            answer.wake()
        elif parser.headers is not None:
            if parser.complete and parser.reusable and self._unsent is None and not self._sends_body:
                answer = Answer(self._loop, None, parser.status, parser.headers, parser.parts)
                self._become_idle()
                self._tell_result(answer)
                return
            answer = self._answer = Answer(self._loop, self, parser.status, parser.headers, parser.parts)
            if not self._tell_result(answer):
                self.abort()
                return
        if parser.complete:
            self._finish()
        elif problem is not None:
            self._close(UpstreamFailure(Outcome.MALFORMED, problem))
        elif parser.unread_bytes > MAX_UNREAD_BYTES:
            self._bound_unread()

    def eof_received(self) -> None:
        self._note_end(None)

    def connection_lost(self, exc: Exception | None) -> None:
        self._note_end(exc)
        self._keeper.forget(self)

    def pause_writing(self) -> None:
        self._writing_paused = True

    def resume_writing(self) -> None:
        self._writing_paused = False
        self._write_more()
        if self._writable is not None and not self._writable.done():
            self._writable.set_result(None)

    # How it goes on.

    def _write(self, head: bytes, body: bytes | None) -> None:
        if self._transport.is_closing():
            return  # `connection_lost` tells in a moment; uvloop would raise here
        if not body:
            self._transport.write(head)
        elif len(body) <= JOIN_BYTES:
            self._transport.write(head + body)
        elif len(body) <= SLICE_BYTES:
            self._transport.writelines((head, body))
        else:
            self._transport.write(head)
            self._unsent = memoryview(body)
            self._write_more()

    def _write_more(self) -> None:
        transport = self._transport
        while self._unsent is not None and not self._writing_paused and not transport.is_closing():
            piece, rest = self._unsent[:SLICE_BYTES], self._unsent[SLICE_BYTES:]
            self._unsent = rest or None
            transport.write(piece)

    async def _write_piece(self, piece: bytes) -> None:
        """Returns when there is room for another; never, once the connection is closed: the task is ended."""
        if not self._transport.is_closing():
            self._transport.write(piece)
        if self._writing_paused or self._transport.is_closing():
            self._writable = self._loop.create_future()
            await self._writable

    def _stop_sending(self) -> None:
        sender, self._sender = self._sender, None
        if sender is not None:
            sender.cancel()

    def _bound_unread(self) -> None:
        if self.state is _LINGERING:
            self.abort()  # that is no end of a body
        elif not self._reading_paused:
            self._reading_paused = True
            self._transport.pause_reading()

    def _resume_reading(self) -> None:
        if self._reading_paused:
            self._reading_paused = False
            self._transport.resume_reading()

    def _finish(self) -> None:
        """The answer is whole."""
        if not self._parser.reusable or self._unsent is not None or self._sends_body:
            self._close(None)
            return
        answer, self._answer = self._answer, None
        assert answer is not None
        answer.end(None)
        self._become_idle()

    def _become_idle(self) -> None:
        before, self.state = self.state, _IDLE
        self._used_before = True
        self._end_request(before)
        self._resume_reading()
        if not self._keeper.keep(self):
            self._close(None)

    def _note_end(self, error: Exception | None) -> None:
        """The other side closed, or the network failed."""
        if self.state is _CLOSED:
            return
        parser = self._parser
        if self.state is _BUSY and parser.untouched:
            hung_up = error is None or isinstance(error, ConnectionError)
            if self._used_before and hung_up:
                self._close(DiedIdle(Outcome.RESET, describe_end(error, begun=False)))
            else:
                self._close(UpstreamFailure(Outcome.RESET, describe_end(error, begun=False)))
        elif error is None and parser.finish():
            self._close(None)
        else:
            begun = self.state is not _FRESH
            self._close(UpstreamFailure(Outcome.RESET, describe_end(error, begun=begun)))

    def _close(self, failure: UpstreamFailure | None) -> None:
        """failure: None when the answer, if there is one, is whole."""
        before, self.state = self.state, _CLOSED
        if before is _CLOSED:
            return
        self._transport.abort()
        self._unsent = None
        self._stop_sending()
        if before is _FRESH:
            self._early = failure
        elif before is _IDLE:
            self._keeper.discard(self)
        else:
            answer, self._answer = self._answer, None
            if isinstance(failure, DiedIdle):
                self._holds_place = False
            self._end_request(before)
            if answer is not None:
                answer.end(failure)
            elif failure is not None:
                self._tell_result(failure)

    def _end_request(self, before: State) -> None:
        """Gives back what the request held in the pool. before: BUSY or LINGERING."""
        if before is _LINGERING:
            self._linger_timer.cancel()
            self._keeper.end_linger()
        else:
            self._leave_place()

    def _leave_place(self) -> None:
        if self._holds_place:
            self._holds_place = False
            self._keeper.leave()

    def _tell_result(self, result: Answer | UpstreamFailure) -> bool:
        """False when nobody wants it any more."""
        tell, self._tell = self._tell, None
        if tell is None:
            return False
        if tell(result):
            return True
        if isinstance(result, DiedIdle):
            self._keeper.leave()
        return False

    def _give_up(self, result: Answer | UpstreamFailure) -> None:
        """What was told and will not be looked at."""
        if isinstance(result, Answer):
            result.close()  # if it is whole already, the connection may carry another request by now
        elif isinstance(result, DiedIdle):
            self._keeper.leave()


def describe_end(error: Exception | None, *, begun: bool) -> str:
    """error: None for a clean end. begun: a part of the answer had come."""
    if error is None:
        return "the answer was cut off" if begun else "the connection was closed before an answer came"
    if isinstance(error, OSError) and not isinstance(error, ConnectionError):
        return describe_error(error)
    return "the connection was reset"
