"""From a route to an answer: which endpoint, which after it, when again, which model when nothing is left.

    order choices -> attempt (or race, where the route hedges) -> retry -> ... -> fall back -> order choices

`request` makes a Journey once limits are taken, and it ends in an answer that went to the caller or in a
GatewayError. It decides nothing by itself: `engine` says what comes next, `attempt` does it.

The one subtle rule: attempts are counted per route, time for the whole. A fallback begins with as many
attempts as its route allows, under the deadline of the route that the caller asked for.
"""

import asyncio
import math
from collections.abc import Sequence
from typing import Final, NamedTuple

import msgspec

from gateway_runtime.contract.errors import ErrorCode, GatewayError
from gateway_runtime.contract.table import Credential, Route, Timeouts
from gateway_runtime.contract.tenant import Tenant
from gateway_runtime.engine.balance import Availability, Choice, order_choices
from gateway_runtime.engine.fair_queue import Rank
from gateway_runtime.engine.fallback import find_fallback
from gateway_runtime.engine.learnt import LimitKey
from gateway_runtime.engine.lookup import LiveTable
from gateway_runtime.engine.retry import Outcome, cause_of, decide_retry
from gateway_runtime.engine.trace import Why
from gateway_runtime.providers.translation import Pin, Question
from gateway_runtime.server.attempt import make_attempt
from gateway_runtime.server.call import Call, Ended, PassedAnswer, Sent
from gateway_runtime.server.credentials import RefusedCredentials
from gateway_runtime.server.endpoint import Attempt
from gateway_runtime.server.headers import JSON, build_headers
from gateway_runtime.server.patience import choose_timeouts
from gateway_runtime.server.race import run_race
from gateway_runtime.server.record import Record
from gateway_runtime.server.refusal import (
    refuse_after_failure,
    refuse_elsewhere,
    refuse_in_other_shape,
    refuse_with_open_circuits,
    refuse_without_credential,
    refuse_without_targets,
)
from gateway_runtime.server.reply import Reply
from gateway_runtime.server.room import Room
from gateway_runtime.server.upload import Upload


class Tried(NamedTuple):
    """An attempt that gave the caller no answer."""

    choice: Choice
    ended: Ended


class Begun(NamedTuple):
    """How far `express` came with a request that turned out to be no ordinary one."""

    choices: Sequence[Choice]
    """As they were ordered."""
    sent: Sent | None
    """To the first of them; None: it was not."""


