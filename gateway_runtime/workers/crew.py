"""The workers of one pod: as many as were asked for, brought up, brought up again, and taken down together.

    start -> bring up (Begin, Share, table, health) -> member of the crew -> Listen -> serve -> die -> start

`pod` owns it and hands out tables and orders through it; what a newcomer must know is asked of `Knowledge`.

The one subtle rule: between the last look at the table that runs and the newcomer's becoming a member nothing
is awaited. So a table that is handed out reaches every worker: as a member, or before it becomes one.
"""

import asyncio
import signal
from collections.abc import Awaitable, Callable, Collection
from contextlib import suppress
from typing import Final, Protocol, TypeVar

import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge, generate_latest

from gateway_runtime.contract.health import EndpointReport, HealthReport
from gateway_runtime.contract.ids import EndpointId, TenantId
from gateway_runtime.contract.stream import Fault, Share, Version
from gateway_runtime.server.build import BuiltTable
from gateway_runtime.server.log import log_bug
from gateway_runtime.server.settings import GatewaySettings
from gateway_runtime.workers.channel import Downward, Drain, Hurry, Standing
from gateway_runtime.workers.child import Child, start_child
from gateway_runtime.workers.exposition import join_expositions, keep_sums
from gateway_runtime.workers.join import ToldTenant, share_for

log = structlog.get_logger()

FIRST_BACKOFF_S: Final = 0.1
MAX_BACKOFF_S: Final = 10.0
STEADY_S: Final = 60.0
"""A worker that lived so long did not die of its start: the next pause is short again. A guess."""

GRACE_S: Final = 5.0
"""For a process to end after its time was up, before it is killed."""

SILENCE_S: Final = 30.0
"""A worker tells of all its endpoints every ten seconds or so; one that is silent for so long hangs."""

ANSWER_S: Final = 5.0
"""For a worker to tell its metrics or its standing; scrapers give up after ten seconds."""

_Told = TypeVar("_Told")


class Knowledge(Protocol):
    """What a worker must have before it listens, and who hears of its circuits and of its tenants."""

    def find_table(self) -> tuple[Version, BuiltTable] | None: ...
    def find_share(self) -> Share: ...
    def find_health(self) -> HealthReport: ...
    def note_circuit(self, endpoint: EndpointId) -> None: ...
    def note_tenants(self, tenants: Collection[TenantId]) -> None: ...


