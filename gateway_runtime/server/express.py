"""The ordinary request without a task: decided at once, sent at once, answered when the answer comes.

    begin -> send -> (the provider answers) -> judge -> answer
     |        |                                 |
     |        '- no connection is at hand       '- anything but one whole, good answer: a task goes on with
     '- not ordinary: nothing has happened         what was `Begun` (see `journey`)

`hot` asks `begin` for each request whose body has come. Ordinary is a completion or embedding that is no
stream, on a route that does not hedge, while no provider's limit and no refused credential is to be minded. A
task, its coroutines and its future cost as much as all decisions about a request together, so that this way
serves twice as many. It decides nothing by itself: the same functions of `engine` are asked as in `request`
and `journey`, and whatever does not end well is left to them.

The one subtle rule: up to the taking of limits, False means that nothing has happened; behind that point the
request is ours to end, exactly once: by `close_record`, or in the task that goes on.
"""

from collections.abc import Coroutine
from typing import Final, Protocol

from gateway_runtime.contract.errors import GatewayError
from gateway_runtime.contract.ids import TenantId
from gateway_runtime.contract.tenant import Tenant
from gateway_runtime.engine.identity import Identity
from gateway_runtime.engine.learnt import read_wait
from gateway_runtime.engine.limits import Refused, Taken
from gateway_runtime.engine.retry import Outcome
from gateway_runtime.identity import Peer
from gateway_runtime.providers.operations import CHAT, EMBEDDINGS, LANGCHAIN, MESSAGES, OPERATIONS
from gateway_runtime.providers.request_body import RequestBody, read_body
from gateway_runtime.providers.translation import Question, Translation
from gateway_runtime.server.admission import charge
from gateway_runtime.server.bound import measure_body
from gateway_runtime.server.call import Sent
from gateway_runtime.server.endpoint import Attempt
from gateway_runtime.server.front import CALLER_LEFT, Front, FrontReply
from gateway_runtime.server.headers import build_fixed_lines, build_varying_lines
from gateway_runtime.server.journey import Begun, Journey, note_attempt
from gateway_runtime.server.lane import Lane
from gateway_runtime.server.patience import explain_lateness
from gateway_runtime.server.record import Record
from gateway_runtime.server.reload import Running
from gateway_runtime.server.reply import CallerGone
from gateway_runtime.server.reservation import Reservation
from gateway_runtime.upstream.exchange import DiedIdle, Exchange, UpstreamAnswer, UpstreamFailure

LARGEST_BYTES: Final = 32 * 1024
"""Of an answer. A caller's socket takes so much at once; a larger one may have to wait for it, under a
deadline.
"""
PATHS: Final = frozenset({CHAT.path, LANGCHAIN.path, EMBEDDINGS.path, MESSAGES.path})
"""What `head` takes: a test holds the two together."""
_LANES_KEPT: Final = 1024
"""Model names may come from callers, where a route has a pattern."""


class Caller(FrontReply, Peer, Protocol):
    """The connection that a request came on."""

    @property
    def has_unsent(self) -> bool:
        """It has not taken all of its last answer."""

    def occupy(self, ride: "Ride", record: Record) -> None:
        """Its request is under way; `ride` is cancelled when the caller leaves."""

    def go_on(self, work: Coroutine[None, None, None]) -> None:
        """The same request, in a task. What was begun is begun for certain."""

    def answer(self, lines: str, body: bytes) -> None:
        """Status 200. lines: of the head, without those of HTTP itself. Raises CallerGone."""

    def rest(self) -> None:
        """The request is over."""


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
        """None: a limit of the tenant leaves no room."""
        front, tenant = self._front, lane.tenant
        state = front.room.state
        if tenant.queue is not None and state.queues.is_waiting(tenant):
            return None
        user = lane.find_user(body.members) if identity.user is None else identity.user
        limits = state.limits_for(tenant, user, identity.key_id, body.model)
        bounder = lane.bounder
        bound, said, body_size = None, None, 0
        if bounder is not None:
            body_size = measure_body(body)
            bound, said = bounder.bound(body, body_size)
        taken = charge(limits, tenant, bound, now_s)
        if isinstance(taken, Refused):
            return None
        record = front.open_record(lane.path, now_s)
        if isinstance(taken, Taken):
            record.standing = taken.standing
        elif bounder is not None and bound is not None:
            record.standing, record.tokens = taken.requests, taken.tokens
            if said is not None:
                body = bounder.say_limit(body, said)
            record.reservation = Reservation(taken.hold, bound, body_size, said)
        record.note_caller(identity)
        record.user = user
        record.model = body.model
        record.route = lane.route
        ride = Ride(front, lane, caller, record, body, size)
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


