"""A gateway between callers and providers, on real sockets, and short builders for what it serves."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

import aiohttp
import msgspec

from gateway_runtime.contract.ids import EndpointId, GatewayId, ProviderId
from gateway_runtime.contract.keys import hash_key
from gateway_runtime.contract.secret import Secret
from gateway_runtime.contract.stream import Ack
from gateway_runtime.contract.table import (
    ActiveProbe,
    CircuitPolicy,
    Credential,
    Endpoint,
    Model,
    Provider,
    RetryPolicy,
    Route,
    RouteTimeouts,
    RoutingTable,
    Target,
    Timeouts,
)
from gateway_runtime.contract.tenant import Limit, Tenant
from gateway_runtime.server.main import Gateway
from gateway_runtime.server.settings import GatewaySettings
from tests.contract.tables import build_provider, build_route, build_table, build_target, build_tenant

SALT = Secret("salt")
KEY = "the-teams-key"
UPSTREAM_KEY = "sk-planted-upstream-key"
CHAT = {"model": "gpt", "messages": [{"role": "user", "content": "Hello"}]}
CIRCUIT = CircuitPolicy(consecutive_failures=3, failure_percent=0, min_requests=1, window_s=10.0, open_s=30.0)
TIMEOUTS = Timeouts(connect_s=5.0, first_token_s=5.0, idle_s=5.0, total_s=20.0)
PROBE = ActiveProbe(path="/models", interval_s=0.02, timeout_s=1.0, unhealthy_after=2, healthy_after=2)
DEAD_URL = "http://127.0.0.1:1/v1"
"""Nobody listens on port 1."""


def provider(
    *urls: str,
    name: str = "openai",
    keys: Sequence[str] = (UPSTREAM_KEY,),
    models: Sequence[Model] = (),
    probe: ActiveProbe | None = None,
    circuit: CircuitPolicy = CIRCUIT,
    timeouts: Timeouts = TIMEOUTS,
    passive_health: bool = True,
) -> Provider:
    """Credentials are called `key-0`, `key-1`, …, endpoints `e0`, `e1`, …"""
    credentials = [Credential(name=f"key-{i}", value=Secret(key)) for i, key in enumerate(keys)]
    return msgspec.structs.replace(
        build_provider(name, models=models, credentials=credentials, probe=probe),
        id=ProviderId(f"chat/{name}"),
        endpoints=tuple(Endpoint(id=EndpointId(f"chat/{name}/e{i}"), url=url) for i, url in enumerate(urls)),
        circuit=circuit,
        timeouts=timeouts,
        passive_health=passive_health,
    )


def route(
    *models: str,
    targets: Sequence[Target] = (),
    name: str = "route",
    max_attempts: int = 3,
    timeouts: RouteTimeouts | None = None,
) -> Route:
    return msgspec.structs.replace(
        build_route(*(models or ("gpt",)), name=name, targets=targets or (build_target(),)),
        retry=RetryPolicy(max_attempts=max_attempts, backoff_s=0.01, max_backoff_s=0.02),
        timeouts=timeouts or RouteTimeouts(),
    )


def tenant(*, models: Sequence[str] | None = None, limits: Sequence[Limit] = (), key: str = KEY) -> Tenant:
    return build_tenant(hash_key(key, SALT), models=models, limits=limits)


def table(*providers: Provider, routes: Sequence[Route] = (), tenants: Sequence[Tenant] = ()) -> RoutingTable:
    return build_table(providers=providers, routes=routes or [route()], tenants=tenants or [tenant()])


class Answer(NamedTuple):
    status: int
    headers: Any
    body: bytes

    @property
    def json(self) -> Any:
        return msgspec.json.decode(self.body)

    @property
    def error(self) -> dict[str, Any]:
        error: dict[str, Any] = self.json["error"]
        return error

    @property
    def text(self) -> str:
        """Of a completion."""
        content: str = self.json["choices"][0]["message"]["content"]
        return content


class Rig(NamedTuple):
    gateway: Gateway
    session: aiohttp.ClientSession

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.gateway.port}"

    async def ask(
        self,
        json: Any = None,
        *,
        method: str = "POST",
        path: str = "/v1/chat/completions",
        key: str | None = KEY,
        data: Any = None,
        headers: dict[str, str] | None = None,
    ) -> Answer:
        sent = dict(headers or {})
        if key is not None:
            sent["authorization"] = f"Bearer {key}"
        if data is None and json is None and method == "POST":
            json = CHAT
        async with self.session.request(
            method, self.url + path, json=json, data=data, headers=sent
        ) as answer:
            return Answer(answer.status, answer.headers, await answer.read())

    async def look(self, path: str) -> Answer:
        """At the admin port."""
        async with self.session.get(f"http://127.0.0.1:{self.gateway.admin_port}{path}") as answer:
            return Answer(answer.status, answer.headers, await answer.read())

    async def apply(self, new: RoutingTable) -> None:
        assert isinstance(await self.gateway.apply_table(new), Ack)


def settings(
    *,
    state_dir: Path | None = None,
    bootstrap_dir: Path | None = None,
    operator_urls: tuple[str, ...] = (),
    operator_ca_file: Path | None = None,
    token_file: Path | None = None,
    max_body_bytes: int = 64 * 1024,
    unready_s: float = 0.0,
    body_idle_s: float = 30.0,
    access_log: bool = False,
) -> GatewaySettings:
    return GatewaySettings(
        name=GatewayId("gateway-0"),
        port=0,
        admin_port=0,
        state_dir=state_dir,
        bootstrap_dir=bootstrap_dir,
        operator_urls=operator_urls,
        operator_ca_file=operator_ca_file,
        token_file=token_file,
        unready_s=unready_s,
        drain_s=5.0,
        max_body_bytes=max_body_bytes,
        body_idle_s=body_idle_s,
        access_log=access_log,
    )


@asynccontextmanager
async def serving(
    first: RoutingTable | None = None,
    chosen: GatewaySettings | None = None,
    *,
    draw: Callable[[], float] = lambda: 0.0,
    **options: Any,
) -> AsyncIterator[Rig]:
    """A running gateway. Chance is not: weights and pauses come out as if every draw were 0, unless told."""
    gateway = Gateway(chosen or settings(), draw=draw, **options)
    await gateway.start()
    try:
        async with aiohttp.ClientSession() as session:
            rig = Rig(gateway, session)
            if first is not None:
                await rig.apply(first)
            yield rig
    finally:
        gateway.hurry()
        await gateway.stop(0.0)


def sse(*events: str) -> bytes:
    return b"".join(f"data: {event}\n\n".encode() for event in events)


async def read_head(reader: asyncio.StreamReader) -> bytes:
    """One HTTP request or answer up to the blank line, and the body that Content-Length promises."""
    head = await reader.readuntil(b"\r\n\r\n")
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            await reader.readexactly(int(line.split(b":")[1]))
    return head
