"""Requests over a limit wait for room, first come, first served, as long as their tenant says.

    refused -> join -> (first in line: try again when something may have changed) -> admitted | timed out

`admission` enters for tenants whose quota has a queue; `front` calls `note_freed` when a request is over. Who
waits is woken by what may have made room: an ended request, the next window, whoever was before it.

The one subtle rule: while anybody waits, newcomers go behind: those that would still fit would otherwise
overtake for ever the one that needs more.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Final

from gateway_runtime.contract.ids import TenantId
from gateway_runtime.contract.table import Queue, Tenant
from gateway_runtime.engine.hold import Reserved
from gateway_runtime.engine.limits import Refused, Taken

Outcome = Taken | Reserved | Refused

SHORTEST_S: Final = 0.01
LONGEST_S: Final = 0.2
"""Other gateways make room, too, and do not tell."""


class _Place:
    __slots__ = ("stirred",)

    def __init__(self) -> None:
        self.stirred = asyncio.Event()


class LimitQueues:
    """Of one gateway."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._lines: dict[TenantId, deque[_Place]] = {}
        self._roots: dict[TenantId, set[TenantId]] = {}
        """Who is in line, by whose limits they share."""

    def is_waiting(self, tenant: Tenant) -> bool:
        return tenant.id in self._lines

    def waiting(self) -> int:
        return sum(len(line) for line in self._lines.values())

    def note_freed(self, tenant: Tenant) -> None:
        """A request of it is over."""
        if not self._lines:
            return
        for waiting in self._roots.get(tenant.parent or tenant.id, ()):
            self._lines[waiting][0].stirred.set()

    async def wait(self, tenant: Tenant, queue: Queue, take: Callable[[], Awaitable[Outcome]]) -> Outcome:
        """take: tries once more. Refused: the time is over, no wait helps, or too many wait."""
        line = self._lines.get(tenant.id)
        if line is not None and len(line) >= queue.max_waiting:
            return await take()
        give_up_s = self._now() + queue.timeout_s
        place = _Place()
        line = self._join(tenant, place)
        try:
            while True:
                pause_s = give_up_s - self._now()
                if line[0] is place or pause_s <= 0:
                    place.stirred.clear()
                    outcome = await take()
                    if not isinstance(outcome, Refused) or outcome.never or pause_s <= 0:
                        return outcome
                    pause_s = min(pause_s, max(SHORTEST_S, min(outcome.retry_after_s, LONGEST_S)))
                await self._rest(place, pause_s)
        finally:
            self._leave(tenant, line, place)

    @staticmethod
    async def _rest(place: _Place, pause_s: float) -> None:
        try:
            async with asyncio.timeout(pause_s):
                await place.stirred.wait()
        except TimeoutError:
            pass  # looked at again, like any other change

    def _join(self, tenant: Tenant, place: _Place) -> deque[_Place]:
        line = self._lines.setdefault(tenant.id, deque())
        self._roots.setdefault(tenant.parent or tenant.id, set()).add(tenant.id)
        line.append(place)
        return line

    def _leave(self, tenant: Tenant, line: deque[_Place], place: _Place) -> None:
        was_first = line[0] is place
        line.remove(place)
        if line:
            if was_first:
                line[0].stirred.set()
            return
        del self._lines[tenant.id]
        root = tenant.parent or tenant.id
        self._roots[root].discard(tenant.id)
        if not self._roots[root]:
            del self._roots[root]
