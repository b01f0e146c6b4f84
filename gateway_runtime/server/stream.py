"""The gateway's end of the config stream: dial an operator, say what runs here, apply what comes, report
health.

`main` runs it beside the traffic. Tables go to `reload`, health comes from `report`. A dead operator costs
nothing but log lines: this client dials again, quickly at first, and the table that runs stays.

The one subtle rule: each connection begins with a Hello that tells the digests of the buckets we have; when
an offered version does not add up to its own digest, our idea of them and the operator's differ, and the next
Hello tells none, so that everything comes anew.
"""

import asyncio
import ssl
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from typing import Final

import aiohttp
import structlog

from gateway_runtime.contract.codec import SCHEMA_VERSION
from gateway_runtime.contract.stream import (
    Ack,
    Delta,
    Hello,
    MalformedMessage,
    Nack,
    Share,
    Upward,
    encode_message,
    parse_downward,
)
from gateway_runtime.server.build import OutOfStep
from gateway_runtime.server.metrics import Metrics
from gateway_runtime.server.reload import Reloader
from gateway_runtime.server.report import Reporter
from gateway_runtime.server.settings import GatewaySettings

log = structlog.get_logger()

PATH: Final = "/v1/config"
HEARTBEAT_S: Final = 10.0
DIAL_TIMEOUT_S: Final = 10.0
FIRST_BACKOFF_S: Final = 0.2
MAX_BACKOFF_S: Final = 10.0
CLOSE_S: Final = 1.0
"""For the operator to answer our goodbye."""

MAX_FRAME_BYTES: Final = 16 * 1024 * 1024
"""Parts are about 1 MB; one single resource may make a part larger."""


class StreamClient:
    def __init__(
        self,
        settings: GatewaySettings,
        reloader: Reloader,
        reporter: Reporter,
        metrics: Metrics,
        draw: Callable[[], float],
    ) -> None:
        self._settings = settings
        self._reloader = reloader
        self._reporter = reporter
        self._metrics = metrics
        self._draw = draw
        self._start_over = False
        self._welcome = False
        self.connected_to: str | None = None

    async def run(self) -> None:
        """Until cancelled. Each round tries every operator once: one of them leads, the others answer 503."""
        backoff_s = FIRST_BACKOFF_S
        while True:
            for url in self._settings.operator_urls:
                if await self._try_operator(url):
                    backoff_s = FIRST_BACKOFF_S
            await asyncio.sleep(backoff_s * (0.5 + self._draw() / 2))
            backoff_s = min(backoff_s * 2, MAX_BACKOFF_S)

    async def _try_operator(self, url: str) -> bool:
        """One connection from dial to end; True when the operator took us in, which its first word shows:
        one that lets us connect and then turns us away must not be dialled at full speed. What ends the
        connection is logged, not raised.
        """
        self._welcome = False
        try:
            await self._serve_connection(url)
        except (aiohttp.ClientError, OSError, TimeoutError, MalformedMessage, OutOfStep) as error:
            event = "config stream not reached" if self.connected_to is None else "config stream lost"
            log.warning(event, operator=url, error=str(error) or type(error).__name__)
        else:
            log.info("config stream closed by the operator", operator=url)
        finally:
            self.connected_to = None
            self._metrics.stream_connected.set(0)
        return self._welcome

    async def _serve_connection(self, url: str) -> None:
        async with aiohttp.ClientSession(trust_env=False) as session:
            async with asyncio.timeout(DIAL_TIMEOUT_S):
                socket = await session.ws_connect(
                    url.rstrip("/") + PATH,
                    ssl=await asyncio.to_thread(self._trust),
                    headers=await asyncio.to_thread(self._authorize),
                    heartbeat=HEARTBEAT_S,
                    max_msg_size=MAX_FRAME_BYTES,
                    timeout=aiohttp.ClientWSTimeout(ws_close=CLOSE_S),
                )
            async with socket:
                self.connected_to = url
                self._metrics.stream_connected.set(1)
                log.info("config stream connected", operator=url)
                await self._send(socket, self._greet())
                reports = asyncio.create_task(self._send_reports(socket))
                try:
                    await self._receive(socket)
                finally:
                    reports.cancel()
                    await asyncio.gather(reports, return_exceptions=True)

    async def _receive(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        async for frame in socket:
            if frame.type not in (aiohttp.WSMsgType.TEXT, aiohttp.WSMsgType.BINARY):
                raise MalformedMessage(f"a frame of type {frame.type.name}")
            message = parse_downward(frame.data)
            self._welcome = True
            match message:
                case Share() as share:
                    self._reloader.apply_share(share)
                case Delta() as delta:
                    await self._take_part(socket, delta)

    async def _take_part(self, socket: aiohttp.ClientWebSocketResponse, delta: Delta) -> None:
        before = self._reloader.version
        try:
            answer = await self._reloader.offer_part(delta)
        except OutOfStep:
            self._start_over = True
            raise
        if answer is None:
            return
        self._start_over = False
        if isinstance(answer, Nack):
            self._metrics.tables_refused.inc()
        await self._send(socket, answer)
        if before is None and isinstance(answer, Ack):
            self._reporter.request_full()

    async def _send_reports(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        """A connection that takes no reports is as good as gone: closing it lets the receiver end."""
        try:
            async for report in self._reporter.reports():
                await self._send(socket, report)
        except (aiohttp.ClientError, OSError) as error:
            log.warning("health report not sent", error=str(error))
            await socket.close()

    async def _send(self, socket: aiohttp.ClientWebSocketResponse, message: Upward) -> None:
        await socket.send_str(encode_message(message).decode())

    def _greet(self) -> Hello:
        return Hello(
            gateway=self._settings.name,
            software=_find_software_version(),
            schema_version=SCHEMA_VERSION,
            version=self._reloader.version,
            bucket_digests=() if self._start_over else self._reloader.bucket_digests,
        )

    def _trust(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=self._settings.operator_ca_file)

    def _authorize(self) -> dict[str, str]:
        if self._settings.token_file is None:
            return {}
        return {"Authorization": f"Bearer {self._settings.token_file.read_text().strip()}"}


def _find_software_version() -> str:
    """Sources on the path without an installation have none."""
    try:
        return version("headgate")
    except PackageNotFoundError:
        return "unknown"
