"""The parent of several workers, put together: to the operator, a scraper and a probe, one gateway.

    operator, disk -> PodReloader -> Crew -> workers      table and share
    workers, probes -> PodReporter -> operator            health, circuits, what was used
    workers -> PodAdmin -> scraper, people                metrics, /debug/table, readiness

`headgate gateway --workers N` calls `run_workers`. The parent serves no request: what it does for one config
stream, one disk and one admin port is what `server.main.Gateway` does beside its traffic.

The order at the end: first not ready, then all workers drain, each as a gateway alone would, then the rest.
"""

import asyncio
import dataclasses
import random
import time
from collections.abc import Awaitable, Callable, Collection

import structlog
from aiohttp import web

from gateway_runtime.contract.health import HealthReport
from gateway_runtime.contract.ids import EndpointId, TenantId
from gateway_runtime.contract.stream import Share, Version
from gateway_runtime.ledger.place import find_spool
from gateway_runtime.server.build import BuiltTable
from gateway_runtime.server.endpoint import Clock
from gateway_runtime.server.keeper import TableKeeper
from gateway_runtime.server.log import configure_logging
from gateway_runtime.server.main import CUT_S, make_desk, make_transport, make_usage_api
from gateway_runtime.server.metrics import Metrics
from gateway_runtime.server.probe import Prober
from gateway_runtime.server.process import listen, run_beside, run_until_signal
from gateway_runtime.server.reload import Running
from gateway_runtime.server.settings import GatewaySettings
from gateway_runtime.server.state import LiveState
from gateway_runtime.server.stream import StreamClient
from gateway_runtime.server.tls import build_context
from gateway_runtime.server.usage_api import USAGE_OF_ALL
from gateway_runtime.upstream.endpoint import list_upstreams
from gateway_runtime.workers.admin import PodAdmin
from gateway_runtime.workers.crew import Crew
from gateway_runtime.workers.port import HeldPort
from gateway_runtime.workers.reload import PodReloader
from gateway_runtime.workers.report import PodReporter

log = structlog.get_logger()


