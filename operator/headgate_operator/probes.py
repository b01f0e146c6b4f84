"""The HTTP server for kubelets and Prometheus: /healthz, /readyz, /metrics.

In: functions that tell how things are. Out: 200 or 503 with a sentence for people, and the metrics. Made by
`main`. Probes answer from what is known; none asks the API server, or an outage of it would restart every
operator.
"""

from collections.abc import Callable, Sequence

from aiohttp import web
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST


class Probes:
    def __init__(
        self,
        find_problems: Callable[[], Sequence[str]],
        explain_readiness: Callable[[], tuple[bool, str]],
        registry: CollectorRegistry,
    ) -> None:
        """`find_problems`: what is dead, none when all is well. `explain_readiness`: whether, and why."""
        self._find_problems = find_problems
        self._explain_readiness = explain_readiness
        self._registry = registry
        self._runner: web.AppRunner | None = None

    @property
    def port(self) -> int:
        """Where it listens; 0 before `start`."""
        addresses = self._runner.addresses if self._runner else []
        return int(addresses[0][1]) if addresses else 0

    async def start(self, host: str, port: int) -> None:
        """Raises OSError when the port is taken."""
        application = web.Application()
        application.router.add_get("/healthz", self._healthz)
        application.router.add_get("/readyz", self._readyz)
        application.router.add_get("/metrics", self._metrics)
        self._runner = web.AppRunner(application, access_log=None, shutdown_timeout=1)
        await self._runner.setup()
        await web.TCPSite(self._runner, host, port).start()

    async def stop(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def _healthz(self, request: web.Request) -> web.Response:
        problems = self._find_problems()
        return web.Response(status=503 if problems else 200, text="\n".join(problems or ("ok",)) + "\n")

    async def _readyz(self, request: web.Request) -> web.Response:
        ready, why = self._explain_readiness()
        return web.Response(status=200 if ready else 503, text=f"{why}\n")

    async def _metrics(self, request: web.Request) -> web.Response:
        return web.Response(
            body=generate_latest(self._registry), headers={"Content-Type": CONTENT_TYPE_LATEST}
        )
