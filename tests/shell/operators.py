"""Operators in the test's own process and loop, with short times, and what tests ask of a cluster.

Polling is the only way to see what another process's API server holds; `eventually` looks every 20 ms.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any, TypeVar

import aiohttp

from headgate_operator.main import Operator
from headgate_operator.settings import LeaseTimes, OperatorSettings, StatusTimes, WatchTimes
from tests.kube.cluster import Cluster

T = TypeVar("T")

SHORT_LEASE = LeaseTimes(duration_s=2.0, renew_s=0.2, deadline_s=1.5, poll_s=0.1, retry_s=0.05)
GROUP = "/apis/headgate.dev/v1alpha1"


def make_settings(kubeconfig: object, namespace: str, **changes: Any) -> OperatorSettings:
    """An operator that sees and lives in one namespace, so that tests do not meet."""
    settings = OperatorSettings(
        kubeconfig=str(kubeconfig),
        namespaces=(namespace,),
        own_namespace=namespace,
        identity="operator",
        stream_host="127.0.0.1",
        stream_port=0,
        probe_port=0,
        lease=SHORT_LEASE,
        watch=WatchTimes(),
        status=StatusTimes(),
    )
    return replace(settings, **changes)


@asynccontextmanager
async def running(settings: OperatorSettings) -> AsyncIterator[Operator]:
    """Stopped at the end, as by SIGTERM."""
    operator = Operator(settings)
    life = asyncio.create_task(operator.run())
    try:
        yield operator
    finally:
        operator.stop()
        await life


async def eventually(
    call: Callable[[], Awaitable[T]], is_so: Callable[[T], bool] = bool, timeout_s: float = 15
) -> T:
    """What `call` returned when it was so; the last answer is in the error."""
    deadline = time.monotonic() + timeout_s
    while True:
        answer = await call()
        if is_so(answer):
            return answer
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {timeout_s} s; at last: {answer!r}")
        await asyncio.sleep(0.02)


async def probe(operator: Operator, path: str) -> tuple[int, str]:
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"http://127.0.0.1:{operator.probes.port}{path}") as answer,
    ):
        return answer.status, await answer.text()


async def wait_leading(operator: Operator) -> None:
    async def leads() -> bool:
        rooms = operator.rooms
        return rooms is not None and rooms.leader.leading and rooms.reconciler.version is not None

    await eventually(leads)


def table_of(operator: Operator) -> set[str]:
    """Ids in the published table: `Provider/ns/name` and so on, without namespaces."""
    table = operator.rooms and operator.rooms.publisher.last_published_table()
    if not table:
        return set()
    return {
        f"{type(resource).__name__}/{resource.id.partition('/')[2]}"
        for resource in (*table.providers, *table.routes, *table.tenants)
    }


async def wait_table(operator: Operator, *ids: str, timeout_s: float = 15) -> None:
    """Until exactly these are published."""

    async def published() -> set[str]:
        return table_of(operator)

    await eventually(published, lambda found: found == set(ids), timeout_s)


class Objects:
    """The objects of one namespace, as a user sees and edits them."""

    def __init__(self, cluster: Cluster, namespace: str) -> None:
        self._cluster = cluster
        self.namespace = namespace

    async def request(self, method: str, path: str, body: object = None) -> dict[str, Any]:
        return await asyncio.to_thread(self._cluster.request, method, path, body)

    async def apply(self, *manifests: dict[str, Any]) -> None:
        for manifest in manifests:
            path = self._path(manifest["kind"])
            await self.request(
                "POST", path, {**manifest, "metadata": {**manifest["metadata"], "namespace": self.namespace}}
            )

    async def get(self, kind: str, name: str) -> dict[str, Any]:
        return await self.request("GET", f"{self._path(kind)}/{name}")

    async def edit(self, kind: str, name: str, change: Callable[[dict[str, Any]], object]) -> None:
        raw = await self.get(kind, name)
        change(raw)
        await self.request("PUT", f"{self._path(kind)}/{name}", raw)

    async def delete(self, kind: str, name: str) -> None:
        await self.request("DELETE", f"{self._path(kind)}/{name}")

    async def conditions(self, kind: str, name: str) -> dict[str, tuple[str, str]]:
        """By type: status and reason."""
        status = (await self.get(kind, name)).get("status") or {}
        return {c["type"]: (c["status"], c["reason"]) for c in status.get("conditions", ())}

    async def events(self) -> list[dict[str, Any]]:
        return list((await self.request("GET", f"/api/v1/namespaces/{self.namespace}/events"))["items"])

    def _path(self, kind: str) -> str:
        plural = f"{kind.lower()}s"
        return (
            f"/api/v1/namespaces/{self.namespace}/{plural}"
            if kind == "Secret"
            else f"{GROUP}/namespaces/{self.namespace}/{plural}"
        )


def provider(name: str, *secrets: str) -> dict[str, Any]:
    return {
        "apiVersion": "headgate.dev/v1alpha1",
        "kind": "LLMProvider",
        "metadata": {"name": name},
        "spec": {
            "type": "openai-compatible",
            "baseUrl": f"http://{name}.example/v1",
            "credentials": [{"name": secret, "secretRef": {"name": secret}} for secret in secrets],
        },
    }


def route(name: str, *providers: str) -> dict[str, Any]:
    return {
        "apiVersion": "headgate.dev/v1alpha1",
        "kind": "ModelRoute",
        "metadata": {"name": name},
        "spec": {"models": [name], "targets": [{"providerRef": {"name": p}} for p in providers]},
    }


def quota(name: str, secret: str) -> dict[str, Any]:
    return {
        "apiVersion": "headgate.dev/v1alpha1",
        "kind": "TenantQuota",
        "metadata": {"name": name},
        "spec": {"subjects": [{"name": "app", "type": "APIKey", "secretRef": {"name": secret}}]},
    }


def secret(name: str, value: str, *, watched: bool = True) -> dict[str, Any]:
    labels = {"headgate.dev/watched": "true"} if watched else {}
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name, "labels": labels},
        "stringData": {"api-key": value},
    }
