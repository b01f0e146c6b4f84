"""Requests over a limit wait for room, first come, first served, as long as their tenant says.

    refused -> join -> (first in line: try again when something may have changed) -> admitted | timed out

`admission` enters for tenants whose quota has a queue; `front` calls `note_freed` when a request is over. Who
waits is woken by what may have made room: an ended request, the next window, whoever was before it.

The one subtle rule: while anybody waits, newcomers go behind, or are refused where too many wait: those that
would still fit would otherwise overtake for ever the one that needs more.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Final

from gateway_runtime.contract.ids import TenantId
from gateway_runtime.contract.tenant import Queue, Tenant
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


class _Line:
    __slots__ = ("places", "refused", "root")

    def __init__(self, root: TenantId, refused: Refused) -> None:
        self.places: deque[_Place] = deque()
        self.root = root
        """Its parent when it began, or itself: an edit may change that."""
        self.refused = refused
        """What the first in it was told last."""


class LimitQueues:
    """Of one gateway."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._lines: dict[TenantId, _Line] = {}
        self._roots: dict[TenantId, set[TenantId]] = {}
        """Who is in line, by whose limits they share."""

    def is_waiting(self, tenant: Tenant) -> bool:
        return tenant.id in self._lines

    def waiting(self) -> int:
        return sum(len(line.places) for line in self._lines.values())

    def note_freed(self, tenant: Tenant) -> None:
        """A request of it is over."""
        if not self._lines:
            return
        for waiting in self._roots.get(tenant.parent or tenant.id, ()):
            self._lines[waiting].places[0].stirred.set()

    async def wait(
        self,
        tenant: Tenant,
        queue: Queue,
        take: Callable[[], Awaitable[Outcome]],
        refused: Refused | None = None,
    ) -> Outcome:
        """take: tries once more. refused: what it was told a moment ago, where nobody waited. Refused comes
        out when the time is over, no wait helps, or too many wait.
        """
        line = self._lines.get(tenant.id)
        if line is not None and len(line.places) >= queue.max_waiting:
            return line.refused
        give_up_s = self._now() + queue.timeout_s
        place = _Place()
        line = self._join(tenant, line, refused, place)
        try:
            while True:
                pause_s = give_up_s - self._now()
                if line.places[0] is place or pause_s <= 0:
                    place.stirred.clear()
                    outcome = await take()
                    if not isinstance(outcome, Refused) or outcome.never or pause_s <= 0:
                        return outcome
                    line.refused = outcome
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

    def _join(self, tenant: Tenant, line: _Line | None, refused: Refused | None, place: _Place) -> _Line:
        if line is None:
            assert refused is not None, "whoever waits alone was refused"
            line = self._lines[tenant.id] = _Line(tenant.parent or tenant.id, refused)
            self._roots.setdefault(line.root, set()).add(tenant.id)
        line.places.append(place)
        return line

    def _leave(self, tenant: Tenant, line: _Line, place: _Place) -> None:
        places = line.places
        was_first = places[0] is place
        places.remove(place)
        if places:
            if was_first:
                places[0].stirred.set()
            return
        del self._lines[tenant.id]
        self._roots[line.root].discard(tenant.id)
        if not self._roots[line.root]:
            del self._roots[line.root]
