"""`Kube` against a real API server: what it sends, and what failures turn into."""

import asyncio
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from headgate_operator.api.kinds import PROVIDER
from headgate_operator.kube import Conflict, Gone, Kube, KubeError, KubeSecret, NotFound, Unreachable
from tests.kube.apiproxy import ApiProxy
from tests.kube.apirequest import ApiRequest
from tests.kube.apirules import TOO_MANY_REQUESTS, Refusal
from tests.kube.cluster import Cluster
from tests.kube.faultproxy import FaultProxy
from tests.shell.operators import Objects, provider, secret

pytestmark = pytest.mark.kube


async def test_of_several_who_make_a_secret_at_once_all_get_the_same(kube: Kube, namespace: str) -> None:
    made = await asyncio.gather(*(kube.ensure_secret(namespace, "salt", partial(_salt, i)) for i in range(5)))

    assert len({s.data["salt"] for s in made}) == 1


async def test_a_secret_that_was_changed_since_it_was_read_is_not_replaced(
    kube: Kube, namespace: str
) -> None:
    read = await kube.ensure_secret(namespace, "state", lambda: {"n": b"1"}, {"keep": "me"})
    newer = await kube.replace_secret(read, {"n": b"2"})

    with pytest.raises(Conflict):
        await kube.replace_secret(read, {"n": b"3"})
    assert await kube.read_secret(namespace, "state") == newer
    assert newer.labels == {"keep": "me"}


async def test_a_secret_is_put_whatever_stood_there(kube: Kube, namespace: str) -> None:
    await kube.put_secret(namespace, "state", {"n": b"1"})
    await kube.put_secret(namespace, "state", {"n": b"2"})
    found = await kube.read_secret(namespace, "state")
    await kube.delete_secret(namespace, "state")
    await kube.delete_secret(namespace, "state")

    assert found is not None
    assert found.data == {"n": b"2"}
    assert await kube.read_secret(namespace, "state") is None


def test_a_secret_shows_none_of_its_values() -> None:
    shown = KubeSecret("team", "key", "7", {"api-key": b"sk-planted"}, {})

    assert "sk-planted" not in f"{shown!r} {shown}"
    assert str(shown) == "Secret team/key (api-key: [redacted])"


async def test_a_token_for_our_audience_names_its_service_account(
    kube: Kube, cluster: Cluster, namespace: str
) -> None:
    await _make_account(cluster, namespace)
    token = await asyncio.to_thread(cluster.service_account_token, namespace, "gateway", "headgate-operator")

    reviewed = await kube.review_token(token, "headgate-operator")
    assert reviewed is not None
    assert reviewed.username == f"system:serviceaccount:{namespace}:gateway"
    assert f"system:serviceaccounts:{namespace}" in reviewed.groups
    assert reviewed.pod is None


async def test_a_token_for_another_audience_proves_nothing(
    kube: Kube, cluster: Cluster, namespace: str
) -> None:
    await _make_account(cluster, namespace)
    token = await asyncio.to_thread(cluster.service_account_token, namespace, "gateway", "somebody-else")

    assert await kube.review_token(token, "headgate-operator") is None
    assert await kube.review_token("nonsense", "headgate-operator") is None


async def test_a_status_is_applied_and_nothing_else_is(kube: Kube, objects: Objects) -> None:
    await objects.apply(provider("openai"))
    before = await objects.get("LLMProvider", "openai")
    written = await kube.apply_status(
        PROVIDER, objects.namespace, "openai", _version(before), {"health": "Healthy"}
    )
    again = await kube.apply_status(
        PROVIDER, objects.namespace, "openai", _version(written), {"circuit": "Open"}
    )

    assert written["status"] == {"health": "Healthy"}
    assert again["status"] == {"circuit": "Open"}
    assert again["spec"] == before["spec"]
    assert again["metadata"]["generation"] == 1


async def test_a_status_for_an_object_that_is_gone_is_refused(kube: Kube, objects: Objects) -> None:
    with pytest.raises(NotFound):
        await kube.apply_status(PROVIDER, objects.namespace, "nobody", 1, {"health": "Healthy"})


