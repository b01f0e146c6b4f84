"""What a worker process runs: a Gateway without an operator, a disk, probes or an admin port. All that comes
from the parent.

    Begin -> Share, Delta … -> HealthReport -> Listen -> serve, obey, report -> Drain, or the parent's end

`__main__` calls it with the worker's end of the socket pair. Signals from a terminal or a service manager
reach every process of the group; this one ignores them and waits for the parent's word, which comes after
`/readyz` said no.

The one subtle rule: messages are obeyed one after the other, so that shares, tables and reports take effect
in the order in which the parent said them.
"""

import asyncio
import signal
import socket
from collections.abc import Awaitable, Callable
from typing import Final, assert_never

import structlog

from gateway_runtime.contract.health import HealthReport
from gateway_runtime.contract.stream import Delta, Share
from gateway_runtime.server.build import OutOfStep
from gateway_runtime.server.log import configure_logging
from gateway_runtime.server.loop import name_loop
from gateway_runtime.server.main import Gateway
from gateway_runtime.server.settings import GatewaySettings
from gateway_runtime.server.tls import UnusableCertificate
from gateway_runtime.workers.channel import (
    Ask,
    Begin,
    Downward,
    Drain,
    Exposition,
    Hurry,
    Listen,
    Listening,
    Standing,
    WorkerEnd,
    open_worker_end,
)

log = structlog.get_logger()

EXIT_GAVE_UP: Final = 1
EXIT_BEFORE_BEGIN: Final = 2
"""The parent left, or is not one of ours."""


async def run_worker(pair: socket.socket) -> int:
    """Until the parent says so or is gone. Returns the exit code."""
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    configure_logging()
    channel = await open_worker_end(pair)
    begin = await channel.receive()
    if not isinstance(begin, Begin):
        return EXIT_BEFORE_BEGIN
    structlog.contextvars.bind_contextvars(worker=begin.worker)
    gateway = ObedientGateway(begin.settings, channel)
    if begin.settings.tls is not None:
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, gateway.reread_certificate)
    try:
        await gateway.obey()
    except (OSError, UnusableCertificate, OutOfStep) as error:
        log.warning("worker gives up", reason=str(error))
        return EXIT_GAVE_UP
    return 0


class ObedientGateway(Gateway):
    def __init__(self, settings: GatewaySettings, channel: WorkerEnd) -> None:
        super().__init__(settings)
        self._channel = channel
        self._leaving: asyncio.Task[None] | None = None

    async def obey(self) -> None:
        """Returns when all is over. Raises what `start` raises, and OutOfStep when the parent has a wrong
        idea of our table; it then starts another worker.
        """
        try:
            while (message := await self._channel.receive()) is not None:
                await self._follow(message)
            if self._leaving is None:
                log.warning("parent is gone")
        finally:
            await self._begin_to_leave()

    async def start(self) -> None:
        """See `Gateway.start`; here the table is there before, and only the front port is opened."""
        await self._open_front()
        self._background = asyncio.create_task(self._run_background())
        log.info("worker listens", port=self.port, loop=name_loop(asyncio.get_running_loop()))

    async def _follow(self, message: Downward) -> None:
        match message:
            case Delta():
                answer = await self._reloader.offer_part(message)
                if answer is not None:
                    self._channel.say(answer)
            case Share():
                self._reloader.apply_share(message)
            case HealthReport():
                self._believe(message)
            case Listen() if self._leaving is None:
                await self.start()
                self._channel.say(Listening())
            case Ask(number=number, what="metrics"):
                await self._channel.send(
                    Exposition(number, (await asyncio.to_thread(self._metrics.freeze())).decode())
                )
            case Ask(number=number):
                await self._channel.send(self._describe(number))
            case Drain():
                self._begin_to_leave()
            case Hurry():
                self.hurry()
            case Begin() | Listen():
                log.warning("order comes too late", order=type(message).__name__)
            case _:
                assert_never(message)

    def _begin_to_leave(self) -> asyncio.Task[None]:
        if self._leaving is None:
            self._leaving = asyncio.create_task(self._leave())
        return self._leaving

    async def _leave(self) -> None:
        if self._listening is None:
            await self._close()
        else:
            await self.stop()
        self._channel.close()  # which ends `obey`

    def _believe(self, probed: HealthReport) -> None:
        """The parent has logged and reported it, with the reason."""
        for report in probed.endpoints:
            endpoint = self._state.endpoints.get(report.endpoint)
            if endpoint is not None:
                endpoint.set_health(report.health, "")

    def _describe(self, number: int) -> Standing:
        running = self._reloader.running
        now_s = self._state.clock.now()
        tenants = running.live.table.tenants if running else ()
        return Standing(
            number=number,
            version=self.version,
            share=self._state.share,
            under_way=self._front.under_way,
            endpoints=self.reports(),
            used={
                tenant.id: {limit.name: limit.state(now_s).used for limit in self._state.limits_of(tenant)}
                for tenant in tenants
                if tenant.limits
            },
        )

    def _list_background(self) -> dict[str, Callable[[], Awaitable[None]]]:
        tasks: dict[str, Callable[[], Awaitable[None]]] = {
            "reports": self._send_reports,
            **self._list_limit_tasks(),
        }
        if self._tls is not None:
            tasks["certificate"] = self._tls.run
        return tasks

    async def _send_reports(self) -> None:
        """Never silent for long, whatever happens: the parent takes silence for a hang."""
        async for report in self.watch_health():
            await self._channel.send(report)
