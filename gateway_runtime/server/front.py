"""The HTTP server that callers talk to: aiohttp's requests in, `request.serve_completion`'s answers out.

This room knows HTTP and the caller's dialect (OpenAI's) and decides nothing else. Every answer, errors
included, leaves through `_Reply` with the headers of `headers`.

Two subtle rules. A caller that leaves cancels its handler (`handler_cancellation`), which stops the upstream.
While the gateway drains, a connection that is kept would bring requests that nobody serves: every answer then
closes its own.
"""

import asyncio
import secrets
from collections.abc import Awaitable, Mapping
from typing import Final

import msgspec
import structlog
from aiohttp import HttpVersion11, web

from gateway_runtime.contract.errors import GatewayError
from gateway_runtime.providers import openai
from gateway_runtime.server.attempt import CallerGone
from gateway_runtime.server.connection import FrontServer, read_body
from gateway_runtime.server.headers import JSON, build_error_headers, build_headers
from gateway_runtime.server.log import log_bug
from gateway_runtime.server.metrics import NO_ROUTE
from gateway_runtime.server.record import Record
from gateway_runtime.server.refusal import (
    refuse_after_bug,
    refuse_method,
    refuse_unknown_model,
    refuse_unknown_path,
    refuse_while_draining,
)
from gateway_runtime.server.request import Ask, Room, authenticate, serve_completion
from gateway_runtime.server.settings import GatewaySettings

log = structlog.get_logger()

COMPLETIONS: Final = "/v1/chat/completions"
EMBEDDINGS: Final = "/v1/embeddings"
MODELS: Final = "/v1/models"
SERVED: Final = (f"POST {COMPLETIONS}", f"POST {EMBEDDINGS}", f"GET {MODELS}", f"GET {MODELS}/{{id}}")

CALLER_LEFT: Final = 499
"""nginx's status for it; only logs and metrics see it."""


class Front:
    def __init__(self, room: Room, settings: GatewaySettings) -> None:
        self.room = room
        self._settings = settings
        self.under_way = 0
        self.idle = asyncio.Event()
        """Set while no request is under way."""
        self.idle.set()
        self.server = FrontServer(self._handle)
        self.leaving = False
        """Answers close their connections."""
        self.draining = False
        """And new requests are refused."""

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        room = self.room
        record = Record(secrets.token_hex(12), request.path, room.clock.now())
        reply = _Reply(self, request, record)
        self.under_way += 1
        self.idle.clear()
        room.metrics.in_flight.inc()
        self.server.busy.add(request.protocol)
        try:
            await self._serve(request, record, reply)
        except asyncio.CancelledError:
            record.status = record.status or CALLER_LEFT
            raise
        finally:
            self.server.busy.discard(request.protocol)
            room.metrics.in_flight.dec()
            self.under_way -= 1
            if not self.under_way:
                self.idle.set()
            self._finish(record)
        return reply.response

    async def _serve(self, request: web.BaseRequest, record: Record, reply: "_Reply") -> None:
        """All errors end here."""
        try:
            await self._dispatch(request, record, reply)
        except GatewayError as error:
            await self._refuse(error, record, reply)
        except CallerGone:
            record.status = record.status or CALLER_LEFT
        except Exception:
            log_bug("request failed by a bug", request_id=record.request_id)
            if reply.begun:
                reply.cut()
            else:
                await self._refuse(refuse_after_bug(record.request_id), record, reply)

    async def _dispatch(self, request: web.BaseRequest, record: Record, reply: "_Reply") -> None:
        if self.draining:
            raise refuse_while_draining()
        path, method = request.path, request.method
        if path in (COMPLETIONS, EMBEDDINGS):
            if method != "POST":
                return await self._refuse(
                    refuse_method(method, path, "POST"), record, reply, {"allow": "POST"}
                )
            ask = Ask(
                read_key(request.headers),
                path.removeprefix("/v1"),
                lambda: read_body(request, self._settings.max_body_bytes, self._settings.body_idle_s),
            )
            return await serve_completion(self.room, ask, reply, record)
        if path == MODELS or path.startswith(f"{MODELS}/"):
            if method != "GET":
                return await self._refuse(refuse_method(method, path, "GET"), record, reply, {"allow": "GET"})
            body = self._describe_models(request, record)
            headers = build_headers(record, self.room.clock.now(), JSON)
            return await reply.send(200, headers, body)
        raise refuse_unknown_path(method, path, SERVED)

    def _describe_models(self, request: web.BaseRequest, record: Record) -> bytes:
        """Raises GatewayError."""
        running, tenant = authenticate(self.room.reloader.running, read_key(request.headers), record)
        names = running.live.models_for(tenant)
        if request.path == MODELS:
            return openai.build_model_list(names)
        name = request.path.removeprefix(f"{MODELS}/")
        if running.live.match_route(tenant, name) is None:
            raise refuse_unknown_model(name, names)
        return msgspec.json.encode({"id": name, "object": "model", "created": 0, "owned_by": "headgate"})

    async def _refuse(
        self, error: GatewayError, record: Record, reply: "_Reply", extra: Mapping[str, str] | None = None
    ) -> None:
        record.error = error.code
        headers = build_error_headers(record, self.room.clock.now(), error)
        headers.update(extra or {})
        await reply.send(error.code.status, headers, openai.build_error(error))

    def _finish(self, record: Record) -> None:
        duration_s = self.room.clock.now() - record.started_s
        route = NO_ROUTE if record.route is None else record.route.id
        first_byte_s = None if record.first_byte_s is None else record.first_byte_s - record.started_s
        self.room.metrics.count_request(route, record.status, duration_s, first_byte_s)
        if record.error is not None:
            self.room.metrics.count_error(record.error)
        if self._settings.access_log:
            log.info(
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
                duration_ms=round(duration_s * 1000, 2),
            )


class _Reply:
    """See `attempt.Reply`."""

    def __init__(self, front: Front, request: web.BaseRequest, record: Record) -> None:
        self._front = front
        self._request = request
        self._record = record
        self.response: web.StreamResponse = web.Response(status=CALLER_LEFT)
        """Replaced by the first `send` or `begin`; a caller who left before never sees it."""
        self.begun = False

    async def send(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        self.response = web.Response(status=status, headers=headers, body=body)
        self._note_begin(status)

    async def begin(self, status: int, headers: Mapping[str, str]) -> None:
        self.response = web.StreamResponse(status=status, headers=headers)
        self._note_begin(status)
        if self._request.version < HttpVersion11:
            self.response.force_close()  # without chunks only the end of the connection ends the stream
        self.begun = True
        await self._or_gone(self.response.prepare(self._request))

    async def write(self, data: bytes) -> None:
        await self._or_gone(self.response.write(data))

    async def end(self) -> None:
        await self._or_gone(self.response.write_eof())

    def cut(self) -> None:
        if self._request.transport is not None:
            self._request.transport.close()

    def _note_begin(self, status: int) -> None:
        self._record.status = status
        self._record.first_byte_s = self._front.room.clock.now()
        if self._front.leaving:
            self.response.force_close()

    async def _or_gone(self, writing: Awaitable[object]) -> None:
        try:
            await writing
        except ConnectionError as error:
            raise CallerGone from error


def read_key(headers: Mapping[str, str]) -> str | None:
    """The caller's API key: a bearer token, or in the headers that Azure's and Anthropic's clients use."""
    scheme, _, token = headers.get("authorization", "").partition(" ")
    key = token.strip() if scheme.lower() == "bearer" else ""
    return key or headers.get("api-key") or headers.get("x-api-key") or None
