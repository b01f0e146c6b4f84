"""A gateway whose tenants have quotas: on a clock that is moved ahead, asked on both of its ways.

`Door` asks for a tenant: at once, as `express` serves ordinary requests, or as a stream, in a task.
"""

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any

from aiohttp import web
from msgspec.structs import replace

from gateway_runtime.contract.ids import TenantId
from gateway_runtime.contract.table import Model, Route, RoutingTable
from gateway_runtime.contract.tenant import Limit, Tenant
from gateway_runtime.engine.limits import LimitState
from gateway_runtime.server.endpoint import Clock
from gateway_runtime.server.fake_provider import FakeProvider
from gateway_runtime.server.settings import GatewaySettings
from tests.server.ledgers import PRICED
from tests.server.rig import CHAT, KEY, Answer, Rig, provider, route, serving, table, tenant

SIBLINGS_KEY = "the-siblings-key"
PARENT = TenantId("chat/department")
RPM = Limit(name="rpm", amount=2, window_s=60.0)
TPM = Limit(name="tpm", amount=1000, window_s=60.0, resource="TotalTokens")
AT_ONCE = Limit(name="at-once", amount=1, window_s=0.0, resource="Concurrency")


class MovedClock:
    """Goes as the machine's does, from a moment of the test's choosing, and leaps where the test says so."""

    def __init__(self, wall: str = "2026-03-04T12:00+01:00") -> None:
        self._began_s = time.monotonic()
        self._began_unix_s = datetime.fromisoformat(wall).timestamp()
        self._ahead_s = 0.0
        self._set_by_s = 0.0

    def pass_time(self, seconds: float) -> None:
        self._ahead_s += seconds

    def set_wall(self, by_s: float) -> None:
        """Somebody sets the wall clock, and that alone."""
        self._set_by_s += by_s

    def now(self) -> float:
        return time.monotonic() + self._ahead_s

    def unix(self) -> float:
        return self._began_unix_s + self.now() - self._began_s + self._set_by_s


class GatedProvider(FakeProvider):
    """Answers when it is told to, one request after the other."""

    def __init__(self) -> None:
        super().__init__()
        self._gates: deque[asyncio.Event] = deque()
        self._came = asyncio.Condition()

    async def wait_for(self, count: int) -> None:
        """Until so many wait for their answers."""
        async with self._came:
            await self._came.wait_for(lambda: len(self._gates) >= count)

    def release(self) -> None:
        """The one that has waited longest."""
        self._gates.popleft().set()

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        gate = asyncio.Event()
        self._gates.append(gate)
        async with self._came:
            self._came.notify_all()
        await gate.wait()
        return await super()._handle(request)


@asynccontextmanager
async def gated() -> AsyncIterator[GatedProvider]:
    upstream = GatedProvider()
    await upstream.start()
    try:
        yield upstream
    finally:
        await upstream.stop()


class Door:
    def __init__(self, rig: Rig, clock: MovedClock, upstream: FakeProvider, *, stream: bool) -> None:
        self.rig = rig
        self.clock = clock
        self.upstream = upstream
        self._members = {"stream": True} if stream else {}

    async def ask(self, key: str | None = KEY, headers: dict[str, str] | None = None, **said: Any) -> Answer:
        """said: members of the body."""
        return await self.rig.ask({**CHAT, **self._members, **said}, key=key, headers=headers)

    async def knock(self, count: int, **said: Any) -> list[int]:
        """One after the other; the statuses."""
        return [(await self.ask(**said)).status for _ in range(count)]

    def begin(self, **said: Any) -> asyncio.Task[Answer]:
        return asyncio.create_task(self.ask(**said))

    async def end_all(self) -> None:
        """What the gateway does behind an answer is done, too."""
        await self.rig.gateway._front.idle.wait()

    async def apply(self, *tenants: Tenant, **more: Any) -> None:
        await self.rig.apply(build(self.upstream, *tenants, **more))

    def look(self, name: str, of: str = "chat/team") -> LimitState:
        """The tenant's limit of this name; of one with a scope, that with least room."""
        running = self.rig.gateway._reloader.running
        assert running is not None
        state = self.rig.gateway._state
        (owner,) = [one for one in running.live.table.tenants if one.id == of]
        (found,) = [built for limit, built in state.list_limits(owner) if limit.name == name]
        return found.state(state.clock.now())

    def tell(self, name: str) -> tuple[int, int]:
        """Used and held."""
        state = self.look(name)
        return state.used, state.held


def quota(*limits: Limit, **more: Any) -> Tenant:
    """more: fields of the tenant."""
    return replace(tenant(limits=limits), **more)


def family(own: Sequence[Limit], parents: Sequence[Limit], **more: Any) -> tuple[Tenant, Tenant, Tenant]:
    """A team with the usual key, its sibling with SIBLINGS_KEY, and their parent, whom nobody can be."""
    sibling = replace(tenant(key=SIBLINGS_KEY), id=TenantId("chat/sibling"), parent=PARENT)
    parent = replace(tenant(limits=parents), id=PARENT, keys=())
    return quota(*own, parent=PARENT, **more), sibling, parent


def build(
    upstream: FakeProvider,
    *tenants: Tenant,
    models: Sequence[Model] = (PRICED,),
    routes: Sequence[Route] = (),
) -> RoutingTable:
    return table(
        provider(upstream.url, models=models), routes=routes or [route(max_attempts=1)], tenants=tenants
    )


@asynccontextmanager
async def opened(
    upstream: FakeProvider,
    *tenants: Tenant,
    stream: bool,
    clock: MovedClock | None = None,
    chosen: GatewaySettings | None = None,
    **more: Any,
) -> AsyncIterator[Door]:
    """more: as `build` takes it."""
    clock = clock or MovedClock()
    first = build(upstream, *tenants, **more)
    async with serving(first, chosen, clock=Clock(clock.now, clock.unix)) as rig:
        yield Door(rig, clock, upstream, stream=stream)
