"""Who signs service accounts' tokens, as a real API server tells it, and what becomes of it."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from headgate_operator.cluster import ClusterReader
from headgate_operator.compile.resources import Cluster, UnknownCluster
from headgate_operator.kube import Kube
from headgate_operator.settings import WatchTimes
from headgate_operator.store import Store
from tests.kube.apiproxy import ApiProxy
from tests.kube.apirequest import ApiRequest
from tests.kube.apirules import Refusal
from tests.kube.cluster import Cluster as RunningCluster
from tests.kube.commands import API_AUDIENCE
from tests.shell.operators import Objects, eventually, make_settings, running, wait_leading, wait_table

pytestmark = pytest.mark.kube

FORBIDDEN = Refusal(403, "Forbidden", "you may not")


def is_discovery(request: ApiRequest) -> bool:
    return request.path in ("/.well-known/openid-configuration", "/openid/v1/jwks")


def is_jwks(request: ApiRequest) -> bool:
    return request.path == "/openid/v1/jwks"


class Bench:
    def __init__(self, kube: Kube, times: WatchTimes) -> None:
        self.store = Store()
        self.reader = ClusterReader(kube, self.store, times)
        self.marks = 0
        self.store.on_dirty = self._mark

    def _mark(self) -> None:
        self.marks += 1


@pytest.fixture
async def bench(apiproxy: ApiProxy, tmp_path: Path) -> AsyncIterator[Bench]:
    kube = await Kube.connect(str(apiproxy.access.write_kubeconfig(tmp_path / "kubeconfig")))
    yield Bench(kube, WatchTimes(cluster_s=0.02, cluster_retry_s=0.02))
    await kube.close()


def read_token(token: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Its header and its claims, unverified."""
    header, claims, _ = (
        json.loads(_decode(part)) if i < 2 else {} for i, part in enumerate(token.split("."))
    )
    return header, claims


def _decode(part: str) -> bytes:
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))


async def test_a_service_accounts_token_has_the_issuer_and_a_key_that_are_read(
    bench: Bench, cluster: RunningCluster, namespace: str
) -> None:
    path = f"/api/v1/namespaces/{namespace}/serviceaccounts"
    await asyncio.to_thread(cluster.request, "POST", path, {"metadata": {"name": "robot"}})
    token = await asyncio.to_thread(cluster.service_account_token, namespace, "robot", "headgate")
    header, claims = read_token(token)
    await bench.reader.read()
    known = bench.store.cluster

    assert isinstance(known, Cluster)
    assert known.issuer == claims["iss"] == API_AUDIENCE
    assert header["kid"] in {key["kid"] for key in json.loads(known.keys)["keys"]}
    assert claims["sub"] == f"system:serviceaccount:{namespace}:robot"


async def test_the_same_answer_is_no_news(bench: Bench) -> None:
    await bench.reader.read()
    await bench.reader.read()

    assert bench.marks == 1


async def test_a_refusal_is_told_with_its_reason_until_there_is_an_answer(
    bench: Bench, apiproxy: ApiProxy
) -> None:
    refusal = apiproxy.on(is_discovery, FORBIDDEN)
    await bench.reader.read()
    refused = bench.store.cluster
    refusal.remove()
    life = asyncio.create_task(bench.reader.run())

    async def known() -> bool:
        return isinstance(bench.store.cluster, Cluster)

    await eventually(known)
    life.cancel()
    assert refused == UnknownCluster("GET /.well-known/openid-configuration: 403: you may not")


async def test_an_answer_without_keys_is_none(bench: Bench, apiproxy: ApiProxy) -> None:
    apiproxy.on(is_jwks, Refusal(200, "OK"))
    await bench.reader.read()

    assert bench.store.cluster == UnknownCluster("GET /openid/v1/jwks: the answer names no issuer or no keys")


async def test_what_was_read_is_kept_while_it_cannot_be_read_again(bench: Bench, apiproxy: ApiProxy) -> None:
    await bench.reader.read()
    before = bench.store.cluster
    refusal = apiproxy.on(is_jwks, FORBIDDEN)
    await bench.reader.read()

    assert refusal.hits == 1
    assert bench.store.cluster is before
    assert bench.marks == 1


async def test_a_quota_with_a_service_account_is_served_and_says_so_when_it_cannot_be(
    objects: Objects, apiproxy: ApiProxy, tmp_path: Path
) -> None:
    refusal = apiproxy.on(is_discovery, FORBIDDEN)
    settings = make_settings(
        apiproxy.access.write_kubeconfig(tmp_path / "kubeconfig"),
        objects.namespace,
        watch=WatchTimes(cluster_retry_s=0.1),
    )
    subject = {"name": "robot", "type": "ServiceAccount", "serviceAccount": {"name": "robot"}}
    await objects.apply(
        {
            "apiVersion": "headgate.dev/v1alpha1",
            "kind": "TenantQuota",
            "metadata": {"name": "team"},
            "spec": {"subjects": [subject]},
        }
    )

    async def refs() -> tuple[str, str] | None:
        return (await objects.conditions("TenantQuota", "team")).get("ResolvedRefs")

    async with running(settings) as operator:
        await wait_leading(operator)
        await wait_table(operator, "Tenant/team")
        await eventually(refs, lambda said: said == ("False", "ServiceAccountsUnknown"))
        refusal.remove()
        await eventually(refs, lambda said: said == ("True", "ResolvedRefs"))
        assert operator.rooms is not None
        table = operator.rooms.publisher.last_published_table()

    assert table is not None
    assert table.installation.cluster_issuer == API_AUDIENCE
    assert [jwt.issuer for jwt in table.tenants[0].jwts] == [API_AUDIENCE]
