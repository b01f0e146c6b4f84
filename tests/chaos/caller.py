"""The caller of a scenario: it sends as drawn, behaves as drawn, and brings back what it read.

In: a Scenario and the gateway's port. Out: a Visit: the answer, those behind it on the same connection, and
how long it took. The one subtle rule: after a whole answer on a connection that stays open, something good is
asked on it, which shows any byte too many of the answer before.
"""

import asyncio
import json
import socket
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final, cast

from tests.chaos.reading import NotHttp, Reading, read_answer
from tests.chaos.scenario import Caller, Scenario
from tests.server.rig import KEY

LEAVING_S: Final = 0.4
"""Those who leave do it within so long."""
_PAUSE_S: Final = 0.005
_DRIBBLES: Final = 10
_LAST_WORDS: Final = frozenset({Caller.HALF_CLOSES, Caller.STOPS})
"""They have nothing to say behind their request."""
_SMALL_WINDOW: Final = frozenset({Caller.SLOW, Caller.SILENT})


@dataclass(slots=True)
class Visit:
    readings: list[Reading] = field(default_factory=list)
    """The answer, and then those of the requests for something good."""
    asked: int = 1
    """Requests sent."""
    broken: str = ""
    """What was no HTTP."""
    rest: bytes = b""
    """What came behind the last answer."""
    took_s: float = 0.0
    """From the last byte of the request to the end of its answer."""


class Client:
    def __init__(self, scenario: Scenario, port: int) -> None:
        self._scenario = scenario
        self._port = port
        self._reader: asyncio.StreamReader
        self._writer: asyncio.StreamWriter
        self.visit = Visit()

    async def run(self, limit_s: float) -> Visit:
        """Raises TimeoutError when there is no end of it."""
        caller = self._scenario.caller
        await self._connect()
        if caller is Caller.SILENT:
            await self._send()
            return self.visit  # `end_silence` does the rest
        try:
            if caller is Caller.LEAVES:
                with suppress(TimeoutError):
                    async with asyncio.timeout(self._scenario.moment * LEAVING_S):
                        await self._talk()
            else:
                async with asyncio.timeout(limit_s):
                    await self._talk()
        finally:
            if caller is Caller.LEAVES:
                self._writer.transport.abort()
            self._writer.close()
        return self.visit

    async def end_silence(self) -> Visit:
        """Reads at last what waits for it. Raises TimeoutError."""
        cast("asyncio.Transport", self._writer.transport).resume_reading()
        try:
            async with asyncio.timeout(5):
                await self._read()
                await self._read_next()
        finally:
            self._writer.close()
        return self.visit

    async def _connect(self) -> None:
        sock = socket.socket()
        sock.setblocking(False)
        if self._scenario.caller in _SMALL_WINDOW:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16 * 1024)
        await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", self._port))
        self._reader, self._writer = await asyncio.open_connection(sock=sock, limit=64 * 1024)
        if self._scenario.caller is Caller.SILENT:
            cast("asyncio.Transport", self._writer.transport).pause_reading()

    async def _talk(self) -> None:
        await self._send()
        began_s = asyncio.get_running_loop().time()
        await self._read()
        self.visit.took_s = asyncio.get_running_loop().time() - began_s
        await self._read_next()

    async def _read_next(self) -> None:
        scenario, visit = self._scenario, self.visit
        if scenario.caller in _LAST_WORDS or visit.broken or not visit.readings[0].keeps_open:
            return await self._read_rest()
        if not scenario.pipelined:
            visit.asked += 1
            await self._write(build_request(scenario, f"g-{scenario.seed}"))
        await self._read()
        if visit.readings[-1].keeps_open:
            self._writer.write_eof()
        return await self._read_rest()

    async def _send(self) -> None:
        scenario = self._scenario
        data = build_request(scenario, scenario.model)
        match scenario.caller:
            case Caller.DRIBBLES:
                size = -(-len(data) // _DRIBBLES)
                for at in range(0, len(data), size):
                    await self._write(data[at : at + size])
                    await asyncio.sleep(_PAUSE_S)
            case Caller.STOPS:
                head = data.index(b"\r\n\r\n") + 4
                await self._write(data[: head + int((len(data) - head - 1) * scenario.moment)])
            case _:
                if scenario.pipelined:
                    self.visit.asked += 1
                    data += build_request(scenario, f"g-{scenario.seed}")
                await self._write(data)
        if scenario.caller is Caller.HALF_CLOSES:
            with suppress(OSError):
                self._writer.write_eof()

    async def _write(self, data: bytes) -> None:
        with suppress(ConnectionError):  # what was answered meanwhile can still be read
            self._writer.write(data)
            await self._writer.drain()

    async def _read(self) -> None:
        reading = Reading()
        self.visit.readings.append(reading)
        try:
            await read_answer(
                self._reader, _PAUSE_S if self._scenario.caller is Caller.SLOW else 0.0, reading
            )
        except NotHttp as error:
            self.visit.broken = str(error)

    async def _read_rest(self) -> None:
        with suppress(ConnectionError):
            self.visit.rest = await self._reader.read()


def build_request(scenario: Scenario, model: str) -> bytes:
    body = json.dumps(build_json(scenario, model)).encode()
    path = "embeddings" if scenario.kind == "embeddings" else "chat/completions"
    lines = f"POST /v1/{path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {KEY}\r\n"
    if scenario.way == "odd header":
        lines += "te: trailers\r\n"
    if scenario.way == "chunked":
        middle = len(body) // 2
        pieces = (body[:middle], body[middle:])
        framed = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"
        return f"{lines}transfer-encoding: chunked\r\n\r\n".encode() + framed
    return f"{lines}content-length: {len(body)}\r\n\r\n".encode() + body


def build_json(scenario: Scenario, model: str) -> dict[str, object]:
    body: dict[str, object] = {"model": model, "user": "u" * scenario.body_bytes}
    if scenario.kind == "embeddings":
        return {**body, "input": "Hello"}
    if scenario.kind == "stream":
        body["stream"] = True
    return {**body, "messages": [{"role": "user", "content": "Hello"}]}
