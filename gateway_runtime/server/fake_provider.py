"""The fake provider behind a socket: `providers.fake` decides what to answer; this waits, writes and cuts.

In: a FakeScript, which may be replaced while it runs (`.script`, or by `PUT /_fake/script`).
Out: answers under any prefix (`/v1/chat/completions`, ...), and what was seen (`.seen`, `GET /_fake/seen`;
`forget` and `DELETE /_fake/seen` start the counts anew).
Tests, benches, `headgate fake-provider` and `make run` start it.

The subtle rule: it notices a caller that leaves while it waits or writes, and counts it, since that is how a
test knows that the gateway stops an upstream nobody listens to.
"""

import asyncio
import signal
import time
from collections import deque
from collections.abc import Callable
from typing import Final

import msgspec
import structlog
from aiohttp import web

from gateway_runtime.providers.fake import (
    FakeAnswer,
    FakeScript,
    answer_chat,
    answer_embeddings,
    answer_models,
    answer_unknown_path,
    parse_script,
)

_REMEMBERED: Final = 1000
"""Requests whose details are kept; the counters count all."""

_LARGEST_BODY_BYTES: Final = 64 * 1024 * 1024

_STOP_S: Final = 0.01
"""What `stop` leaves to requests under way: next to nothing; aiohttp takes 0 for "without end"."""

_log = structlog.get_logger()


class SeenRequest(msgspec.Struct, frozen=True, kw_only=True):
    path: str
    authorization: str | None
    """As it came; only a fake provider may show one."""
    request_id: str | None
    body: str
    """Its first 4,096 bytes."""


class Seen(msgspec.Struct):
    """What came in, since the start or since `forget`."""

    requests: int = 0
    """All but model lists."""
    probes: int = 0
    """Model lists."""
    cancelled: int = 0
    """Answers whose caller left before their end."""
    under_way: int = 0
    latest: deque[SeenRequest] = msgspec.field(default_factory=lambda: deque(maxlen=_REMEMBERED))
    """Requests other than model lists, the newest last."""


class FakeProvider:
    def __init__(self, script: FakeScript | None = None) -> None:
        self.script = script or FakeScript()
        """Assign another one at any time; answers that have begun keep theirs."""
        self.seen = Seen()
        self.url = ""
        """What a provider's `baseUrl` says; empty before `start`."""
        self._runner: web.AppRunner | None = None
        self._changed = asyncio.Event()

    async def start(self, host: str = "127.0.0.1", port: int = 0) -> int:
        """Listens and returns the port; 0 takes a free one. Raises OSError when it cannot listen there."""
        app = web.Application(client_max_size=_LARGEST_BODY_BYTES)
        app.router.add_put("/_fake/script", self._replace_script)
        app.router.add_get("/_fake/seen", self._show_seen)
        app.router.add_delete("/_fake/seen", self._forget_seen)
        app.router.add_route("*", "/{path:.*}", self._handle)
        runner = web.AppRunner(app, handler_cancellation=True, access_log=None, shutdown_timeout=_STOP_S)
        await runner.setup()
        site = web.TCPSite(runner, host, port, backlog=1024)
        try:
            await site.start()
        except OSError:
            await runner.cleanup()
            raise
        self._runner = runner
        _, bound_port = runner.addresses[0][:2]
        self.url = f"http://{host}:{bound_port}/v1"
        return int(bound_port)

    async def stop(self) -> None:
        """Drops what is under way. May be called again, and before `start`."""
        runner, self._runner = self._runner, None
        if runner is not None:
            await runner.cleanup()

    def forget(self) -> None:
        """Starts counting anew; requests under way go on being counted as such."""
        self.seen = Seen(under_way=self.seen.under_way)

    async def wait_until_seen(self, check: Callable[[Seen], bool]) -> None:
        """Returns as soon as `check` finds in `.seen` what it waits for."""
        while not check(self.seen):
            self._changed.clear()
            await self._changed.wait()

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        is_probe = request.method == "GET" and request.path.endswith("/models")
        self._count(request, body, is_probe=is_probe)
        answer = self._choose_answer(request, body, is_probe=is_probe)
        self.seen.under_way += 1
        try:
            return await _write_answer(request, answer)
        except (asyncio.CancelledError, ConnectionError):
            self.seen.cancelled += 1
            raise
        finally:
            self.seen.under_way -= 1
            self._changed.set()

    def _count(self, request: web.Request, body: bytes, *, is_probe: bool) -> None:
        if is_probe:
            self.seen.probes += 1
        else:
            self.seen.requests += 1
            self.seen.latest.append(
                SeenRequest(
                    path=request.path,
                    authorization=request.headers.get("authorization"),
                    request_id=request.headers.get("x-request-id"),
                    body=body[:4096].decode(errors="replace"),
                )
            )
        self._changed.set()

    def _choose_answer(self, request: web.Request, body: bytes, *, is_probe: bool) -> FakeAnswer:
        authorization = request.headers.get("authorization")
        if is_probe:
            return answer_models(self.script, authorization)
        if request.method == "POST" and request.path.endswith("/chat/completions"):
            return answer_chat(self.script, body, authorization, self.seen.requests, int(time.time()))
        if request.method == "POST" and request.path.endswith("/embeddings"):
            return answer_embeddings(self.script, body, authorization)
        return answer_unknown_path(f"{request.method} {request.path}")

    async def _replace_script(self, request: web.Request) -> web.Response:
        try:
            self.script = parse_script(await request.read())
        except ValueError as error:
            return web.json_response({"error": {"message": str(error)}}, status=400)
        return web.Response(status=204)

    async def _show_seen(self, request: web.Request) -> web.Response:
        return web.Response(
            body=msgspec.json.encode(self.seen, enc_hook=list), content_type="application/json"
        )

    async def _forget_seen(self, request: web.Request) -> web.Response:
        self.forget()
        return web.Response(status=204)


async def run_fake_provider(host: str, port: int, script: FakeScript) -> None:
    """Listens until SIGTERM or SIGINT. Raises OSError when it cannot listen there."""
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    provider = FakeProvider(script)
    try:
        await provider.start(host, port)
        _log.info("fake provider listens", url=provider.url)
        await stopped.wait()
        _log.info("fake provider stops", requests=provider.seen.requests)
    finally:
        await provider.stop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)


async def _write_answer(request: web.Request, answer: FakeAnswer) -> web.StreamResponse:
    if answer.delay_s:
        await asyncio.sleep(answer.delay_s)
    if len(answer.parts) == 1 and not answer.cut:
        return web.Response(status=answer.status, headers=answer.headers, body=answer.parts[0])
    response = web.StreamResponse(status=answer.status, headers=answer.headers)
    response.enable_chunked_encoding()
    await response.prepare(request)
    for index, part in enumerate(answer.parts):
        if index and answer.part_delay_s:
            await asyncio.sleep(answer.part_delay_s)
        await response.write(part)
    if answer.cut and request.transport is not None:
        request.transport.close()  # without the last chunk: the other side sees an answer cut short
        return response
    await response.write_eof()
    return response
