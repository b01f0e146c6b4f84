"""The room against a real kube-apiserver: TokenReview, the authority's Secrets, the bootstrap's fence."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest
from prometheus_client import CollectorRegistry

from headgate_operator.kube import Kube
from headgate_operator.publish.bootstrap import Bootstrap, Deposed
from headgate_operator.publish.callers import Caller, Callers, Refusal
from headgate_operator.publish.change import Change
from headgate_operator.publish.publisher import Publisher
from headgate_operator.settings import OperatorSettings
from tests.kube.cluster import Cluster
from tests.shell.publish.fakes import AUDIENCE, make_provider, make_table
from tests.shell.publish.test_bootstrap import SMALL, content_of

pytestmark = pytest.mark.kube

NOW_S = 0.0
"""Before every token's end: the API server, not this test, judges what is expired."""


@pytest.fixture
async def api(cluster: Cluster) -> AsyncIterator[Kube]:
    kube = await Kube.connect(str(cluster.kubeconfig))
    yield kube
    await kube.close()


def make_callers(api: Kube, namespace: str) -> Callers:
    return Callers(api, AUDIENCE, (f"{namespace}:gateway",), lambda: NOW_S)


async def make_account(cluster: Cluster, namespace: str, name: str) -> None:
    await asyncio.to_thread(cluster.kubectl, "create", "serviceaccount", name, "-n", namespace)


async def make_token(cluster: Cluster, namespace: str, name: str, audience: str = AUDIENCE) -> str:
    return await asyncio.to_thread(cluster.service_account_token, namespace, name, audience)


async def test_the_api_server_vouches_for_a_gateways_token(
    api: Kube, cluster: Cluster, namespace: str
) -> None:
    await make_account(cluster, namespace, "gateway")
    token = await make_token(cluster, namespace, "gateway")

    assert await make_callers(api, namespace).identify(f"Bearer {token}") == Caller(
        f"{namespace}:gateway", None
    )


async def test_the_api_server_names_the_pod_that_a_token_is_bound_to(
    api: Kube, cluster: Cluster, namespace: str
) -> None:
    await make_account(cluster, namespace, "gateway")
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "gw-1"},
        "spec": {"serviceAccountName": "gateway", "containers": [{"name": "gateway", "image": "none"}]},
    }
    made = await asyncio.to_thread(cluster.request, "POST", f"/api/v1/namespaces/{namespace}/pods", pod)
    bound = {"kind": "Pod", "apiVersion": "v1", "name": "gw-1", "uid": made["metadata"]["uid"]}
    answer = await asyncio.to_thread(
        cluster.request,
        "POST",
        f"/api/v1/namespaces/{namespace}/serviceaccounts/gateway/token",
        {"spec": {"audiences": [AUDIENCE], "expirationSeconds": 3600, "boundObjectRef": bound}},
    )
    token = answer["status"]["token"]

    assert await make_callers(api, namespace).identify(f"Bearer {token}") == Caller(
        f"{namespace}:gateway", "gw-1"
    )


async def test_a_token_for_the_api_server_itself_is_refused(
    api: Kube, cluster: Cluster, namespace: str
) -> None:
    await make_account(cluster, namespace, "gateway")
    token = await make_token(cluster, namespace, "gateway", "somebody-else")

    refusal = await make_callers(api, namespace).identify(f"Bearer {token}")

    assert isinstance(refusal, Refusal)
    assert refusal.status == 401


async def test_another_service_account_is_refused(api: Kube, cluster: Cluster, namespace: str) -> None:
    await make_account(cluster, namespace, "app")
    token = await make_token(cluster, namespace, "app")

    refusal = await make_callers(api, namespace).identify(f"Bearer {token}")

    assert refusal == Refusal(
        403,
        f"system:serviceaccount:{namespace}:app may not read the routing table; run the gateway as "
        f"system:serviceaccount:{namespace}:gateway, or name its account with --gateway-account",
    )


