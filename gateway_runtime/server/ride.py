"""One ordinary request under way, on callbacks: from its lane to its answer.

    (wait -> take ->) send -> (the provider answers) -> judge -> answer

`express` makes a Ride once the request is charged, or waits for the store that gateways share. Whatever does
not end well is left to a task, with as much as was `Begun` (see `journey`): a limit that refuses it after the
store's answer, no connection at hand, anything but one whole, good answer.

The one subtle rule: the request is the ride's to end, exactly once: by `close_record`, or in the task that
goes on.
"""

from collections.abc import Coroutine, Sequence
from typing import Final, NamedTuple, Protocol

from gateway_runtime.engine.amounts import Bound
from gateway_runtime.engine.hold import Reserved
from gateway_runtime.engine.learnt import read_wait
from gateway_runtime.engine.limits import Claim, Refused, Taken
from gateway_runtime.engine.retry import Outcome
from gateway_runtime.identity import Peer
from gateway_runtime.providers.operations import OPERATIONS
from gateway_runtime.providers.request_body import RequestBody
from gateway_runtime.providers.translation import Question, Translation
from gateway_runtime.server.admission import charge
from gateway_runtime.server.bound import measure_body
from gateway_runtime.server.call import Sent
from gateway_runtime.server.endpoint import Attempt
from gateway_runtime.server.front import CALLER_LEFT, Front, FrontReply
from gateway_runtime.server.headers import build_fixed_lines, build_varying_lines
from gateway_runtime.server.journey import Begun, Journey, note_attempt
from gateway_runtime.server.lane import Lane
from gateway_runtime.server.lease_desk import Turn
from gateway_runtime.server.patience import explain_lateness
from gateway_runtime.server.record import Record
from gateway_runtime.server.reply import CallerGone
from gateway_runtime.server.request import ask_providers
from gateway_runtime.server.reservation import Reservation
from gateway_runtime.upstream.exchange import DiedIdle, Exchange, UpstreamAnswer, UpstreamFailure

LARGEST_BYTES: Final = 32 * 1024
"""Of an answer. A caller's socket takes so much at once; a larger one may have to wait for it, under a
deadline.
"""


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


class Waiting(NamedTuple):
    """Of a request that has no room at this gateway, while the store is asked for more."""

    bound: Bound | None
    said: int | None
    body_size: int
    reserves: bool
    """For what it was bounded: see `LiveState.reserves`."""
    since_s: float


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
        "_turn",
        "_waiting",
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
        self._waiting: Waiting | None = None
        self._turn: Turn | None = None
        """While the store is waited for."""

    @property
    def is_waiting(self) -> bool:
        """For the store; it starts by itself."""
        return self._turn is not None

    def wait(self, waiting: Waiting, claims: Sequence[Claim]) -> bool:
        """False: nobody can be asked."""
        desk = self._front.room.state.desk
        if desk is None:
            return False
        self._waiting = waiting
        self._turn = desk.press(claims, self._hear_store)
        return self._turn is not None

    def note_taken(
        self, taken: Taken | Reserved, bound: Bound | None, said: int | None, body_size: int
    ) -> None:
        record, bounder = self._record, self._lane.bounder
        if isinstance(taken, Taken):
            record.standing = taken.standing
        elif bounder is not None and bound is not None:
            record.reservation = Reservation(taken.hold, bound, body_size, said)
            record.standing, record.tokens = taken.requests, taken.tokens
            if said is not None:
                self._body = bounder.say_limit(self._body, said)

    def _hear_store(self) -> None:
        """It has answered, or is away."""
        self._turn = None
        try:
            if self._take():
                self._send()
            else:
                self._go_on(self._ask_in_task())
        except Exception as bug:
            self._tell(bug)

    def _take(self) -> bool:
        """Of what the store has granted. False: it is not enough, or it is no ordinary request any more."""
        room, lane, record, waiting = self._front.room, self._lane, self._record, self._waiting
        assert waiting is not None, "what does not wait was charged"
        now_s = room.clock.now()
        record.waited_s += now_s - waiting.since_s
        tenant, state = lane.tenant, room.state
        limits = state.limits_for(tenant, record.user, record.key_id, self._body.model)
        if (
            state.reserves(tenant) != waiting.reserves
            or not state.refusals.are_idle(now_s)
            or not state.learnt.are_idle(now_s)
            or (tenant.queue is not None and state.queues.is_waiting(tenant, limits))
        ):
            return False
        taken = charge(limits, tenant, waiting.bound, now_s)
        if isinstance(taken, Refused):
            return False
        self.note_taken(taken, waiting.bound, waiting.said, waiting.body_size)
        return True

    async def _ask_in_task(self) -> None:
        """From its limits on, as any other."""
        front, lane = self._front, self._lane
        question = Question(OPERATIONS[lane.path], self._body, {})
        await ask_providers(
            front.room,
            lane.running,
            lane.tenant,
            lane.route,
            question,
            front.load,
            self._caller,
            self._record,
        )

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
        if self._turn is not None:
            self._turn.cancel()
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
        took_s = now_s - self._sent_s
        record.waited_s += took_s
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
