"""The gateway as one object, and as one process.

    settings -> Gateway.start -> (tables come, requests come) -> Gateway.stop

`headgate gateway` calls `run_gateway`; the SDK and `headgate up` hold a Gateway and hand it tables with
`apply_table`. Here everything is put together; nothing is decided.

The order at the end is the point: first not ready, then (after `unready_s`) no new connections, then the
requests under way finish, and only then the rest stops.
"""

import asyncio
import os
import random
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from functools import partial
from typing import Any, Final

import structlog
from aiohttp import web

from gateway_runtime.contract.health import EndpointReport, HealthReport, TenantReport
from gateway_runtime.contract.stream import Ack, Nack, Version
from gateway_runtime.contract.table import RoutingTable
from gateway_runtime.contract.tenant import Tenant
from gateway_runtime.engine.lease_grant import Term
from gateway_runtime.identity import Authenticator
from gateway_runtime.ledger.ledger import Ledger
from gateway_runtime.ledger.place import find_spool, make_store, open_ledger
from gateway_runtime.ledger.store import read_report
from gateway_runtime.media import DocumentFetcher, MediaFetcher
from gateway_runtime.server.account import Books
from gateway_runtime.server.address import Desk
from gateway_runtime.server.admin import Admin
from gateway_runtime.server.endpoint import Clock
from gateway_runtime.server.front import Front
from gateway_runtime.server.hot import HotListener
from gateway_runtime.server.issuers import IssuerDocuments
from gateway_runtime.server.keeper import TableKeeper
from gateway_runtime.server.lease_desk import LeaseDesk
from gateway_runtime.server.log import configure_logging
from gateway_runtime.server.loop import name_loop
from gateway_runtime.server.metrics import Metrics
from gateway_runtime.server.patience import Timekeeper
from gateway_runtime.server.plain import PlainServer
from gateway_runtime.server.probe import Prober
from gateway_runtime.server.process import BACKLOG, listen, run_beside, run_until_signal
from gateway_runtime.server.providers_api import ProvidersApi, load_providers_api
from gateway_runtime.server.reload import Reloader, Running
from gateway_runtime.server.report import Reporter
from gateway_runtime.server.room import Room
from gateway_runtime.server.settings import GatewaySettings
from gateway_runtime.server.state import WHOLE, LiveState
from gateway_runtime.server.stream import StreamClient
from gateway_runtime.server.tenant_news import TenantNews
from gateway_runtime.server.tenant_report import describe_tenant
from gateway_runtime.server.tls import GOODBYE_S, HANDSHAKE_S, FrontTls, UnusableCertificate
from gateway_runtime.server.usage_api import USAGE_OF_ALL, UsageApi
from gateway_runtime.stores import STORE_PASSWORD, open_store
from gateway_runtime.tokens import Tokens
from gateway_runtime.upstream.endpoint import list_upstreams
from gateway_runtime.upstream.exchange import Transport
from gateway_runtime.upstream.transport import PooledTransport

log = structlog.get_logger()

CUT_S: Final = 0.1
"""For a handler that is cancelled to clean up; the waiting for requests is done before."""


