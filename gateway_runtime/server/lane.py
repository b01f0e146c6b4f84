"""What `express` need not look up anew for each request: a table's answers for one tenant and one model.

    Lane    of a tenant, a model and a path: the route, its plan, its endpoints' states
    Stop    of one endpoint on it: where requests go, with which credential, and what their answers say

Made at the first request of their kind, thrown away with the table. What changes between two tables (health,
circuits, what is in use) is reached through the states and never kept here.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from gateway_runtime.contract.errors import GatewayError
from gateway_runtime.contract.table import Route
from gateway_runtime.contract.tenant import Tenant
from gateway_runtime.engine.balance import Choice, Knowledge, order_choices, order_when_ready
from gateway_runtime.engine.learnt import LimitKey
from gateway_runtime.providers.dialect import Stamp
from gateway_runtime.providers.end_user import find_user, find_user_of_messages
from gateway_runtime.providers.operations import OPERATIONS
from gateway_runtime.providers.request_body import RequestBody
from gateway_runtime.providers.translation import Question, Translation, translate
from gateway_runtime.providers.wire import Outgoing, Wire
from gateway_runtime.providers.wires.bedrock.credentials import UnusableCredential
from gateway_runtime.server.address import FIXED_HEADERS, find_target
from gateway_runtime.server.bound import Bounder
from gateway_runtime.server.cost import find_prices
from gateway_runtime.server.front import Front
from gateway_runtime.server.patience import choose_timeouts
from gateway_runtime.server.record import Record
from gateway_runtime.server.reload import Running
from gateway_runtime.server.state import RouteState
from gateway_runtime.server.wires import wire_of
from gateway_runtime.upstream.exchange import Exchange, Prepared, UpstreamAnswer, UpstreamFailure
from gateway_runtime.upstream.request import build_fields
from gateway_runtime.upstream.trust import settings_of


class Lane:
    """What is the same in all requests of a tenant for a model, while a table runs."""

    __slots__ = (
        "_endpoints",
        "_front",
        "_known",
        "_plan",
        "_stops",
        "bounder",
        "find_user",
        "operation",
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
        self.operation = OPERATIONS[path]
        self.bounder: Bounder | None = None
        """Of a tenant with limits of more than requests."""
        if state.reserves(tenant):
            self.bounder = Bounder(running.live, tenant, route, self.operation, model)
        self.find_user = find_user_of_messages if self.operation.manner == "anthropic" else find_user

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
        "_choice",
        "_front",
        "_host",
        "_operation",
        "_prepared",
        "_secret",
        "_target",
        "_varies",
        "_wire",
        "credential",
        "endpoint",
        "key",
        "lines",
        "passing",
        "patience_s",
        "prices",
        "provider_id",
        "read",
        "timeouts",
    )

    def __init__(self, lane: Lane, choice: Choice, front: Front) -> None:
        provider = choice.provider
        self._front = front
        self._choice = choice
        self._operation = lane.operation
        self.read = lane.operation.read_answer
        self.provider_id = provider.id
        self.prices = find_prices(choice)
        self.endpoint = front.room.state.endpoint(choice)
        self.credential = next(iter(provider.credentials), None)
        self.key = LimitKey(
            choice.endpoint.id, "" if self.credential is None else self.credential.name, choice.model
        )
        self.timeouts = choose_timeouts(lane.route, provider)
        self.patience_s = min(self.timeouts.first_token_s, self.timeouts.total_s)
        self.lines = ""
        """Of the answer's head; made with the first."""
        self._wire: Wire | None = None
        """None: nothing goes there on this way."""
        self._prepared: dict[str, Prepared] = {}
        """By path behind the endpoint's URL: of each provider there is one or two."""
        self.passing: Prepared | None = None
        """None: the request is put into other words, or its head is not always the same."""
        try:
            self._wire = wire = wire_of(provider, choice.endpoint)
        except GatewayError:
            return  # the task meets it again, and tells
        self._varies = provider.wire in _SIGNING or front.room.desk.tokens.needs(provider)
        self._secret = None if self.credential is None else self.credential.value
        self._target = find_target(choice, drop=lane.route.unsupported == "Drop")
        path = lane.operation.find_path(wire, choice.model)
        if path is not None and not self._varies:
            self.passing = self._find_prepared(path)

    def send_translated(
        self, body: RequestBody, record: Record, tell: Callable[[UpstreamAnswer | UpstreamFailure], bool]
    ) -> tuple[Exchange | None, Translation | None]:
        """What is not `passing`. Without an Exchange nothing was sent, and a task has to see to it; else the
        Translation reads the answer.
        """
        wire = self._wire
        if wire is None:
            return _NOT_SENT
        unix_s = self._front.room.clock.unix()
        stamp = Stamp(record.request_id, int(unix_s), self._choice.model)
        question = Question(self._operation, body, _NO_HEADERS)
        try:
            translation = translate(question, wire, self._target, stamp, ask_usage=False)
            outgoing = translation.outgoing
            prepared = None if outgoing.dropped else self._find_prepared(outgoing.path)
            fields = self._build_fields(wire, outgoing, unix_s)
        except (GatewayError, UpstreamFailure):
            return _NOT_SENT  # the task meets it again, and tells
        if prepared is None or fields is None:
            return _NOT_SENT
        return prepared.send_at_once(record.request_id, outgoing.body, tell, fields), translation

    def _find_prepared(self, path: str) -> Prepared | None:
        """Raises UpstreamFailure for what cannot be sent."""
        prepared = self._prepared.get(path)
        if prepared is None and self._wire is not None:
            url = self._choice.endpoint.url + path
            headers = FIXED_HEADERS
            if not self._varies:
                headers = {**headers, **self._wire.authorize(self._secret, Outgoing(path, b""), url, 0.0)}
            settings = settings_of(self._choice.provider)
            prepared = self._prepared[path] = self._front.room.transport.prepare(url, headers, settings)
        return prepared

    def _build_fields(self, wire: Wire, outgoing: Outgoing, unix_s: float) -> bytes | None:
        """The headers that are this request's own. None: its token is still to be got. Raises
        UpstreamFailure.
        """
        if not self._varies:
            return build_fields(outgoing.headers) if outgoing.headers else b""
        secret = self._secret
        tokens, provider = self._front.room.desk.tokens, self._choice.provider
        if tokens.needs(provider):
            secret = tokens.peek(provider, self.credential)
            if secret is None:
                return None
        url = self._choice.endpoint.url + outgoing.path
        try:
            authorization = wire.authorize(secret, outgoing, url, unix_s)
        except UnusableCredential:
            return None
        return build_fields({**outgoing.headers, **authorization})


_NOT_SENT: Final = (None, None)

_SIGNING: Final = frozenset({"bedrock"})
"""Wires that sign each request."""

_NO_HEADERS: Final[Mapping[str, str]] = {}
