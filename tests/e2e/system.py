"""A whole Headgate on this machine: operator, gateway and fake provider processes around a real API server.

Used by the tests of this folder and by `bench`. The operator acts as the service account of `manifests/base`,
with just its rights; a gateway's token and CA bundle are handed over as a pod gets them from its projected
volumes.
"""

import base64
import json
import socket
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.e2e.processes import Process, wait_until
from tests.kube.cluster import Cluster
from tests.kube.commands import API_AUDIENCE

REPOSITORY = Path(__file__).parents[2]
OWN_NAMESPACE = "headgate-system"


class Operator(Process):
    def __init__(self, system: "System", name: str, *options: str, kubeconfig: Path | None = None) -> None:
        self.stream_port, self.probe_port = free_port(), free_port()
        super().__init__(
            name,
            "operator",
            "--kubeconfig",
            kubeconfig or system.operator_kubeconfig,
            "--identity",
            name,
            "--stream-host",
            "127.0.0.1",
            "--stream-port",
            str(self.stream_port),
            "--ip-address",
            "127.0.0.1",
            "--probe-port",
            str(self.probe_port),
            *options,
            folder=system.folder,
        )

    @property
    def stream_url(self) -> str:
        return f"https://127.0.0.1:{self.stream_port}"

    @property
    def probe_url(self) -> str:
        return f"http://127.0.0.1:{self.probe_port}"

    def metric(self, sample: str) -> float:
        """Of `/metrics`, by its full name with labels."""
        with urllib.request.urlopen(f"{self.probe_url}/metrics", timeout=10) as answer:
            lines = answer.read().decode().splitlines()
        return float(next(line for line in lines if line.startswith(f"{sample} ")).rsplit(" ", 1)[1])

    def wait_leading(self, timeout_s: float = 60) -> None:
        self.wait_ready(f"{self.probe_url}/readyz", timeout_s)


class Gateway(Process):
    def __init__(self, system: "System", name: str, operators: tuple[str, ...], *options: str) -> None:
        self.port, self.admin_port = free_port(), free_port()
        self.state_dir = system.folder / f"{name}-state"
        self.state_dir.mkdir(exist_ok=True)
        super().__init__(
            name,
            "gateway",
            "--name",
            name,
            "--port",
            str(self.port),
            "--admin-port",
            str(self.admin_port),
            "--operator-ca",
            system.ca_file,
            "--token-file",
            system.gateway_token_file,
            "--state-dir",
            self.state_dir,
            *(part for url in operators for part in ("--operator", url)),
            *options,
            folder=system.folder,
        )

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def admin_url(self) -> str:
        return f"http://127.0.0.1:{self.admin_port}"

    def wait_serving(self, timeout_s: float = 30) -> None:
        """Until it has applied its first table."""
        self.wait_ready(f"{self.admin_url}/readyz", timeout_s)

    def table(self) -> dict[str, Any]:
        return fetch_json(f"{self.admin_url}/debug/table")

    def wait_routing(self, *routes: str) -> None:
        """Until it serves these routes (`namespace/name`) and no others."""
        self.wait_serving()
        wait_until(
            lambda: [route["id"] for route in self.table().get("routes", ())] == sorted(routes),
            f"{self.name} serves the routes {', '.join(routes)}",
            explain=self.tail,
        )


class Provider(Process):
    """A fake provider; its script may be changed while it runs."""

    def __init__(self, system: "System", name: str, *options: str) -> None:
        self.port = free_port()
        super().__init__(name, "fake-provider", "--port", str(self.port), *options, folder=system.folder)

    @property
    def url(self) -> str:
        """As an LLMProvider's baseUrl."""
        return f"http://127.0.0.1:{self.port}/v1"

    def follow(self, script: Mapping[str, object]) -> None:
        """From now on it behaves so; fields that are not named have their defaults."""
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}/_fake/script", json.dumps(script).encode(), method="PUT"
        )
        with urllib.request.urlopen(request, timeout=5):
            pass

    def seen(self) -> dict[str, Any]:
        return fetch_json(f"http://127.0.0.1:{self.port}/_fake/seen")

    def wait_listening(self) -> None:
        self.wait_ready(f"http://127.0.0.1:{self.port}/_fake/seen")


class System:
    """CRDs and base manifests are in place, tokens are there; processes are started by the caller."""

    def __init__(self, cluster: Cluster, folder: Path) -> None:
        self.cluster = cluster
        self.folder = folder
        cluster.install_crds(REPOSITORY / "crds")
        for name in ("namespace.yaml", "rbac.yaml"):
            cluster.apply(REPOSITORY / "manifests" / "base" / name)
        token = cluster.service_account_token(OWN_NAMESPACE, "headgate-operator", API_AUDIENCE)
        self.operator_kubeconfig = cluster.user_kubeconfig(folder / "operator.kubeconfig", token)
        self.gateway_token_file = folder / "gateway.token"
        self.gateway_token_file.write_text(
            cluster.service_account_token(OWN_NAMESPACE, "headgate-gateway", "headgate-operator")
        )
        self.ca_file = folder / "ca.crt"

    def fetch_ca(self) -> None:
        """What the kubelet does for a pod that mounts the CA bundle's Secret."""
        path = f"/api/v1/namespaces/{OWN_NAMESPACE}/secrets/headgate-ca-bundle"

        def bundle() -> bytes:
            found = self.cluster.kubectl("get", "--raw", path, check=False)
            return (
                base64.b64decode(json.loads(found.stdout)["data"]["ca.crt"]) if found.returncode == 0 else b""
            )

        wait_until(bundle, "the operator has made its CA bundle")
        self.ca_file.write_bytes(bundle())

    @contextmanager
    def provider(self, name: str, *options: str) -> Iterator[Provider]:
        with Provider(self, name, *options) as provider:
            provider.wait_listening()
            yield provider

    @contextmanager
    def operator(self, name: str = "operator-0", *options: str) -> Iterator[Operator]:
        """Leading when it is yielded, unless another one does already."""
        with Operator(self, name, *options) as operator:
            operator.wait_ready(f"{operator.probe_url}/healthz")
            yield operator

    def get(self, kind: str, name: str, namespace: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(
            self.cluster.kubectl("get", kind, name, "-n", namespace, "-o", "json").stdout
        )
        return found

    def condition(self, kind: str, name: str, namespace: str, condition: str) -> dict[str, Any]:
        """The condition as the API server has it now; empty when there is none."""
        conditions = self.get(kind, name, namespace).get("status", {}).get("conditions", ())
        return next((c for c in conditions if c["type"] == condition), {})

    def wait_condition(
        self, kind: str, name: str, namespace: str, condition: str = "Ready", timeout_s: int = 30
    ) -> None:
        self.cluster.kubectl(
            "wait",
            f"--for=condition={condition}",
            f"--timeout={timeout_s}s",
            f"{kind}/{name}",
            "-n",
            namespace,
        )

    def wait_gateways(self, kind: str, name: str, namespace: str, text: str) -> None:
        """Until the status says `n/m`. A count that changed alone is written within ten seconds."""
        wanted = f"--for=jsonpath={{.status.gateways}}={text}"
        self.cluster.kubectl("wait", wanted, "--timeout=30s", f"{kind}/{name}", "-n", namespace)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def fetch_json(url: str) -> dict[str, Any]:
    with urllib.request.urlopen(url, timeout=5) as answer:
        parsed: dict[str, Any] = json.load(answer)
        return parsed