class Ride:
    """One request under way."""

    __slots__ = (
        "_attempt",
        "_body",
        "_caller",
        "_choices",
        "_exchange",
        "_front",
        "_lane",
        "_record",
        "_sent_s",
        "_size",
        "_stop",
        "_translation",
        "at_s",
    )

    def __init__(
        self, front: Front, lane: Lane, caller: Caller, record: Record, body: RequestBody, size: int
    ) -> None:
        """size: as `load` was charged."""
        self._front = front
        self._lane = lane
        self._caller = caller
        self._record = record
        self._body = body
        self._size = size
        self._attempt: Attempt | None = None
        self._translation: Translation | None = None
        """None: bytes pass as they are."""
        self._exchange: Exchange | None = None
        """While an answer is waited for."""

    def start(self) -> None:
        try:
            self._send()
        except Exception as bug:
            self._tell(bug)

    def _send(self) -> None:
        room, lane, record, body = self._front.room, self._lane, self._record, self._body
        lane.own.budget.note_request(record.started_s)
        self._choices = choices = lane.order(body.model, record)
        if not choices:
            self._hand_over(None)
            return
        choice = choices[0]
        self._stop = stop = lane.stop(choice)
        attempt = stop.endpoint.begin(last_resort=choice.last_resort)
        if attempt is None:
            self._hand_over(None)
            return
        self._attempt = attempt
        if stop.passing is not None:
            exchange = stop.passing.send_at_once(record.request_id, body.build(choice.model), self._hear)
        else:
            exchange, self._translation = stop.send_translated(body, record, self._hear)
        if exchange is None:
            attempt.end(Outcome.CANCELLED, "")
            self._attempt = None
            self._hand_over(None)
            return
        self._exchange = exchange
        note_attempt(record, choice, lane.route)
        self._sent_s = sent_s = room.clock.now()
        self.at_s = sent_s + stop.patience_s
        room.keeper.watch(self)

    def cancel(self) -> None:
        """The caller has left."""
        self._record.status = CALLER_LEFT
        self._give_up()
        self._front.close_record(self._record, self._size)

    def expire(self) -> None:
        """Called by the keeper."""
        self._abort()
        timeouts = self._stop.timeouts
        try:
            total = timeouts.total_s <= timeouts.first_token_s
            reason = explain_lateness(timeouts, total=total, heard=False)
            self._hand_over(UpstreamFailure(Outcome.TIMEOUT, reason))
        except Exception as bug:
            self._tell(bug)

    def _give_up(self) -> None:
        room = self._front.room
        room.keeper.forget(self)
        attempt, self._attempt = self._attempt, None
        if attempt is not None:
            attempt.end(Outcome.CANCELLED, "")
            room.metrics.count_attempt(self._stop.provider_id, Outcome.CANCELLED)
        self._abort()

    def _abort(self) -> None:
        exchange, self._exchange = self._exchange, None
        if exchange is not None:
            exchange.abort()

    def _hear(self, result: UpstreamAnswer | UpstreamFailure) -> bool:
        """See `exchange.Prepared`."""
        if self._exchange is None:
            return False  # it was we who gave it up
        self._exchange = None
        front = self._front
        front.room.keeper.forget(self)
        try:
            if not self._answer(result):
                self._hand_over(result)
                return not isinstance(result, DiedIdle)
        except CallerGone:
            self._record.status = self._record.status or CALLER_LEFT
        except Exception as bug:
            self._tell(bug)
            if not isinstance(result, UpstreamFailure):
                result.close()
            return not isinstance(result, DiedIdle)
        front.close_record(self._record, self._size)
        self._caller.rest()
        return True

    def _tell(self, bug: Exception) -> None:
        """It is answered like any other bug."""
        self._give_up()
        self._go_on(_raise(bug))

    def _answer(self, result: UpstreamAnswer | UpstreamFailure) -> bool:
        """False: it is not one whole, good answer. Raises CallerGone."""
        if isinstance(result, UpstreamFailure) or result.status != 200:
            return False
        body = result.whole()
        headers = result.headers
        if (
            body is None
            or len(body) > LARGEST_BYTES
            or self._caller.has_unsent
            or "content-encoding" in headers
        ):
            return False
        stop = self._stop
        if self._translation is None:
            usage, fault = stop.read(body)
        else:
            body, usage, fault = self._translation.read_answer(body)
        if fault is not None:
            return False
        room, record, attempt = self._front.room, self._record, self._attempt
        assert attempt is not None
        now_s = room.clock.now()
        wait_s = read_wait(headers)
        if wait_s is not None:
            room.state.learnt.note(stop.key, wait_s, now_s, sent_s=self._sent_s)
        if usage is not None:
            record.note_usage(usage, stop.prices)
        else:
            record.note_untold(measure_body(self._body), stop.prices)
        record.waited_s = took_s = now_s - self._sent_s
        attempt.succeed(took_s)  # whether the caller takes the answer says nothing of the endpoint
        room.metrics.count_attempt(stop.provider_id, Outcome.OK)
        self._attempt = None
        if not stop.lines:
            stop.lines = build_fixed_lines(record)
        lines = stop.lines + build_varying_lines(record, now_s, headers)
        room.books.keep(record, 200)
        self._caller.answer(lines, body)
        return True

    def _hand_over(self, result: UpstreamAnswer | UpstreamFailure | None) -> None:
        """None: nothing was sent."""
        sent = None
        if result is not None and self._attempt is not None:
            sent = Sent(self._attempt, self._stop.credential, self._sent_s, result)
        lane, record = self._lane, self._record
        journey = Journey(
            self._front.room,
            lane.running.live,
            lane.tenant,
            lane.route,
            Question(OPERATIONS[lane.path], self._body, {}),
            self._caller,
            record,
            began_s=record.started_s,
        )
        self._go_on(journey.run(Begun(self._choices, sent)))

    def _go_on(self, work: Coroutine[None, None, None]) -> None:
        self._caller.go_on(self._front.see_out(work, self._size, self._caller, self._record))


async def _raise(bug: Exception) -> None:
    raise bug
