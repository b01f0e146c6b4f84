"""How long from `kubectl apply` to live: 100 edits of a route, until both gateways serve them, and until
status says so.

An edit is live when a gateway's own answer shows it: each edit renames the model that the route serves, and
callers poll `/debug/table` of each gateway. The clock starts before the write is sent to the API server. Run:
`python -m bench.propagation`.
"""

import argparse
import statistics
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec

from bench.results import write_section
from tests.e2e.manifests import provider, quota, route
from tests.e2e.system import Gateway, Operator, Provider, System
from tests.kube.assets import find_kube_assets
from tests.kube.cluster import Cluster

GOAL_P99_MS = 300.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--edits", type=int, default=100)
    edits = parser.parse_args().edits
    with Cluster(find_kube_assets()) as cluster, tempfile.TemporaryDirectory() as folder:
        system = System(cluster, Path(folder))
        with Provider(system, "fake") as fake, Operator(system, "operator-0") as operator:
            fake.wait_listening()
            operator.wait_leading()
            system.fetch_ca()
            urls = (operator.stream_url,)
            with Gateway(system, "gateway-0", urls) as left, Gateway(system, "gateway-1", urls) as right:
                cluster.apply(
                    provider("local", fake.url) + quota("team", "sk-bench") + route("chat", "local")
                )
                for gateway in (left, right):
                    gateway.wait_routing("default/chat")
                live = measure_live(system, (left, right), edits)
                ready = measure_ready(system, fake, min(edits, 20))
    write_section(
        "Propagation",
        "python -m bench.propagation",
        (
            "| from the write to | p50 | p99 | worst | goal |",
            "|---|---|---|---|---|",
            _row(f"live on both gateways ({edits} edits of a route)", live, f"p99 < {GOAL_P99_MS:.0f} ms"),
            _row(f"`Ready` in status ({len(ready)} new providers)", ready, ""),
        ),
    )


def measure_live(system: System, gateways: tuple[Gateway, ...], edits: int) -> list[float]:
    """Milliseconds per edit."""
    times: list[float] = []
    path = "/apis/headgate.dev/v1alpha1/namespaces/default/modelroutes/chat"
    with system.cluster.access.connect() as api, ThreadPoolExecutor(len(gateways)) as pool:
        for number in range(edits):
            model = f"model-{number}"
            began = time.perf_counter()
            patch = [{"op": "replace", "path": "/spec/models", "value": [model]}]
            api.json("PATCH", path, patch, headers={"Content-Type": "application/json-patch+json"})
            list(pool.map(lambda gateway, wanted=model: wait_serving(gateway, wanted), gateways))
            times.append((time.perf_counter() - began) * 1000)
    return times


def wait_serving(gateway: Gateway, model: str) -> None:
    deadline = time.monotonic() + 10
    while gateway.table()["routes"][0]["models"] != [model]:
        assert time.monotonic() < deadline, f"{gateway.name} does not serve {model}"
        time.sleep(0.002)


def measure_ready(system: System, fake: Provider, count: int) -> list[float]:
    """Milliseconds from creating a provider to its `Ready`, as a watch of the API server tells it."""
    times: list[float] = []
    base = "/apis/headgate.dev/v1alpha1/namespaces/default/llmproviders"
    with system.cluster.access.connect() as api:
        for number in range(count):
            name = f"ready-{number}"
            body = {
                "apiVersion": "headgate.dev/v1alpha1",
                "kind": "LLMProvider",
                "metadata": {"name": name},
                "spec": {"type": "openai-compatible", "baseUrl": fake.url},
            }
            began = time.perf_counter()
            api.json("POST", base, body)
            while not _is_ready(api.json("GET", f"{base}/{name}")):
                assert time.perf_counter() - began < 30, f"{name} is not Ready"
                time.sleep(0.002)
            times.append((time.perf_counter() - began) * 1000)
    return times


def _is_ready(found: dict[str, object]) -> bool:
    status = msgspec.convert(found.get("status", {}), dict[str, object])
    conditions = msgspec.convert(status.get("conditions", []), list[dict[str, object]])
    return any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)


def _row(what: str, times: list[float], goal: str) -> str:
    p99 = statistics.quantiles(times, n=100, method="inclusive")[98]
    return f"| {what} | {statistics.median(times):.0f} ms | {p99:.0f} ms | {max(times):.0f} ms | {goal} |"


if __name__ == "__main__":
    main()
