"""A gateway's process as a storm holds it: started, told, stopped, killed; what it says is handed on."""

import asyncio
import os
import signal
import sys
from collections.abc import Callable
from contextlib import suppress

from headgate.verify.messages import Begin, Command, Event, Finish, encode_line, events

_MODULE = "headgate.verify.gateway_process"
_LINE_BYTES = 1024 * 1024
"""Of what was said and not read yet, before the gateway waits."""


class Child:
    def __init__(
        self, name: str, process: asyncio.subprocess.Process, note: Callable[[str, Event], None]
    ) -> None:
        self.name = name
        self.is_stopped = False
        self._process = process
        self._note = note
        self._reading = asyncio.create_task(self._read())

    @property
    def has_ended(self) -> bool:
        return self._process.returncode is not None

    async def tell(self, command: Command) -> None:
        stdin = self._process.stdin
        assert stdin is not None, "it was started with one"
        stdin.write(encode_line(command))
        with suppress(ConnectionError):  # it has ended, which is noticed elsewhere
            await stdin.drain()

    def stop(self) -> None:
        """As a machine that is suspended."""
        self.is_stopped = True
        self._signal(signal.SIGSTOP)

    def go_on(self) -> None:
        self.is_stopped = False
        self._signal(signal.SIGCONT)

    async def kill(self) -> None:
        """-9. Returns when all that it said has been handed on."""
        self._signal(signal.SIGKILL)
        await self._wait()

    async def finish(self, patience_s: float) -> bool:
        """False: it did not end by itself, and was killed."""
        self.go_on()
        await self.tell(Finish())
        try:
            async with asyncio.timeout(patience_s):
                await self._wait()
        except TimeoutError:
            await self.kill()
            return False
        return self._process.returncode == 0

    async def _wait(self) -> None:
        await self._process.wait()
        await asyncio.shield(self._reading)

    def _signal(self, number: int) -> None:
        if not self.has_ended:
            os.kill(self._process.pid, number)

    async def _read(self) -> None:
        stdout = self._process.stdout
        assert stdout is not None, "it was started with one"
        while line := await stdout.readline():
            if line.endswith(b"\n"):  # one that was killed may leave half a line
                self._note(self.name, events.decode(line))


async def start_child(begin: Begin, note: Callable[[str, Event], None]) -> Child:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        _MODULE,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=_LINE_BYTES,
        start_new_session=True,  # Ctrl-C is for us, who end them
    )
    child = Child(begin.name, process, note)
    await child.tell(begin)
    return child
