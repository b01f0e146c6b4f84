"""A real kube-apiserver with its etcd on 127.0.0.1, for tests and for developers.

In: the programs of `assets`. Out: `Cluster`, ready in about three seconds, with `kubectl`, tokens and
kubeconfigs for any user, and the faults that only the servers' owner can cause: an API server that is down,
that restarts, that has forgotten old resourceVersions. Tests come by the fixture `cluster`; developers run
`python -m tests.kube.cluster`.

All methods block, and all may be called from any thread, one at a time: async tests use `asyncio.to_thread`.

Everything of a cluster is in one temporary folder and on three ports of its own, so clusters do not meet.
RBAC is on and TLS is verified. See the package's docstring for what is absent.
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import json
import secrets
import signal
import subprocess
import sys
import urllib.request
from collections import Counter
from pathlib import Path
from typing import Self

from tests.kube import namespaces
from tests.kube.access import Access, ApiError, Json
from tests.kube.assets import VERSION, AssetsError, KubeAssets, kube_assets
from tests.kube.commands import apiserver_command, etcd_command, write_secrets
from tests.kube.keeper import Keeper
from tests.kube.kubectl import Kubectl
from tests.kube.metrics import RequestKey, parse_request_count
from tests.kube.ports import HOST, ReservedPort
from tests.kube.server import Server, wait_until

READY_WITHIN_S = 60.0
"""Three seconds are usual; a machine that also compiles is slower. A guess."""


class Cluster:
    """Started by `with` or `start`; ended by the end of `with`, by `stop`, or with this process."""

    def __init__(self, assets: KubeAssets) -> None:
        self._keeper = Keeper("headgate-kube-")
        self._folder = self._keeper.folder
        self._ports = api, etcd, peer = ReservedPort(), ReservedPort(), ReservedPort()
        self.port = api.number
        self.url = f"https://{HOST}:{api.number}"
        self._etcd_url = f"http://{HOST}:{etcd.number}"
        self.kubeconfig = self._folder / "kubeconfig"
        """A file, of the administrator."""
        self._kubectl = Kubectl(assets.kubectl, self.kubeconfig, self._folder / "kubectl-cache")
        self._token = secrets.token_hex(16)
        self._etcd = Server(
            "etcd", etcd_command(assets, self._folder, etcd.number, peer.number), self._folder, self._keeper
        )
        self._apiserver = Server(
            "kube-apiserver",
            apiserver_command(assets, self._folder, api.number, etcd.number),
            self._folder,
            self._keeper,
        )

    def __repr__(self) -> str:
        return f"<Cluster {self.url} in {self._folder}>"

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def access(self) -> Access:
        """As the administrator (system:masters)."""
        # The server signs its certificate itself and leaves the whole chain here; it survives restarts.
        return Access(self.url, self._token, (self._folder / "certs" / "apiserver.crt").read_text())

    def start(self) -> None:
        """Both servers, until /readyz is ok. Raises `ServerDied` or `TimeoutError`, with the log's end."""
        write_secrets(self._folder, self._token)
        self._etcd.start()
        self.start_apiserver()
        self.access.write_kubeconfig(self.kubeconfig)

    def stop(self) -> None:
        """Both servers, then the folder."""
        self._apiserver.stop()
        self._etcd.stop()
        self._keeper.close()
        for port in self._ports:
            port.close()

    def start_apiserver(self) -> None:
        """On the same port with the same data and certificates. Does nothing while it runs."""
        if self._apiserver.running:
            return
        self._apiserver.start()
        wait_until(self._is_ready, (self._apiserver, self._etcd), READY_WITHIN_S)

    def stop_apiserver(self) -> None:
        """Connections are refused from here on; etcd keeps the data."""
        self._apiserver.stop()

    def restart_apiserver(self) -> None:
        """Ends all watches. The new server does not remember events: a watch from before them gets 410."""
        self.stop_apiserver()
        self.start_apiserver()

    def kubectl(
        self, *args: str | Path, stdin: str | None = None, check: bool = True
    ) -> subprocess.CompletedProcess[str]:
        """As the administrator. With `check`, a non-zero code raises `KubectlError`."""
        return self._kubectl.run(*args, stdin=stdin, check=check)

    def apply(self, manifests: str | Path) -> None:
        """Server-side apply: a string is YAML, a Path is a file or folder."""
        if isinstance(manifests, Path):
            self.kubectl("apply", "--server-side", "-f", manifests)
        else:
            self.kubectl("apply", "--server-side", "-f", "-", stdin=manifests)

    def install_crds(self, folder: Path) -> None:
        """Every CustomResourceDefinition in the folder's YAML files, until the server serves it.

        Objects of a kind that is younger than two seconds take two seconds to create: the server waits on
        purpose, in case it has replicas that have not heard of the kind.
        """
        self.apply(folder)
        self.kubectl("wait", "--for=condition=Established", "--timeout=30s", "-f", folder)

    def request(self, method: str, path: str, body: object = None) -> Json:
        """One request as the administrator. Raises `ApiError`."""
        with self.access.connect() as api:
            return api.json(method, path, body)

    def create_namespace(self) -> str:
        """A new one; its name."""
        name = f"test-{secrets.token_hex(4)}"
        with self.access.connect() as api:
            namespaces.create_namespace(api, name)
        return name

    def remove_namespace(self, name: str) -> None:
        """With all within, at once, also what finalizers keep."""
        with self.access.connect() as api:
            namespaces.remove_namespace(api, name)

    def service_account_token(self, namespace: str, name: str, audience: str, expires_s: int = 3600) -> str:
        """A signed token of an existing ServiceAccount, by TokenRequest. The server allows 600 s and more."""
        spec = {"audiences": [audience], "expirationSeconds": expires_s}
        path = f"/api/v1/namespaces/{namespace}/serviceaccounts/{name}/token"
        token: str = self.request("POST", path, {"spec": spec})["status"]["token"]
        return token

    def user_kubeconfig(self, path: Path, token: str) -> Path:
        """Write a kubeconfig for whoever the token is of; for a ServiceAccount, ask for `API_AUDIENCE`."""
        return self.access.acting_as(token).write_kubeconfig(path)

    def etcd_compact(self) -> int:
        """Forget the history of etcd up to now; the revision of that moment.

        By itself this goes unnoticed for a while: Kubernetes 1.35 also answers exact lists, continued lists
        and watches from the API server's own memory. `expire_resource_versions` takes that away, too.
        """
        # Writing something makes every resourceVersion that was ever given out older than the compaction.
        # The key is outside /registry/, so the API server never reads it.
        key = base64.b64encode(b"/headgate/compaction").decode()
        revision = int(self._ask_etcd("/v3/kv/put", {"key": key})["header"]["revision"])
        self._ask_etcd("/v3/kv/compaction", {"revision": revision, "physical": True})
        return revision

    def expire_resource_versions(self) -> None:
        """Compact and restart: every resourceVersion from before gets a true 410, in lists and in watches."""
        self.etcd_compact()
        self.restart_apiserver()

    def request_count(self, group: str | None = None) -> Counter[RequestKey]:
        """Requests answered since the API server started; `group`: only of this API group, "" for the core.

        Subtract two of them for what happened between. The server's own requests to itself count, so name a
        group or look at single keys; a watch counts when it ends. `ApiProxy` counts at the client's end.
        """
        with self.access.connect() as api:
            return parse_request_count(api.text("GET", "/metrics", headers={"Accept": "text/plain"}), group)

    def _is_ready(self) -> bool:
        try:
            with self.access.connect(timeout_s=2) as api:
                return api.text("GET", "/readyz") == "ok"
        except (OSError, ApiError):
            return False

    def _ask_etcd(self, path: str, body: Json) -> Json:
        request = urllib.request.Request(self._etcd_url + path, json.dumps(body).encode())
        with urllib.request.urlopen(request, timeout=30) as answer:
            parsed: Json = json.load(answer)
            return parsed


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m tests.kube.cluster",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description="""\
Runs a real Kubernetes API server (kube-apiserver with etcd) on 127.0.0.1 until Ctrl-C, then removes it.
The first run on a machine compiles the programs, about five minutes; every other is ready in seconds.

  $ python -m tests.kube.cluster --crds crds
  export KUBECONFIG=/dev/shm/headgate-kube-abc123/kubeconfig

Paste that line into a second terminal: kubectl, and an operator started there, now talk to this server as
its administrator. No nodes and no controller-manager run: objects are stored, validated, watched and
authorized as anywhere, but Pods do not start, Deployments make no Pods, and a deleted namespace stays in
Terminating.""",
    )
    parser.add_argument(
        "--crds", type=Path, metavar="FOLDER", help="install the CustomResourceDefinitions in it"
    )
    arguments = parser.parse_args()

    def say(line: str) -> None:
        print(f"cluster: {line}", file=sys.stderr, flush=True)

    try:
        assets = kube_assets(say)
    except AssetsError as error:
        sys.exit(f"cluster: {error}")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # as Ctrl-C: through the end of `with`
    with contextlib.suppress(KeyboardInterrupt), Cluster(assets) as cluster:
        if arguments.crds is not None:
            cluster.install_crds(arguments.crds)
        print(f"export KUBECONFIG={cluster.kubeconfig}", flush=True)
        say(f"{VERSION} ready at {cluster.url}; kubectl is {assets.kubectl}; Ctrl-C ends it")
        while True:
            signal.pause()


if __name__ == "__main__":
    main()
