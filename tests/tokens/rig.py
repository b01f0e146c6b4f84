"""Who issues tokens, on a real socket; a clock that is turned; and the Tokens under test between them."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, NamedTuple
from urllib.parse import parse_qsl

import msgspec
from aiohttp import web
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from gateway_runtime.contract.secret import Secret
from gateway_runtime.contract.table import (
    AzureOptions,
    BedrockOptions,
    Credential,
    Provider,
    VertexOptions,
    WireName,
)
from gateway_runtime.tokens import Tokens
from gateway_runtime.upstream.proxy import Proxies
from gateway_runtime.upstream.transport import PooledTransport
from tests.contract.tables import build_provider

UNIX_S = 1_700_000_000.0
"""2023-11-14T22:13:20Z, where the clock begins."""

RSA_KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
PEM = RSA_KEY.private_bytes(
    serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
).decode()


class Asked(NamedTuple):
    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def form(self) -> dict[str, str]:
        pairs = parse_qsl(self.body.decode(), keep_blank_values=True, strict_parsing=True)
        form = dict(pairs)
        assert len(form) == len(pairs), "a member came twice"
        return form


class Answer(NamedTuple):
    body: bytes
    status: int = 200
    headers: Mapping[str, str] = {"content-type": "application/json"}


def saying(said: object, status: int = 200) -> Answer:
    return Answer(json.dumps(said).encode(), status)


def token(text: str = "minted-1", life_s: object = 3600) -> Answer:
    """As OAuth issuers answer."""
    return saying({"access_token": text, "expires_in": life_s, "token_type": "Bearer"})


class Issuer:
    """Gives its answers in turn, and the last one again and again."""

    def __init__(self) -> None:
        self.asked: list[Asked] = []
        self.answers: list[Answer] = [token()]
        self.open = asyncio.Event()
        """Cleared: questions wait."""
        self.open.set()
        self.reached = asyncio.Condition()
        self.host = ""

    @property
    def url(self) -> str:
        return f"http://{self.host}"

    async def wait_for(self, count: int) -> None:
        """Questions, answered or not."""
        async with asyncio.timeout(5), self.reached:
            await self.reached.wait_for(lambda: len(self.asked) >= count)

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        body = await request.read()
        self.asked.append(Asked(request.method, request.path_qs, request.headers, body))
        async with self.reached:
            self.reached.notify_all()
        await self.open.wait()
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        return web.Response(body=answer.body, status=answer.status, headers=answer.headers)


@asynccontextmanager
async def issuing() -> AsyncIterator[Issuer]:
    issuer = Issuer()
    runner = web.ServerRunner(web.Server(issuer.handle), shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    issuer.host = f"127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield issuer
    finally:
        issuer.open.set()
        await runner.cleanup()


class Alarm:
    def __init__(self, at_s: float, ring: Callable[[], None]) -> None:
        self.at_s = at_s
        self.ring = ring
        self.cancelled = False

    def cancel(self) -> None:
        self.cancelled = True


class TurnedClock:
    """Stands still until `turn`."""

    def __init__(self) -> None:
        self.now_s = 1000.0
        self._alarms: list[Alarm] = []

    def now(self) -> float:
        return self.now_s

    def unix(self) -> float:
        return UNIX_S + self.now_s - 1000.0

    def call_later(self, delay: float, ring: Callable[[], None], /) -> Alarm:
        alarm = Alarm(self.now_s + delay, ring)
        self._alarms.append(alarm)
        return alarm

    @property
    def next_s(self) -> float | None:
        """From now until the next alarm; None when nobody waits for one."""
        waiting = [alarm.at_s for alarm in self._alarms if not alarm.cancelled]
        return min(waiting) - self.now_s if waiting else None

    def turn(self, seconds: float) -> None:
        self.now_s += seconds
        due = [alarm for alarm in self._alarms if alarm.at_s <= self.now_s and not alarm.cancelled]
        self._alarms = [alarm for alarm in self._alarms if alarm.at_s > self.now_s]
        for alarm in due:
            alarm.ring()


class Rig(NamedTuple):
    tokens: Tokens
    issuer: Issuer
    clock: TurnedClock
    environment: dict[str, str]
    """Read at each exchange."""

    async def get(self, provider: Provider) -> str:
        """With its first credential."""
        credential = next(iter(provider.credentials), None)
        return (await self.tokens.get(provider, credential)).reveal()

    def peek(self, provider: Provider) -> str | None:
        secret = self.tokens.peek(provider, next(iter(provider.credentials), None))
        return None if secret is None else secret.reveal()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        task = asyncio.create_task(self.tokens.run())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


@asynccontextmanager
async def rigged(*, exchange_s: float = 5.0, drawn: float = 0.5) -> AsyncIterator[Rig]:
    """drawn: all that chance ever says."""
    clock = TurnedClock()
    transport = PooledTransport(proxies=Proxies({}))
    environment: dict[str, str] = {}
    tokens = Tokens(
        transport,
        clock.now,
        clock.unix,
        environment,
        lambda: drawn,
        call_later=clock.call_later,
        exchange_s=exchange_s,
    )
    try:
        async with issuing() as issuer:
            yield Rig(tokens, issuer, clock, environment)
    finally:
        await tokens.close()
        await transport.close()


def credentials(*texts: str) -> list[Credential]:
    return [Credential(name=f"key-{i}", value=Secret(text)) for i, text in enumerate(texts)]


def vertex(*keys: str, workload: bool = False, name: str = "vertex") -> Provider:
    options = VertexOptions(project="p", location="europe-west1", workload=workload)
    return _provide("vertex", name, keys, vertex=options)


def azure(
    *secrets: str, tenant: str | None = "contoso", client: str | None = "app", workload: bool = False
) -> Provider:
    options = AzureOptions(tenant=tenant, client=client, workload=workload)
    return _provide("azure", "azure", secrets, azure=options)


def bedrock(*keys: str, region: str = "eu-central-1", workload: bool = True) -> Provider:
    return _provide("bedrock", "bedrock", keys, bedrock=BedrockOptions(region=region, workload=workload))


def _provide(wire: WireName, name: str, texts: Sequence[str], **options: Any) -> Provider:
    built = build_provider(name, credentials=credentials(*texts))
    return msgspec.structs.replace(built, wire=wire, **options)


def service_account(token_uri: str, **members: object) -> str:
    """A key as Google hands it out, in JSON."""
    return json.dumps(
        {
            "type": "service_account",
            "project_id": "p",
            "private_key_id": "kid-1",
            "private_key": PEM,
            "client_email": "gateway@p.iam.gserviceaccount.com",
            "token_uri": token_uri,
            **members,
        }
    )
