"""What lives on while tables come and go: circuit, health and latency of each endpoint, what each tenant has
used of its limits, which credentials were refused, what providers told of their limits, each route's turn and
its budget for retries.

`reload` calls `configure` with each new table, in the same step in which it swaps the table; `request` and
`probe` ask and tell; `report` and `admin` read. Everything is found by identity, so that an edit of a route
or the rotation of a key resets nothing; what left the table is forgotten.

The one subtle rule: a request may still hold a table whose endpoint is gone from here. It gets a state of its
own, which nobody else sees.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from gateway_runtime.contract.health import Circuit, EndpointReport
from gateway_runtime.contract.ids import EndpointId, RouteId
from gateway_runtime.contract.stream import Share
from gateway_runtime.contract.table import Route
from gateway_runtime.contract.tenant import Limit, Tenant
from gateway_runtime.engine.balance import Availability, Choice, EndpointView
from gateway_runtime.engine.book import LimitBook, Met, find_next_change
from gateway_runtime.engine.budget import RetryBudget
from gateway_runtime.engine.learnt import LearntLimits
from gateway_runtime.engine.limits import Refused, TenantLimit
from gateway_runtime.engine.local_limits import LocalMaker
from gateway_runtime.engine.lookup import LiveTable
from gateway_runtime.engine.rotation import Rotation
from gateway_runtime.server.credentials import RefusalMemory
from gateway_runtime.server.endpoint import Clock, EndpointState
from gateway_runtime.server.key_uses import KeyUses
from gateway_runtime.server.lease_desk import LeaseDesk
from gateway_runtime.server.limit_queue import LimitQueues

WHOLE: Final = Share(index=0, gateways=1)
"""Without an operator that says otherwise, this gateway is the only one."""

_WATCH_S: Final = 0.5
"""Within which the end of an override is noticed."""


class RouteState(NamedTuple):
    budget: RetryBudget
    rotation: Rotation


class LiveState:
    def __init__(self, clock: Clock, desk: LeaseDesk | None = None) -> None:
        """desk: limits are shared through its store. None: each gateway spends a part of them."""
        self.clock = clock
        self.on_change: Callable[[EndpointId], None] = lambda _: None
        """Called when an endpoint appears, or its health or circuit changes. `report` sets it."""
        self.endpoints: dict[EndpointId, EndpointState] = {}
        self.refusals = RefusalMemory(clock.now)
        self.learnt = LearntLimits()
        self.key_uses = KeyUses()
        self.routes: dict[RouteId, RouteState] = {}
        self.share = WHOLE
        self._local = LocalMaker(clock.now, clock.unix, WHOLE)
        self.desk = desk
        self._book = LimitBook(self._local if desk is None else desk)
        self.queues = LimitQueues(clock.now)
        self._tenants: tuple[Tenant, ...] = ()
        self._next_change_s: float | None = None
        """Unix time at which an override ends."""
        if desk is not None:
            desk.sweep = self._book.sweep

    def configure(self, live: LiveTable, share: Share) -> None:
        self.share = share
        appeared = []
        endpoints = {}
        for endpoint_id, (provider, _) in live.endpoints().items():
            state = self.endpoints.get(endpoint_id)
            if state is None:
                state = EndpointState(endpoint_id, provider, self.clock, self._note_change)
                appeared.append(endpoint_id)
            else:
                state.configure(provider)
            endpoints[endpoint_id] = state
        self.endpoints = endpoints
        self._local.share = share
        if self.desk is not None:
            self.desk.share = share
        self._tenants = live.table.tenants
        self._book.configure(self._tenants)
        self._next_change_s = find_next_change(self._tenants, self.clock.unix())
        self.refusals.configure(live.table.providers)
        self.routes = {route.id: self._configure_route(route) for route in live.table.routes}
        for endpoint_id in appeared:
            self.on_change(endpoint_id)

    def availability(self, endpoint_id: EndpointId) -> Availability:
        state = self.endpoints.get(endpoint_id)
        return Availability.READY if state is None else state.availability(self.clock.now())

    def endpoint(self, choice: Choice) -> EndpointState:
        state = self.endpoints.get(choice.endpoint.id)
        if state is None:
            return EndpointState(choice.endpoint.id, choice.provider, self.clock, lambda _: None)
        return state

    def view(self, choice: Choice) -> EndpointView:
        return self.endpoint(choice).view()

    def route(self, route: Route) -> "RouteState":
        return self.routes.get(route.id) or self._configure_route(route)

    def limits_for(
        self, tenant: Tenant, user: str | None, key_id: str | None, model: str
    ) -> tuple[TenantLimit, ...]:
        """All that a request has to fit into."""
        return self._book.limits_for(tenant, user, key_id, model)

    def list_limits(self, tenant: Tenant) -> list[tuple[Limit, TenantLimit]]:
        """Its own, for telling: see `LimitBook.list_own`."""
        return self._book.list_own(tenant, self.clock.now())

    def list_met(self, tenant: Tenant, user: str | None, key_id: str | None) -> list[Met]:
        """Its own and its parent's, for telling a caller: see `LimitBook.list_met`."""
        return self._book.list_met(tenant, user, key_id, self.clock.now())

    def limits_of(self, tenant: Tenant) -> tuple[TenantLimit, ...]:
        """As `list_limits`."""
        return tuple(limit for _, limit in self.list_limits(tenant))

    def find_rule(self, refused: Refused) -> Limit | None:
        """Which limit it was. None: it has left the table."""
        return self._book.find_rule(refused.owner, refused.standing.name)

    def reserves(self, tenant: Tenant) -> bool:
        """Whether it has limits of more than requests."""
        return self._book.reserves(tenant)

    async def watch_limits(self) -> None:
        """Until it is cancelled: amounts change when overrides end, and who asks no more is forgotten."""
        while True:
            await asyncio.sleep(_WATCH_S)
            unix_s = self.clock.unix()
            if self._next_change_s is not None and unix_s >= self._next_change_s:
                self._book.refresh()
                self._next_change_s = find_next_change(self._tenants, unix_s)
            if self.desk is None:
                self._book.sweep_if_many(self.clock.now())

    def circuits(self) -> Sequence[tuple[EndpointId, Circuit]]:
        """Of all endpoints, as they are now."""
        return [(endpoint_id, state.circuit()) for endpoint_id, state in self.endpoints.items()]

    def reports(self) -> tuple[EndpointReport, ...]:
        return tuple(self.endpoints[endpoint_id].report() for endpoint_id in sorted(self.endpoints))

    def _configure_route(self, route: Route) -> "RouteState":
        state = self.routes.get(route.id)
        if state is None:
            return RouteState(RetryBudget(route.retry.budget_percent), Rotation())
        state.budget.percent = route.retry.budget_percent
        return state

    def _note_change(self, state: EndpointState) -> None:
        self.on_change(state.id)
        wait_s = state.cools_in_s()
        if wait_s is not None:
            # Half-open begins with time alone, and it is to be reported when it does.
            asyncio.get_running_loop().call_later(wait_s, state.look)
