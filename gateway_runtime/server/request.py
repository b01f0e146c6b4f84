"""One request's life, told once from its key to its record.

    authenticate -> match -> take limits -> journey (order, attempt, retry, hedge, fall back) -> answer

`front` calls `serve_completion` for each completion and embedding. All that is to be decided is asked of
`engine`; errors of our own come out as GatewayError, which `front` words in the caller's dialect.

The one subtle rule: the `Running` that is taken at the beginning is the only table this request ever sees;
the live state of endpoints and limits is everybody's, and is looked at anew each time.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import NamedTuple

from gateway_runtime.contract.table import Route
from gateway_runtime.contract.tenant import Tenant
from gateway_runtime.engine.lookup import LiveTable
from gateway_runtime.identity import Peer, Rejection
from gateway_runtime.providers.dialects.anthropic.tokens import build_token_count, estimate_tokens
from gateway_runtime.providers.end_user import find_user, find_user_of_messages
from gateway_runtime.providers.operation import Operation
from gateway_runtime.providers.request_body import read_body
from gateway_runtime.providers.translation import Owner, Question
from gateway_runtime.server.admission import take_limits
from gateway_runtime.server.headers import JSON, build_headers
from gateway_runtime.server.journey import Journey
from gateway_runtime.server.load import Load
from gateway_runtime.server.record import Record
from gateway_runtime.server.references import resolve_references
from gateway_runtime.server.refusal import (
    refuse_caller,
    refuse_unknown_model,
    refuse_without_table,
)
from gateway_runtime.server.reload import Running
from gateway_runtime.server.reply import Reply
from gateway_runtime.server.room import Room
from gateway_runtime.server.upload import Upload


class Ask(NamedTuple):
    """What a caller sent, as far as it is known before the body is read."""

    key: str | None
    peer: Peer
    operation: Operation
    headers: Mapping[str, str]
    """Those which a provider that speaks the same has to see."""
    read_body: Callable[[], Awaitable[bytes]]
    load: Load


async def authenticate(room: Room, key: str | None, peer: Peer, record: Record) -> tuple[Running, Tenant]:
    """Raises GatewayError."""
    running = room.reloader.running
    if running is None:
        raise refuse_without_table()
    identity = room.authenticator.recognize(running, key, peer)
    if identity is None:
        began_s = room.clock.now()
        found = await room.authenticator.identify(running, key, peer)
        record.waited_s += room.clock.now() - began_s
        if isinstance(found, Rejection):
            raise refuse_caller(found)
        identity = found
    record.note_caller(identity)
    return running, identity.tenant


async def serve_completion(room: Room, ask: Ask, reply: Reply, record: Record) -> None:
    """Raises GatewayError while nothing went out, CallerGone or CancelledError when nobody listens."""
    running, tenant = await authenticate(room, ask.key, ask.peer, record)
    now = room.clock.now
    began_s = now()
    data = await ask.read_body()
    record.waited_s += now() - began_s
    operation = ask.operation
    body = read_body(data, operation.default_model)
    record.model = body.model
    if record.user is None:
        find = find_user_of_messages if operation.manner == "anthropic" else find_user
        record.user = find(body.members)
    route = find_route(running, tenant, body.model)
    question = Question(operation, body, ask.headers)
    if operation.refers:
        body, pin, unproved = resolve_references(running.live, tenant, body)
        owner = Owner(running.live.table.installation.key_salt, tenant.id)
        question = Question(operation, body, ask.headers, owner=owner, pin=pin, unproved=unproved)
    if operation.kind == "count" and not counts_tokens(running.live, route):
        await take_limits(room, running, tenant, route, question, record)
        record.route = route
        await _estimate(room, question, reply, record)
        return
    await ask_providers(room, running, tenant, route, question, ask.load, reply, record)


def find_route(running: Running, tenant: Tenant, model: str) -> Route:
    """Raises GatewayError."""
    route = running.live.match_route(tenant, model)
    if route is None:
        raise refuse_unknown_model(model, running.live.models_for(tenant))
    return route


async def ask_providers(
    room: Room,
    running: Running,
    tenant: Tenant,
    route: Route,
    question: Question,
    load: Load,
    reply: Reply,
    record: Record,
    upload: Upload | None = None,
) -> None:
    """Limits, and the whole journey. upload: the body, where it is a form. Raises as `serve_completion`."""
    record.route = route
    record.stream = question.body.stream
    if question.body.stream:
        load.begin_stream()
    try:
        question = await take_limits(room, running, tenant, route, question, record)
        began_s = room.clock.now()
        journey = Journey(
            room, running.live, tenant, route, question, reply, record, began_s=began_s, upload=upload
        )
        await journey.run()
    finally:
        if question.body.stream:
            load.end_stream()


def counts_tokens(live: LiveTable, route: Route) -> bool:
    """Whether a provider of the route counts tokens itself."""
    return any(live.provider(target.provider).wire == "anthropic" for target in route.targets)


async def _estimate(room: Room, question: Question, reply: Reply, record: Record) -> None:
    tokens = estimate_tokens(question.chat().chat)
    headers = build_headers(record, room.clock.now(), JSON)
    headers["x-headgate-estimated"] = "true"
    await reply.send(200, headers, build_token_count(tokens))
