"""The operator's end of the config stream: tables in, versions out to every gateway, and what they answer.

In: `publish` with each compiled table. Out: `views`, `settled` and `on_change` for the status. It listens
from `start` to `stop`; `become_leader` begins a term, `resign` ends it, and outside of one it answers 503.

The one subtle rule: a term begins with an epoch above every one that the lease and the bootstrap know of, and
the epoch is claimed in the bootstrap Secret before anything is published; `bootstrap` fences off whoever led
before.
"""

import asyncio
import datetime as dt
import time
import uuid
from collections.abc import Callable
from typing import Protocol

import structlog
from prometheus_client import CollectorRegistry

from gateway_runtime.contract.table import RoutingTable
from headgate_operator.publish.bootstrap import Bootstrap
from headgate_operator.publish.bootstrap_writer import INTERVAL_S, BootstrapWriter
from headgate_operator.publish.callers import Callers, TokenReviewer
from headgate_operator.publish.certificates import Certificates
from headgate_operator.publish.change import Change
from headgate_operator.publish.clock import Clock
from headgate_operator.publish.metrics import PublishMetrics
from headgate_operator.publish.secret_store import SecretStore
from headgate_operator.publish.server import ConfigServer
from headgate_operator.publish.term import Term
from headgate_operator.rollup.views import GatewayView, Published
from headgate_operator.settings import OperatorSettings

log = structlog.get_logger()


class KubeApi(SecretStore, TokenReviewer, Protocol):
    """What this room asks of `kube.Kube`."""


class Publisher:
    def __init__(
        self,
        kube: KubeApi,
        settings: OperatorSettings,
        registry: CollectorRegistry,
        on_change: Callable[[Change], None],
        *,
        clock: Clock | None = None,
        unix_time: Callable[[], float] = time.time,
        bootstrap_interval_s: float = INTERVAL_S,
    ) -> None:
        """`on_change` is called on the event loop and must not block. `clock`: None is the event loop."""
        self._kube = kube
        self._settings = settings
        self._on_change = on_change
        self._clock = clock
        self._unix_time = unix_time
        self._bootstrap_interval_s = bootstrap_interval_s
        self._metrics = PublishMetrics(registry)
        self._certificates: Certificates | None = None
        self._server: ConfigServer | None = None
        self._term: Term | None = None
        self._recovered: RoutingTable | None = None
        self._rotation: asyncio.Task[None] | None = None
        self._writing: asyncio.Task[None] | None = None

    @property
    def port(self) -> int:
        """Where it listens; 0 before `start`."""
        return self._server.port if self._server else 0

    @property
    def leading(self) -> bool:
        return self._term is not None

    @property
    def failure(self) -> BaseException | None:
        """What ended a task of ours that should never end: a bug. The liveness probe asks."""
        for task in (self._rotation, self._writing):
            if task is not None and task.done() and not task.cancelled() and (error := task.exception()):
                return error
        return None

    async def start(self) -> None:
        """Raises KubeError, MalformedSecret, or OSError when the port is taken."""
        settings = self._settings
        certificates = Certificates(
            self._kube, settings, lambda: dt.datetime.fromtimestamp(self._unix_time(), dt.UTC)
        )
        await certificates.refresh()
        callers = Callers(self._kube, settings.audience, settings.gateway_accounts, self._unix_time)
        server = ConfigServer(settings, callers, lambda: self._term, certificates.context)
        await server.start()
        self._certificates, self._server = certificates, server
        self._rotation = asyncio.create_task(certificates.run(), name="certificate rotation")
        log.info("config stream listening", port=server.port)

    async def stop(self) -> None:
        """Raises what `failure` says, after everything has been closed."""
        self.resign()
        if self._rotation is not None:
            self._rotation.cancel()
        tasks = [task for task in (self._rotation, self._writing) if task is not None]
        if tasks:
            await asyncio.wait(tasks)
        if self._server is not None:
            await self._server.stop()
            self._server = None
        if self.failure is not None:
            raise self.failure

    async def become_leader(self, epoch_floor: int) -> None:
        """`epoch_floor`: the term that the Lease counts. Raises KubeError; nothing has begun then."""
        self.resign()
        bootstrap = Bootstrap(self._kube, self._settings.own_namespace, claim=uuid.uuid4().hex)
        claimed = await bootstrap.claim(epoch_floor)
        writer = BootstrapWriter(bootstrap, self._metrics, self._bootstrap_interval_s, self.resign)
        clock = self._clock or asyncio.get_running_loop()
        self._recovered = claimed.table
        self._term = Term(claimed, clock, self._metrics, self._on_change, writer.refresh)
        self._writing = asyncio.create_task(writer.run(), name="bootstrap writer")
        log.info("publishing begins", epoch=claimed.epoch, gateways_before=len(claimed.roster))

    def resign(self) -> None:
        """At once; gateways are sent away to dial the next leader. Does nothing outside a term."""
        if self._term is None:
            return
        self._recovered = self._term.table or self._recovered
        self._term.end()
        self._term = None
        if self._writing is not None and self._writing is not asyncio.current_task():
            self._writing.cancel()
        log.info("publishing ends")

    def publish(self, table: RoutingTable, *, shrink_confirmed: bool) -> Published | None:
        """What is published now: a new version, or the old one when nothing has changed. None outside a term.

        `shrink_confirmed`: everything was listed anew, so a table that lost much is meant.
        """
        if self._term is None:
            return None
        return self._term.publish(table, shrink_confirmed=shrink_confirmed)

    def last_published_table(self) -> RoutingTable | None:
        """Of this term, else what the bootstrap held when it began; None when nothing is known."""
        return (self._term.table if self._term else None) or self._recovered

    def views(self) -> tuple[GatewayView, ...]:
        """Of every gateway that is connected or was a minute ago. Empty outside a term."""
        return self._term.views() if self._term else ()

    def settled(self, now_s: float) -> bool:
        """Whether the views are the whole truth: `now_s` on the monotonic clock."""
        return self._term is not None and self._term.settled(now_s)