class Journey:
    __slots__ = (
        "_asked",
        "_call",
        "_deadline_s",
        "_last",
        "_live",
        "_model",
        "_outcome",
        "_refused",
        "_room",
        "_route",
        "_sent",
        "_tenant",
    )

    def __init__(
        self,
        room: Room,
        live: LiveTable,
        tenant: Tenant,
        route: Route,
        question: Question,
        reply: Reply,
        record: Record,
        *,
        began_s: float,
        upload: Upload | None = None,
    ) -> None:
        """began_s: from when on its deadline counts. upload: the body, where it is a form."""
        total_s = route.timeouts.total_s
        self._room = room
        self._live = live
        self._tenant = tenant
        self._asked = self._route = route
        self._model = question.body.model
        self._call = Call(
            question,
            record,
            reply,
            room.transport,
            room.metrics,
            room.clock,
            room.keeper,
            room.desk,
            room.books,
            Rank(tenant.id, tenant.priority),
            upload,
        )
        self._deadline_s = math.inf if total_s is None else began_s + total_s
        self._refused = RefusedCredentials(room.state.refusals)
        self._last: Tried | None = None
        self._outcome: Outcome | None = None
        """Of the present route's last attempt; None while it made none."""
        self._sent: list[int] = []
        """Slots of the present order that had a copy of the request; a race sends several."""

    async def run(self, begun: Begun | None = None) -> None:
        """Raises GatewayError, or CallerGone."""
        pin = self._call.question.pin
        if pin is not None and not self._serves(pin):
            raise refuse_elsewhere(self._route, self._model)
        if begun is None:
            self._room.state.route(self._route).budget.note_request(self._room.clock.now())
        if await self._walk(begun):
            return
        tried = [self._model]
        while self._fall_back(tried):
            self._room.state.route(self._route).budget.note_request(self._room.clock.now())
            if await self._walk():
                return
        if self._last is None:
            raise self._refuse_without_choice()
        await self._answer_after(self._last)

    async def _walk(self, begun: Begun | None = None) -> bool:
        """All that the present route allows; whether the caller has an answer."""
        room, route = self._room, self._route
        now = room.clock.now
        own = room.state.route(route)
        self._outcome = None
        if begun is not None and not begun.choices:
            return False
        choices: Sequence[Choice] = () if begun is None else begun.choices
        tried = 0
        while True:
            if not choices:
                choices = self._order()
                self._sent.clear()
            if not choices:
                return False
            choice = choices[0]
            last = await self._attempt(choice, None if begun is None else begun.sent)
            begun = None
            if last is None:
                choices = choices[1:]  # its circuit has opened a moment ago
                if not choices:
                    return False
                continue
            self._last = last
            choice, ended = last
            if ended.answered:
                return True
            self._outcome = ended.outcome
            if not self._may_go_on(ended):
                return False
            if ended.outcome is Outcome.CREDENTIAL_REFUSED and self._refused.leaves(choice.provider):
                continue  # the same attempt at the same door, with the next key: retry has no say in it
            tried += 1
            choices = [other for other in choices if other.slot not in self._sent and self._is_open(other)]
            pause_s = decide_retry(
                route.retry,
                tried,
                ended.outcome,
                ended.retry_after_s,
                self._deadline_s - now(),
                bool(choices),
                room.draw,
                budget=own.budget,
                now_s=now(),
                trace=self._call.record.trace,
            )
            if pause_s is None:
                return False
            self._trace(Why.RETRY, choice, ended.reason)
            if pause_s > 0:
                await asyncio.sleep(pause_s)
                self._call.record.waited_s += pause_s

    def _order(self) -> Sequence[Choice]:
        room, route = self._room, self._route
        state = room.state
        learnt = state.learnt
        choices = order_choices(
            route,
            self._model,
            self._live,
            state.availability,
            room.draw,
            view=state.view,
            rotation=state.route(route).rotation,
            limited_s=None if learnt.are_idle(room.clock.now()) else self._find_wait,
            trace=self._call.record.trace,
        )
        pin = self._call.question.pin
        if pin is not None:
            choices = [choice for choice in choices if _is_pinned(choice, pin)]
        if not self._refused.any:
            return choices
        return [choice for choice in choices if self._refused.leaves(choice.provider)]

    def _may_go_on(self, ended: Ended) -> bool:
        """Whether the request may be sent again at all."""
        if not self._has_body():
            return False
        return self._call.question.operation.may_repeat or ended.outcome not in _MAYBE_DONE

    def _has_body(self) -> bool:
        """Still, to be sent once more."""
        upload = self._call.upload
        return upload is None or upload.may_repeat

    def _serves(self, pin: Pin) -> bool:
        """Whether the route leads there for this model."""
        return any(_is_pinned(choice, pin) for choice in self._live.plan(self._route, self._model).choices)

    def _find_wait(self, choice: Choice) -> float:
        """Seconds until the provider's own limit leaves room, as far as it told."""
        credential = self._refused.pick(choice.provider)
        key = LimitKey(choice.endpoint.id, "" if credential is None else credential.name, choice.model)
        return self._room.state.learnt.wait(key, self._room.clock.now())

    def _is_open(self, choice: Choice) -> bool:
        if not self._refused.leaves(choice.provider):
            return False
        if choice.last_resort:
            return True
        return self._room.state.availability(choice.endpoint.id) is not Availability.REFUSED

    async def _attempt(self, choice: Choice, sent: Sent | None) -> Tried | None:
        """None: the circuit refuses it now."""
        hedge = self._route.hedge
        if sent is not None:
            self._sent.append(choice.slot)
            return Tried(choice, await self._make(choice, self._call, sent.attempt, sent.credential, sent))
        question = self._call.question
        if hedge is None or question.body.stream or not question.operation.may_race:
            ended = await self._send(choice, self._call)
            return None if ended is None else Tried(choice, ended)
        won = await run_race(
            choice,
            self._call,
            hedge,
            self._send,
            self._order,
            self._room.state.route(self._route).budget,
            self._deadline_s,
        )
        return None if won is None else Tried(*won)

    async def _send(self, choice: Choice, call: Call) -> Ended | None:
        attempt = self._room.state.endpoint(choice).begin(last_resort=choice.last_resort)
        if attempt is None:
            return None
        self._sent.append(choice.slot)
        note_attempt(call.record, choice, self._route)
        return await self._make(choice, call, attempt, self._refused.pick(choice.provider))

    async def _make(
        self,
        choice: Choice,
        call: Call,
        attempt: Attempt,
        credential: Credential | None,
        sent: Sent | None = None,
    ) -> Ended:
        timeouts = choose_timeouts(self._route, choice.provider)
        if call.record.fallback is not None:
            timeouts = _keep_total(timeouts, self._asked)
        learnt = self._room.state.learnt
        ended = await make_attempt(
            call,
            choice,
            credential,
            attempt,
            learnt,
            timeouts,
            self._deadline_s,
            sent,
            drop=self._route.unsupported == "Drop",
        )
        if ended.outcome is Outcome.CREDENTIAL_REFUSED and not ended.answered:
            self._note_refused(choice, credential, ended)
        return ended

    def _note_refused(self, choice: Choice, credential: Credential | None, ended: Ended) -> None:
        status = 401 if ended.passed is None else ended.passed.status
        self._refused.add(choice.provider, credential, status)
        if credential is not None:
            self._trace(Why.CREDENTIAL, choice, f"{credential.name} refused with {status}")

    def _fall_back(self, tried: list[str]) -> bool:
        """Goes on with another model; False when there is none. tried: gets its name."""
        if not self._call.question.operation.names_model or not self._has_body():
            return False
        cause = "Unavailable" if self._outcome is None else cause_of(self._outcome)
        if cause is None or self._deadline_s <= self._room.clock.now():
            return False
        record = self._call.record
        found = find_fallback(self._live, self._tenant, self._asked, cause, tried, trace=record.trace)
        if found is None:
            return False
        tried.append(found.model)
        self._route, self._model = found.route, found.model
        record.fallback = found
        self._room.metrics.count_fallback(self._asked.id, found.reason)
        return True

    async def _answer_after(self, last: Tried) -> None:
        """What the last failure leaves to say."""
        choice, ended = last
        if ended.outcome is Outcome.CREDENTIAL_REFUSED:
            status = 401 if ended.passed is None else ended.passed.status
            raise refuse_without_credential(choice.provider, self._refused.names(choice.provider), status)
        if ended.passed is not None:
            return await self._pass_on(choice, ended.passed, ended.error)
        attempts = self._call.record.attempts
        raise refuse_after_failure(choice.endpoint.id, ended.outcome, ended.reason, attempts)

    async def _pass_on(self, choice: Choice, passed: PassedAnswer, code: ErrorCode | None) -> None:
        """A provider's refusal goes to the caller as it came, if the caller's SDK can read it. code: it is
        ours.
        """
        call = self._call
        call.record.error = code
        headers = build_headers(call.record, call.clock.now(), JSON)
        headers.update(passed.headers)
        body = passed.body
        if body is None:
            error = refuse_in_other_shape(choice.endpoint.id, passed.status)
            call.record.error = error.code
            body = call.question.dialect.build_error(error)
        call.books.keep(call.record, passed.status)
        await call.reply.send(passed.status, headers, body)

    def _refuse_without_choice(self) -> GatewayError:
        route = self._asked
        if not route.targets:
            return refuse_without_targets(route)
        providers = [self._live.provider(target.provider) for target in route.targets]
        endpoints = self._room.state.endpoints
        states = [endpoints.get(endpoint.id) for p in providers for endpoint in p.endpoints]
        waits = [wait_s for state in states if state and (wait_s := state.cools_in_s()) is not None]
        return refuse_with_open_circuits(route, min(waits, default=1.0))

    def _trace(self, why: Why, choice: Choice, detail: str) -> None:
        trace = self._call.record.trace
        if trace is not None:
            trace.note(why, choice.endpoint.id, detail)


_MAYBE_DONE: Final = frozenset(
    {Outcome.RESET, Outcome.TIMEOUT, Outcome.SERVER_ERROR, Outcome.MALFORMED, Outcome.CANCELLED}
)
"""The provider may have done what was asked, and only its answer is missing."""


def _is_pinned(choice: Choice, pin: Pin) -> bool:
    if pin.endpoint is None:
        return choice.provider.id == pin.provider
    return choice.endpoint.id == pin.endpoint


def note_attempt(record: Record, choice: Choice, route: Route) -> None:
    """One begins."""
    record.attempts += 1
    record.provider = choice.provider
    record.upstream_model = choice.model
    if record.trace is not None:
        record.trace.note(Why.CHOSEN, choice.endpoint.id, route.strategy)


def _keep_total(timeouts: Timeouts, asked: Route) -> Timeouts:
    """Of a fallback's route, so that an error names the deadline that held."""
    total_s = asked.timeouts.total_s
    if total_s is None or total_s >= timeouts.total_s:
        return timeouts
    return msgspec.structs.replace(timeouts, total_s=total_s)
