"""What kubelets and Prometheus are told."""

from collections.abc import AsyncIterator

import aiohttp
import pytest

from headgate_operator.metrics import Metrics
from headgate_operator.probes import Probes


class Bench:
    def __init__(self) -> None:
        self.problems: list[str] = []
        self.readiness = (False, "not ready: starting")
        self.metrics = Metrics()
        self.probes = Probes(lambda: self.problems, lambda: self.readiness, self.metrics.registry)

    async def get(self, path: str) -> tuple[int, str]:
        url = f"http://127.0.0.1:{self.probes.port}{path}"
        async with aiohttp.ClientSession() as session, session.get(url) as answer:
            return answer.status, await answer.text()


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    bench = Bench()
    await bench.probes.start("127.0.0.1", 0)
    yield bench
    await bench.probes.stop()


async def test_health_is_ok_until_something_is_dead_and_then_names_it(bench: Bench) -> None:
    well = await bench.get("/healthz")
    bench.problems = ["Kopf, which watches the cluster, has ended", "a reconcile hangs"]

    assert well == (200, "ok\n")
    assert await bench.get("/healthz") == (
        503,
        "Kopf, which watches the cluster, has ended\na reconcile hangs\n",
    )


async def test_readiness_says_why(bench: Bench) -> None:
    before = await bench.get("/readyz")
    bench.readiness = (True, "leader: operator-1 holds Lease headgate-system/headgate-operator")

    assert before == (503, "not ready: starting\n")
    assert await bench.get("/readyz") == (
        200,
        "leader: operator-1 holds Lease headgate-system/headgate-operator\n",
    )


async def test_metrics_have_the_names_that_dashboards_know(bench: Bench) -> None:
    bench.metrics.reconcile_success.inc()
    bench.metrics.count_request("GET", 200)
    bench.metrics.count_request("GET", None)
    bench.metrics.leader.labels("headgate-operator").set(1)
    status, text = await bench.get("/metrics")

    assert status == 200
    for line in (
        'controller_runtime_reconcile_total{controller="headgate",result="success"} 1.0',
        'rest_client_requests_total{code="200",method="GET"} 1.0',
        'rest_client_requests_total{code="<error>",method="GET"} 1.0',
        'leader_election_master_status{name="headgate-operator"} 1.0',
        'workqueue_depth{name="status"} 0.0',
        "ghost_objects_total 0.0",
    ):
        assert line in text
