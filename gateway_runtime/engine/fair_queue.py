"""Who goes next where tenants wait for the same place: waiters in, one at a time out.

    push -> pop        it is its turn
            discard    it waits no more, wherever it stands
            displace   it gave way, the queue being full

    a tenant's own      in the order in which they came
    equal priority      the tenants take turns, one waiter a turn; who begins to wait comes last in the round
    unequal priority    a lower one has its turn when no higher one waits

`upstream.pool` keeps one for each place, of futures. How long one waits at most is the pool's to see to: the
only bound for a low priority beneath a higher one that never ceases. Of two tenants of equal priority that
wait all the time, none ever had more than one turn more than the other.

The one subtle rule: a tenant has one priority, the one that its last waiter came with, and all of its waiters
move there with it. Otherwise an edited quota would let its new requests overtake its old ones.

All is done in constant time, but for steps over the priorities that have anybody waiting, which are few.
"""

from bisect import insort
from collections import OrderedDict
from collections.abc import Hashable
from typing import Final, Generic, NamedTuple, TypeVar

from gateway_runtime.contract.ids import TenantId

Item = TypeVar("Item", bound=Hashable)


class Rank(NamedTuple):
    """Whose a waiter is, and how much that counts."""

    tenant: TenantId
    priority: int
    """Higher goes first."""


NOBODY: Final = Rank(TenantId(""), 0)
"""Of what the gateway asks for itself."""


class Line(Generic[Item]):
    """What waits of one tenant; never empty between two calls."""

    __slots__ = ("priority", "tenant", "waiting")

    def __init__(self, rank: Rank) -> None:
        self.tenant, self.priority = rank
        self.waiting: OrderedDict[Item, None] = OrderedDict()
        """A plain dict would find its first entry behind the holes of all that have left."""


class _Level(Generic[Item]):
    """The lines of one priority."""

    __slots__ = ("_by_length", "_longest", "ring")

    def __init__(self) -> None:
        self.ring: OrderedDict[TenantId, Line[Item]] = OrderedDict()
        """Whose turn it is first."""
        self._by_length: dict[int, OrderedDict[TenantId, Line[Item]]] = {}
        self._longest = 0

    def note_length(self, line: Line[Item], before: int, after: int) -> None:
        """0: it was not here, or it leaves."""
        lengths, tenant = self._by_length, line.tenant
        if before:
            del lengths[before][tenant]
            if not lengths[before]:
                del lengths[before]
        else:
            self.ring[tenant] = line
        if after:
            if after not in lengths:
                lengths[after] = OrderedDict()
            lengths[after][tenant] = line
        else:
            del self.ring[tenant]
        if after > self._longest:
            self._longest = after
        elif self._longest not in lengths:
            self._longest = after if after in lengths else max(lengths, default=0)

    def find_longest(self) -> Line[Item]:
        """Of several the one that came to this length last."""
        return next(reversed(self._by_length[self._longest].values()))


class FairQueue(Generic[Item]):
    def __init__(self) -> None:
        self.lines: dict[TenantId, Line[Item]] = {}
        """Of the tenants that have any waiting: empty when nobody waits, which is asked for each request and
        quicker to ask of a dict.
        """
        self._levels: dict[int, _Level[Item]] = {}
        self._priorities: list[int] = []
        """Those of the levels, rising."""
        self._length = 0

    def __len__(self) -> int:
        return self._length

    def push(self, rank: Rank, item: Item) -> None:
        """item: one that does not wait here yet."""
        line = self.lines.get(rank.tenant)
        if line is None:
            line = self.lines[rank.tenant] = Line(rank)
        elif line.priority != rank.priority:
            self._move(line, rank.priority)
        before = len(line.waiting)
        line.waiting[item] = None
        self._length += 1
        self._enter(line.priority).note_length(line, before, before + 1)

    def pop(self) -> Item:
        """The one whose turn it is. Raises IndexError when nobody waits."""
        ring = self._levels[self._priorities[-1]].ring
        line = next(iter(ring.values()))
        ring.move_to_end(line.tenant)
        item, _ = line.waiting.popitem(last=False)
        self._note_loss(line)
        return item

    def discard(self, tenant: TenantId, item: Item) -> None:
        """It waits no more; nothing, if it did not."""
        line = self.lines.get(tenant)
        if line is not None and item in line.waiting:
            del line.waiting[item]
            self._note_loss(line)

    def displace(self, newcomer: Rank) -> Item | None:
        """Takes out the one that gives way to a newcomer to a full queue: of the tenants of the lowest
        priority that has anybody waiting, the one with most, and of that the last. None, if it has no more
        waiting than the newcomer's tenant: then the newcomer has to go.

        A newcomer of a lower priority than all displaces, too: so much of the queue is everybody's, and only
        the turns go by priority.
        """
        if not self._priorities:
            return None
        line = self._levels[self._priorities[0]].find_longest()
        own = self.lines.get(newcomer.tenant)
        if own is not None and len(line.waiting) <= len(own.waiting):
            return None
        item, _ = line.waiting.popitem()
        self._note_loss(line)
        return item

    def __repr__(self) -> str:
        waiting = {line.tenant: len(line.waiting) for line in self.lines.values()}
        return f"<FairQueue {dict(sorted(waiting.items()))}>"

    def _note_loss(self, line: Line[Item]) -> None:
        """Of one waiter."""
        after = len(line.waiting)
        self._length -= 1
        self._levels[line.priority].note_length(line, after + 1, after)
        if not after:
            del self.lines[line.tenant]
            self._leave(line.priority)

    def _move(self, line: Line[Item], priority: int) -> None:
        length = len(line.waiting)
        self._levels[line.priority].note_length(line, length, 0)
        self._leave(line.priority)
        line.priority = priority
        self._enter(priority).note_length(line, 0, length)

    def _enter(self, priority: int) -> _Level[Item]:
        level = self._levels.get(priority)
        if level is None:
            level = self._levels[priority] = _Level()
            insort(self._priorities, priority)
        return level

    def _leave(self, priority: int) -> None:
        if not self._levels[priority].ring:
            del self._levels[priority]
            self._priorities.remove(priority)
