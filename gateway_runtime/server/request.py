"""One request's life, told once from its key to its record.

    authenticate -> match -> take limits -> order choices -> attempt (circuit, credential, retry) -> answer

`front` calls `serve_completion` for each completion and embedding. All that is to be decided is asked of
`engine`; all I/O is in `attempt` and behind `Reply`. Errors of our own come out as GatewayError, which
`front` words in the caller's dialect.

The one subtle rule: the `Running` that is taken at the beginning is the only table this request ever sees;
the live state of endpoints and limits is everybody's, and is looked at anew each time.
"""

import asyncio
import math
from collections.abc import Awaitable, Callable
from typing import NamedTuple

import msgspec

from gateway_runtime.contract.errors import GatewayError
from gateway_runtime.contract.table import Route, Tenant
from gateway_runtime.engine.balance import Availability, Choice, order_choices
from gateway_runtime.engine.limits import Refused, take_all
from gateway_runtime.engine.retry import Outcome, decide_retry
from gateway_runtime.providers import openai
from gateway_runtime.server.attempt import Call, Ended, PassedAnswer, Reply, make_attempt
from gateway_runtime.server.credentials import RefusedCredentials
from gateway_runtime.server.endpoint import Clock
from gateway_runtime.server.headers import JSON, build_headers
from gateway_runtime.server.load import Load
from gateway_runtime.server.metrics import Metrics
from gateway_runtime.server.patience import Timekeeper, choose_timeouts
from gateway_runtime.server.record import Record
from gateway_runtime.server.refusal import (
    refuse_after_failure,
    refuse_in_other_shape,
    refuse_missing_key,
    refuse_over_limit,
    refuse_unknown_key,
    refuse_unknown_model,
    refuse_with_open_circuits,
    refuse_without_credential,
    refuse_without_table,
    refuse_without_targets,
)
from gateway_runtime.server.reload import Reloader, Running
from gateway_runtime.server.state import LiveState
from gateway_runtime.server.upstream import Transport


class Room(NamedTuple):
    """What all requests share."""

    reloader: Reloader
    state: LiveState
    transport: Transport
    metrics: Metrics
    clock: Clock
    keeper: Timekeeper
    draw: Callable[[], float]


class Ask(NamedTuple):
    """What a caller sent, as far as it is known before the body is read."""

    key: str | None
    path: str
    """Behind `/v1`: `/chat/completions`."""
    read_body: Callable[[], Awaitable[bytes]]
    load: Load


def authenticate(running: Running | None, key: str | None, record: Record) -> tuple[Running, Tenant]:
    """Raises GatewayError."""
    if running is None:
        raise refuse_without_table()
    tenant = running.live.authenticate(None if key is None else running.hash_key(key))
    if tenant is None:
        raise refuse_missing_key() if key is None else refuse_unknown_key()
    record.tenant = tenant
    return running, tenant


async def serve_completion(room: Room, ask: Ask, reply: Reply, record: Record) -> None:
    """Raises GatewayError while nothing went out, CallerGone or CancelledError when nobody listens."""
    running, tenant = authenticate(room.reloader.running, ask.key, record)
    now = room.clock.now
    began_s = now()
    body = await ask.read_body()
    record.waited_s += now() - began_s
    facts = openai.read_request(body)
    route = running.live.match_route(tenant, facts.model)
    record.model = facts.model
    if route is None:
        raise refuse_unknown_model(facts.model, running.live.models_for(tenant))
    record.route = route
    if facts.stream:
        ask.load.begin_stream()
    try:
        await _serve_route(room, ask, reply, record, running, tenant, route, facts, body)
    finally:
        if facts.stream:
            ask.load.end_stream()


