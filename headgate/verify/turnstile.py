"""A gateway without callers and providers: tenants in, admissions out, through the LeaseDesk and the
LimitBook that a gateway has.

`gateway_process` runs one in a process of its own, tests run several in one. It asks as `server.admission`
does, and refuses where that would.
"""

import asyncio
from collections.abc import Sequence
from typing import TypeAlias

from gateway_runtime.contract.stream import Share
from gateway_runtime.contract.tenant import Tenant
from gateway_runtime.engine.amounts import Bound
from gateway_runtime.engine.book import LimitBook
from gateway_runtime.engine.hold import Reserved, reserve
from gateway_runtime.engine.lease_grant import Term
from gateway_runtime.engine.limits import Refused, TenantLimit
from gateway_runtime.server.endpoint import Clock
from gateway_runtime.server.lease_desk import LeaseDesk
from gateway_runtime.stores.store import LimitStore

Admission: TypeAlias = Reserved | Refused | None
"""None: the store is away, and nothing is left of what it granted."""

_ASKS = 8
"""As `server.admission` does."""


class Turnstile:
    def __init__(self, store: LimitStore, name: str, clock: Clock, term: Term) -> None:
        self.clock = clock
        self.desk = LeaseDesk(store, name, clock, Share(index=0, gateways=1), term=term)
        self.book = LimitBook(self.desk)
        self.desk.sweep = self.book.sweep
        self.asked_s = 0.0
        """The moment of what `admit` gave last."""
        self._running: asyncio.Task[None] | None = None

    def start(self, tenants: Sequence[Tenant]) -> None:
        self.book.configure(tenants)
        self._running = asyncio.create_task(self.desk.run())

    def limits_of(self, tenant: Tenant) -> tuple[TenantLimit, ...]:
        """Those of its parent included."""
        return self.book.limits_for(tenant, None, None, "")

    async def admit(self, tenant: Tenant, bound: Bound) -> Admission:
        limits = self.limits_of(tenant)
        for _ in range(_ASKS):
            self.asked_s = self.clock.now()
            outcome = reserve(
                limits,
                bound,
                self.asked_s,
                allow_unpriced=tenant.allow_unpriced,
                one_over=tenant.one_over,
            )
            if not isinstance(outcome, Refused) or not outcome.askable:
                return outcome
            if not await self.desk.ask(outcome.askable):
                return None
        return outcome

    def check(self) -> None:
        """Raises what the desk has died of."""
        if self._running is not None and self._running.done():
            self._running.result()

    async def kill(self) -> None:
        """Nothing more is said to the store."""
        if self._running is not None:
            self._running.cancel()
            await asyncio.gather(self._running, return_exceptions=True)

    async def stop(self) -> None:
        """What is left is given back."""
        await self.kill()
        await self.desk.finish()
