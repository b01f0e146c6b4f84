"""The provider of all scenarios: it finds its scenario in the path of a request and does what is drawn there.

In: `know` tells it the scenarios; `url` says where each leg is. Out: answers, or what a fault makes of them.
Leg `a` has the fault, `b` is good. All legs share one port, and so one pool of the gateway: what one scenario
does to a connection, the next one would suffer. The one subtle rule: everything that lasts ends when the
gateway closes its side, so that whatever is left at rest was left by the gateway.
"""

import asyncio
import random
import re
import socket
import struct
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final

from tests.chaos.scenario import Fault, Scenario
from tests.chaos.wire import DONE, build_body, build_error, build_head, frame

_PATH: Final = re.compile(rb"POST /([0-9]+)/([ab])/v1/")
_LENGTH: Final = re.compile(rb"\r\ncontent-length: ([0-9]+)", re.IGNORECASE)
_RESET: Final = struct.pack("ii", 1, 0)
"""SO_LINGER on, for no time: closing sends RST."""
_PAUSE_S: Final = 0.005
_CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"
_TAIL: Final = b'HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 6\r\n\r\n{"a":1}'
"""Behind an answer: the next one, as an attacker would put it there."""
NOBODY: Final = "http://127.0.0.1:1"
"""Nobody listens on port 1."""


