"""Requests over a limit wait for room, first come, first served, as long as their tenant says.

    refused -> join -> (first in line: try again when something may have changed) -> admitted | timed out
                          '- refused by a limit of others: to the end of that line

`admission` enters for tenants whose quota has a queue; `front` calls `note_freed` when a request is over. Who
waits is woken by what may have made room: an ended request, the next window, whoever was before it.

A tenant has a line for the limits that hold for all its callers, and one for each user, key or model that has
used up its own: nobody waits for what is not theirs.

The one subtle rule: while anybody waits in one of its lines, a newcomer goes behind, or is refused where too
many wait: those that would still fit would otherwise overtake for ever the one that needs more.
"""

import asyncio
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, NamedTuple

from gateway_runtime.contract.ids import TenantId
from gateway_runtime.contract.tenant import Queue, Tenant
from gateway_runtime.engine.hold import Reserved
from gateway_runtime.engine.limits import Refused, Taken, TenantLimit

Outcome = Taken | Reserved | Refused

SHORTEST_S: Final = 0.01
LONGEST_S: Final = 0.2
"""Other gateways make room, too, and do not tell."""


class LineKey(NamedTuple):
    tenant: TenantId
    whose: str
    """As limits have it: empty for those that hold for all."""


class _Line:
    __slots__ = ("key", "places", "refused", "root")

    def __init__(self, key: LineKey, root: TenantId, refused: Refused) -> None:
        self.key = key
        self.places: deque[_Place] = deque()
        self.root = root
        """Its tenant's parent when it began, or the tenant: an edit may change that."""
        self.refused = refused
        """What the first in it was told last."""


class _Place:
    __slots__ = ("line", "stirred")

    def __init__(self, line: _Line) -> None:
        self.line = line
        self.stirred = asyncio.Event()

    @property
    def is_first(self) -> bool:
        return self.line.places[0] is self


class LimitQueues:
    """Of one gateway."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._lines: dict[LineKey, _Line] = {}
        self._roots: dict[TenantId, set[LineKey]] = {}
        """Lines by whose limits their tenants share."""
        self._waiting: Counter[TenantId] = Counter()
        """In all lines of each tenant."""

    def is_waiting(self, tenant: Tenant, limits: Sequence[TenantLimit]) -> bool:
        """Whether anybody is before a newcomer. limits: all that it has to fit into."""
        return bool(self._lines) and self._find_line(tenant, limits) is not None

    def waiting(self) -> int:
        return self._waiting.total()

    def note_freed(self, tenant: Tenant) -> None:
        """A request of it is over."""
        if not self._lines:
            return
        for key in self._roots.get(tenant.parent or tenant.id, ()):
            self._lines[key].places[0].stirred.set()

    async def wait(
        self,
        tenant: Tenant,
        queue: Queue,
        limits: Sequence[TenantLimit],
        take: Callable[[], Awaitable[Outcome]],
        refused: Refused | None = None,
    ) -> Outcome:
        """take: tries once more. limits: all that it has to fit into. refused: what it was told a moment
        ago, where nobody was before it. Refused comes out when the time is over, no wait helps, or too many
        of the tenant wait.
        """
        before = self._find_line(tenant, limits) if refused is None else None
        refused = refused if before is None else before.refused
        assert refused is not None, "whoever waits behind nobody was refused"
        if self._waiting[tenant.id] >= queue.max_waiting:
            return refused
        whose = refused.whose if before is None else before.key.whose
        give_up_s = self._now() + queue.timeout_s
        place = _Place(self._find_or_begin(tenant, whose, refused))
        place.line.places.append(place)
        self._waiting[tenant.id] += 1
        try:
            while True:
                place.stirred.clear()
                left_s = give_up_s - self._now()
                if left_s > 0 and place.is_first and place.line.key.whose:
                    for_all = self._lines.get(LineKey(tenant.id, ""))
                    if for_all is not None:
                        self._move(
                            place, for_all
                        )  # of its own nobody is before it; of all others somebody is
                if place.is_first or left_s <= 0:
                    outcome = await take()
                    if not isinstance(outcome, Refused) or outcome.never or left_s <= 0:
                        return outcome
                    if outcome.whose != place.line.key.whose:
                        self._move(place, self._find_or_begin(tenant, outcome.whose, outcome))
                    if place.is_first:
                        place.line.refused = outcome
                        left_s = min(left_s, max(SHORTEST_S, min(outcome.retry_after_s, LONGEST_S)))
                await self._rest(place, left_s)
        finally:
            self._leave(place)
            self._waiting[tenant.id] -= 1
            if not self._waiting[tenant.id]:
                del self._waiting[tenant.id]

    @staticmethod
    async def _rest(place: _Place, pause_s: float) -> None:
        try:
            async with asyncio.timeout(pause_s):
                await place.stirred.wait()
        except TimeoutError:
            pass  # looked at again, like any other change

    def _find_line(self, tenant: Tenant, limits: Sequence[TenantLimit]) -> _Line | None:
        """Its own caller's, key's or model's, or else that of all."""
        found: _Line | None = None
        for limit in limits:
            line = self._lines.get(LineKey(tenant.id, limit.whose))
            if line is not None and (found is None or limit.whose):
                found = line
        return found

    def _find_or_begin(self, tenant: Tenant, whose: str, refused: Refused) -> _Line:
        key = LineKey(tenant.id, whose)
        line = self._lines.get(key)
        if line is None:
            line = self._lines[key] = _Line(key, tenant.parent or tenant.id, refused)
            self._roots.setdefault(line.root, set()).add(key)
        return line

    def _move(self, place: _Place, to: _Line) -> None:
        """Behind all that wait there."""
        self._leave(place)
        place.line = to
        to.places.append(place)

    def _leave(self, place: _Place) -> None:
        line = place.line
        was_first = place.is_first
        line.places.remove(place)
        if line.places:
            if was_first:
                line.places[0].stirred.set()
            return
        del self._lines[line.key]
        self._roots[line.root].discard(line.key)
        if not self._roots[line.root]:
            del self._roots[line.root]
