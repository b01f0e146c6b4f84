"""The pod's one admin port: what `server.admin` shows, of all workers together.

Metrics are added up for each scrape; `/debug/table` joins the endpoints, adds up what was used of each limit,
and lists the workers, each with its own view. A worker that does not answer makes both pages 503: sums
without it would look like a restart.
"""

import asyncio
from collections.abc import Callable
from typing import Any

from aiohttp import web

from gateway_runtime.server.admin import TEXT, Admin, answer_json
from gateway_runtime.server.metrics import Metrics
from gateway_runtime.server.reload import Reloader
from gateway_runtime.server.state import LiveState
from gateway_runtime.workers.channel import Standing
from gateway_runtime.workers.child import Child
from gateway_runtime.workers.crew import ANSWER_S, Crew
from gateway_runtime.workers.exposition import join_expositions
from gateway_runtime.workers.join import join_reports


class PodAdmin(Admin):
    def __init__(
        self,
        reloader: Reloader,
        state: LiveState,
        metrics: Metrics,
        find_unreadiness: Callable[[], str | None],
        crew: Crew,
    ) -> None:
        super().__init__(reloader, state, metrics, find_unreadiness)
        self._crew = crew

    async def _answer_metrics(self, _request: web.Request) -> web.Response:
        own = self._metrics.freeze()().decode()
        try:
            told = await self._crew.fetch_metrics()
        except TimeoutError:
            return _answer_silence()
        joined = await asyncio.to_thread(join_expositions, [own, *told])
        return web.Response(body=joined.encode(), headers={"content-type": TEXT})

    async def _answer_table(self, _request: web.Request) -> web.Response:
        try:
            standings = await self._crew.fetch_standings()
        except TimeoutError:
            return _answer_silence()
        return answer_json(self._join(self.describe(), standings))

    def _join(self, described: dict[str, Any], standings: list[tuple[Child, Standing]]) -> dict[str, Any]:
        """Changes `described`, which was made for this page."""
        told: dict[str, list[Any]] = {}
        for _, standing in standings:
            for report in standing.endpoints:
                told.setdefault(report.endpoint, []).append(report)
        for provider in described.get("providers", ()):
            for endpoint in provider["endpoints"]:
                own = endpoint["state"]
                endpoint["state"] = join_reports(own, told.get(own.endpoint, ()), self._crew.size)
        for tenant in described.get("tenants", ()):
            for limit in tenant["limits"]:
                limit["used_here"] = sum(
                    standing.used.get(tenant["id"], {}).get(limit["name"], 0) for _, standing in standings
                )
        described["workers"] = [
            {
                "worker": child.index,
                "pid": child.pid,
                "version": None if standing.version is None else str(standing.version),
                "share": {"index": standing.share.index, "gateways": standing.share.gateways},
                "requests_under_way": standing.under_way,
                "endpoints": standing.endpoints,
            }
            for child, standing in standings
        ]
        return described


def _answer_silence() -> web.Response:
    return answer_json({"error": f"a worker did not answer within {ANSWER_S:g} s"}, status=503)