class Pod:
    """Made and used inside a running event loop."""

    def __init__(
        self, settings: GatewaySettings, workers: int, *, draw: Callable[[], float] = random.random
    ) -> None:
        """draw: numbers in [0, 1)."""
        clock = Clock(time.monotonic, time.time)
        self._settings = settings
        self._state = LiveState(clock)
        self._crew = Crew(workers, self)
        self._reloader = PodReloader(self._state, self._crew.hand_out, self._crew.tell_share)
        self._transport = make_transport()
        self._metrics = Metrics(clock.unix)
        self._reporter = PodReporter(self._state, self._crew, draw)
        self._metrics.tenants.watch(self._reporter.describe_tenant)
        self._desk = make_desk(self._transport, clock, draw)
        self._prober = Prober(self._state, self._transport, self._desk, draw)
        self._keeper = TableKeeper(settings.state_dir, settings.bootstrap_dir, self._reloader, self._metrics)
        self._stream = StreamClient(settings, self._reloader, self._reporter, self._metrics, draw)
        self._admin = PodAdmin(self._reloader, self._state, self._metrics, self.find_unreadiness, self._crew)
        self._admin.app.add_routes([web.get(USAGE_OF_ALL, make_usage_api(settings, clock).answer)])
        self._admin_runner = web.AppRunner(self._admin.app, access_log=None, shutdown_timeout=CUT_S)
        self._port: HeldPort | None = None
        self._background: asyncio.Task[None] | None = None
        self._leaving = False
        self._hurry = asyncio.Event()
        self._reloader.on_applied = self._note_applied

    def find_unreadiness(self) -> str | None:
        """Why this pod should get no traffic, in a clause; None when it should. Once all workers have
        listened, the others make good for one that is being restarted: it gets no connection.
        """
        listening, size = self._crew.count_listening(), self._crew.size
        if self._leaving:
            return "shutting down"
        if self._reloader.running is None:
            return "no routing table yet"
        if not self._crew.complete.is_set() or listening == 0:
            return f"{listening} of {size} workers listen"
        return None

    async def start(self) -> None:
        """Returns when the admin port is open and the workers are on their way; one line says when all serve.
        Raises OSError for a port that is taken, UnusableCertificate for files of `settings.tls`.
        """
        settings = self._settings
        if settings.tls is not None:
            build_context(settings.tls)
        await self._keeper.restore()
        try:
            self._port = HeldPort(settings.host, settings.port)
            admin_port = await listen(self._admin_runner, settings.admin_host, settings.admin_port)
        except OSError:
            await self._close()
            raise
        self._crew.start(settings_for_worker(settings, self._port.port, self._crew.size))
        self._background = asyncio.create_task(self._run_background(self._port.port, admin_port))

    async def wait_until_listening(self) -> None:
        """All workers, for the first time."""
        await self._crew.complete.wait()

    async def stop(self) -> None:
        settings = self._settings
        log.info("gateway drains", workers=self._crew.count_listening(), drain_s=settings.drain_s)
        self._leaving = True
        await self._crew.drain(settings.unready_s + settings.drain_s, self._hurry)
        await self._close()
        log.info("gateway stopped")

    def hurry(self) -> None:
        """`stop` waits no longer: what is under way is cut."""
        self._hurry.set()

    def reread_certificate(self) -> None:
        self._crew.reread_certificate()

    # -- what a worker must have before it listens: see `crew.Knowledge`

    def find_table(self) -> tuple[Version, BuiltTable] | None:
        return self._reloader.find_table()

    def find_share(self) -> Share:
        return self._reloader.share

    def find_health(self) -> HealthReport:
        return HealthReport(sequence=0, full=True, endpoints=self._state.reports())

    def note_circuit(self, endpoint: EndpointId) -> None:
        self._reporter.note_circuit(endpoint)

    def note_tenants(self, tenants: Collection[TenantId]) -> None:
        self._reporter.note_tenants(tenants)

    # -- beside the workers

    async def _run_background(self, port: int, admin_port: int) -> None:
        tasks: dict[str, Callable[[], Awaitable[None]]] = {
            "probes": self._prober.run,
            "tokens": self._desk.tokens.run,
            "table keeper": self._keeper.run,
        }
        if self._settings.operator_urls:
            tasks["config stream"] = self._stream.run
        async with asyncio.TaskGroup() as group:
            group.create_task(run_beside(tasks))
            await self.wait_until_listening()
            log.info(
                "gateway listens",
                host=self._settings.host,
                port=port,
                admin_port=admin_port,
                workers=self._crew.size,
                tls=self._settings.tls is not None,
            )

    async def _close(self) -> None:
        if self._background is not None:
            self._background.cancel()
            await asyncio.gather(self._background, return_exceptions=True)
        await self._keeper.finish()
        await self._admin_runner.cleanup()
        await self._desk.close()
        await self._transport.close()
        if self._port is not None:
            self._port.close()

    def _note_applied(self, running: Running) -> None:
        self._metrics.note_table(running)
        self._reporter.note_table(running)
        self._transport.retain(list_upstreams(running.live.table.providers))
        self._desk.tokens.configure(running.live.table.providers)
        self._prober.watch(running.live)


def settings_for_worker(pod: GatewaySettings, port: int, workers: int) -> GatewaySettings:
    """The pod's bounds on what is under way are split, rounded up, since they bound the pod's memory. Raises
    WrongPlace.
    """
    spool = pod.ledger_spool
    if pod.ledger is not None:
        spool = find_spool(pod.ledger, spool, pod.state_dir)
    return dataclasses.replace(
        pod,
        ledger_spool=spool,
        port=port,
        shares_port=True,
        operator_urls=(),
        state_dir=None,
        bootstrap_dir=None,
        max_requests=-(-pod.max_requests // workers),
        max_streams=-(-pod.max_streams // workers),
        max_request_bytes=max(-(-pod.max_request_bytes // workers), pod.max_body_bytes),
    )


async def run_workers(settings: GatewaySettings, workers: int) -> None:
    """Serves until SIGTERM or SIGINT, then drains; a second signal cuts that short. Raises what `Pod.start`
    raises.
    """
    configure_logging()
    await run_until_signal(Pod(settings, workers), rereads=settings.tls is not None)
