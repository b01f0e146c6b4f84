"""The ordinary request without a task: decided at once, sent at once, answered when the answer comes.

    begin -> find its lane -> charge -> a `Ride` that is sent
     |                         |'- short of what gateways share: a `Ride` that waits for their store
     '-------------------------'- not ordinary, or a limit refuses it: nothing has happened

`hot` asks `begin` for each request whose body has come. Ordinary is a completion or embedding that is no
stream, on a route that does not hedge, while no provider's limit and no refused credential is to be minded. A
task, its coroutines and its future cost as much as all decisions about a request together, so that this way
serves twice as many. It decides nothing by itself: the same functions of `engine` are asked as in `request`
and `journey`, and whatever does not end well is left to them.

The one subtle rule: False means that nothing has happened. Once limits are taken, or waited for, the request
is its ride's to end.
"""

from typing import Final

from gateway_runtime.contract.errors import GatewayError
from gateway_runtime.contract.ids import TenantId
from gateway_runtime.contract.tenant import Tenant
from gateway_runtime.engine.identity import Identity
from gateway_runtime.engine.limits import Refused
from gateway_runtime.providers.operations import CHAT, EMBEDDINGS, LANGCHAIN, MESSAGES
from gateway_runtime.providers.request_body import RequestBody, read_body
from gateway_runtime.server.admission import charge
from gateway_runtime.server.bound import measure_body
from gateway_runtime.server.front import Front
from gateway_runtime.server.lane import Lane
from gateway_runtime.server.reload import Running
from gateway_runtime.server.ride import Caller, Ride, Waiting

PATHS: Final = frozenset({CHAT.path, LANGCHAIN.path, EMBEDDINGS.path, MESSAGES.path})
"""What `head` takes: a test holds the two together."""
_LANES_KEPT: Final = 1024
"""Model names may come from callers, where a route has a pattern."""


class Express:
    """Of one front."""

    def __init__(self, front: Front) -> None:
        self._front = front
        self._running: Running | None = None
        self._lanes: dict[tuple[TenantId, str, str], Lane] = {}

    def begin(self, caller: Caller, path: str, key: str | None, data: bytes) -> bool:
        """False: it is not ordinary, and nothing has happened. data: the whole body. Whatever it raises is a
        bug before anything was begun.
        """
        front = self._front
        room = front.room
        running = room.reloader.running
        state = room.state
        now_s = room.clock.now()
        if (
            path not in PATHS
            or running is None
            or front.draining
            or front.settings.debug_headers
            or not state.refusals.are_idle(now_s)
            or not state.learnt.are_idle(now_s)
        ):
            return False
        if running is not self._running:
            self._running = running
            self._lanes.clear()
        try:
            body = read_body(data)
        except GatewayError:
            return False
        identity = room.authenticator.recognize(running, key, caller)
        if body.stream or identity is None:
            return False
        tenant = identity.tenant
        lane = self._lanes.get((tenant.id, body.model, path)) or self._find_lane(tenant, body.model, path)
        size = len(data)
        if lane is None or not front.load.try_admit(size):
            return False
        try:
            ride = self._open_ride(caller, lane, body, size, identity, now_s)
        except Exception:
            front.load.release(size)
            raise
        if ride is None:
            front.load.release(size)
            return False
        if not ride.is_waiting:
            ride.start()
        return True

    def _open_ride(
        self,
        caller: Caller,
        lane: "Lane",
        body: RequestBody,
        size: int,
        identity: Identity,
        now_s: float,
    ) -> "Ride | None":
        """None: a limit of the tenant leaves no room, and the store that gateways share none either."""
        front, tenant = self._front, lane.tenant
        state = front.room.state
        user = lane.find_user(body.members) if identity.user is None else identity.user
        limits = state.limits_for(tenant, user, identity.key_id, body.model)
        if tenant.queue is not None and state.queues.is_waiting(tenant, limits):
            return None
        bounder = lane.bounder
        bound, said, body_size = None, None, 0
        if bounder is not None:
            body_size = measure_body(body)
            bound, said = bounder.bound(body, body_size)
        taken = charge(limits, tenant, bound, now_s)
        if isinstance(taken, Refused) and not (taken.askable and state.desk is not None):
            return None
        record = front.open_record(lane.path, now_s)
        record.note_caller(identity)
        record.user = user
        record.model = body.model
        record.route = lane.route
        ride = Ride(front, lane, caller, record, body, size)
        if not isinstance(taken, Refused):
            ride.note_taken(taken, bound, said, body_size)
        elif not ride.wait(Waiting(bound, said, body_size, state.reserves(tenant), now_s), taken.askable):
            return None
        caller.occupy(ride, record)
        return ride

    def _find_lane(self, tenant: Tenant, model: str, path: str) -> "Lane | None":
        running = self._running
        route = None if running is None else running.live.match_route(tenant, model)
        if running is None or route is None or route.hedge is not None:
            return None
        if len(self._lanes) >= _LANES_KEPT:
            self._lanes.clear()
        lane = self._lanes[tenant.id, model, path] = Lane(self._front, running, tenant, route, model, path)
        return lane
