"""The real API server of the tests does what it says. `tests/kube/test_proxies.py` tests its proxies."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.kube.access import ApiConnection, ApiError, Json
from tests.kube.assets import KubeAssets, find_kube_assets
from tests.kube.cluster import Cluster
from tests.kube.commands import API_AUDIENCE
from tests.kube.metrics import RequestKey
from tests.kube.probes import config_maps, connections_are_served, make_config_map, next_event, watch
from tests.kube.server import ServerDied

pytestmark = pytest.mark.kube

CRD = """\
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: gadgets.tools.headgate.test}
spec:
  group: tools.headgate.test
  names: {plural: gadgets, singular: gadget, kind: Gadget}
  scope: Namespaced
  versions:
    - name: v1
      served: true
      storage: true
      schema:
        openAPIV3Schema:
          type: object
          properties:
            spec:
              type: object
              properties: {size: {type: integer}}
              x-kubernetes-validations: [{rule: self.size < 10, message: size must be below 10}]
"""


def review_token(cluster: Cluster, token: str, audience: str) -> Json:
    review = {
        "apiVersion": "authentication.k8s.io/v1",
        "kind": "TokenReview",
        "spec": {"token": token, "audiences": [audience]},
    }
    status: Json = cluster.request("POST", "/apis/authentication.k8s.io/v1/tokenreviews", review)["status"]
    return status


def test_a_token_is_confirmed_for_the_audience_that_it_was_made_for(cluster: Cluster, namespace: str) -> None:
    cluster.kubectl("create", "serviceaccount", "gateway", "--namespace", namespace)
    token = cluster.service_account_token(namespace, "gateway", "headgate-config")

    status = review_token(cluster, token, "headgate-config")

    assert status["authenticated"] is True
    assert status["audiences"] == ["headgate-config"]
    assert status["user"]["username"] == f"system:serviceaccount:{namespace}:gateway"


def test_a_token_is_refused_for_another_audience(cluster: Cluster, namespace: str) -> None:
    cluster.kubectl("create", "serviceaccount", "gateway", "--namespace", namespace)
    token = cluster.service_account_token(namespace, "gateway", "headgate-config")

    status = review_token(cluster, token, "another")

    assert "authenticated" not in status
    assert "token audiences" in status["error"]


def test_a_service_account_may_do_what_its_role_grants_and_no_more(
    cluster: Cluster, namespace: str, tmp_path: Path
) -> None:
    in_namespace = ("--namespace", namespace)
    cluster.kubectl("create", "serviceaccount", "reader", *in_namespace)
    cluster.kubectl("create", "role", "reader", "--verb=list", "--resource=configmaps", *in_namespace)
    who = f"--serviceaccount={namespace}:reader"
    cluster.kubectl("create", "rolebinding", "reader", "--role=reader", who, *in_namespace)
    token = cluster.service_account_token(namespace, "reader", API_AUDIENCE)
    kubeconfig = f"--kubeconfig={cluster.user_kubeconfig(tmp_path / 'reader', token)}"

    granted = cluster.kubectl(kubeconfig, "get", "configmaps", *in_namespace, check=False)
    denied = cluster.kubectl(kubeconfig, "get", "secrets", *in_namespace, check=False)

    assert (granted.returncode, granted.stderr.strip()) == (
        0,
        f"No resources found in {namespace} namespace.",
    )
    assert "secrets is forbidden" in denied.stderr


def test_a_crd_is_served_and_validated_once_installed(
    cluster: Cluster, namespace: str, tmp_path: Path
) -> None:
    (tmp_path / "gadgets.yaml").write_text(CRD)
    cluster.install_crds(tmp_path)
    gadgets = f"/apis/tools.headgate.test/v1/namespaces/{namespace}/gadgets"
    gadget: Json = {
        "apiVersion": "tools.headgate.test/v1",
        "kind": "Gadget",
        "metadata": {"name": "large"},
        "spec": {"size": 10},
    }

    with pytest.raises(ApiError, match="size must be below 10") as caught:
        cluster.request("POST", gadgets, gadget)
    cluster.request("POST", gadgets, gadget | {"spec": {"size": 9}})

    assert (caught.value.status, caught.value.reason) == (422, "Invalid")


def test_a_removed_namespace_takes_along_what_finalizers_keep(cluster: Cluster) -> None:
    name = cluster.create_namespace()
    kept = {"metadata": {"name": "kept", "finalizers": ["headgate.test/nobody-home"]}}
    cluster.request("POST", config_maps(name), kept)

    cluster.remove_namespace(name)

    with pytest.raises(ApiError, match="not found"):
        cluster.request("GET", f"/api/v1/namespaces/{name}")
    assert cluster.request("GET", config_maps(name))["items"] == []


def test_a_stopped_api_server_refuses_and_comes_back_with_its_data(cluster: Cluster, namespace: str) -> None:
    make_config_map(cluster, namespace, "kept")
    access = cluster.access

    cluster.stop_apiserver()
    with pytest.raises(ConnectionRefusedError):
        connections_are_served(access)
    cluster.start_apiserver()

    assert cluster.access == access
    [item] = cluster.request("GET", config_maps(namespace))["items"]
    assert item["metadata"]["name"] == "kept"


def test_expired_resource_versions_get_410_in_lists_and_watches(cluster: Cluster, namespace: str) -> None:
    version = make_config_map(cluster, namespace, "old")
    exact = f"{config_maps(namespace)}?resourceVersion={version}&resourceVersionMatch=Exact"
    before = cluster.request("GET", exact)["items"]

    cluster.expire_resource_versions()

    assert len(before) == 1
    with pytest.raises(ApiError) as caught:
        cluster.request("GET", exact)
    assert (caught.value.status, caught.value.reason) == (410, "Expired")
    with watch(cluster.access, namespace, version) as stream:
        assert next_event(stream) == ("ERROR", "Expired")


def test_a_compaction_moves_on_every_time(cluster: Cluster) -> None:
    first = cluster.etcd_compact()

    assert cluster.etcd_compact() > first


def test_the_request_count_tells_what_was_asked(cluster: Cluster, namespace: str) -> None:
    before = cluster.request_count(group="")

    for _ in range(3):
        cluster.request("GET", config_maps(namespace))
    asked = cluster.request_count(group="") - before

    assert asked[RequestKey("LIST", "configmaps", "")] == 3


def test_two_clusters_do_not_meet(cluster: Cluster, namespace: str) -> None:
    make_config_map(cluster, namespace, "here")

    with Cluster(find_kube_assets()) as other:
        assert other.request("GET", config_maps(namespace))["items"] == []
        with pytest.raises(ApiError, match="Unauthorized"), other.access.connect() as api:
            ApiConnection(api.http, cluster.access.token).json("GET", "/api/v1/namespaces")


def test_a_cluster_ends_with_its_process_even_by_kill_9(cluster: Cluster) -> None:
    command = [sys.executable, "-m", "tests.kube.cluster"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[1])
    assert process.stdout is not None
    kubeconfig = Path(process.stdout.readline().strip().removeprefix("export KUBECONFIG="))
    server = json.loads(kubeconfig.read_text())["clusters"][0]["cluster"]["server"]

    process.send_signal(signal.SIGKILL)
    process.communicate()  # until the last one that holds its output has ended: the keeper

    assert not kubeconfig.parent.exists()
    with pytest.raises(ConnectionRefusedError):
        connections_are_served(cluster.access.through(server))


def test_a_server_that_dies_is_reported_with_the_end_of_its_log(tmp_path: Path) -> None:
    assets = find_kube_assets()
    broken = tmp_path / "kube-apiserver"
    broken.write_text("#!/bin/sh\necho no such flag\nexit 3\n")
    broken.chmod(0o755)

    with (
        pytest.raises(ServerDied) as caught,
        Cluster(KubeAssets(apiserver=broken, etcd=assets.etcd, kubectl=assets.kubectl)),
    ):
        pass

    assert str(caught.value) == "kube-apiserver ended with code 3: no such flag\n"
