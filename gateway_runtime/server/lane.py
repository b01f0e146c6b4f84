"""What `express` need not look up anew for each request: a table's answers for one tenant and one model.

    Lane    of a tenant, a model and a path: the route, its plan, its endpoints' states
    Stop    of one endpoint on it: where requests go, with which credential, and what their answers say

Made at the first request of their kind, thrown away with the table. What changes between two tables (health,
circuits, what is in use) is reached through the states and never kept here.
"""

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from gateway_runtime.contract.errors import GatewayError
from gateway_runtime.contract.table import Route, Tenant, WireName
from gateway_runtime.engine.balance import Choice, Knowledge, order_choices, order_when_ready
from gateway_runtime.engine.learnt import LimitKey
from gateway_runtime.providers.dialect import Stamp
from gateway_runtime.providers.operations import OPERATIONS
from gateway_runtime.providers.translation import Question, Translation, translate
from gateway_runtime.providers.wire import Outgoing, Target, Wire
from gateway_runtime.server.address import FIXED_HEADERS, find_target
from gateway_runtime.server.front import Front
from gateway_runtime.server.patience import choose_timeouts
from gateway_runtime.server.record import Record
from gateway_runtime.server.reload import Running
from gateway_runtime.server.state import RouteState
from gateway_runtime.server.wires import wire_of
from gateway_runtime.upstream.exchange import Prepared, UpstreamFailure
from gateway_runtime.upstream.trust import settings_of


class Lane:
    """What is the same in all requests of a tenant for a model, while a table runs."""

    __slots__ = (
        "_endpoints",
        "_front",
        "_known",
        "_plan",
        "_stops",
        "own",
        "path",
        "route",
        "running",
        "tenant",
    )

    def __init__(
        self, front: Front, running: Running, tenant: Tenant, route: Route, model: str, path: str
    ) -> None:
        self._front = front
        self._stops: dict[int, Stop] = {}
        state = front.room.state
        self._plan = running.live.plan(route, model)
        self._endpoints = [state.endpoint(choice) for choice in self._plan.choices]
        self._known = Knowledge(front.room.draw, state.view, state.route(route).rotation)
        self.running = running
        self.tenant = tenant
        self.route = route
        self.own: RouteState = front.room.state.route(route)
        self.path = path

    def order(self, model: str, record: Record) -> Sequence[Choice]:
        """Where to try it, best first. Limits that providers told of are not asked: see `Express.begin`."""
        for endpoint in self._endpoints:
            if not endpoint.ready:
                state = self._front.room.state
                return order_choices(
                    self.route,
                    model,
                    self.running.live,
                    state.availability,
                    self._front.room.draw,
                    view=state.view,
                    rotation=self.own.rotation,
                    trace=record.trace,
                )
        return order_when_ready(self.route.strategy, self._plan, self._known)

    def stop(self, choice: Choice) -> "Stop":
        """choice: of the plan for this model."""
        stop = self._stops.get(choice.slot)
        if stop is None:
            stop = self._stops[choice.slot] = Stop(self, choice, self._front)
        return stop


class Stop:
    """What is the same in all of them that go to one endpoint."""

    __slots__ = (
        "credential",
        "endpoint",
        "key",
        "lines",
        "patience_s",
        "prepared",
        "provider_id",
        "timeouts",
        "translator",
    )

    def __init__(self, lane: Lane, choice: Choice, front: Front) -> None:
        provider = choice.provider
        self.translator: Translator | None = None
        """None: what both sides speak is the same."""
        self.provider_id = provider.id
        self.endpoint = front.room.state.endpoint(choice)
        self.credential = next(iter(provider.credentials), None)
        self.key = LimitKey(
            choice.endpoint.id, "" if self.credential is None else self.credential.name, choice.model
        )
        self.timeouts = choose_timeouts(lane.route, provider)
        self.patience_s = min(self.timeouts.first_token_s, self.timeouts.total_s)
        self.prepared: Prepared | None
        """None: not on this way."""
        try:
            self.prepared = self._prepare(lane, choice, front)
        except (UpstreamFailure, GatewayError):
            self.prepared = None  # the task meets it again, and tells
        self.lines = ""
        """Of the answer's head; made with the first."""

    def _prepare(self, lane: Lane, choice: Choice, front: Front) -> Prepared | None:
        """None: something has to be fetched or signed for each request. Raises UpstreamFailure for what
        cannot be sent.
        """
        provider = choice.provider
        wire = wire_of(provider, choice.endpoint)
        path = OPERATIONS[lane.path].find_path(wire, choice.model)
        if front.room.desk.tokens.needs(provider):
            return None
        if path is None:
            path = _PATHS.get(provider.wire)
            if path is None:
                return None
            target = find_target(choice, drop=lane.route.unsupported == "Drop")
            self.translator = Translator(wire, target, path)
        url = choice.endpoint.url + path
        secret = None if self.credential is None else self.credential.value
        headers = {**FIXED_HEADERS, **wire.authorize(secret, Outgoing(path, b""), url, 0.0)}
        return front.room.transport.prepare(url, headers, settings_of(provider))


_PATHS: Final[Mapping[WireName, str]] = {"anthropic": "/messages", "cohere": "/chat"}
"""Of wires that send every chat to the same path, with the same headers mostly."""


class Translator(NamedTuple):
    """For requests to one endpoint in other words than the caller's."""

    wire: Wire
    target: Target
    path: str

    def translate(self, question: Question, stamp: Stamp) -> Translation | None:
        """None: it is not like the others, or cannot be said; the task meets it again."""
        try:
            translation = translate(question, self.wire, self.target, stamp, ask_usage=False)
        except GatewayError:
            return None
        outgoing = translation.outgoing
        if outgoing.path != self.path or outgoing.headers or outgoing.dropped:
            return None
        return translation