async def _serve_route(
    room: Room,
    ask: Ask,
    reply: Reply,
    record: Record,
    running: Running,
    tenant: Tenant,
    route: Route,
    facts: openai.RequestFacts,
    body: bytes,
) -> None:
    now = room.clock.now
    taken = take_all(room.state.limits_of(tenant), now())
    record.standing = taken.standing
    if isinstance(taken, Refused):
        raise refuse_over_limit(tenant, taken)

    total_s = route.timeouts.total_s
    deadline_s = math.inf if total_s is None else now() + total_s
    call = Call(facts, body, ask.path, record, reply, room.transport, room.metrics, room.clock, room.keeper)
    refused = RefusedCredentials(room.state.refusals)
    choices: list[Choice] = []
    last: tuple[Choice, Ended] | None = None
    tried = 0
    while True:
        if not choices:
            ordered = order_choices(route, facts.model, running.live, room.state.availability, room.draw)
            choices = [choice for choice in ordered if refused.leaves(choice.provider)]
            if not choices:
                break
        choice = choices[0]
        credential = refused.pick(choice.provider)
        state = room.state.endpoint(choice).begin()
        if state is None:
            del choices[0]
            continue
        record.attempts += 1
        record.provider = choice.provider
        timeouts = choose_timeouts(route, choice.provider)
        secret = None if credential is None else credential.value
        ended = await make_attempt(call, choice, secret, state, timeouts, deadline_s)
        if ended.answered:
            return None
        if ended.outcome is Outcome.CALLER_ERROR and ended.passed is not None:
            return await _pass_on(call, choice, ended.passed)
        last = choice, ended
        if ended.outcome is Outcome.CREDENTIAL_REFUSED and ended.passed is not None:
            refused.add(choice.provider, credential, ended.passed.status)
            if refused.leaves(choice.provider):
                continue  # the same attempt at the same door, with the next key: retry has no say in it
        tried += 1
        choices = [
            other
            for other in choices[1:]
            if refused.leaves(other.provider)
            and room.state.availability(other.endpoint.id) is not Availability.REFUSED
        ]
        left_s = deadline_s - now()
        pause_s = decide_retry(
            route.retry, tried, ended.outcome, ended.retry_after_s, left_s, bool(choices), room.draw
        )
        if pause_s is None or pause_s > route.retry.max_backoff_s:
            break  # a Retry-After above the route's longest pause is the caller's to wait for
        if pause_s > 0:
            await asyncio.sleep(pause_s)
            record.waited_s += pause_s

    if last is None:
        raise _refuse_without_choice(room, running, route)
    choice, ended = last
    if ended.outcome is Outcome.CREDENTIAL_REFUSED and ended.passed is not None:
        raise refuse_without_credential(choice.provider, refused.names(choice.provider), ended.passed.status)
    if ended.passed is not None:
        return await _pass_on(call, choice, ended.passed)
    raise refuse_after_failure(choice.endpoint.id, ended.outcome, ended.reason, record.attempts)


async def _pass_on(call: Call, choice: Choice, passed: PassedAnswer) -> None:
    """A provider's refusal goes to the caller as it came, if the caller's SDK can read it."""
    headers = build_headers(call.record, call.clock.now(), JSON)
    headers.update(passed.headers)
    body = passed.body
    if not (_is_error(body) or (passed.status < 500 and openai.check_answer(body))):
        error = refuse_in_other_shape(choice.endpoint.id, passed.status)
        call.record.error = error.code
        body = openai.build_error(error)
    await call.reply.send(passed.status, headers, body)


def _is_error(body: bytes) -> bool:
    try:
        _error_decoder.decode(body)
    except msgspec.DecodeError:
        return False
    return True


def _refuse_without_choice(room: Room, running: Running, route: Route) -> GatewayError:
    if not route.targets:
        return refuse_without_targets(route)
    providers = [running.live.provider(target.provider) for target in route.targets]
    states = [room.state.endpoints.get(endpoint.id) for p in providers for endpoint in p.endpoints]
    waits = [wait_s for state in states if state and (wait_s := state.cools_in_s()) is not None]
    return refuse_with_open_circuits(route, min(waits, default=1.0))


class _Error(msgspec.Struct):
    """OpenAI's shape of an error, as far as SDKs insist on it."""

    error: dict[str, msgspec.Raw]


_error_decoder = msgspec.json.Decoder(_Error)
