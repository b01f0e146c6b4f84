"""The real API server of the tests, and the proxies before it, do what they say."""

from __future__ import annotations

import http.client
import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
from kubernetes import aio

from tests.kube.access import Access, ApiConnection, ApiError, Json
from tests.kube.apiproxy import ApiProxy
from tests.kube.apirequest import ApiRequest
from tests.kube.apirules import EXPIRED, INTERNAL_ERROR, TOO_MANY_REQUESTS
from tests.kube.assets import KubeAssets, find_kube_assets
from tests.kube.cluster import Cluster
from tests.kube.commands import API_AUDIENCE
from tests.kube.faultproxy import FaultProxy
from tests.kube.metrics import RequestKey
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


def config_maps(namespace: str) -> str:
    return f"/api/v1/namespaces/{namespace}/configmaps"


def make_config_map(cluster: Cluster, namespace: str, name: str) -> str:
    """Its resourceVersion."""
    made = cluster.request("POST", config_maps(namespace), {"metadata": {"name": name}})
    version: str = made["metadata"]["resourceVersion"]
    return version


def review_token(cluster: Cluster, token: str, audience: str) -> Json:
    review = {
        "apiVersion": "authentication.k8s.io/v1",
        "kind": "TokenReview",
        "spec": {"token": token, "audiences": [audience]},
    }
    status: Json = cluster.request("POST", "/apis/authentication.k8s.io/v1/tokenreviews", review)["status"]
    return status


@contextmanager
def watch(access: Access, namespace: str, version: str) -> Iterator[http.client.HTTPResponse]:
    """A watch of the namespace's ConfigMaps; its lines are events."""
    path = f"{config_maps(namespace)}?watch=1&resourceVersion={version}"
    with access.connect() as api:
        api.http.request("GET", path, headers={"Authorization": f"Bearer {access.token}"})
        yield api.http.getresponse()


def next_event(stream: http.client.HTTPResponse) -> tuple[str, str]:
    """(type, name) of an object, (ERROR, reason) of a failure."""
    event = json.loads(stream.readline())
    return event["type"], event["object"].get("reason") or event["object"]["metadata"]["name"]


def connections_are_served(access: Access) -> bool:
    with access.connect() as api:
        return api.text("GET", "/readyz") == "ok"


def of_config_maps(request: ApiRequest) -> bool:
    return request.resource == "configmaps"


