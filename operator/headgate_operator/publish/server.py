"""The listening end of the config stream: `GET /v1/config`, a WebSocket over TLS.

    not leading -> 503 {"leader": false}     the gateway tries the next replica
    no good token -> 401, another's -> 403   with a sentence that names the remedy
    else a Session, until either side leaves

`publisher` starts it once; it stays up while leadership comes and goes.
"""

import asyncio
import ssl
from collections.abc import Callable
from typing import Final

from aiohttp import WSCloseCode, web

from headgate_operator.publish.callers import Callers, Refusal
from headgate_operator.publish.session import Desk, Session
from headgate_operator.settings import OperatorSettings

PATH: Final = "/v1/config"
HEARTBEAT_S: Final = 10.0
"""A gateway whose node vanished is seen to be gone after one and a half of these."""
MAX_MESSAGE_BYTES: Final = 16 * 1024 * 1024
"""Upwards the largest is a full report: about 300 bytes for each endpoint."""
MAX_FULL_SYNCS: Final = 8
"""Large tables under way at once: after a restart a thousand gateways ask for one of some megabytes."""
SHUTDOWN_S: Final = 5.0


class ConfigServer:
    def __init__(
        self,
        settings: OperatorSettings,
        callers: Callers,
        find_desk: Callable[[], Desk | None],
        context: ssl.SSLContext,
    ) -> None:
        """`find_desk`: the leader's desk of now; None while another replica leads."""
        self._settings = settings
        self._callers = callers
        self._find_desk = find_desk
        self._context = context
        self._full_syncs = asyncio.Semaphore(MAX_FULL_SYNCS)
        self._runner: web.AppRunner | None = None
        self.port = 0

    async def start(self) -> None:
        """Raises OSError when the port is taken."""
        application = web.Application()
        application.router.add_get(PATH, self._serve)
        runner = web.AppRunner(
            application, handle_signals=False, access_log=None, shutdown_timeout=SHUTDOWN_S
        )
        await runner.setup()
        self._runner = runner
        site = web.TCPSite(
            runner,
            self._settings.stream_host,
            self._settings.stream_port,
            ssl_context=self._context,
            backlog=1024,
        )
        try:
            await site.start()
        except OSError:
            await self.stop()
            raise
        self.port = int(runner.addresses[0][1])

    async def stop(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        if self._find_desk() is None:
            return _not_leading()
        caller = await self._callers.identify(request.headers.get("Authorization"))
        if isinstance(caller, Refusal):
            return web.json_response({"error": caller.message}, status=caller.status)
        socket = web.WebSocketResponse(heartbeat=HEARTBEAT_S, compress=False, max_msg_size=MAX_MESSAGE_BYTES)
        if not socket.can_prepare(request):
            return web.json_response({"error": f"{PATH} is a WebSocket; dial it with wss://"}, status=426)
        await socket.prepare(request)
        transport = request.transport
        if transport is None:  # it hung up meanwhile
            return socket
        desk = self._find_desk()  # only now: the term may have ended while the API server was asked
        if desk is None:
            await socket.close(
                code=WSCloseCode.TRY_AGAIN_LATER, message=b"this operator does not lead; dial again"
            )
            return socket
        await Session(socket, transport, caller, desk, self._full_syncs).run()
        return socket


def _not_leading() -> web.Response:
    return web.json_response({"leader": False}, status=503)
