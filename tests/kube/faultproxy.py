"""A TCP proxy that a test can break: cut, refuse, stall.

In: the address of any server on this machine. Out: a port to connect to instead. It passes bytes and knows
nothing of TLS or HTTP, so clients verify the server's certificate as always; `ApiProxy` is the one that
understands requests. Used through the fixture `faultproxy`, or directly in front of any other server.

              accept() (at first)                 refuse()
    new       connected to the target             refused by the kernel: ECONNREFUSED
              resume() (at first)                 stall()
    open      bytes pass both ways                bytes are held both ways; nothing closes, nothing is lost
              cut(): at once, all open connections are reset (RST), and bytes on their way are lost

The methods may be called from any thread and return when the change is in force.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import threading
from collections.abc import Callable
from typing import Self

from tests.kube.loopthread import LoopThread
from tests.kube.ports import HOST, ReservedPort

CHUNK_BYTES = 64 * 1024
RESET = struct.pack("ii", 1, 0)  # SO_LINGER on, for 0 s: close() sends RST instead of FIN


class FaultProxy:
    """Listens from construction to `close`. `bytes_up` counts towards the target, `bytes_down` from it."""

    def __init__(self, target_port: int, target_host: str = HOST) -> None:
        self._target = (target_host, target_port)
        self._port = ReservedPort()  # ours also while new connections are refused
        self.port = self._port.number
        self.connected = 0
        """Connections ever accepted: grows by one when a client comes back."""
        self.bytes_up = 0
        self.bytes_down = 0
        self._open: set[asyncio.Task[None]] = set()
        self._changed = threading.Condition()
        self._thread = LoopThread(f"fault-proxy-{self.port}")
        self._flowing = self._thread.call(asyncio.Event)
        self._server: asyncio.Server | None = None
        self.resume()
        self.accept()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def address(self) -> str:
        """As it stands in a URL."""
        return f"{HOST}:{self.port}"

    def __repr__(self) -> str:
        return (
            f"<FaultProxy {self.port} to {self._target[1]}, {self.open_connections} open of {self.connected}>"
        )

    @property
    def open_connections(self) -> int:
        return len(self._open)

    def cut(self) -> None:
        """Reset every open connection; new ones are served."""
        self._thread.run(self._cut())

    def refuse(self) -> None:
        """Let no new connection in; open ones go on."""
        self._thread.call(self._stop_listening)

    def accept(self) -> None:
        """Undo `refuse`."""
        self._thread.run(self._listen())

    def stall(self) -> None:
        """Hold all bytes, of open and of new connections."""
        self._thread.call(self._flowing.clear)

    def resume(self) -> None:
        """Undo `stall`: what was held goes on its way."""
        self._thread.call(self._flowing.set)

    def wait_until(self, is_so: Callable[[FaultProxy], bool], timeout_s: float = 10) -> None:
        """Until `is_so(self)`, asked when a connection comes or goes or bytes pass. Raises `TimeoutError`."""
        with self._changed:
            if not self._changed.wait_for(lambda: is_so(self), timeout_s):
                raise TimeoutError(f"not within {timeout_s} s: {self!r}")

    def close(self) -> None:
        self.refuse()
        self.cut()
        self._thread.close()
        self._port.close()

    async def _listen(self) -> None:
        if self._server is None:
            self._server = await asyncio.start_server(self._serve, sock=self._port.socket())

    def _stop_listening(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None

    async def _cut(self) -> None:
        cut = list(self._open)
        for task in cut:
            task.cancel()
        await asyncio.gather(*cut, return_exceptions=True)

    async def _serve(self, client_reader: asyncio.StreamReader, client_writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._open.add(task)
        self._note(connected=1)
        writers = [client_writer]
        try:
            server_reader, server_writer = await asyncio.open_connection(*self._target)
            writers.append(server_writer)
            async with asyncio.TaskGroup() as both_ways:
                both_ways.create_task(self._pass_on(client_reader, server_writer, self._note_up))
                both_ways.create_task(self._pass_on(server_reader, client_writer, self._note_down))
        except* OSError:
            _reset(writers)  # a reset of one side is a reset of the other
        except* asyncio.CancelledError:
            _reset(writers)  # by cut(), which awaits nothing else; swallowed, or asyncio logs it as an error
        finally:
            for writer in writers:
                writer.close()
            self._open.discard(task)
            self._note()

    async def _pass_on(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, note: Callable[[int], None]
    ) -> None:
        while data := await reader.read(CHUNK_BYTES):
            await self._flowing.wait()
            writer.write(data)
            await writer.drain()
            note(len(data))
        await self._flowing.wait()
        writer.write_eof()

    def _note(self, connected: int = 0, up: int = 0, down: int = 0) -> None:
        with self._changed:
            self.connected += connected
            self.bytes_up += up
            self.bytes_down += down
            self._changed.notify_all()

    def _note_up(self, count: int) -> None:
        self._note(up=count)

    def _note_down(self, count: int) -> None:
        self._note(down=count)


def _reset(writers: list[asyncio.StreamWriter]) -> None:
    for writer in writers:
        with contextlib.suppress(OSError):
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        writer.transport.abort()
