"""A gateway's end of the config stream, driven by a test: it says what it is told and keeps what it hears."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator

import aiohttp

from gateway_runtime.contract.codec import (
    SCHEMA_VERSION,
    assemble_table,
    bucket_digest,
    parse_bucket,
    snapshot_digest,
)
from gateway_runtime.contract.health import EndpointReport, HealthReport, TenantReport
from gateway_runtime.contract.ids import EndpointId, GatewayId
from gateway_runtime.contract.stream import (
    Ack,
    Delta,
    Fault,
    Hello,
    Nack,
    Share,
    Upward,
    Version,
    encode_message,
    parse_downward,
)
from gateway_runtime.contract.table import RoutingTable

PATIENCE_S = 10.0


class ScriptedGateway:
    """`buckets` and `version` are what it runs; they outlive a connection."""

    def __init__(self, name: str) -> None:
        self.name = GatewayId(name)
        self.version: Version | None = None
        self.buckets: dict[int, bytes] = {}
        self.shares: list[Share] = []
        self.reports = 0

    @contextlib.asynccontextmanager
    async def dial(
        self, port: int, trust: ssl.SSLContext, token: str, hello: Upward | str | None = None
    ) -> AsyncIterator["Connection"]:
        """Says Hello, or `hello` in its place. Raises aiohttp.WSServerHandshakeError when not let in."""
        headers = {"Authorization": f"Bearer {token}"}
        async with (
            aiohttp.ClientSession() as session,
            session.ws_connect(
                f"wss://127.0.0.1:{port}/v1/config", ssl=trust, headers=headers, max_msg_size=0
            ) as socket,
        ):
            connection = Connection(self, socket)
            await connection.say(hello or self.greet())
            yield connection

    def greet(self, schema_version: int = SCHEMA_VERSION) -> Hello:
        digests = tuple(bucket_digest(payload) for _, payload in sorted(self.buckets.items()))
        return Hello(
            gateway=self.name,
            software="0.1.0",
            schema_version=schema_version,
            version=self.version,
            bucket_digests=digests,
        )

    @property
    def table(self) -> RoutingTable:
        return assemble_table(r for payload in self.buckets.values() for r in parse_bucket(payload))


class Connection:
    def __init__(self, gateway: ScriptedGateway, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.gateway = gateway
        self.socket = socket

    async def say(self, message: Upward | str) -> None:
        await self.socket.send_str(message if isinstance(message, str) else encode_message(message).decode())

    async def hear_version(self) -> list[Delta]:
        """All parts of the next version, not yet answered. Shares that come between are kept aside."""
        parts: list[Delta] = []
        while not parts or len(parts) < parts[0].parts:
            async with asyncio.timeout(PATIENCE_S):
                frame = await self.socket.receive()
            assert frame.type is aiohttp.WSMsgType.TEXT, f"{frame} where a version was expected"
            match parse_downward(frame.data):
                case Share() as share:
                    self.gateway.shares.append(share)
                case Delta() as delta:
                    parts.append(delta)
        return parts

    async def hear_share(self) -> Share:
        """The next one, from before or from the wire; a version on the way is a failure."""
        if not self.gateway.shares:
            async with asyncio.timeout(PATIENCE_S):
                frame = await self.socket.receive()
            message = parse_downward(frame.data)
            assert isinstance(message, Share), f"{type(message).__name__} where a Share was expected"
            return message
        return self.gateway.shares.pop(0)

    async def apply(self, parts: list[Delta]) -> None:
        """Checks the digest and says Ack."""
        for part in parts:
            self.gateway.buckets |= {index: bytes(raw) for index, raw in part.buckets.items()}
        payloads = [payload for _, payload in sorted(self.gateway.buckets.items())]
        assert snapshot_digest([bucket_digest(payload) for payload in payloads]) == parts[0].digest
        self.gateway.version = parts[0].version
        await self.say(Ack(version=parts[0].version, digest=parts[0].digest))

    async def take_version(self) -> list[Delta]:
        parts = await self.hear_version()
        await self.apply(parts)
        return parts

    async def refuse(self, parts: list[Delta], resource: str, message: str) -> None:
        await self.say(Nack(version=parts[0].version, faults=(Fault(resource=resource, message=message),)))

    async def report(
        self, *endpoints: EndpointReport, full: bool = True, tenants: tuple[TenantReport, ...] = ()
    ) -> None:
        self.gateway.reports += 1
        number = self.gateway.reports
        await self.say(HealthReport(sequence=number, full=full, endpoints=endpoints, tenants=tenants))

    async def hear_end(self) -> tuple[int | None, str]:
        """The close code and reason; what comes before is dropped."""
        while True:
            async with asyncio.timeout(PATIENCE_S):
                frame = await self.socket.receive()
            if frame.type in (aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.CLOSING):
                return self.socket.close_code, str(frame.extra or "")


def make_report(endpoint: str, circuit: str = "Closed", health: str = "Healthy") -> EndpointReport:
    return EndpointReport(
        endpoint=EndpointId(endpoint),
        health=health,  # type: ignore[arg-type]
        circuit=circuit,  # type: ignore[arg-type]
        reason="",
        since_s=0.0,
        latency_ms=None,
        requests=10,
        failures=0,
    )
