"""Ten thousand objects on a real API server: how long the operator needs to start, to publish an edit, and
what it costs at rest.

2,000 providers, 5,000 routes, 3,000 quotas (each with a Secret of its own) over 50 namespaces. The operator
runs as a process with one gateway connected. Start is from the process's start to the first table that holds
everything; an edit is from the write to the gateway's own answer. At rest its requests are counted at the
client's end, by a proxy, once every status is written. Run: `python -m bench.scale`.
"""

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from bench.results import write_section
from tests.e2e.processes import wait_until
from tests.e2e.system import OWN_NAMESPACE, Gateway, Operator, System
from tests.kube.access import ApiConnection
from tests.kube.apiproxy import ApiProxy
from tests.kube.assets import find_kube_assets
from tests.kube.cluster import Cluster
from tests.kube.commands import API_AUDIENCE

NAMESPACES = 50
WRITERS = 8
QUIET_S = 20.0
Body = dict[str, Any]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--providers", type=int, default=2000)
    parser.add_argument("--routes", type=int, default=5000)
    parser.add_argument("--quotas", type=int, default=3000)
    parser.add_argument("--edits", type=int, default=30)
    parser.add_argument("--rest-s", type=float, default=180.0)
    arguments = parser.parse_args()
    counts = (arguments.providers, arguments.routes, arguments.quotas)
    with Cluster(find_kube_assets()) as cluster, tempfile.TemporaryDirectory() as folder:
        system = System(cluster, Path(folder))
        _say(f"creating {sum(counts)} objects and {counts[2]} Secrets")
        took_s = create_objects(cluster, *counts)
        _say(f"created in {took_s:.0f} s")
        with Operator(system, "operator-0") as operator:
            began = time.monotonic()
            wait_until(lambda: _published(operator, sum(counts)), "the first whole table", 300, operator.tail)
            start_s = time.monotonic() - began
            _say(f"first whole table after {start_s:.1f} s")
            system.fetch_ca()
            with Gateway(system, "gateway-0", (operator.stream_url,)) as gateway:
                gateway.wait_serving(60)
                wait_until(
                    lambda: _routes(gateway) == counts[1], "the gateway has every route", 60, gateway.tail
                )
                status_s = wait_until(
                    lambda: _all_written(operator), "every status is written", 900, operator.tail
                )
                _say(f"statuses written after {status_s:.0f} s more")
                edits = measure_edits(system, gateway, arguments.edits)
                memory_mb, peak_mb = read_memory_mb(operator.pid)
            assert operator.stop() == 0
        per_minute, by_request = measure_rest(system, sum(counts), arguments.rest_s)
    write_section(
        f"Scale: {sum(counts):,} objects",
        "python -m bench.scale",
        (
            "| | measured | goal |",
            "|---|---|---|",
            f"| start of the process to the first whole table | {start_s:.1f} s | < 20 s |",
            f"| one edit to published and live on a gateway, p50 of {len(edits)} | "
            f"{statistics.median(edits):.0f} ms | < 200 ms |",
            f"| the same, worst | {max(edits):.0f} ms | |",
            f"| operator memory, resident | {memory_mb:.0f} MB (peak {peak_mb:.0f} MB) | < 400 MB |",
            f"| API requests per minute at rest, over {arguments.rest_s:.0f} s | {per_minute:.1f} | < 10 |",
            f"| all statuses written, after the first table, one gateway connected | {status_s:.0f} s | |",
            "",
            "Requests at rest: " + ", ".join(f"{n} {verb} {path}" for (verb, path), n in by_request) + ".",
        ),
    )


