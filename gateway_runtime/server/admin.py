"""The admin port: is it alive, is it ready, what does it do, what does it serve. For probes, scrapers and
people.

Reads everything, changes nothing. The one subtle rule: it shows names and counts, never a key nor
the whole hash of one.
"""

import asyncio
from collections.abc import Callable
from typing import Any, Final

import msgspec
from aiohttp import web

from gateway_runtime.contract.table import Provider
from gateway_runtime.contract.tenant import Tenant
from gateway_runtime.server.metrics import Metrics
from gateway_runtime.server.reload import Reloader
from gateway_runtime.server.state import LiveState

TEXT: Final = "text/plain; version=0.0.4; charset=utf-8"
"""Prometheus' own name for its format."""


class Admin:
    def __init__(
        self,
        reloader: Reloader,
        state: LiveState,
        metrics: Metrics,
        find_unreadiness: Callable[[], str | None],
    ) -> None:
        """find_unreadiness: why this gateway should get no traffic; None when it should."""
        self._reloader = reloader
        self._state = state
        self._metrics = metrics
        self._find_unreadiness = find_unreadiness
        self.app = web.Application()
        self.app.router.add_get("/healthz", self._answer_health)
        self.app.router.add_get("/readyz", self._answer_readiness)
        self.app.router.add_get("/metrics", self._answer_metrics)
        self.app.router.add_get("/debug/table", self._answer_table)

    async def _answer_health(self, _request: web.Request) -> web.Response:
        return answer_json({"alive": True})  # an event loop that hangs cannot say so

    async def _answer_readiness(self, _request: web.Request) -> web.Response:
        reason = self._find_unreadiness()
        if reason is not None:
            return answer_json({"ready": False, "reason": reason}, status=503)
        return answer_json({"ready": True})

    async def _answer_metrics(self, _request: web.Request) -> web.Response:
        return web.Response(
            body=await asyncio.to_thread(self._metrics.freeze()),
            headers={"content-type": TEXT},
        )

    async def _answer_table(self, _request: web.Request) -> web.Response:
        return answer_json(self.describe())

    def describe(self) -> dict[str, Any]:
        running = self._reloader.running
        if running is None:
            return {"version": None}
        table = running.live.table
        return {
            "version": str(running.version),
            "digest": running.digest,
            "age_s": round(self._state.clock.unix() - running.applied_unix_s, 3),
            "share": {"index": self._state.share.index, "gateways": self._state.share.gateways},
            "counts": running.counts,
            "routes": [
                {"id": r.id, "generation": r.generation, "models": r.models, "targets": r.targets}
                for r in table.routes
            ],
            "providers": [self._describe_provider(provider) for provider in table.providers],
            "tenants": [self._describe_tenant(tenant) for tenant in table.tenants],
        }

    def _describe_provider(self, provider: Provider) -> dict[str, Any]:
        return {
            "id": provider.id,
            "generation": provider.generation,
            "type": provider.type,
            "credentials": [credential.name for credential in provider.credentials],
            "models": provider.models,
            "endpoints": [
                {"url": endpoint.url, "state": state.report()}
                for endpoint in provider.endpoints
                if (state := self._state.endpoints.get(endpoint.id)) is not None
            ],
        }

    def _describe_tenant(self, tenant: Tenant) -> dict[str, Any]:
        now_s = self._state.clock.now()
        return {
            "id": tenant.id,
            "generation": tenant.generation,
            "keys": len(tenant.keys),
            "anonymous": tenant.anonymous,
            "models": tenant.models,
            "limits": [
                {"name": limit.name, "amount_here": limit.amount, "used_here": limit.state(now_s).used}
                for limit in self._state.limits_of(tenant)
            ],
        }


def answer_json(value: object, status: int = 200) -> web.Response:
    return web.Response(
        status=status, body=msgspec.json.encode(value), headers={"content-type": "application/json"}
    )
