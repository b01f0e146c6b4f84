"""Stand-ins at the border: a Kubernetes API of two verbs' worth, a clock that tests turn, tokens, tables."""

import asyncio
import base64
import hashlib
import json
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from gateway_runtime.contract.codec import assemble_table
from gateway_runtime.contract.ids import EndpointId, KeyHash, ProviderId, RouteId, TenantId
from gateway_runtime.contract.secret import Secret
from gateway_runtime.contract.table import (
    ActiveProbe,
    CircuitPolicy,
    Credential,
    Endpoint,
    Installation,
    Provider,
    RetryPolicy,
    Route,
    RouteTimeouts,
    RoutingTable,
    Target,
    Timeouts,
)
from gateway_runtime.contract.tenant import Limit, Tenant
from headgate_operator.kube import Conflict, KubeSecret, NotFound, Reviewed, Unreachable

NAMESPACE = "headgate-system"
AUDIENCE = "headgate-operator"
ACCOUNT = "headgate-system:headgate-gateway"
FAR_S = 4_000_000_000.0


class FakeKube:
    """Secrets with resource versions, and tokens that it knows. `down`: nobody answers."""

    def __init__(self) -> None:
        self.secrets: dict[str, KubeSecret] = {}
        self.tokens: dict[str, Reviewed] = {}
        self.down = False
        self.reviews = 0
        self.writes: list[str] = []
        self.before_write: Callable[[str], None] = lambda name: None
        """Called with the Secret's name before each write: what a rival does at that moment."""
        self._version = 0
        self._written = asyncio.Event()

    async def read_secret(self, namespace: str, name: str) -> KubeSecret | None:
        self._answer()
        return self.secrets.get(name)

    async def ensure_secret(
        self,
        namespace: str,
        name: str,
        make: Callable[[], Mapping[str, bytes]],
        labels: Mapping[str, str] | None = None,
    ) -> KubeSecret:
        self._answer()
        if name not in self.secrets:
            data = make()
            self.before_write(name)
        if name not in self.secrets:
            self.writes.append(name)
            self.put(name, data, labels or {})
        return self.secrets[name]

    async def replace_secret(self, secret: KubeSecret, data: Mapping[str, bytes]) -> KubeSecret:
        self._answer()
        self.before_write(secret.name)
        there = self.secrets.get(secret.name)
        if there is None:
            raise NotFound(f"PUT {secret.name}: 404", status=404, retryable=False)
        if there.resource_version != secret.resource_version:
            raise Conflict(f"PUT {secret.name}: 409", status=409, retryable=False)
        self.writes.append(secret.name)
        return self.put(secret.name, data, secret.labels)

    async def delete_secret(self, namespace: str, name: str) -> None:
        self._answer()
        self.secrets.pop(name, None)

    async def review_token(self, token: str, audience: str) -> Reviewed | None:
        self.reviews += 1
        self._answer()
        return self.tokens.get(token)

    def put(
        self, name: str, data: Mapping[str, bytes], labels: Mapping[str, str] | None = None
    ) -> KubeSecret:
        self._version += 1
        assert sum(map(len, data.values())) <= 1024 * 1024, "a Secret holds 1 MiB"
        secret = KubeSecret(NAMESPACE, name, str(self._version), dict(data), labels or {})
        self.secrets[name] = secret
        self._written.set()
        return secret

    async def wait_written(self, holds: Callable[[], bool]) -> None:
        """Until a write makes it true."""
        async with asyncio.timeout(10):
            while not holds():
                self._written.clear()
                await self._written.wait()

    def roster(self) -> tuple[str, ...]:
        """The gateways that the bootstrap remembers."""
        first = self.secrets["headgate-bootstrap-0"]
        return tuple(json.loads(first.data["manifest.json"])["roster"])

    def admit(self, pod: str | None = None, account: str = ACCOUNT) -> str:
        """A new token of a gateway in `pod`, known to the API server."""
        token = make_token(jti=str(len(self.tokens)))
        self.tokens[token] = Reviewed(f"system:serviceaccount:{account}", "uid", (), pod)
        return token

    def _answer(self) -> None:
        if self.down:
            raise Unreachable("no answer from the API server")


