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
from gateway_runtime.contract.ids import EndpointId, RouteId, TenantId
from gateway_runtime.contract.stream import Share
from gateway_runtime.contract.table import Route, Tenant
from gateway_runtime.engine.balance import Availability, Choice, EndpointView
from gateway_runtime.engine.budget import RetryBudget
from gateway_runtime.engine.learnt import LearntLimits
from gateway_runtime.engine.limits import RollingLimit, build_limits, counts_amounts
from gateway_runtime.engine.lookup import LiveTable
from gateway_runtime.engine.rotation import Rotation
from gateway_runtime.server.credentials import RefusalMemory
from gateway_runtime.server.endpoint import Clock, EndpointState

WHOLE: Final = Share(index=0, gateways=1)
"""Without an operator that says otherwise, this gateway is the only one."""


class RouteState(NamedTuple):
    budget: RetryBudget
    rotation: Rotation


class LiveState:
    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.on_change: Callable[[EndpointId], None] = lambda _: None
        """Called when an endpoint appears, or its health or circuit changes. `report` sets it."""
        self.endpoints: dict[EndpointId, EndpointState] = {}
        self.refusals = RefusalMemory(clock.now)
        self.learnt = LearntLimits()
        self.routes: dict[RouteId, RouteState] = {}
        self._limits: dict[TenantId, tuple[RollingLimit, ...]] = {}
        self._reserving: frozenset[TenantId] = frozenset()
        self.share = WHOLE

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
        self._limits = {t.id: self._build_limits(t, self._limits.get(t.id, ())) for t in live.table.tenants}
        self._reserving = frozenset(t for t, limits in self._limits.items() if counts_amounts(limits))
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

    def limits_of(self, tenant: Tenant) -> tuple[RollingLimit, ...]:
        limits = self._limits.get(tenant.id)
        return self._build_limits(tenant, ()) if limits is None else limits

    def reserves(self, tenant: Tenant) -> bool:
        """Whether it has limits of more than requests."""
        return tenant.id in self._reserving

    def circuits(self) -> Sequence[tuple[EndpointId, Circuit]]:
        """Of all endpoints, as they are now."""
        return [(endpoint_id, state.circuit()) for endpoint_id, state in self.endpoints.items()]

    def reports(self) -> tuple[EndpointReport, ...]:
        return tuple(self.endpoints[endpoint_id].report() for endpoint_id in sorted(self.endpoints))

    def _build_limits(self, tenant: Tenant, before: Sequence[RollingLimit]) -> tuple[RollingLimit, ...]:
        return build_limits(tenant.limits, before, self.share)

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
