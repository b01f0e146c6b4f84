"""One gateway's connection, from its Hello to its end: one task reads, one writes.

In: the WebSocket and who is at the other end. Out: what the gateway says, to the `Desk`; what the desk
offers, to the gateway. `server` makes one per connection.

The one subtle rule: one version is under way at a time. The next is sent after the answer to the last, and it
is whatever is newest then: a slow gateway skips what came between, and a delta always starts from buckets
that the gateway is known to have.
"""

import asyncio
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Final, Protocol

import structlog
from aiohttp import WSCloseCode, WSMsgType, web

from gateway_runtime.contract.health import HealthReport
from gateway_runtime.contract.ids import GatewayId
from gateway_runtime.contract.stream import (
    Ack,
    Hello,
    MalformedMessage,
    Nack,
    Share,
    Upward,
    Version,
    encode_message,
    parse_upward,
)
from headgate_operator.publish.callers import Caller
from headgate_operator.publish.offer import Offer

log = structlog.get_logger()

MAX_REASON_BYTES: Final = 123  # RFC 6455, 5.5: a control frame's 125 without the code


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long a session waits for the other side."""

    hello_s: float = 10.0
    answer_s: float = 60.0
    """From the last byte of a version to its answer. The largest table takes a gateway about a second."""
    send_s: float = 30.0
    """One frame of half a megabyte: 17 KB/s, slower than any network that a gateway should run on."""
    close_s: float = 3.0


class Unwelcome(Exception):
    """This Hello cannot be served; the message tells the gateway why."""


class Desk(Protocol):
    """What a session asks of the leader. None of it waits."""

    @property
    def offer(self) -> Offer | None: ...

    def join(self, session: "Session", hello: Hello) -> GatewayId:
        """What the gateway is called from here on. Raises Unwelcome."""

    def leave(self, session: "Session") -> None: ...

    def hear_answer(self, session: "Session", answer: Ack | Nack) -> None: ...

    def hear_report(self, session: "Session", report: HealthReport) -> None: ...


class Session:
    def __init__(
        self,
        socket: web.WebSocketResponse,
        transport: asyncio.Transport,
        caller: Caller,
        desk: Desk,
        full_syncs: asyncio.Semaphore,
        patience: Patience = Patience(),
    ) -> None:
        """`full_syncs`: shared by all sessions; bounds how many large tables are under way at once."""
        self._socket = socket
        self._transport = transport
        self._desk = desk
        self._full_syncs = full_syncs
        self._wake = asyncio.Event()
        self._share: Share | None = None
        self._share_sent: Share | None = None
        self._have: tuple[str, ...] = ()
        self._runs: Version | None = None
        self._awaiting: Offer | None = None
        self._answer_by_s = 0.0
        self._refused: Offer | None = None
        self._reports_heard = 0
        self._ending: tuple[int, str] | None = None
        self._sending: asyncio.Timeout | None = None
        self._patience = patience
        self.caller = caller
        self.gateway: GatewayId | None = None

    def wake(self) -> None:
        """There is something new on offer."""
        self._wake.set()

    def give_share(self, share: Share) -> None:
        self._share = share
        self._wake.set()

    def end(self, code: int, reason: str) -> None:
        """Closes the connection, at once even when a send is under way."""
        if self._ending is None:
            self._ending = (code, reason)
            self._wake.set()
            if self._sending is not None and not self._sending.expired():
                self._sending.reschedule(asyncio.get_running_loop().time())

    async def run(self) -> None:
        try:
            hello = await self._receive_hello()
            if hello is None:
                return
            self.gateway = self._desk.join(self, hello)
        except (Unwelcome, MalformedMessage, TimeoutError) as error:
            reason = str(error) or f"no Hello within {self._patience.hello_s:g} s"
            log.warning(
                "gateway turned away", account=self.caller.account, pod=self.caller.pod, reason=reason
            )
            await self._close(WSCloseCode.POLICY_VIOLATION, reason)
            return
        self._have, self._runs = hello.bucket_digests, hello.version
        self._wake.set()
        async with asyncio.TaskGroup() as group:
            writer = group.create_task(self._write())
            try:
                await self._read()
            except MalformedMessage as error:
                log.warning("gateway speaks out of turn", gateway=self.gateway, reason=str(error))
                self.end(WSCloseCode.POLICY_VIOLATION, str(error))
            finally:
                self._desk.leave(self)
                if self._ending is None:
                    writer.cancel()

    async def _receive_hello(self) -> Hello | None:
        """None when the other side hangs up without a word."""
        async with asyncio.timeout(self._patience.hello_s):
            frame = await self._socket.receive()
        if frame.type in (WSMsgType.CLOSE, WSMsgType.CLOSING, WSMsgType.CLOSED):
            return None
        if frame.type is not WSMsgType.TEXT:
            raise MalformedMessage("the first frame is not a Hello in JSON text")
        message = parse_upward(frame.data)
        if not isinstance(message, Hello):
            raise MalformedMessage(f"the first message is {type(message).__name__}, not Hello")
        return message

    async def _read(self) -> None:
        async for frame in self._socket:
            if frame.type is not WSMsgType.TEXT:
                raise MalformedMessage(f"a frame of type {frame.type.name}; the stream is JSON text")
            self._hear(parse_upward(frame.data))

    def _hear(self, message: Upward) -> None:
        match message:
            case Ack() | Nack():
                self._hear_answer(message)
            case HealthReport():
                if message.sequence <= self._reports_heard:
                    raise MalformedMessage(
                        f"report {message.sequence} after report {self._reports_heard}; reports count up"
                    )
                self._reports_heard = message.sequence
                self._desk.hear_report(self, message)
            case Hello():
                raise MalformedMessage("a second Hello; it is said once, at the beginning")

    def _hear_answer(self, answer: Ack | Nack) -> None:
        offer = self._awaiting
        if offer is None or answer.version != offer.version:
            return  # an answer to a version that has been replaced says nothing any more
        if isinstance(answer, Nack):
            self._refused = offer
        elif answer.digest != offer.digest:
            raise MalformedMessage(
                f"version {offer.version} is acknowledged with the digest of another table"
            )
        else:
            self._have, self._runs = offer.bucket_digests, offer.version
        self._awaiting = None
        self._desk.hear_answer(self, answer)
        self._wake.set()

    async def _write(self) -> None:
        """Until the session ends. A connection that takes nothing, or no longer answers, is closed."""
        try:
            while self._ending is None:
                await self._send_what_is_due()
                await self._wait_for_news()
        except ConnectionError:
            return  # the reader sees the same, and ends the session
        except TimeoutError:
            if self._ending is None:
                version = self._awaiting.version if self._awaiting else None
                log.warning("gateway does not answer", gateway=self.gateway, version=str(version))
                self._ending = (WSCloseCode.POLICY_VIOLATION, f"no answer to version {version} in time")
        if self._ending is not None:
            await self._close(*self._ending)

    async def _wait_for_news(self) -> None:
        async with asyncio.timeout_at(None if self._awaiting is None else self._answer_by_s):
            await self._wake.wait()
        self._wake.clear()

    async def _send_what_is_due(self) -> None:
        if self._share is not None and self._share != self._share_sent:
            share = self._share
            await self._send(encode_message(share))
            self._share_sent = share
        offer = self._desk.offer
        if offer is None or self._awaiting is not None or self._ending is not None:
            return
        if offer.version == self._runs or offer is self._refused:
            return
        self._awaiting = offer
        frames = offer.frames_from(self._have)
        async with self._full_syncs if len(frames) > 1 else nullcontext():
            for frame in frames:
                await self._send(frame)
        self._answer_by_s = asyncio.get_running_loop().time() + self._patience.answer_s

    async def _send(self, frame: bytes) -> None:
        """Raises TimeoutError when the other side takes nothing, or when `end` has cut it short."""
        if self._ending is not None:
            raise TimeoutError
        try:
            async with asyncio.timeout(self._patience.send_s) as self._sending:
                await self._socket.send_frame(frame, WSMsgType.TEXT)  # bytes: nobody decodes them on the way
        finally:
            self._sending = None

    async def _close(self, code: int, reason: str) -> None:
        message = reason.encode()[:MAX_REASON_BYTES].decode(errors="ignore").encode()
        try:
            async with asyncio.timeout(self._patience.close_s):
                await self._socket.close(code=code, message=message)
        except TimeoutError:
            self._transport.abort()