class Crew:
    def __init__(self, size: int, knowledge: Knowledge) -> None:
        self.size = size
        self.complete = asyncio.Event()
        """Set once all have listened at the same time."""
        self.members: list[Child] = []
        """Those that have the table which runs."""
        self._knowledge = knowledge
        self._children: list[Child] = []
        """All processes, members and others."""
        self._leaving = asyncio.Event()
        self._departed = ""
        """What workers that are gone had counted."""
        self._tasks: list[asyncio.Task[None]] = []
        self._registry = CollectorRegistry()
        self._deaths = Counter("headgate_worker_deaths", "Workers that died.", registry=self._registry)
        listening = Gauge("headgate_workers_listening", "Workers that serve.", registry=self._registry)
        listening.set_function(self.count_listening)

    def count_listening(self) -> int:
        return sum(child.listens.is_set() for child in self.members)

    def start(self, settings: GatewaySettings) -> None:
        """settings: of each worker, with the port that all share."""
        self._tasks = [
            asyncio.create_task(self._keep_worker(index, settings), name=f"worker {index}")
            for index in range(self.size)
        ]

    def tell(self, message: Downward) -> None:
        for child in self.members:
            child.say(message)

    def tell_share(self) -> None:
        for child in self.members:
            child.say(share_for(self._knowledge.find_share(), child.index, self.size))

    def reread_certificate(self) -> None:
        """Those that are on their way read the new one anyway, and would not survive the signal."""
        for child in self.members:
            if child.listens.is_set():
                child.signal(signal.SIGHUP)

    async def hand_out(self, version: Version, built: BuiltTable) -> tuple[Fault, ...]:
        """Returns when every worker runs it, those that became members meanwhile included; or what some have
        against it. Before `start` there is nobody to wait for; at the beginning it waits for all.
        """
        if self._tasks:
            await self.complete.wait()
        asked: list[Child] = []
        faults: list[Fault] = []
        while missing := [child for child in self.members if child not in asked]:
            asked += missing
            answers = await asyncio.gather(*(child.give_table(version, built) for child in missing))
            for child, nack in zip(missing, answers, strict=True):
                faults += [
                    Fault(resource=fault.resource, message=f"worker {child.index}: {fault.message}")
                    for fault in (nack.faults if nack else ())
                ]
        return tuple(faults)

    async def fetch_metrics(self) -> list[str]:
        """Expositions: of all workers, also of those that are gone, and of the crew itself. Raises
        TimeoutError.
        """
        await self._ask_all(Child.fetch_metrics)
        # Who died meanwhile is among the departed with what it has just told, and not counted twice.
        texts = [child.metrics for child in self._children]
        return [*texts, self._departed, generate_latest(self._registry).decode()]

    async def fetch_standings(self) -> list[tuple[Child, Standing]]:
        """Sorted by worker. Raises TimeoutError."""
        return await self._ask_all(Child.fetch_standing)

    def reports_of(self, endpoint: EndpointId) -> list[EndpointReport]:
        return [child.told[endpoint] for child in self.members if endpoint in child.told]

    def tenant_reports_of(self, tenant: TenantId) -> list[ToldTenant]:
        return [child.told_tenants[tenant] for child in self.members if tenant in child.told_tenants]

    async def drain(self, limit_s: float, hurry: asyncio.Event) -> None:
        """Returns when all processes are gone. limit_s: what they may need; after `hurry`, nothing."""
        self._leaving.set()
        for child in self._children:
            child.say(Drain())
        ended = asyncio.gather(*self._tasks)
        hurrying = asyncio.create_task(hurry.wait())
        await asyncio.wait((ended, hurrying), timeout=limit_s + GRACE_S, return_when=asyncio.FIRST_COMPLETED)
        hurrying.cancel()
        if not ended.done():
            for child in self._children:
                child.say(Hurry())
            await asyncio.wait((ended,), timeout=GRACE_S)
        if not ended.done():
            log.warning("workers killed", workers=[child.index for child in self._children])
            for child in self._children:
                child.signal(signal.SIGKILL)
        await ended

    async def _ask_all(self, ask: Callable[[Child], Awaitable[_Told | None]]) -> list[tuple[Child, _Told]]:
        asked = sorted(self.members, key=lambda child: child.index)
        async with asyncio.timeout(ANSWER_S):
            answers = await asyncio.gather(*(ask(child) for child in asked))
        return [(child, told) for child, told in zip(asked, answers, strict=True) if told is not None]

    async def _keep_worker(self, index: int, settings: GatewaySettings) -> None:
        """Until the crew leaves."""
        loop = asyncio.get_running_loop()
        pause_s = FIRST_BACKOFF_S
        while not self._leaving.is_set():
            began_s = loop.time()
            try:
                reason = await self._run_worker(index, settings)
            except OSError as error:
                reason = f"not started: {error.strerror or error}"
            except Exception:
                log_bug("worker lost by a bug", worker=index)
                reason = "a bug of the parent"
            if self._leaving.is_set():
                return
            if loop.time() - began_s > STEADY_S:
                pause_s = FIRST_BACKOFF_S
            self._deaths.inc()
            log.error("worker died", worker=index, reason=reason, restart_in_s=pause_s)
            with suppress(TimeoutError):
                async with asyncio.timeout(pause_s):
                    await self._leaving.wait()
            pause_s = min(2 * pause_s, MAX_BACKOFF_S)

    async def _run_worker(self, index: int, settings: GatewaySettings) -> str:
        """One process from its start to its end, which is told in a clause. Raises OSError."""
        child = await start_child(index, settings)
        child.on_circuit = self._knowledge.note_circuit
        child.on_tenants = self._knowledge.note_tenants
        self._children.append(child)
        if self._leaving.is_set():
            child.say(Drain())
        try:
            async with asyncio.TaskGroup() as group:
                bringing = group.create_task(self._bring_up(child))
                silent = await child.listen_to(SILENCE_S)
                bringing.cancel()
            reason = await child.end(0.0 if silent else GRACE_S)
        finally:
            self._bury(child)
        return f"silent for {SILENCE_S:g} s, {reason}" if silent else reason

    async def _bring_up(self, child: Child) -> None:
        given: Version | None = None
        while (table := self._knowledge.find_table()) is not None and table[0] != given:
            given = table[0]
            if await child.give_table(*table) is not None:
                child.signal(signal.SIGKILL)  # it has said why
                return
        child.say(share_for(self._knowledge.find_share(), child.index, self.size))
        child.say(self._knowledge.find_health())
        self.members.append(child)
        if not self._leaving.is_set():
            await child.open_port()
        if self.count_listening() == self.size:
            self.complete.set()

    def _bury(self, child: Child) -> None:
        child.signal(signal.SIGKILL)  # if it lives on, this is a bug of ours, or our own end
        self._children.remove(child)
        if child in self.members:
            self.members.remove(child)
        self._departed = join_expositions([self._departed, keep_sums(child.metrics)])
        for endpoint, report in child.told.items():
            if report.circuit != "Closed":
                self._knowledge.note_circuit(endpoint)
        self._knowledge.note_tenants(child.told_tenants.keys())
