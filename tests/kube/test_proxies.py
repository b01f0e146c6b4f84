"""The proxies before the API server break what they say they break, and nothing else."""

from __future__ import annotations

import http.client
import socket
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from kubernetes import aio

from tests.kube.access import Access, ApiError
from tests.kube.apiproxy import ApiProxy
from tests.kube.apirequest import ApiRequest
from tests.kube.apirules import EXPIRED, INTERNAL_ERROR, TOO_MANY_REQUESTS, Refusal
from tests.kube.cluster import Cluster
from tests.kube.commands import API_AUDIENCE
from tests.kube.faultproxy import FaultProxy
from tests.kube.probes import config_maps, connections_are_served, make_config_map, next_event, watch

pytestmark = pytest.mark.kube


def of_config_maps(request: ApiRequest) -> bool:
    return request.resource == "configmaps"


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
        with socket.create_connection(("127.0.0.1", faultproxy.port)) as connection:
            faultproxy.wait_until(lambda proxy: proxy.open_connections == 1)

            faultproxy.cut()

            with pytest.raises(ConnectionResetError):
                connection.recv(1)
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

    def test_a_connection_that_is_stalled_when_the_proxy_closes_is_reset(self, cluster: Cluster) -> None:
        proxy = FaultProxy(cluster.port)
        with socket.create_connection(("127.0.0.1", proxy.port)) as connection:
            proxy.wait_until(lambda proxy: proxy.open_connections == 1)
            proxy.stall()
            proxy.close()

            with pytest.raises(ConnectionResetError):
                connection.recv(1)


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
        self, namespace: str, apiproxy: ApiProxy, refusal: Refusal
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

    def test_a_watch_that_is_open_when_the_proxy_closes_is_cut(
        self, cluster: Cluster, namespace: str
    ) -> None:
        proxy = ApiProxy(cluster.access)
        with watch(proxy.access, namespace, "0") as stream:
            proxy.close()

            with pytest.raises(http.client.IncompleteRead):
                stream.read()

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
