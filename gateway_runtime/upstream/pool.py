"""The connections to one place: kept while they are idle, counted while they are busy, and a queue for
requests that must wait.

    try_enter | wait_turn -> take_idle | dial -> connection.exchange -> keep, leave

`transport` has a Pool for each `Way`; connections call back through `connection.Keeper`. The newest idle
connection is used first, so that those which a quiet hour does not need time out.

The queue is fair between tenants (see `engine.fair_queue`). A newcomer to a full one may take the place of a
tenant's that has more in it, and whoever has waited `queue_s` is turned away, whatever its priority.

The one subtle rule: a place that becomes free is handed to one in the queue, not put on the table where a
request that came later could take it.
"""

import asyncio
from typing import TypeAlias

from gateway_runtime.contract.ids import TenantId
from gateway_runtime.contract.table import UpstreamLimits
from gateway_runtime.engine.fair_queue import FairQueue, Rank
from gateway_runtime.engine.retry import Outcome
from gateway_runtime.upstream.connection import Connection
from gateway_runtime.upstream.dial import Dialer, Way
from gateway_runtime.upstream.exchange import PoolStatistics, UpstreamFailure

_Waiter: TypeAlias = "asyncio.Future[UpstreamFailure | None]"
"""None: it has a place."""


def choose_strictest(one: UpstreamLimits, other: UpstreamLimits) -> UpstreamLimits:
    """For endpoints that share a place: neither promised it more than this."""
    return UpstreamLimits(
        max_connections=min(one.max_connections, other.max_connections),
        max_in_flight=min(one.max_in_flight, other.max_in_flight),
        max_queue=min(one.max_queue, other.max_queue),
        queue_s=min(one.queue_s, other.queue_s),
    )


