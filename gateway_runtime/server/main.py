"""The gateway as one object, and as one process.

    settings -> Gateway.start -> (tables come, requests come) -> Gateway.stop

`headgate gateway` calls `run_gateway`; the SDK and `headgate up` hold a Gateway and hand it tables with
`apply_table`. Here everything is put together; nothing is decided.

The order at the end is the point: first not ready, then (after `unready_s`) no new connections, then the requests
under way finish, and only then the rest stops.
"""

import asyncio
import random
import signal
import time
from collections.abc import Awaitable, Callable
from typing import Final

import structlog
from aiohttp import web

from gateway_runtime.contract.stream import Ack, Nack, Version
from gateway_runtime.contract.table import RoutingTable
from gateway_runtime.server.admin import Admin
from gateway_runtime.server.disk import TableKeeper, load_bootstrap
from gateway_runtime.server.endpoint import Clock
from gateway_runtime.server.front import Front
from gateway_runtime.server.metrics import Metrics
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
    ) -> None:
        """transport: another engine towards providers. draw: numbers in [0, 1)."""
        clock = Clock(asyncio.get_running_loop().time, time.time)
        self._settings = settings
        self._state = LiveState(clock)
        self._reloader = Reloader(self._state)
        self._transport = transport or AiohttpTransport()
        self._metrics = Metrics(clock.unix)
        self._reporter = Reporter(self._state, draw)
        self._prober = Prober(self._state, self._transport, draw)
        self._keeper = TableKeeper(settings.state_dir) if settings.state_dir else None
        self._stream = StreamClient(settings, self._reloader, self._reporter, self._metrics, draw)
        room = Room(self._reloader, self._state, self._transport, self._metrics, clock, draw)
        self._front = Front(room, max_body_bytes=settings.max_body_bytes, access_log=settings.access_log)
        self._admin = Admin(self._reloader, self._state, self._metrics, self.find_unreadiness)
        self._front_runner = web.ServerRunner(self._front.server, shutdown_timeout=CUT_S)
        self._admin_runner = web.AppRunner(self._admin.app, access_log=None, shutdown_timeout=CUT_S)
        self._background: asyncio.Task[None] | None = None
        self._hurry = asyncio.Event()
        self._reloader.on_applied = self._note_applied

    @property
    def port(self) -> int:
        return _read_port(self._front_runner)

    @property
    def admin_port(self) -> int:
        return _read_port(self._admin_runner)

    @property
    def running(self) -> Running | None:
        """The table that serves; None before the first."""
        return self._reloader.running

    def find_unreadiness(self) -> str | None:
        """Why this gateway should get no traffic, in a clause; None when it is ready."""
        if self._front.leaving:
            return "shutting down"
        return None if self._reloader.running else "no routing table yet"

    async def start(self) -> None:
        """Returns when the ports are open; a table that was kept is serving by then. Raises OSError for a port
        that is taken.
        """
        await self._restore()
        try:
            await _listen(self._front_runner, self._settings.host, self._settings.port)
            await _listen(self._admin_runner, self._settings.admin_host, self._settings.admin_port)
        except OSError:
            await self._close()
            raise
        self._background = asyncio.create_task(self._run_background())
        log.info("gateway listens", host=self._settings.host, port=self.port, admin_port=self.admin_port)

    async def apply_table(self, table: RoutingTable, version: Version | None = None) -> Ack | Nack:
        """Hot reload by the embedding process. After a Nack the table that ran runs on."""
        return await self._reloader.apply_table(table, version)

    async def stop(self, drain_s: float | None = None) -> None:
        """drain_s: how long requests under way may take; None takes the settings' value. May be called once."""
        limit_s = self._settings.drain_s if drain_s is None else drain_s
        log.info("gateway drains", drain_s=limit_s)
        self._front.leaving = True
        if self._settings.unready_s > 0:
            await self._wait_or_hurry(asyncio.Event().wait(), self._settings.unready_s)
        self._front.draining = True
        for site in self._front_runner.sites:
            await site.stop()
        await self._front.server.close_idle()
        if not await self._wait_or_hurry(self._front.wait_idle(), limit_s):
            log.warning("gateway cuts requests that did not finish", drain_s=limit_s)
        await self._close()
        log.info("gateway stopped")

    def hurry(self) -> None:
        """Ends the waiting in `stop`."""
        self._hurry.set()