async def test_a_token_with_a_forged_signature_is_refused(
    api: Kube, cluster: Cluster, namespace: str
) -> None:
    await make_account(cluster, namespace, "gateway")
    token = await make_token(cluster, namespace, "gateway")
    forged = token.rpartition(".")[0] + ".c2ln"

    assert await make_callers(api, namespace).identify(f"Bearer {forged}") == Refusal(
        401, "the API server does not accept the token"
    )


async def test_the_token_of_a_deleted_account_is_refused(api: Kube, cluster: Cluster, namespace: str) -> None:
    await make_account(cluster, namespace, "gateway")
    token = await make_token(cluster, namespace, "gateway")
    await asyncio.to_thread(cluster.kubectl, "delete", "serviceaccount", "gateway", "-n", namespace)

    assert await make_callers(api, namespace).identify(f"Bearer {token}") == Refusal(
        401, "the API server does not accept the token"
    )


async def test_an_outage_keeps_those_who_were_known_and_nobody_else(
    api: Kube, cluster: Cluster, namespace: str
) -> None:
    await make_account(cluster, namespace, "gateway")
    known, unknown = [await make_token(cluster, namespace, "gateway") for _ in range(2)]
    now_s = 0.0
    callers = Callers(api, AUDIENCE, (f"{namespace}:gateway",), lambda: now_s)
    await callers.identify(f"Bearer {known}")
    now_s = 1000.0
    await asyncio.to_thread(cluster.stop_apiserver)
    during = [await callers.identify(f"Bearer {token}") for token in (known, unknown)]

    assert during == [
        Caller(f"{namespace}:gateway", None),
        Refusal(503, "the API server cannot be asked who this token belongs to; dial again"),
    ]


async def test_a_bootstrap_is_read_back_as_it_was_written(api: Kube, namespace: str) -> None:
    leader = Bootstrap(api, namespace, "first")
    await leader.claim(0)
    await leader.write(content_of(SMALL))
    claimed = await Bootstrap(api, namespace, "second").claim(0)

    assert (claimed.epoch, claimed.table) == (2, SMALL)


async def test_a_bootstrap_of_several_secrets_shrinks_and_is_fenced(api: Kube, namespace: str) -> None:
    big = content_of(make_table(*map(make_provider, range(20)), tenants=14000))
    leader = Bootstrap(api, namespace, "first")
    await leader.claim(0)
    await leader.write(big)
    second = await api.read_secret(namespace, "headgate-bootstrap-1")
    await leader.write(content_of(SMALL))
    gone = await api.read_secret(namespace, "headgate-bootstrap-1")
    await Bootstrap(api, namespace, "second").claim(0)

    assert second is not None
    assert gone is None
    with pytest.raises(Deposed):
        await leader.write(content_of(SMALL))


async def test_a_bootstrap_that_somebody_deleted_is_made_anew(api: Kube, namespace: str) -> None:
    leader = Bootstrap(api, namespace, "first")
    await leader.claim(0)
    await leader.write(content_of(SMALL))
    await api.delete_secret(namespace, "headgate-bootstrap-0")
    await leader.write(content_of(SMALL))

    assert await api.read_secret(namespace, "headgate-bootstrap-0") is not None


async def test_three_replicas_that_start_at_once_agree_on_the_authority(api: Kube, namespace: str) -> None:
    settings = OperatorSettings(
        own_namespace=namespace,
        stream_host="127.0.0.1",
        stream_port=0,
        dns_names=(),
        ip_addresses=("127.0.0.1",),
    )

    def ignore(change: Change) -> None:
        """No gateway dials here."""

    async with contextlib.AsyncExitStack() as stack:
        replicas = [Publisher(api, settings, CollectorRegistry(), ignore) for _ in range(3)]
        for replica in replicas:
            stack.push_async_callback(replica.stop)
        await asyncio.gather(*(replica.start() for replica in replicas))
        authority = await api.read_secret(namespace, "headgate-ca")
        bundle = await api.read_secret(namespace, "headgate-ca-bundle")

    assert authority is not None
    assert bundle is not None
    assert bundle.data == {"ca.crt": authority.data["ca.crt"]}