class Saturated(UpstreamFailure):
    """Our own limit turned the request away. It says nothing of the provider's health, so its outcome must
    not count for the circuit; another endpoint may be free.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(Outcome.SATURATED, reason)


class Pool:
    def __init__(self, way: Way, dialer: Dialer, limits: UpstreamLimits, idle_s: float) -> None:
        self._loop = asyncio.get_running_loop()
        self._dialer = dialer
        self._idle_s = idle_s
        self._idle: dict[Connection, float] = {}
        """To the loop's time at which each became idle: the oldest first."""
        self._sweeper: asyncio.TimerHandle | None = None
        self._queue: FairQueue[_Waiter] = FairQueue()
        self._waiting = self._queue.lines
        """Empty when nobody waits, which each request asks."""
        self._in_flight = 0
        self._lingering = 0
        self._connections: set[Connection] = set()
        self._opened = 0
        self._reused = 0
        self._waited_s = 0.0
        self._closing: asyncio.Future[None] | None = None
        self.way = way
        self.limits = limits
        self.wanted = True
        """False: its endpoints left the table; connections are closed as they become idle."""

    @property
    def unused(self) -> bool:
        return not (self._connections or self._in_flight or self._waiting)

    def statistics(self) -> PoolStatistics:
        return PoolStatistics(
            place=str(self.way),
            open=len(self._connections),
            idle=len(self._idle),
            busy=self._in_flight,
            lingering=self._lingering,
            queued=len(self._queue),
            opened_total=self._opened,
            reused_total=self._reused,
            waited_total_s=self._waited_s,
        )

    def configure(self, limits: UpstreamLimits) -> None:
        self.wanted = True
        self.limits = limits
        surplus = max(0, len(self._connections) - limits.max_connections)
        for connection in tuple(self._idle)[:surplus]:
            connection.abort()
        self._grant()

    def retire(self) -> None:
        """Its endpoints left the table. Requests under way finish, and those in the queue are served."""
        self.wanted = False
        for connection in tuple(self._idle):
            connection.abort()

    async def close(self) -> None:
        """Returns when every socket is closed."""
        if self._closing is None:
            self._closing = self._loop.create_future()
            while self._waiting:
                _settle(self._queue.pop(), UpstreamFailure(Outcome.CANCELLED, "the gateway stops"))
            for connection in tuple(self._connections):
                connection.abort()
            if self._sweeper is not None:
                self._sweeper.cancel()
        if not self._connections and not self._closing.done():
            self._closing.set_result(None)
        await asyncio.shield(self._closing)

    # For a request.

    def try_enter(self) -> bool:
        """Takes a place if there is one and nobody waits for it."""
        if self._waiting or not self._has_room():
            return False
        self._in_flight += 1
        return True

    def enter_at_once(self) -> Connection | None:
        """A place and an idle connection, or neither."""
        if self._waiting or not self._idle or not self._has_room():
            return None
        self._in_flight += 1
        self._reused += 1
        return self._idle.popitem()[0]

    async def wait_turn(self, rank: Rank, *, may_queue: bool = True) -> None:
        """Waits in the queue for a place. Raises Saturated when the queue is full, or becomes so and another
        tenant has less in it, or when the wait is too long.
        """
        limits = self.limits
        left = limits.max_queue - len(self._queue)
        if not may_queue or left < 0 or (left == 0 and not self._displace(rank)):
            raise self._build_full()
        waiter: _Waiter = self._loop.create_future()
        late = Saturated(f"no place became free within {limits.queue_s:g} s")
        timer = self._loop.call_later(limits.queue_s, self._dismiss, rank.tenant, waiter, late)
        self._queue.push(rank, waiter)
        began_s = self._loop.time()
        try:
            failure = await waiter
        except asyncio.CancelledError:
            if not waiter.cancelled():
                if waiter.result() is None:
                    self.leave()  # the place came in the same step
            else:
                self._queue.discard(rank.tenant, waiter)
            raise
        finally:
            timer.cancel()
            self._waited_s += self._loop.time() - began_s
        if failure is not None:
            raise failure

    def take_idle(self) -> Connection | None:
        if not self._idle:
            return None
        connection, _ = self._idle.popitem()
        self._reused += 1
        return connection

    async def dial(self, connect_s: float) -> Connection:
        """A new connection. Raises UpstreamFailure; whatever is raised, the request's place is given back."""
        connection = Connection(self._loop, self)
        try:
            await self._dialer.connect(self.way, connection, connect_s)
        except BaseException:
            self.leave()
            raise
        if self._closing is not None:
            connection.abort()  # `exchange` will tell
        return connection

    # For connections: see `connection.Keeper`.

    def welcome(self, connection: Connection) -> None:
        self._connections.add(connection)
        self._opened += 1

    def forget(self, connection: Connection) -> None:
        self._connections.discard(connection)
        if self._closing is not None and not self._connections and not self._closing.done():
            self._closing.set_result(None)

    def leave(self) -> None:
        self._in_flight -= 1
        if self._waiting:
            self._grant()

    def begin_linger(self) -> None:
        self._lingering += 1

    def end_linger(self) -> None:
        self._lingering -= 1
        self._grant()

    def keep(self, connection: Connection) -> bool:
        if not self.wanted or self._closing or len(self._connections) > self.limits.max_connections:
            return False
        self._idle[connection] = self._loop.time()
        if self._sweeper is None:
            self._sweeper = self._loop.call_later(self._idle_s, self._sweep)
        return True

    def discard(self, connection: Connection) -> None:
        self._idle.pop(connection, None)

    def _has_room(self) -> bool:
        """An idle connection is used, or closed, before a new one is opened, so idle ones do not count."""
        limits = self.limits
        in_flight = self._in_flight
        return in_flight < limits.max_in_flight and in_flight + self._lingering < limits.max_connections

    def _grant(self) -> None:
        while self._waiting and self._has_room():
            if _settle(self._queue.pop(), None):
                self._in_flight += 1

    def _displace(self, newcomer: Rank) -> bool:
        """Whether somebody made room."""
        full = self._build_full()
        waiter = self._queue.displace(newcomer)
        if waiter is None:
            return False
        _settle(waiter, full)
        return True

    def _build_full(self) -> Saturated:
        busy = self._in_flight + self._lingering
        return Saturated(
            f"its limits allow no more than the {busy} under way and the {len(self._queue)} that wait"
        )

    def _dismiss(self, tenant: TenantId, waiter: _Waiter, failure: UpstreamFailure) -> None:
        if _settle(waiter, failure):
            self._queue.discard(tenant, waiter)

    def _sweep(self) -> None:
        """One timer for all: it looks again when the oldest that is left will be due."""
        self._sweeper = None
        now = self._loop.time()
        for connection, since_s in tuple(self._idle.items()):
            if now < since_s + self._idle_s:
                self._sweeper = self._loop.call_at(since_s + self._idle_s, self._sweep)
                return
            connection.abort()


def _settle(waiter: _Waiter, result: UpstreamFailure | None) -> bool:
    """False for one that was cancelled in this step and is about to leave by itself."""
    if waiter.done():
        return False
    waiter.set_result(result)
    return True
