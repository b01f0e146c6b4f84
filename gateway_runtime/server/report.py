"""HealthReports for the operator: of endpoints changes at once and everything now and then, of tenants once a
second what has changed.

`state` and `tenant_news` tell of changes, `stream` asks for the reports of one connection. Full reports come
every ten seconds or so, not all gateways at the same moment, because the operator judges age: an endpoint of
which nobody says anything becomes Unknown.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from typing import Final

from gateway_runtime.contract.health import EndpointReport, HealthReport, TenantReport
from gateway_runtime.contract.ids import EndpointId
from gateway_runtime.server.reload import Running
from gateway_runtime.server.state import LiveState
from gateway_runtime.server.tenant_news import TenantNews

FULL_EVERY_S: Final = 10.0
TENANTS_EVERY_S: Final = 1.0


class Reporter:
    def __init__(self, state: LiveState, news: TenantNews, draw: Callable[[], float]) -> None:
        self._state = state
        self._news = news
        self._draw = draw
        self._changed: set[EndpointId] = set()
        self._full_due = False
        self._wake = asyncio.Event()
        state.on_change = self.note_change

    def note_table(self, running: Running) -> None:
        """It serves."""
        self._news.note_table(running.live.table.tenants)

    def note_change(self, endpoint_id: EndpointId) -> None:
        self._changed.add(endpoint_id)
        self._wake.set()

    def request_full(self) -> None:
        """The next report, due at once, tells of every endpoint."""
        self._full_due = True
        self._wake.set()

    async def reports(self) -> AsyncIterator[HealthReport]:
        """Endless; the first is full. One consumer at a time."""
        sequence = 0
        self.request_full()
        self._news.begin()
        loop = asyncio.get_running_loop()
        next_full_s = next_tenants_s = loop.time()
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout_at(min(next_full_s, next_tenants_s)):
                    await self._wake.wait()
            self._wake.clear()
            full = self._full_due or loop.time() >= next_full_s
            if full:
                self._full_due = False
                next_full_s = loop.time() + FULL_EVERY_S * (0.75 + self._draw() / 2)
            if full or self._changed:
                sequence += 1
                yield self._build(sequence, full=full)
            if loop.time() >= next_tenants_s:
                for tenants in self._news.take_batches():
                    sequence += 1
                    yield self._build(sequence, tenants=tenants)
                    await asyncio.sleep(0)  # requests come first
                next_tenants_s = loop.time() + TENANTS_EVERY_S

    def _build(
        self, sequence: int, *, full: bool = False, tenants: tuple[TenantReport, ...] = ()
    ) -> HealthReport:
        live = self._state.endpoints
        endpoints: tuple[EndpointReport, ...]
        if full:
            endpoints = self._state.reports()
        else:
            endpoints = tuple(live[i].report() for i in sorted(self._changed) if i in live)
        self._changed.clear()
        return HealthReport(sequence=sequence, full=full, endpoints=endpoints, tenants=tenants)