class TurnedClock:
    """Stands still until `turn`."""

    def __init__(self) -> None:
        self.now_s = 1000.0
        self._alarms: list[_Alarm] = []

    def time(self) -> float:
        return self.now_s

    def call_at(self, when: float, callback: Callable[[], object], /) -> "_Alarm":
        alarm = _Alarm(when, callback)
        self._alarms.append(alarm)
        return alarm

    def turn(self, seconds: float) -> None:
        """Rings what is due, in order, each at its own time."""
        end_s = self.now_s + seconds
        while due := sorted(a for a in self._alarms if a.when <= end_s and not a.cancelled):
            self._alarms.remove(due[0])
            self.now_s = max(self.now_s, due[0].when)
            due[0].callback()
        self.now_s = end_s


@dataclass(order=True)
class _Alarm:
    when: float
    callback: Callable[[], object] = field(compare=False)
    cancelled: bool = field(default=False, compare=False)

    def cancel(self) -> None:
        self.cancelled = True


def make_token(*, aud: object = (AUDIENCE,), exp: float | None = FAR_S, jti: str = "0") -> str:
    """A JWT that no key has signed: what is checked of it before the API server is asked."""
    claims = {"aud": aud, "jti": jti} | ({} if exp is None else {"exp": exp})
    payload = base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")
    return f"e30.{payload}.c2ln"


def make_uid(kind: int, i: int) -> str:
    """As random as Kubernetes' own, so that sizes are honest."""
    return str(uuid.UUID(hashlib.sha256(f"{kind} {i}".encode()).hexdigest()[:32]))


def make_provider(i: int, generation: int = 1) -> Provider:
    return Provider(
        id=ProviderId(f"team/p{i:05}"),
        uid=make_uid(0, i),
        generation=generation,
        type="openai-compatible",
        endpoints=(Endpoint(id=EndpointId(f"team/p{i:05}/default"), url=f"http://p{i}.team.svc:8000/v1"),),
        credentials=(
            Credential(
                name="main",
                value=Secret("sk-planted-" + hashlib.sha256(f"secret {i}".encode()).hexdigest()[:32]),
            ),
        ),
        models=(),
        passive_health=True,
        probe=ActiveProbe(path="/models", interval_s=10, timeout_s=2, unhealthy_after=3, healthy_after=2),
        circuit=CircuitPolicy(
            consecutive_failures=5, failure_percent=50, min_requests=20, window_s=30, open_s=10
        ),
        timeouts=Timeouts(connect_s=5, first_token_s=60, idle_s=60, total_s=600),
    )


def make_route(i: int, provider: int) -> Route:
    return Route(
        id=RouteId(f"team/r{i:05}"),
        uid=make_uid(1, i),
        generation=1,
        namespace="team",
        models=(f"model-{i}",),
        targets=(Target(provider=ProviderId(f"team/p{provider:05}"), model=None, weight=1, priority=0),),
        retry=RetryPolicy(max_attempts=3, backoff_s=0.1, max_backoff_s=1),
        timeouts=RouteTimeouts(),
    )


def make_tenant(i: int) -> Tenant:
    return Tenant(
        id=TenantId(f"team/t{i:05}"),
        uid=make_uid(2, i),
        generation=1,
        namespace="team",
        keys=(KeyHash(hashlib.sha256(f"key {i}".encode()).hexdigest()),),
        anonymous=False,
        models=None,
        limits=(Limit(name="minute", amount=100, window_s=60),),
    )


def make_table(*providers: Provider, routes: int = 0, tenants: int = 0) -> RoutingTable:
    resources = [Installation(key_salt=Secret("salt")), *providers]
    return assemble_table(
        [
            *resources,
            *(make_route(i, i % len(providers)) for i in range(routes)),
            *map(make_tenant, range(tenants)),
        ]
    )
