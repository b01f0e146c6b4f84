"""The operator's end of the config stream, scripted by tests: TLS with a throw-away authority, a token,
frames.
"""

import asyncio
import datetime as dt
import ipaddress
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TypeVar

import msgspec
from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from gateway_runtime.contract.codec import Snapshot, build_snapshot, diff_buckets
from gateway_runtime.contract.stream import (
    Counts,
    Delta,
    Downward,
    Hello,
    Upward,
    Version,
    encode_message,
    parse_upward,
)
from gateway_runtime.contract.table import RoutingTable

_Kind = TypeVar("_Kind")


class OperatorEnd:
    def __init__(self, token: str) -> None:
        self.token = token
        self.leading = True
        self.url = ""
        self.dials = 0
        self.turning_away = False
        """Lets gateways in, hears their Hello, and shows them the door without a word."""
        self._heard: asyncio.Queue[Upward] = asyncio.Queue()
        self._socket: web.WebSocketResponse | None = None

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.dials += 1
        if not self.leading:
            return web.json_response({"leader": False}, status=503)
        if request.headers.get("authorization") != f"Bearer {self.token}":
            return web.Response(status=401)
        self._socket = socket = web.WebSocketResponse()
        await socket.prepare(request)
        async for frame in socket:
            self._heard.put_nowait(parse_upward(frame.data))
            if self.turning_away:
                await socket.close()
        return socket

    async def hear(self, kind: type[_Kind]) -> _Kind:
        """The next message of this kind; others are passed over."""
        while True:
            message = await self._heard.get()
            if isinstance(message, kind):
                return message

    async def say(self, message: Downward) -> None:
        assert self._socket is not None
        await self._socket.send_str(encode_message(message).decode())

    async def say_text(self, text: str) -> None:
        assert self._socket is not None
        await self._socket.send_str(text)

    async def hang_up(self) -> None:
        assert self._socket is not None
        await self._socket.close()


def build_deltas(
    table: RoutingTable,
    version: Version,
    have: Sequence[str] = (),
    *,
    parts: int = 1,
    shrink_confirmed: bool = False,
    digest: str | None = None,
) -> list[Delta]:
    snapshot: Snapshot = build_snapshot(table)
    changed = sorted(diff_buckets(have, snapshot).items())
    return [
        Delta(
            version=version,
            digest=digest or snapshot.digest,
            counts=Counts(len(table.providers), len(table.routes), len(table.tenants)),
            shrink_confirmed=shrink_confirmed,
            part=part,
            parts=parts,
            buckets={index: msgspec.Raw(payload) for index, payload in changed[part::parts]},
        )
        for part in range(parts)
    ]


@asynccontextmanager
async def operator_end(context: ssl.SSLContext, token: str = "token-1") -> AsyncIterator[OperatorEnd]:
    end = OperatorEnd(token)
    app = web.Application()
    app.router.add_get("/v1/config", end.handle)
    runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
    end.url = f"https://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield end
    finally:
        await runner.cleanup()


async def hear_hello(end: OperatorEnd) -> Hello:
    return await end.hear(Hello)


def issue_certificate(folder: Path) -> ssl.SSLContext:
    """Writes `ca.pem` into `folder`, and returns what a server on 127.0.0.1 presents. A new authority each
    time.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "throw-away")])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(minutes=5))
        .not_valid_after(now + dt.timedelta(hours=1))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False
        )
        .sign(key, hashes.SHA256())
    )
    pem = certificate.public_bytes(serialization.Encoding.PEM)
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (folder / "ca.pem").write_bytes(pem)
    (folder / "server.pem").write_bytes(pem + secret)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "server.pem")
    return context