class Gateway:
    """The whole data plane. Made and used inside a running event loop."""

    def __init__(
        self,
        settings: GatewaySettings,
        *,
        transport: Transport | None = None,
        draw: Callable[[], float] = random.random,
        admin_routes: Sequence[web.RouteDef] = (),
        providers_api: ProvidersApi | None = None,
        clock: Clock | None = None,
    ) -> None:
        """transport: another engine towards providers. draw: numbers in [0, 1). admin_routes: what the
        embedding process shows on the admin port. providers_api: what answers `/v1/providers`, before that of
        the settings. clock: one that may be ahead of the loop's, never behind it; None takes the loop's.
        """
        clock = clock or Clock(time.monotonic, time.time)
        self._settings = settings
        self._limits = None if settings.limit_store is None else open_desk(settings, clock)
        self._state = LiveState(clock, self._limits)
        self._reloader = Reloader(self._state)
        self._transport = transport or make_transport()
        self._metrics = Metrics(clock.unix)
        self._metrics.watch_upstream(self._transport.statistics)
        self._metrics.watch_circuits(self._state.circuits)
        news = TenantNews(self.describe_tenant, self._metrics.tenants.take_moved)
        self._reporter = Reporter(self._state, news, draw)
        self._desk = make_desk(self._transport, clock, draw, allow_private_media=settings.allow_private_media)
        self._prober = Prober(self._state, self._transport, self._desk, draw)
        self._keeper = TableKeeper(settings.state_dir, settings.bootstrap_dir, self._reloader, self._metrics)
        self._stream = StreamClient(settings, self._reloader, self._reporter, self._metrics, draw)
        keeper = Timekeeper(asyncio.get_running_loop())
        self._issuers = IssuerDocuments(DocumentFetcher(allow_private=settings.allow_private_issuers))
        self._authenticator = Authenticator(self._issuers.fetch, clock.now, clock.unix, draw)
        self._ledger = make_ledger(settings, clock)
        if self._ledger is not None:
            self._metrics.watch_ledger(self._ledger.statistics)
        room = Room(
            self._reloader,
            self._state,
            self._transport,
            self._metrics,
            clock,
            keeper,
            draw,
            self._desk,
            self._authenticator,
            Books(self._ledger, clock),
        )
        if providers_api is None and settings.providers_api is not None:
            providers_api = load_providers_api(settings.providers_api)
        usage_api = UsageApi(None if self._ledger is None else self._ledger.sum_usage, clock.unix)
        self._front = Front(room, settings, providers_api, usage_api)
        self._admin = Admin(self._reloader, self._state, self._metrics, self.find_unreadiness)
        self._admin.app.add_routes([web.get(USAGE_OF_ALL, usage_api.answer), *admin_routes])
        self._plain = PlainServer(self._front)
        self._plain_runner = web.ServerRunner(self._plain, shutdown_timeout=CUT_S)
        self._hot = HotListener(self._front, self._plain)
        self._tls: FrontTls | None = None
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

    def describe_tenant(self, tenant: Tenant) -> TenantReport:
        """What it has used now, as the operator is told it."""
        clock = self._state.clock
        return describe_tenant(self._state, tenant, clock.now(), clock.unix())

    def watch_health(self) -> AsyncIterator[HealthReport]:
        """What the operator would be told, for a process that has none: first all endpoints and tenants, then
        changes. One watcher at a time.
        """
        return self._reporter.reports()

    def find_unreadiness(self) -> str | None:
        """Why this gateway should get no traffic, in a clause; None when it is ready."""
        if self._front.leaving:
            return "shutting down"
        return None if self._reloader.running else "no routing table yet"

    async def start(self) -> None:
        """Returns when the ports are open; a table that was kept is serving by then. Raises OSError for a
        port that is taken, UnusableCertificate for files of `settings.tls`.
        """
        settings = self._settings
        self._metrics.tenants.watch(self.describe_tenant)  # not by a worker: its parent tells of all of them
        await self._keeper.restore()
        try:
            await self._open_front()
            self.admin_port = await listen(self._admin_runner, settings.admin_host, settings.admin_port)
        except (OSError, UnusableCertificate):
            await self._close()
            raise
        self._background = asyncio.create_task(self._run_background())
        log.info(
            "gateway listens",
            host=settings.host,
            port=self.port,
            admin_port=self.admin_port,
            loop=name_loop(asyncio.get_running_loop()),
            tls=settings.tls is not None,
        )

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

    def reread_certificate(self) -> None:
        """Now, if its files have changed, instead of within two seconds."""
        if self._tls is not None:
            self._tls.look()

    def hurry(self) -> None:
        """`stop` waits no longer: what is under way is cut."""
        self._hurry.set()

    async def _open_front(self) -> None:
        settings = self._settings
        if self._ledger is not None:
            await asyncio.to_thread(self._ledger.start)
        await self._plain_runner.setup()
        tls: dict[str, Any] = {}
        if settings.tls is not None:
            self._tls = FrontTls(settings.tls)
            tls = {
                "ssl": self._tls.context,
                "ssl_handshake_timeout": HANDSHAKE_S,
                "ssl_shutdown_timeout": GOODBYE_S,
            }
        self._listening = await asyncio.get_running_loop().create_server(
            self._hot, settings.host, settings.port, backlog=BACKLOG, reuse_port=settings.shares_port, **tls
        )
        self.port = self._listening.sockets[0].getsockname()[1]

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
        if self._ledger is not None:
            await asyncio.to_thread(self._ledger.close)  # no request is left that could end
        if self._background is not None:
            self._background.cancel()
            await asyncio.gather(self._background, return_exceptions=True)
        if self._limits is not None:
            await self._limits.finish()
        await self._keeper.finish()
        await self._admin_runner.cleanup()
        await self._desk.close()
        await self._authenticator.key_store.close()
        await self._issuers.close()
        await self._transport.close()

    def _list_background(self) -> dict[str, Callable[[], Awaitable[None]]]:
        tasks: dict[str, Callable[[], Awaitable[None]]] = {
            "probes": self._prober.run,
            "tokens": self._desk.tokens.run,
            "issuers' keys": self._authenticator.key_store.run,
            "table keeper": self._keeper.run,
            **self._list_limit_tasks(),
        }
        if self._settings.operator_urls:
            tasks["config stream"] = self._stream.run
        if self._tls is not None:
            tasks["certificate"] = self._tls.run
        return tasks

    def _list_limit_tasks(self) -> dict[str, Callable[[], Awaitable[None]]]:
        tasks: dict[str, Callable[[], Awaitable[None]]] = {"limits": self._state.watch_limits}
        if self._limits is not None:
            tasks["limit store"] = self._limits.run
        return tasks

    async def _run_background(self) -> None:
        await run_beside(self._list_background())

    def _note_applied(self, running: Running) -> None:
        self._authenticator.configure(running.live)
        self._metrics.note_table(running)
        self._reporter.note_table(running)
        self._transport.retain(list_upstreams(running.live.table.providers))
        self._desk.tokens.configure(running.live.table.providers)
        self._prober.watch(running.live)