class TestCluster:
    def test_a_token_is_confirmed_for_the_audience_that_it_was_made_for(
        self, cluster: Cluster, namespace: str
    ) -> None:
        cluster.kubectl("create", "serviceaccount", "gateway", "--namespace", namespace)
        token = cluster.service_account_token(namespace, "gateway", "headgate-config")

        status = review_token(cluster, token, "headgate-config")

        assert status["authenticated"] is True
        assert status["audiences"] == ["headgate-config"]
        assert status["user"]["username"] == f"system:serviceaccount:{namespace}:gateway"

    def test_a_token_is_refused_for_another_audience(self, cluster: Cluster, namespace: str) -> None:
        cluster.kubectl("create", "serviceaccount", "gateway", "--namespace", namespace)
        token = cluster.service_account_token(namespace, "gateway", "headgate-config")

        status = review_token(cluster, token, "another")

        assert "authenticated" not in status
        assert "token audiences" in status["error"]

    def test_a_service_account_may_do_what_its_role_grants_and_no_more(
        self, cluster: Cluster, namespace: str, tmp_path: Path
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
        self, cluster: Cluster, namespace: str, tmp_path: Path
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

    def test_a_removed_namespace_takes_along_what_finalizers_keep(self, cluster: Cluster) -> None:
        name = cluster.create_namespace()
        kept = {"metadata": {"name": "kept", "finalizers": ["headgate.test/nobody-home"]}}
        cluster.request("POST", config_maps(name), kept)

        cluster.remove_namespace(name)

        with pytest.raises(ApiError, match="not found"):
            cluster.request("GET", f"/api/v1/namespaces/{name}")
        assert cluster.request("GET", config_maps(name))["items"] == []

    def test_a_stopped_api_server_refuses_and_comes_back_with_its_data(
        self, cluster: Cluster, namespace: str
    ) -> None:
        make_config_map(cluster, namespace, "kept")
        access = cluster.access

        cluster.stop_apiserver()
        with pytest.raises(ConnectionRefusedError):
            connections_are_served(access)
        cluster.start_apiserver()

        assert cluster.access == access
        [item] = cluster.request("GET", config_maps(namespace))["items"]
        assert item["metadata"]["name"] == "kept"

    def test_expired_resource_versions_get_410_in_lists_and_watches(
        self, cluster: Cluster, namespace: str
    ) -> None:
        version = make_config_map(cluster, namespace, "old")
        exact = f"{config_maps(namespace)}?resourceVersion={version}&resourceVersionMatch=Exact"
        cluster.restart_apiserver()
        before = cluster.request("GET", exact)["items"]

        cluster.expire_resource_versions()

        assert len(before) == 1
        with pytest.raises(ApiError) as caught:
            cluster.request("GET", exact)
        assert (caught.value.status, caught.value.reason) == (410, "Expired")
        with watch(cluster.access, namespace, version) as stream:
            assert next_event(stream) == ("ERROR", "Expired")

    def test_a_compaction_moves_on_every_time(self, cluster: Cluster) -> None:
        first = cluster.etcd_compact()

        assert cluster.etcd_compact() > first

    def test_the_request_count_tells_what_was_asked(self, cluster: Cluster, namespace: str) -> None:
        before = cluster.request_count(group="")

        for _ in range(3):
            cluster.request("GET", config_maps(namespace))
        asked = cluster.request_count(group="") - before

        assert asked[RequestKey("LIST", "configmaps", "")] == 3

    def test_two_clusters_do_not_meet(self, cluster: Cluster, namespace: str) -> None:
        make_config_map(cluster, namespace, "here")

        with Cluster(find_kube_assets()) as other:
            assert other.request("GET", config_maps(namespace))["items"] == []
            with pytest.raises(ApiError, match="Unauthorized"), other.access.connect() as api:
                ApiConnection(api.http, cluster.access.token).json("GET", "/api/v1/namespaces")

    def test_a_cluster_ends_with_its_process_even_by_kill_9(self, cluster: Cluster) -> None:
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

    def test_a_server_that_dies_is_reported_with_the_end_of_its_log(self, tmp_path: Path) -> None:
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


class TestFaultProxy:
    @pytest.fixture
    def proxied(self, cluster: Cluster, faultproxy: FaultProxy) -> Access:
        return cluster.access.through(f"https://{faultproxy.address}")

    def test_bytes_pass_and_are_counted(self, proxied: Access, faultproxy: FaultProxy) -> None:
        with proxied.connect() as api:
            api.text("GET", "/readyz")
            up, down = faultproxy.bytes_up, faultproxy.bytes_down
            api.text("GET", "/openapi/v2")
            faultproxy.wait_until(lambda proxy: proxy.bytes_down - down > 1_000_000)

        assert 0 < faultproxy.bytes_up - up < 10_000
        assert faultproxy.connected == 1

    def test_a_cut_resets_open_connections_and_new_ones_are_served(
        self, proxied: Access, faultproxy: FaultProxy
    ) -> None:
        with proxied.connect() as api:
            api.text("GET", "/readyz")

            faultproxy.cut()

            with pytest.raises(ConnectionResetError):
                api.text("GET", "/readyz")
        assert connections_are_served(proxied)

    def test_while_refusing_open_connections_go_on(self, proxied: Access, faultproxy: FaultProxy) -> None:
        with proxied.connect() as api:
            api.text("GET", "/readyz")

            faultproxy.refuse()

            assert api.text("GET", "/readyz") == "ok"
            with pytest.raises(ConnectionRefusedError):
                connections_are_served(proxied)
        faultproxy.accept()
        assert connections_are_served(proxied)

    def test_what_is_stalled_arrives_after_resume(self, proxied: Access, faultproxy: FaultProxy) -> None:
        with proxied.connect() as api, ThreadPoolExecutor(1) as thread:
            api.text("GET", "/readyz")
            faultproxy.stall()
            down = faultproxy.bytes_down
            answer = thread.submit(api.text, "GET", "/readyz")
            with pytest.raises(TimeoutError):
                answer.result(0.05)
            held = faultproxy.bytes_down == down

            faultproxy.resume()

            assert answer.result(10) == "ok"
            assert held

    def test_a_stalled_connection_can_be_cut(self, proxied: Access, faultproxy: FaultProxy) -> None:
        with proxied.connect() as api, ThreadPoolExecutor(1) as thread:
            api.text("GET", "/readyz")
            faultproxy.stall()
            answer = thread.submit(api.text, "GET", "/readyz")

            faultproxy.cut()

            with pytest.raises(ConnectionError):
                answer.result(10)


class TestApiProxy:
    def test_requests_are_counted_by_verb_and_path(
        self, cluster: Cluster, namespace: str, apiproxy: ApiProxy
    ) -> None:
        with apiproxy.access.connect() as api:
            api.json("POST", config_maps(namespace), {"metadata": {"name": "counted"}})
            api.json("GET", config_maps(namespace))
            api.json("GET", config_maps(namespace) + "?limit=1")

        path = config_maps(namespace)
        assert apiproxy.counts() == {("create", path): 1, ("list", path): 2}
        assert apiproxy.count(lambda request: request.query.get("limit") == "1") == 1

    def test_requests_keep_their_own_token(
        self, cluster: Cluster, namespace: str, apiproxy: ApiProxy
    ) -> None:
        cluster.kubectl("create", "serviceaccount", "nobody", "--namespace", namespace)
        token = cluster.service_account_token(namespace, "nobody", API_AUDIENCE)

        with (
            pytest.raises(ApiError, match=f'"system:serviceaccount:{namespace}:nobody" cannot list'),
            apiproxy.access.acting_as(token).connect() as api,
        ):
            api.json("GET", config_maps(namespace))

    @pytest.mark.parametrize("refusal", [TOO_MANY_REQUESTS, INTERNAL_ERROR], ids=lambda it: str(it.status))
    def test_a_rule_answers_chosen_requests_as_often_as_it_says(
        self, namespace: str, apiproxy: ApiProxy, refusal: object
    ) -> None:
        rule = apiproxy.on(of_config_maps, refusal, times=1)

        with apiproxy.access.connect() as api:
            api.json("GET", "/api/v1/namespaces")
            with pytest.raises(ApiError) as caught:
                api.json("GET", config_maps(namespace))
            api.json("GET", config_maps(namespace))

        assert (caught.value.status, caught.value.reason) == (refusal.status, refusal.reason)
        assert rule.hits == 1

    def test_a_removed_rule_acts_no_more(self, namespace: str, apiproxy: ApiProxy) -> None:
        apiproxy.on(of_config_maps, INTERNAL_ERROR).remove()

        with apiproxy.access.connect() as api:
            assert api.json("GET", config_maps(namespace))["items"] == []

    def test_a_watch_can_begin_with_410(self, namespace: str, apiproxy: ApiProxy) -> None:
        apiproxy.on(of_config_maps, EXPIRED)

        with watch(apiproxy.access, namespace, "0") as stream:
            assert stream.status == 200
            assert next_event(stream) == ("ERROR", "Expired")
            assert stream.readline() == b""

    def test_a_list_is_no_watch_and_passes(self, namespace: str, apiproxy: ApiProxy) -> None:
        apiproxy.on(of_config_maps, EXPIRED)

        with apiproxy.access.connect() as api:
            assert api.json("GET", config_maps(namespace))["items"] == []

    def test_an_open_watch_delivers_events_until_it_is_ended_with_410(
        self, cluster: Cluster, namespace: str, apiproxy: ApiProxy
    ) -> None:
        version = make_config_map(cluster, namespace, "before")

        with watch(apiproxy.access, namespace, version) as stream:
            make_config_map(cluster, namespace, "during")
            delivered = next_event(stream)
            ended = apiproxy.end_watches(match=of_config_maps)
            last = next_event(stream)

            assert (delivered, ended, last) == (("ADDED", "during"), 1, ("ERROR", "Expired"))
            assert stream.readline() == b""
        apiproxy.wait_until(lambda proxy: proxy.open_watches == [])

    def test_a_watch_that_its_client_leaves_is_left_by_the_proxy(
        self, cluster: Cluster, namespace: str, apiproxy: ApiProxy
    ) -> None:
        version = make_config_map(cluster, namespace, "before")

        with watch(apiproxy.access, namespace, version):
            apiproxy.wait_until(lambda proxy: len(proxy.open_watches) == 1)

        apiproxy.wait_until(lambda proxy: proxy.open_watches == [])

    def test_a_stopped_api_server_is_a_broken_connection(self, cluster: Cluster, apiproxy: ApiProxy) -> None:
        cluster.stop_apiserver()

        with pytest.raises(ConnectionError):
            connections_are_served(apiproxy.access)

    async def test_the_kubernetes_client_takes_its_token_over_http_and_sees_the_410(
        self, namespace: str, apiproxy: ApiProxy, tmp_path: Path
    ) -> None:
        apiproxy.on(lambda request: request.verb == "watch", EXPIRED)
        kubeconfig = apiproxy.access.write_kubeconfig(tmp_path / "kubeconfig")
        async with await aio.config.new_client_from_config(str(kubeconfig)) as client:
            core = aio.client.CoreV1Api(client)
            listed = await core.list_namespaced_config_map(namespace)

            with pytest.raises(aio.client.ApiException) as caught:
                async for _ in aio.watch.Watch().stream(
                    core.list_namespaced_config_map, namespace, resource_version="1"
                ):
                    pass

        assert listed.items == []
        assert caught.value.status == 410