async def test_a_status_for_an_object_that_has_changed_since_is_refused(kube: Kube, objects: Objects) -> None:
    await objects.apply(provider("openai"))
    before = await objects.get("LLMProvider", "openai")
    await objects.delete("LLMProvider", "openai")
    await objects.apply(provider("openai"))

    with pytest.raises(Conflict):
        await kube.apply_status(
            PROVIDER, objects.namespace, "openai", _version(before), {"health": "Healthy"}
        )


async def test_a_list_comes_in_pages_with_one_resource_version(kube: Kube, objects: Objects) -> None:
    await objects.apply(provider("a"), provider("b"))
    pages = [page async for page in kube.list_objects(PROVIDER, objects.namespace)]

    (page,) = pages
    assert [item["metadata"]["name"] for item in page.items] == ["a", "b"]
    assert {(item["apiVersion"], item["kind"]) for item in page.items} == {
        ("headgate.dev/v1alpha1", "LLMProvider")
    }
    assert int(page.resource_version) >= int(page.items[1]["metadata"]["resourceVersion"])


async def test_a_metadata_list_has_no_specs(kube: Kube, objects: Objects) -> None:
    await objects.apply(provider("a"))
    (page,) = [page async for page in kube.list_objects(PROVIDER, objects.namespace, metadata_only=True)]

    (item,) = page.items
    assert "spec" not in item
    assert item["metadata"]["generation"] == 1


async def test_only_labelled_secrets_are_listed(kube: Kube, objects: Objects) -> None:
    await objects.apply(secret("seen", "sk-1"), secret("unseen", "sk-2", watched=False))
    (page,) = [page async for page in kube.list_labelled_secrets(objects.namespace)]

    assert [item["metadata"]["name"] for item in page.items] == ["seen"]


async def test_refusals_say_what_was_asked_and_whether_to_try_again(
    apiproxy: ApiProxy, namespace: str, tmp_path: Path
) -> None:
    kube = await Kube.connect(str(apiproxy.access.write_kubeconfig(tmp_path / "kubeconfig")))
    path = f"/api/v1/namespaces/{namespace}/secrets/key"
    apiproxy.on(_is_secret, Refusal(403, "Forbidden", "you may not"), times=1)
    apiproxy.on(_is_secret, TOO_MANY_REQUESTS, times=1)
    apiproxy.on(_is_secret, Refusal(410, "Expired", "too old"), times=1)

    with pytest.raises(KubeError, match=f"GET {path}: 403: you may not") as forbidden:
        await kube.read_secret(namespace, "key")
    with pytest.raises(KubeError) as throttled:
        await kube.read_secret(namespace, "key")
    with pytest.raises(Gone):
        await kube.read_secret(namespace, "key")
    assert (forbidden.value.retryable, throttled.value.retryable) == (False, True)
    await kube.close()


async def test_no_answer_is_told_from_a_refusal(
    cluster: Cluster, faultproxy: FaultProxy, tmp_path: Path
) -> None:
    through = cluster.access.through(f"https://{faultproxy.address}")
    kube = await Kube.connect(str(through.write_kubeconfig(tmp_path / "kubeconfig")))
    await kube.read_secret("default", "key")
    since = kube.connection.reachable_since
    faultproxy.refuse()
    faultproxy.cut()

    with pytest.raises(
        Unreachable, match="GET /api/v1/namespaces/default/secrets/key: no answer from https://"
    ):
        await kube.read_secret("default", "key")
    assert since is not None
    assert kube.connection.reachable_since is None
    await kube.close()


async def test_a_kubeconfig_that_is_not_there_is_named_with_the_remedy() -> None:
    with pytest.raises(KubeError) as caught:
        await Kube.connect("/nowhere/kubeconfig")

    assert "name a kubeconfig file with --kubeconfig or KUBECONFIG" in str(caught.value)
    assert not caught.value.retryable


def _version(raw: dict[str, Any]) -> int:
    return int(raw["metadata"]["resourceVersion"])


def _salt(number: int) -> dict[str, bytes]:
    return {"salt": str(number).encode()}


def _is_secret(request: ApiRequest) -> bool:
    return request.resource == "secrets"


async def _make_account(cluster: Cluster, namespace: str) -> None:
    body = {"metadata": {"name": "gateway"}}
    await asyncio.to_thread(cluster.request, "POST", f"/api/v1/namespaces/{namespace}/serviceaccounts", body)
