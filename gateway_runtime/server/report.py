"""HealthReports for the operator: changes at once, everything now and then.

`state` tells of changes, `stream` asks for the reports of one connection. Full reports come every ten seconds
or so, not all gateways at the same moment, because the operator judges age: an endpoint of which nobody says
anything becomes Unknown.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Final

from gateway_runtime.contract.health import HealthReport
from gateway_runtime.contract.ids import EndpointId
from gateway_runtime.server.state import LiveState

FULL_EVERY_S: Final = 10.0


class Reporter:
    def __init__(self, state: LiveState, draw: Callable[[], float]) -> None:
        self._state = state
        self._draw = draw
        self._changed: set[EndpointId] = set()
        self._full_due = False
        self._wake = asyncio.Event()
        state.on_change = self.note_change

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
        next_full_s = 0.0
        loop = asyncio.get_running_loop()
        while True:
            try:
                async with asyncio.timeout_at(next_full_s if sequence else None):
                    await self._wake.wait()
            except TimeoutError:
                self._full_due = True
            self._wake.clear()
            if self._full_due:
                endpoints = self._state.reports()
                next_full_s = loop.time() + FULL_EVERY_S * (0.75 + self._draw() / 2)
            else:
                live = self._state.endpoints
                endpoints = tuple(live[i].report() for i in sorted(self._changed) if i in live)
            full, self._full_due = self._full_due, False
            self._changed.clear()
            sequence += 1
            yield HealthReport(sequence=sequence, full=full, endpoints=endpoints)