class ChaosUpstream:
    def __init__(self) -> None:
        self._scenarios: dict[int, Scenario] = {}
        self._servers: list[asyncio.Server] = []
        self._port = self._closing_port = self._greeting_port = 0
        self.good: bytes | None = None
        self.open = 0
        """Connections now."""
        self.legs: dict[int, list[str]] = {}
        """By seed, the legs that were asked, in order."""

    async def start(self) -> None:
        for handle in (self._serve, self._close_at_once, self._greet):
            self._servers.append(await asyncio.start_server(handle, "127.0.0.1", 0, limit=2**20))
        ports = [server.sockets[0].getsockname()[1] for server in self._servers]
        self._port, self._closing_port, self._greeting_port = ports

    async def stop(self) -> None:
        for server in self._servers:
            server.close()

    def know(self, scenarios: list[Scenario]) -> None:
        self._scenarios = {scenario.seed: scenario for scenario in scenarios}
        self.legs = {scenario.seed: [] for scenario in scenarios}

    def url(self, scenario: Scenario, leg: str) -> str:
        place = f"http://127.0.0.1:{self._port}"
        if leg == "a" and scenario.fault is Fault.REFUSE:
            place = NOBODY
        elif leg == "a" and scenario.fault is Fault.ACCEPT_AND_CLOSE:
            place = f"http://127.0.0.1:{self._closing_port}"
        elif leg == "a" and scenario.fault is Fault.GREET:
            place = f"http://127.0.0.1:{self._greeting_port}"
        return f"{place}/{scenario.seed}/{leg}/v1"

    async def _close_at_once(self, _: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    async def _greet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            writer.write(_TAIL)
            await reader.read()
        writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.open += 1
        requests = 0
        try:
            while not writer.is_closing():
                head = await reader.readuntil(b"\r\n\r\n")
                found, length = _PATH.match(head), _LENGTH.search(head)
                assert found is not None, head
                assert length is not None, head
                scenario = self._scenarios.get(int(found[1]))
                if scenario is None:
                    return  # of an earlier batch
                leg = found[2].decode()
                self.legs[scenario.seed].append(leg)
                fault = scenario.fault if leg == "a" else Fault.NONE
                script = Script(scenario, leg, reader, writer, int(length[1]), requests)
                await script.play(fault)
                await writer.drain()
                requests += 1
        except (asyncio.IncompleteReadError, ConnectionError):
            return
        finally:
            self.open -= 1
            writer.close()


class Script:
    """One answer."""

    def __init__(
        self,
        scenario: Scenario,
        leg: str,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        length: int,
        before: int,
    ) -> None:
        """length: of the request's body, which is unread. before: requests on this connection before it."""
        self._scenario = scenario
        self._reader = reader
        self._writer = writer
        self._length = length
        self._before = before
        self._pieces = build_body(scenario, leg)
        self._answer = frame(scenario, self._pieces)

    async def play(self, fault: Fault) -> None:
        early = fault in (Fault.EARLY, Fault.EARLY_CLOSE)
        if fault is Fault.KEEPALIVE_RACE and self._before:
            return self._writer.close()
        if not early:
            await self._reader.readexactly(self._length)
        await _ACTS.get(fault, Script._answer_well)(self)
        if fault is Fault.EARLY:
            await self._reader.readexactly(self._length)
        return None

    async def _answer_well(self) -> None:
        self._writer.write(self._answer)

    async def _cut(self) -> None:
        self._writer.write(self._some())
        self._writer.close()

    async def _reset(self) -> None:
        self._writer.write(self._some())
        await asyncio.sleep(_PAUSE_S)  # without it the bytes would never arrive
        sock = self._writer.get_extra_info("socket")
        if sock.fileno() >= 0:  # else the gateway was faster
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        self._writer.transport.abort()

    async def _stall(self) -> None:
        self._writer.write(self._some())
        await self._wait_for_end()

    async def _trickle(self) -> None:
        await self._go_on(lambda n: self._answer[n : n + 1])

    async def _send_garbage(self) -> None:
        chance = random.Random(self._scenario.seed)
        self._writer.write(chance.randbytes(1 + int(self._scenario.position * 5000)))
        await self._end_as_drawn()

    async def _send_garbage_body(self) -> None:
        chance = random.Random(self._scenario.seed)
        head = build_head(self._scenario, None if self._scenario.chunked_answer else 4100)
        self._writer.write(head + chance.randbytes(4000))
        await self._end_as_drawn()

    async def _answer_early_and_close(self) -> None:
        self._writer.write(self._answer)
        self._writer.close()

    async def _continue(self) -> None:
        self._writer.write(_CONTINUE * (1 + int(self._scenario.position * 7)))
        await asyncio.sleep(_PAUSE_S)
        self._writer.write(self._answer)

    async def _continue_for_ever(self) -> None:
        await self._go_on(lambda _: _CONTINUE)

    async def _claim_less(self) -> None:
        body = b"".join(self._pieces)
        length = min(int(len(body) * self._scenario.position), len(body) - len(DONE) - 1)
        self._writer.write(build_head(self._scenario, max(0, length)) + body)

    async def _claim_more(self) -> None:
        body = b"".join(self._pieces)
        self._writer.write(build_head(self._scenario, len(body) + 100) + body)
        await self._end_as_drawn()

    async def _body_for_ever(self) -> None:
        if self._scenario.kind == "stream":
            pieces = self._pieces[:-1]
            self._writer.write(build_head(self._scenario, None))
            await self._go_on(lambda n: _chunk(pieces[n % len(pieces)] * 10))
        else:
            self._writer.write(build_head(self._scenario, None))
            await self._go_on(lambda n: _chunk(b'{"a":"' if n == 0 else b"x" * 16384))

    async def _head_for_ever(self) -> None:
        self._writer.write(b"HTTP/1.1 200 OK\r\n")
        await self._go_on(lambda n: b"x-%d: %b\r\n" % (n, b"y" * 2000))

    async def _send_no_content(self) -> None:
        self._writer.write(self._answer.replace(b"200 OK", b"204 No Content", 1))

    async def _refuse(self) -> None:
        scenario = self._scenario
        after = "" if scenario.retry_after is None else f"retry-after: {scenario.retry_after}\r\n"
        body = build_error() if scenario.position < 0.5 else b"<html>no</html>"
        head = f"HTTP/1.1 {scenario.status} No\r\n{after}content-length: {len(body)}\r\n\r\n"
        self._writer.write(head.encode() + body)

    async def _err_inside(self) -> None:
        """At the chosen place among the events, or instead of a JSON answer."""
        pieces = [build_error()]
        if self._scenario.kind == "stream":
            pieces = [*self._pieces[: self.good_events()], b"data: %b\n\n" % build_error(), DONE]
        self._writer.write(frame(self._scenario, pieces))

    async def _never_end(self) -> None:
        self._writer.write(frame(self._scenario, self._pieces, whole=False))
        await self._wait_for_end()

    async def _go_beyond(self) -> None:
        self._writer.write(self._answer + _TAIL)

    def good_events(self) -> int:
        return int((len(self._pieces) - 1) * self._scenario.position)

    def _some(self) -> bytes:
        return self._answer[: count_some(self._scenario, self._answer)]

    async def _end_as_drawn(self) -> None:
        if self._scenario.status >= 500:
            self._writer.close()
        else:
            await self._wait_for_end()

    async def _wait_for_end(self) -> None:
        """Until the gateway closes."""
        await self._writer.drain()
        while await self._reader.read(65536):
            pass
        self._writer.close()

    async def _go_on(self, make: Callable[[int], bytes]) -> None:
        """Until the gateway closes, or nothing is left to say."""
        number = 0
        while not (self._reader.at_eof() or self._writer.is_closing()):
            data = make(number)
            if not data:
                return
            self._writer.write(data)
            await self._writer.drain()
            await asyncio.sleep(_PAUSE_S)
            number += 1
        self._writer.close()


def count_some(scenario: Scenario, answer: bytes) -> int:
    """How many bytes of the answer come before a cut, reset or stall: never all."""
    return int((len(answer) - 1) * scenario.position)


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


_ACTS: Final[dict[Fault, Callable[[Script], Awaitable[None]]]] = {
    Fault.CUT: Script._cut,
    Fault.RESET: Script._reset,
    Fault.STALL: Script._stall,
    Fault.TRICKLE: Script._trickle,
    Fault.GARBAGE: Script._send_garbage,
    Fault.GARBAGE_BODY: Script._send_garbage_body,
    Fault.EARLY_CLOSE: Script._answer_early_and_close,
    Fault.CONTINUE: Script._continue,
    Fault.CONTINUE_STORM: Script._continue_for_ever,
    Fault.SHORT_LENGTH: Script._claim_less,
    Fault.LONG_LENGTH: Script._claim_more,
    Fault.ENDLESS_BODY: Script._body_for_ever,
    Fault.ENDLESS_HEAD: Script._head_for_ever,
    Fault.NO_CONTENT: Script._send_no_content,
    Fault.STATUS: Script._refuse,
    Fault.ERROR_INSIDE: Script._err_inside,
    Fault.NO_END: Script._never_end,
    Fault.DATA_AFTER_END: Script._go_beyond,
}
