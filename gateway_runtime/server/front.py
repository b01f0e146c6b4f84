"""What callers may ask of a gateway, and how each request ends: in an answer, with a record of it.

    hot | plain -> Front.serve -> request | forms | kept -> record, metrics, access log
    hot -> express ----------------------------------------->

Two rooms before this one know HTTP: `hot` serves the ordinary request at speed, `plain` everything else
through aiohttp. Both hand over an `Incoming` and a `Reply` and know nothing more; this room knows the paths
and the caller's dialect (OpenAI's) and decides nothing else. Every answer, errors included, leaves with the
headers of `headers`.

The subtle rule: while the gateway drains, a connection that is kept would bring requests that nobody serves;
every answer then closes its own.
"""

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Mapping, Sequence
from itertools import count
from typing import Final, NamedTuple, Protocol

import structlog

from gateway_runtime.contract.errors import GatewayError
from gateway_runtime.engine.trace import Trace
from gateway_runtime.identity import Peer
from gateway_runtime.providers import openai
from gateway_runtime.providers.dialect import Dialect
from gateway_runtime.providers.dialects.anthropic.models import build_model as describe_for_anthropic
from gateway_runtime.providers.dialects.anthropic.models import build_model_list as list_for_anthropic
from gateway_runtime.providers.operation import KeptOperation, Operation
from gateway_runtime.providers.operations import CHAT, KEPT, OPERATIONS, find_kept
from gateway_runtime.server.forms import serve_form
from gateway_runtime.server.headers import JSON, build_error_headers, build_headers
from gateway_runtime.server.kept import Wanted, serve_kept
from gateway_runtime.server.limits_api import LIMITS, describe_limits
from gateway_runtime.server.load import Load
from gateway_runtime.server.log import log_bug
from gateway_runtime.server.providers_api import (
    ProvidersApi,
    Visit,
    Visitor,
    find_methods,
    serve_providers,
)
from gateway_runtime.server.record import Record
from gateway_runtime.server.refusal import (
    refuse_after_bug,
    refuse_method,
    refuse_unknown_model,
    refuse_unknown_path,
    refuse_while_draining,
)
from gateway_runtime.server.relay import LAST_WORDS_S
from gateway_runtime.server.reply import CallerGone, Reply
from gateway_runtime.server.request import Ask, authenticate, serve_completion
from gateway_runtime.server.room import Room
from gateway_runtime.server.settings import GatewaySettings
from gateway_runtime.server.settle import settle
from gateway_runtime.server.upload import Source
from gateway_runtime.server.usage_api import USAGE, UsageApi

MODELS: Final = "/v1/models"
SERVED: Final = (
    *(f"POST {path}" for path in OPERATIONS),
    *(f"{operation.method} {operation.path}" for operation in KEPT if not operation.lists),
    f"GET {MODELS}",
    f"GET {MODELS}/{{id}}",
    f"GET {LIMITS}",
    f"GET {USAGE}",
)

CALLER_LEFT: Final = 499
"""nginx's status for it; only logs and metrics see it."""


PASSED_HEADERS: Final = frozenset({"anthropic-beta", "anthropic-version"})
"""A caller's headers which say what its body means. A provider that speaks the same gets them."""


class Incoming(NamedTuple):
    """A request as HTTP brought it."""

    method: str
    path: str
    key: str | None
    peer: Peer
    read_body: Callable[[], Awaitable[bytes]]
    """Raises GatewayError for one that is too long, breaks off or stalls."""
    length: int | None
    """Of the body, if it was told."""
    headers: Mapping[str, str]
    """Of the caller's, those in PASSED_HEADERS; lower case."""
    query: str = ""
    """Encoded."""
    source: Source | None = None
    """The body as it comes, for those who read it so; see `upload`."""
    provider: str | None = None
    """Which one the caller wants something kept by."""
    visitor: Visitor | None = None
    """Of those alone who ask for providers; see `providers_api`."""


class FrontReply(Reply, Protocol):
    begun: bool
    """A stream has begun."""


