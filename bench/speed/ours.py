"""Headgate as users run it: a folder of manifests, compiled, and `headgate gateway` serving the table.

The process that is measured is the one of a cluster's pods (`headgate up` would watch files in it): it starts
from a saved table in its state folder, as a pod does while the operator is away. Two providers share the
traffic three to one, callers have a key, a list of models and three limits, circuits are on, and so are
metrics and active probes. `field` starts it; `reload` speaks to it as an operator does.
"""

import subprocess
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from bench.speed.environment import Python
from bench.speed.peers import Place, Start
from bench.speed.process import HOST, find_free_port
from bench.speed.programs import KEY
from gateway_runtime.contract.codec import assemble_table, build_snapshot, parse_bucket
from gateway_runtime.contract.saved import decode_saved, encode_saved
from gateway_runtime.contract.stream import Version
from gateway_runtime.contract.table import RoutingTable
from gateway_runtime.server.disk import FILE_NAME
from headgate.standalone import Standalone

FIRST_VERSION = Version(1, 1)
ROUTES = 10

_PROVIDER = """\
apiVersion: headgate.dev/v1alpha1
kind: LLMProvider
metadata: {{name: {name}}}
spec:
  type: openai-compatible
  baseUrl: http://{host}:{port}/v1
  credentials: [{{name: main, secretRef: {{name: {name}-key}}}}]
  models: [{{name: gpt-4o-mini}}, {{name: gpt-4o}}]
  circuit: {{consecutiveFailures: 5, failurePercent: 50, openFor: 15s}}
---
apiVersion: v1
kind: Secret
metadata: {{name: {name}-key}}
stringData: {{api-key: sk-upstream-{name}}}
"""
_ROUTE = """\
apiVersion: headgate.dev/v1alpha1
kind: ModelRoute
metadata: {{name: {name}}}
spec:
  models: [{model}]
  targets:
    - {{providerRef: {{name: east}}, model: gpt-4o-mini, weight: 3}}
    - {{providerRef: {{name: west}}, model: gpt-4o-mini, weight: 1}}
"""
_QUOTA = """\
apiVersion: headgate.dev/v1alpha1
kind: TenantQuota
metadata: {{name: bench}}
spec:
  subjects: [{{name: main, type: APIKey, secretRef: {{name: bench-key}}}}]
  models: [gpt-4o-mini, gpt-4o, "chat-*"]
  limits:
    - {{name: per-minute, amount: 1000000000, window: 1m}}
    - {{name: per-hour, amount: 1000000000, window: 1h}}
    - {{name: burst, amount: 999999999, window: 1m}}
---
apiVersion: v1
kind: Secret
metadata: {{name: bench-key}}
stringData: {{api-key: {key}}}
"""


class BrokenManifests(RuntimeError):
    """The benchmark's own manifests have findings: what they say has changed."""


def write_manifests(folder: Path, upstreams: Sequence[int], routes: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, port in zip(("east", "west"), upstreams, strict=True):
        (folder / f"{name}.yaml").write_text(_PROVIDER.format(name=name, host=HOST, port=port))
    models = ("gpt-4o-mini", *(f"chat-{number}" for number in range(1, routes)))
    texts = [_ROUTE.format(name=f"route-{number}", model=model) for number, model in enumerate(models)]
    (folder / "routes.yaml").write_text("---\n".join(texts))
    (folder / "quota.yaml").write_text(_QUOTA.format(key=KEY))


def compile_table(folder: Path) -> RoutingTable:
    """Raises BrokenManifests."""
    created = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    reload = Standalone((folder,), {}, created).reload()
    if reload.findings:
        raise BrokenManifests("; ".join(map(str, reload.findings)))
    return reload.compiled.table


def save_table(table: RoutingTable, state_dir: Path) -> None:
    snapshot = build_snapshot(table)
    payloads = [bucket.payload for bucket in snapshot.buckets]
    state_dir.mkdir(parents=True, exist_ok=True)
    (state_dir / FILE_NAME).write_bytes(encode_saved(FIRST_VERSION, snapshot.digest, payloads, None))


def load_table(state_dir: Path) -> RoutingTable:
    """What `save_table` has written, its salt included."""
    saved = decode_saved((state_dir / FILE_NAME).read_bytes())
    return assemble_table(resource for payload in saved.payloads for resource in parse_bucket(payload))


def start_gateway(place: Place, *, routes: int = ROUTES, options: Sequence[str] = ()) -> Start:
    """options: further ones of `headgate gateway`."""
    manifests, state = place.folder / "manifests", place.folder / "state"
    write_manifests(manifests, place.upstreams, routes)
    save_table(compile_table(manifests), state)
    ports = ("--port", str(place.port), "--admin-port", str(find_free_port()))
    serving = ("gateway", "--name", "bench", "--state-dir", state, "--drain", "0", *ports)
    return Start((place.python.program, "-m", "headgate.cli", *serving, *options))


def has_workers(python: Python) -> bool:
    """Whether `headgate gateway` knows `--workers` yet."""
    asked: list[str | Path] = [python.program, "-m", "headgate.cli", "gateway", "--help"]
    return "--workers" in subprocess.run(asked, capture_output=True, text=True, check=True).stdout
