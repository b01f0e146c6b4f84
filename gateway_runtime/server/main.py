"""The gateway as one object, and as one process.

    settings -> Gateway.start -> (tables come, requests come) -> Gateway.stop

`headgate gateway` calls `run_gateway`; the SDK and `headgate up` hold a Gateway and hand it tables with
`apply_table`. Here everything is put together; nothing is decided.

The order at the end is the point: first not ready, then (after `unready_s`) no new connections, then the
requests under way finish, and only then the rest stops.
"""

import asyncio
import random
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Final

import structlog
from aiohttp import web

from gateway_runtime.contract.health import EndpointReport, HealthReport
from gateway_runtime.contract.stream import Ack, Nack, Version
from gateway_runtime.contract.table import RoutingTable
from gateway_runtime.server.admin import Admin
from gateway_runtime.server.endpoint import Clock
from gateway_runtime.server.front import Front
from gateway_runtime.server.hot import HotListener
from gateway_runtime.server.keeper import TableKeeper
from gateway_runtime.server.log import configure_logging, log_bug
from gateway_runtime.server.metrics import Metrics
from gateway_runtime.server.patience import Timekeeper
from gateway_runtime.server.plain import PlainServer
from gateway_runtime.server.probe import Prober
from gateway_runtime.server.reload import Reloader, Running
from gateway_runtime.server.report import Reporter
from gateway_runtime.server.request import Room
from gateway_runtime.server.settings import GatewaySettings
from gateway_runtime.server.state import LiveState
from gateway_runtime.server.stream import StreamClient
from gateway_runtime.server.upstream import AiohttpTransport, Transport

log = structlog.get_logger()

BACKLOG: Final = 1024
"""Connections that wait to be accepted: a reload of all clients at once must not be refused."""

CUT_S: Final = 0.1
"""For a handler that is cancelled to clean up; the waiting for requests is done before."""

RESTART_S: Final = 1.0
"""Before a background task that failed by a bug starts again."""


