"""What any process of the data plane needs around its work: signals that end it, tasks that outlive their own
bugs, a port for people.

`main` runs a Gateway with it, `workers` the parent of several. The first SIGTERM or SIGINT drains, the second
cuts.
"""

import asyncio
import gc
import signal
from collections.abc import Awaitable, Callable, Mapping
from typing import Final, Protocol

from aiohttp import web

from gateway_runtime.server.log import log_bug

BACKLOG: Final = 1024
"""Connections that wait to be accepted: a reload of all clients at once must not be refused."""

RESTART_S: Final = 1.0
"""Before a background task that failed by a bug starts again."""


class Server(Protocol):
    """A Gateway, or the parent of several."""

    async def start(self) -> None: ...
    async def stop(self) -> None: ...
    def hurry(self) -> None: ...
    def reread_certificate(self) -> None: ...


async def run_until_signal(server: Server, *, rereads: bool) -> None:
    """rereads: SIGHUP means a new certificate, and not the end."""
    stopping = asyncio.Event()

    def note_signal() -> None:
        if stopping.is_set():
            server.hurry()
        stopping.set()

    loop = asyncio.get_running_loop()
    handlers = {signal.SIGTERM: note_signal, signal.SIGINT: note_signal}
    if rereads:
        handlers[signal.SIGHUP] = server.reread_certificate
    for number, handler in handlers.items():
        loop.add_signal_handler(number, handler)
    try:
        await server.start()
        _calm_collector()
        await stopping.wait()
        await server.stop()
    finally:
        for number in handlers:
            loop.remove_signal_handler(number)


def _calm_collector() -> None:
    """What lives here is a table and requests under way, and hardly a cycle among them: to look at all of a
    large table would find nothing and stop the loop for tens of milliseconds. What is there at the start is
    never looked at again, the rest seldom.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)


async def run_beside(tasks: Mapping[str, Callable[[], Awaitable[None]]]) -> None:
    """Until cancelled: the tasks beside the traffic, by name."""
    async with asyncio.TaskGroup() as group:
        for name, run in tasks.items():
            group.create_task(_keep_running(name, run), name=name)


async def _keep_running(name: str, run: Callable[[], Awaitable[None]]) -> None:
    """A bug in a task beside the traffic must not end the traffic."""
    while True:
        try:
            await run()
        except Exception:
            log_bug("background task failed by a bug", task=name)
        await asyncio.sleep(RESTART_S)


async def listen(runner: web.BaseRunner, host: str, port: int) -> int:
    """Returns the port, which the system chose if it was 0."""
    await runner.setup()
    await web.TCPSite(runner, host, port, backlog=BACKLOG).start()
    return int(runner.addresses[0][1])