class Front:
    def __init__(
        self,
        room: Room,
        settings: GatewaySettings,
        providers_api: ProvidersApi | None = None,
        usage_api: UsageApi | None = None,
    ) -> None:
        """usage_api: what answers for the ledger; None: there is none."""
        self.room = room
        self.settings = settings
        self._providers_api = providers_api
        self._usage_api = usage_api or UsageApi(None, room.clock.unix)
        self.load = Load(settings)
        self.leaving = False
        """Answers close their connections."""
        self.draining = False
        """And new requests are refused."""
        # Bound once: structlog would make a logger anew for each line.
        self._access_log = structlog.get_logger().bind() if settings.access_log else None
        self._id_prefix = secrets.token_hex(8)
        self._id_numbers = count()
        room.metrics.watch_load(self.load)

    @property
    def under_way(self) -> int:
        return self.load.requests

    @property
    def idle(self) -> asyncio.Event:
        """Set while no request is under way."""
        return self.load.idle

    async def serve(self, incoming: Incoming, reply: FrontReply, record: Record) -> None:
        """All errors end here; only a cancellation gets out, after the record is closed."""
        try:
            size = self.load.admit(incoming.length)
        except GatewayError as error:
            try:
                await self._refuse(error, reply, record)
            finally:
                self._finish(record)
        else:
            await self.see_out(self._choose(incoming, reply, record), size, reply, record)

    async def see_out(self, work: Awaitable[None], size: int, reply: FrontReply, record: Record) -> None:
        """An admitted request to its end: as `serve`. size: as `load` was charged."""
        try:
            await work
        except GatewayError as error:
            await self._refuse(error, reply, record)
        except CallerGone:
            record.status = record.status or CALLER_LEFT
        except asyncio.CancelledError:
            record.status = record.status or CALLER_LEFT
            raise
        except Exception:
            log_bug("request failed by a bug", request_id=record.request_id)
            told = refuse_after_bug(record.request_id)
            if reply.begun:
                record.error = told.code
                reply.cut()
            else:
                await self._refuse(told, reply, record)
        finally:
            self.close_record(record, size)

    def close_record(self, record: Record, size: int) -> None:
        """A request is over. size: as `load` was charged."""
        self.load.release(size)
        self._finish(record)

    def open_record(self, path: str, now_s: float) -> Record:
        record = Record(f"{self._id_prefix}{next(self._id_numbers):08x}", path, now_s)
        if record.operation is not None and record.operation.manner == "anthropic":
            record.started_unix_s = self.room.clock.unix()
        if self.settings.access_log or self.settings.debug_headers:
            record.trace = Trace(is_shown=self.settings.debug_headers)
        return record

    async def _choose(self, incoming: Incoming, reply: FrontReply, record: Record) -> None:
        """What serves the path. Raises GatewayError."""
        if self.draining:
            raise refuse_while_draining()
        path, method = incoming.path, incoming.method
        if record.operation is not None:
            if method != "POST":
                return await self._refuse_method(incoming, "POST", reply, record)
            ask = self._build_ask(incoming, record.operation)
            if record.operation.takes == "form" and incoming.source is not None:
                return await serve_form(self.room, ask, incoming.source, reply, record)
            return await serve_completion(self.room, ask, reply, record)
        if kept := find_kept(path):
            return await self._serve_kept(incoming, kept, reply, record)
        if path == MODELS or path.startswith(f"{MODELS}/"):
            if method != "GET":
                return await self._refuse_method(incoming, "GET", reply, record)
            body = await self._describe_models(incoming, record)
            return await reply.send(200, build_headers(record, self.room.clock.now(), JSON), body)
        if path == LIMITS:
            if method != "GET":
                return await self._refuse_method(incoming, "GET", reply, record)
            _, tenant = await authenticate(self.room, incoming.key, incoming.peer, record)
            now_s = self.room.clock.now()
            told = describe_limits(self.room.state, tenant, record.user, record.key_id, now_s)
            return await reply.send(200, build_headers(record, now_s, JSON), told)
        if path == USAGE:
            if method != "GET":
                return await self._refuse_method(incoming, "GET", reply, record)
            _, tenant = await authenticate(self.room, incoming.key, incoming.peer, record)
            return await self._usage_api.serve(tenant, incoming.query, reply, record, self.room.clock.now)
        if incoming.visitor is not None:
            methods = find_methods(path)
            if method not in methods:
                return await self._refuse_method(incoming, ", ".join(methods), reply, record)
            visit = Visit(method, path, incoming.key, incoming.visitor, incoming.read_body)
            return await serve_providers(self._providers_api, visit, reply, record, self.room.clock.now)
        raise refuse_unknown_path(method, path, SERVED)

    async def _serve_kept(
        self,
        incoming: Incoming,
        kept: Sequence[tuple[KeptOperation, str]],
        reply: FrontReply,
        record: Record,
    ) -> None:
        """kept: what the path may be asked. Raises GatewayError."""
        chosen = next((one for one in kept if one[0].method == incoming.method), None)
        if chosen is None or incoming.source is None:
            allowed = ", ".join(operation.method for operation, _ in kept)
            await self._refuse_method(incoming, allowed, reply, record)
            return
        operation, kept_id = chosen
        record.operation = operation
        ask = self._build_ask(incoming, operation)
        wanted = Wanted(operation, kept_id, incoming.query, incoming.provider, incoming.source)
        await serve_kept(self.room, ask, wanted, reply, record)

    def _build_ask(self, incoming: Incoming, operation: Operation) -> Ask:
        return Ask(incoming.key, incoming.peer, operation, incoming.headers, incoming.read_body, self.load)

    async def _describe_models(self, incoming: Incoming, record: Record) -> bytes:
        """Raises GatewayError."""
        running, tenant = await authenticate(self.room, incoming.key, incoming.peer, record)
        names = running.live.models_for(tenant)
        is_anthropics = "anthropic-version" in incoming.headers
        if incoming.path == MODELS:
            return list_for_anthropic(names) if is_anthropics else openai.build_model_list(names)
        name = incoming.path.removeprefix(f"{MODELS}/")
        if running.live.match_route(tenant, name) is None:
            raise refuse_unknown_model(name, names)
        return describe_for_anthropic(name) if is_anthropics else openai.build_model(name)

    async def _refuse_method(
        self, incoming: Incoming, allowed: str, reply: FrontReply, record: Record
    ) -> None:
        error = refuse_method(incoming.method, incoming.path, allowed)
        await self._refuse(error, reply, record, {"allow": allowed})

    async def _refuse(
        self, error: GatewayError, reply: FrontReply, record: Record, extra: Mapping[str, str] | None = None
    ) -> None:
        record.error = error.code
        headers = build_error_headers(record, self.room.clock.now(), error)
        headers.update(extra or {})
        self.room.books.keep(record, error.code.status)
        try:
            async with asyncio.timeout(LAST_WORDS_S):
                await reply.send(error.code.status, headers, find_dialect(record).build_error(error))
        except CallerGone:
            record.status = CALLER_LEFT
        except TimeoutError:
            reply.cut()  # it has not read its earlier answers either

    def _finish(self, record: Record) -> None:
        now_s = self.room.clock.now()
        self.room.books.keep(record)  # before its hold ends, so that no limit forgets what the ledger lacks
        if record.reservation is not None:
            settle(record, record.reservation, now_s)
        if record.tenant is not None and record.refused is None:
            self.room.state.queues.note_freed(record.tenant)
        if record.key_id is not None and record.tenant is not None:
            self.room.state.key_uses.note(record.tenant.id, record.key_id, self.room.clock.unix())
        self.room.metrics.count_request(record, now_s)
        if self._access_log is not None:
            self._access_log.info(
                "request",
                request_id=record.request_id,
                path=record.path,
                tenant=record.tenant and record.tenant.id,
                route=record.route and record.route.id,
                model=record.model,
                provider=record.provider and record.provider.id,
                attempts=record.attempts,
                status=record.status,
                error=record.error and record.error.id,
                fallback=record.fallback and record.fallback.model,
                decisions=record.trace and record.trace.lines(),
                input_tokens=record.usage and record.usage.input_tokens,
                output_tokens=record.usage and record.usage.output_tokens,
                duration_ms=round((now_s - record.started_s) * 1000, 2),
            )


def find_dialect(record: Record) -> Dialect:
    """In which errors are told: OpenAI's, where nothing else is known."""
    return CHAT.dialect if record.operation is None else record.operation.dialect


def find_key(authorization: str, api_key: str | None) -> str | None:
    """The caller's API key: a bearer token, else what stood in `api-key` or `x-api-key`, where Azure's and
    Anthropic's clients put it.
    """
    scheme, _, token = authorization.partition(" ")
    key = token.strip() if scheme.lower() == "bearer" else ""
    return key or api_key or None