def create_objects(cluster: Cluster, providers: int, routes: int, quotas: int) -> float:
    """Seconds."""
    began = time.monotonic()
    with cluster.access.connect() as api:
        for number in range(NAMESPACES):
            api.json(
                "POST",
                "/api/v1/namespaces",
                {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": f"team-{number}"}},
            )
    bodies = list(_bodies(providers, routes, quotas))
    with ThreadPoolExecutor(WRITERS) as pool:
        list(pool.map(lambda part: _create(cluster, part), (bodies[i::WRITERS] for i in range(WRITERS))))
    return time.monotonic() - began


def _create(cluster: Cluster, bodies: list[tuple[str, Body]]) -> None:
    with cluster.access.connect() as api:
        for path, body in bodies:
            api.json("POST", path, body)


def _bodies(providers: int, routes: int, quotas: int) -> Iterator[tuple[str, Body]]:
    def ours(kind: str, plural: str, number: int, spec: Body) -> tuple[str, Body]:
        body = {
            "apiVersion": "headgate.dev/v1alpha1",
            "kind": kind,
            "metadata": {"name": f"{plural}-{number}"},
            "spec": spec,
        }
        return f"/apis/headgate.dev/v1alpha1/namespaces/team-{number % NAMESPACES}/{plural}", body

    for n in range(providers):
        models = [{"name": f"model-{m}"} for m in range(4)]
        # Nothing listens there and nobody probes: ten thousand providers are about the operator.
        spec = {
            "type": "openai-compatible",
            "baseUrl": "http://127.0.0.1:9/v1",
            "models": models,
            "health": {"active": {"enabled": False}},
        }
        yield ours("LLMProvider", "llmproviders", n, spec)
    for n in range(routes):
        # The same remainder modulo NAMESPACES is the same namespace.
        provider = (n % NAMESPACES) + NAMESPACES * (n % (providers // NAMESPACES))
        targets = [{"providerRef": {"name": f"llmproviders-{provider}"}, "model": "model-1"}]
        yield ours("ModelRoute", "modelroutes", n, {"models": [f"chat-{n}"], "targets": targets})
    for n in range(quotas):
        secret = {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": f"key-{n}", "labels": {"headgate.dev/watched": "true"}},
            "stringData": {"api-key": f"sk-{n:08d}-scale"},
        }
        yield f"/api/v1/namespaces/team-{n % NAMESPACES}/secrets", secret
        spec = {
            "subjects": [{"name": "main", "type": "APIKey", "secretRef": {"name": f"key-{n}"}}],
            "limits": [{"name": "per-minute", "amount": 100, "window": "1m"}],
        }
        yield ours("TenantQuota", "tenantquotas", n, spec)


def measure_edits(system: System, gateway: Gateway, edits: int) -> list[float]:
    """Milliseconds, one edit at a time, as the gateway's log tells of the version that came."""
    times: list[float] = []
    with system.cluster.access.connect() as api:
        for number in range(edits):
            before = _applied(gateway)
            began = time.perf_counter()
            _rename_model(api, number)
            while _applied(gateway) == before:
                assert time.perf_counter() - began < 30, f"edit {number} is not live: {gateway.tail(3)}"
                time.sleep(0.002)
            times.append((time.perf_counter() - began) * 1000)
            time.sleep(0.3)  # let the status of this edit be written: edits one by one, not a storm
    return times


def _rename_model(api: ApiConnection, number: int) -> None:
    path = (
        f"/apis/headgate.dev/v1alpha1/namespaces/team-{number % NAMESPACES}/modelroutes/modelroutes-{number}"
    )
    patch = [{"op": "replace", "path": "/spec/models", "value": [f"renamed-{number}"]}]
    api.json("PATCH", path, patch, headers={"Content-Type": "application/json-patch+json"})


def measure_rest(
    system: System, objects: int, rest_s: float
) -> tuple[float, list[tuple[tuple[str, str], int]]]:
    """Requests per minute, and which, of a fresh operator once it has nothing more to do."""
    with ApiProxy(system.cluster.access) as proxy:
        token = system.cluster.service_account_token(OWN_NAMESPACE, "headgate-operator", API_AUDIENCE)
        kubeconfig = proxy.access.acting_as(token).write_kubeconfig(system.folder / "proxied.kubeconfig")
        with (
            Operator(system, "operator-1", kubeconfig=kubeconfig) as operator,
            Gateway(system, "gateway-1", (operator.stream_url,)) as gateway,
        ):
            wait_until(lambda: _published(operator, objects), "the first whole table", 300, operator.tail)
            gateway.wait_serving(60)
            wait_until(lambda: _all_written(operator), "every status is written", 900, operator.tail)
            wait_until(_no_lists_for(proxy, QUIET_S), "its first lists are over", 300, operator.tail)
            before = proxy.counts()
            _say(f"at rest for {rest_s:.0f} s")
            time.sleep(rest_s)
            asked = proxy.counts() - before
    return 60 * sum(asked.values()) / rest_s, asked.most_common(8)


def _no_lists_for(proxy: ApiProxy, quiet_s: float) -> Callable[[], bool]:
    """At its start Kopf lists by itself, and a sweep follows: that is not yet rest."""
    seen, since = -1, 0.0

    def quiet() -> bool:
        nonlocal seen, since
        lists = sum(n for (verb, _), n in proxy.counts().items() if verb == "list")
        if lists != seen:
            seen, since = lists, time.monotonic()
        return time.monotonic() - since > quiet_s

    return quiet


def read_memory_mb(pid: int) -> tuple[float, float]:
    """Resident now and at its peak."""
    status = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    return int(status["VmRSS"].split()[0]) / 1024, int(status["VmHWM"].split()[0]) / 1024


def _published(operator: Operator, objects: int) -> bool:
    assert operator.running, operator.tail()
    return any(
        f'"resources": {objects + 1},' in line
        for line in operator.tail(50).splitlines()
        if '"published"' in line
    )


def _applied(gateway: Gateway) -> int:
    """How many tables it has applied, by its log: `/debug/table` of 10,000 objects would be a load."""
    return gateway.log.read_bytes().count(b'"event": "table applied"')


def _routes(gateway: Gateway) -> int:
    return int(gateway.table().get("counts", {}).get("routes", 0))


def _all_written(operator: Operator) -> bool:
    """Nothing waits to be written, and there was something to write."""
    written = operator.metric('headgate_status_writes_total{result="written"}')
    return written > 0 and operator.metric('workqueue_depth{name="status"}') == 0


def _say(line: str) -> None:
    sys.stderr.write(f"scale: {line}\n")


if __name__ == "__main__":
    main()