class Gateway:
    """The whole data plane. Made and used inside a running event loop."""

    def __init__(
        self,
        settings: GatewaySettings,
        *,
        transport: Transport | None = None,
        draw: Callable[[], float] = random.random,
        admin_routes: Sequence[web.RouteDef] = (),
    ) -> None:
        """transport: another engine towards providers. draw: numbers in [0, 1). admin_routes: what the
        embedding process shows on the admin port.
        """
        clock = Clock(time.monotonic, time.time)
        self._settings = settings
        self._state = LiveState(clock)
        self._reloader = Reloader(self._state)
        self._transport = transport or AiohttpTransport()
        self._metrics = Metrics(clock.unix)
        self._reporter = Reporter(self._state, draw)
        self._prober = Prober(self._state, self._transport, draw)
        self._keeper = TableKeeper(settings.state_dir, settings.bootstrap_dir, self._reloader, self._metrics)
        self._stream = StreamClient(settings, self._reloader, self._reporter, self._metrics, draw)
        keeper = Timekeeper(asyncio.get_running_loop())
        room = Room(self._reloader, self._state, self._transport, self._metrics, clock, keeper, draw)
        self._front = Front(room, settings)
        self._admin = Admin(self._reloader, self._state, self._metrics, self.find_unreadiness)
        self._admin.app.add_routes(admin_routes)
        self._plain = PlainServer(self._front)
        self._plain_runner = web.ServerRunner(self._plain, shutdown_timeout=CUT_S)
        self._hot = HotListener(self._front, self._plain)
        self._listening: asyncio.Server | None = None
        self._admin_runner = web.AppRunner(self._admin.app, access_log=None, shutdown_timeout=CUT_S)
        self.port = self.admin_port = 0
        """The real ones, once started."""
        self._background: asyncio.Task[None] | None = None
        self._stopping: asyncio.Task[None] | None = None
        self._hurry = asyncio.Event()
        self._reloader.on_applied = self._note_applied

    @property
    def version(self) -> Version | None:
        """Of the table that serves; None before the first."""
        return self._reloader.version

    def reports(self) -> tuple[EndpointReport, ...]:
        """The state of every endpoint now, as the operator is told it; sorted by endpoint."""
        return self._state.reports()

    def watch_health(self) -> AsyncIterator[HealthReport]:
        """What the operator would be told, for a process that has none: first all endpoints, then changes at
        once. One watcher at a time.
        """
        return self._reporter.reports()

    def find_unreadiness(self) -> str | None:
        """Why this gateway should get no traffic, in a clause; None when it is ready."""
        if self._front.leaving:
            return "shutting down"
        return None if self._reloader.running else "no routing table yet"

    async def start(self) -> None:
        """Returns when the ports are open; a table that was kept is serving by then. Raises OSError for a
        port that is taken.
        """
        settings = self._settings
        await self._keeper.restore()
        try:
            await self._plain_runner.setup()
            self._listening = await asyncio.get_running_loop().create_server(
                self._hot, settings.host, settings.port, backlog=BACKLOG
            )
            self.port = self._listening.sockets[0].getsockname()[1]
            self.admin_port = await _listen(self._admin_runner, settings.admin_host, settings.admin_port)
        except OSError:
            await self._close()
            raise
        self._background = asyncio.create_task(self._run_background())
        log.info("gateway listens", host=settings.host, port=self.port, admin_port=self.admin_port)

    async def apply_table(self, table: RoutingTable, version: Version | None = None) -> Ack | Nack:
        """Hot reload by the embedding process. After a Nack the table that ran runs on."""
        return await self._reloader.apply_table(table, version)

    async def stop(self, drain_s: float | None = None) -> None:
        """drain_s: how long requests under way may take; None takes the settings' value. Called again, it
        waits for the end that the first call began.
        """
        if self._stopping is None:
            limit_s = self._settings.drain_s if drain_s is None else drain_s
            self._stopping = asyncio.create_task(self._drain_and_close(limit_s))
        await asyncio.shield(self._stopping)

    def hurry(self) -> None:
        """`stop` waits no longer: what is under way is cut."""
        self._hurry.set()

    async def _drain_and_close(self, limit_s: float) -> None:
        log.info("gateway drains", requests=self._front.under_way, drain_s=limit_s)
        self._front.leaving = True
        if self._settings.unready_s > 0:
            await self._wait(self._hurry, self._settings.unready_s)
        self._front.draining = True
        if self._listening is not None:
            self._listening.close()
        await self._plain.close_idle()
        self._hot.close_idle()
        if not await self._wait(self._front.idle, limit_s):
            log.warning("requests cut", requests=self._front.under_way, drain_s=limit_s)
        await self._close()
        log.info("gateway stopped")

    async def _wait(self, event: asyncio.Event, limit_s: float) -> bool:
        """Whether the event came, in time and before somebody was in a hurry."""
        waits = [asyncio.create_task(event.wait()), asyncio.create_task(self._hurry.wait())]
        try:
            await asyncio.wait(waits, timeout=limit_s, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
        return event.is_set()

    async def _close(self) -> None:
        if self._listening is not None:
            self._listening.close()
        await self._hot.close()
        await self._plain_runner.cleanup()
        if self._background is not None:
            self._background.cancel()
            await asyncio.gather(self._background, return_exceptions=True)
        await self._keeper.finish()
        await self._admin_runner.cleanup()
        await self._transport.close()

    async def _run_background(self) -> None:
        tasks: dict[str, Callable[[], Awaitable[None]]] = {
            "probes": self._prober.run,
            "table keeper": self._keeper.run,
        }
        if self._settings.operator_urls:
            tasks["config stream"] = self._stream.run
        async with asyncio.TaskGroup() as group:
            for name, run in tasks.items():
                group.create_task(_keep_running(name, run), name=name)

    def _note_applied(self, running: Running) -> None:
        self._metrics.note_table(running)
        self._prober.watch(running.live)


async def run_gateway(settings: GatewaySettings) -> None:
    """Serves until SIGTERM or SIGINT, then drains; a second signal cuts that short. Raises OSError for a port
    that is taken.
    """
    configure_logging()
    gateway = Gateway(settings)
    stopping = asyncio.Event()

    def note_signal() -> None:
        if stopping.is_set():
            gateway.hurry()
        stopping.set()

    loop = asyncio.get_running_loop()
    signals = (signal.SIGTERM, signal.SIGINT)
    for number in signals:
        loop.add_signal_handler(number, note_signal)
    try:
        await gateway.start()
        await stopping.wait()
        await gateway.stop()
    finally:
        for number in signals:
            loop.remove_signal_handler(number)


async def _keep_running(name: str, run: Callable[[], Awaitable[None]]) -> None:
    """A bug in a task beside the traffic must not end the traffic."""
    while True:
        try:
            await run()
        except Exception:
            log_bug("background task failed by a bug", task=name)
        await asyncio.sleep(RESTART_S)


async def _listen(runner: web.BaseRunner, host: str, port: int) -> int:
    await runner.setup()
    await web.TCPSite(runner, host, port, backlog=BACKLOG).start()
    return int(runner.addresses[0][1])