def make_desk(
    transport: Transport, clock: Clock, draw: Callable[[], float], *, allow_private_media: bool = False
) -> Desk:
    tokens = Tokens(transport, clock.now, clock.unix, os.environ, draw=draw)
    return Desk(tokens, MediaFetcher(allow_private=allow_private_media), clock)


def make_ledger(settings: GatewaySettings, clock: Clock) -> Ledger | None:
    """Raises WrongPlace."""
    if settings.ledger is None:
        return None
    return open_ledger(
        settings.ledger,
        os.environ,
        clock.unix,
        owner=secrets.token_hex(8),
        keep_days=settings.ledger_days,
        spool=find_spool(settings.ledger, settings.ledger_spool, settings.state_dir),
        spool_bytes=settings.ledger_spool_bytes,
    )


def make_usage_api(settings: GatewaySettings, clock: Clock) -> UsageApi:
    """Of a process that writes no rows itself."""
    if settings.ledger is None:
        return UsageApi(None, clock.unix)
    return UsageApi(partial(read_report, make_store(settings.ledger, os.environ)), clock.unix)


def make_transport() -> Transport:
    """Towards providers: for requests, and for the probes of several workers' parent."""
    return PooledTransport()


def open_desk(settings: GatewaySettings, clock: Clock) -> LeaseDesk:
    """Raises WrongStore."""
    assert settings.limit_store is not None, "asked for where there is one"
    store = open_store(settings.limit_store, os.environ.get(STORE_PASSWORD))
    return LeaseDesk(store, settings.name, clock, WHOLE, term=Term(settings.lease_s, settings.lease_s / 10))


async def run_gateway(settings: GatewaySettings) -> None:
    """Serves until SIGTERM or SIGINT, then drains; a second signal cuts that short. Raises OSError for a port
    that is taken, UnusableCertificate for files of `settings.tls`.
    """
    configure_logging()
    await run_until_signal(Gateway(settings), rereads=settings.tls is not None)
