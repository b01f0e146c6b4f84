"""The whole operator against a real API server, in this process: what it never does, and what it survives."""

import asyncio
from functools import partial
from pathlib import Path

import pytest

from headgate_operator.kube import Conflict, Kube
from headgate_operator.main import Operator
from headgate_operator.settings import LeaseTimes, WatchTimes
from tests.kube.apiproxy import ApiProxy
from tests.kube.apirequest import ApiRequest
from tests.kube.apirules import Refusal
from tests.kube.cluster import Cluster
from tests.kube.faultproxy import FaultProxy
from tests.shell.operators import (
    Objects,
    eventually,
    make_settings,
    probe,
    provider,
    quota,
    route,
    running,
    secret,
    table_of,
    wait_leading,
    wait_table,
)

pytestmark = pytest.mark.kube


async def test_an_applied_object_is_published_and_gets_its_status(cluster: Cluster, objects: Objects) -> None:
    async with running(make_settings(cluster.kubeconfig, objects.namespace)) as operator:
        await wait_leading(operator)
        await objects.apply(secret("key", "sk-1"), provider("openai", "key"), route("gpt", "openai"))

        await wait_table(operator, "Provider/openai", "Route/gpt")
        conditions = await eventually(lambda: objects.conditions("ModelRoute", "gpt"))
        assert conditions["Accepted"] == ("True", "Accepted")
        assert conditions["ResolvedRefs"] == ("True", "ResolvedRefs")


async def test_nothing_but_the_status_of_a_users_object_is_written(
    cluster: Cluster, objects: Objects
) -> None:
    await objects.apply(
        secret("key", "sk-1"), provider("openai", "key"), route("gpt", "openai"), quota("team", "key")
    )
    before = {kind: await objects.get(kind, name) for kind, name in OBJECTS}

    async with running(make_settings(cluster.kubeconfig, objects.namespace)) as operator:
        await wait_leading(operator)
        for kind, name in OBJECTS:
            await eventually(partial(objects.conditions, kind, name))

    after = {kind: await objects.get(kind, name) for kind, name in OBJECTS}
    for kind, _ in OBJECTS:
        assert after[kind]["spec"] == before[kind]["spec"]
        kept = ("annotations", "finalizers", "labels", "generation", "ownerReferences")
        assert [after[kind]["metadata"].get(k) for k in kept] == [
            before[kind]["metadata"].get(k) for k in kept
        ]
        writers = {(m["manager"], m.get("subresource")) for m in after[kind]["metadata"]["managedFields"]}
        assert ("headgate-operator", "status") in writers
        assert ("headgate-operator", None) not in writers


OBJECTS = (("LLMProvider", "openai"), ("ModelRoute", "gpt"), ("TenantQuota", "team"))


async def test_an_object_deleted_while_the_watches_were_away_disappears(
    cluster: Cluster, objects: Objects, apiproxy: ApiProxy, tmp_path: Path
) -> None:
    """A 410: Kopf lists anew and says nothing of what is gone."""
    kubeconfig = apiproxy.access.write_kubeconfig(tmp_path / "kubeconfig")
    await objects.apply(provider("stays"), provider("goes"))
    async with running(make_settings(kubeconfig, objects.namespace)) as operator:
        await wait_table(operator, "Provider/stays", "Provider/goes")
        await asyncio.to_thread(apiproxy.wait_until, lambda p: len(p.open_watches) == 4)
        blocked = apiproxy.on(lambda request: request.verb == "watch", Refusal(503, "ServiceUnavailable"))
        await asyncio.to_thread(cluster.etcd_compact)
        await asyncio.to_thread(apiproxy.end_watches)
        await objects.delete("LLMProvider", "goes")
        blocked.remove()

        await wait_table(operator, "Provider/stays")
        assert operator.metrics.registry.get_sample_value("ghost_objects_total") == 1


async def test_an_outage_of_the_api_server_is_survived(
    cluster: Cluster, objects: Objects, faultproxy: FaultProxy, tmp_path: Path
) -> None:
    through = cluster.access.through(f"https://{faultproxy.address}")
    kubeconfig = through.write_kubeconfig(tmp_path / "kubeconfig")
    await objects.apply(provider("before"))
    async with running(make_settings(kubeconfig, objects.namespace)) as operator:
        await wait_table(operator, "Provider/before")
        faultproxy.refuse()
        faultproxy.cut()
        health = []

        async def look() -> tuple[int, str]:
            health.append((await probe(operator, "/healthz"))[0])
            return await probe(operator, "/readyz")

        await eventually(look, lambda answer: answer[0] == 503)
        await objects.apply(provider("after"))
        faultproxy.accept()

        await wait_table(operator, "Provider/before", "Provider/after")
        assert set(health) == {200}


async def test_missing_crds_are_named_with_the_remedy_and_waited_for(
    objects: Objects, apiproxy: ApiProxy, tmp_path: Path
) -> None:
    kubeconfig = apiproxy.access.write_kubeconfig(tmp_path / "kubeconfig")
    await objects.apply(provider("openai"))
    missing = apiproxy.on(lambda request: request.group == "headgate.dev", Refusal(404, "NotFound"))
    async with running(make_settings(kubeconfig, objects.namespace)) as operator:

        async def unready() -> tuple[int, str]:
            return await probe(operator, "/readyz") if operator.probes.port else (0, "")

        _, text = await eventually(unready, lambda answer: "resources" in answer[1])
        health, _ = await probe(operator, "/healthz")
        missing.remove()

        await wait_table(operator, "Provider/openai")
        assert health == 200
        assert text == (
            "not ready: the API server does not know Headgate's resources; install them: "
            "kubectl apply --server-side -f crds/\n"
        )


async def test_a_salt_that_somebody_emptied_is_named_with_the_way_out(
    cluster: Cluster, objects: Objects
) -> None:
    own = await asyncio.to_thread(cluster.create_namespace)
    kube = await Kube.connect(str(cluster.kubeconfig))
    try:
        await kube.create_secret(own, "headgate-installation", {"something": b"else"})
        await objects.apply(provider("openai"))
        async with running(
            make_settings(cluster.kubeconfig, objects.namespace, own_namespace=own)
        ) as operator:

            async def unready() -> tuple[int, str]:
                return await probe(operator, "/readyz") if operator.probes.port else (0, "")

            _, text = await eventually(unready, lambda answer: "headgate-installation" in answer[1])
            await kube.delete_secret(own, "headgate-installation")

            await wait_table(operator, "Provider/openai")
            assert text == (
                f"not ready: Secret {own}/headgate-installation has no key-salt. Put it back, or delete the "
                "Secret: the operator then makes a new one, and callers are refused until their gateway has "
                "the next table\n"
            )
    finally:
        await kube.close()
        await asyncio.to_thread(cluster.remove_namespace, own)


async def test_a_second_operator_takes_over_and_no_status_moves(
    cluster: Cluster, objects: Objects, faultproxy: FaultProxy, tmp_path: Path
) -> None:
    """The first is cut off, as by a partition or kill -9: it says no good-bye."""
    through = cluster.access.through(f"https://{faultproxy.address}")
    first_config = through.write_kubeconfig(tmp_path / "kubeconfig")
    await objects.apply(provider("openai"), route("gpt", "openai"))
    async with running(make_settings(first_config, objects.namespace)) as first:
        await wait_leading(first)
        await eventually(lambda: objects.conditions("ModelRoute", "gpt"))
        await eventually(lambda: objects.conditions("LLMProvider", "openai"))
        async with running(make_settings(cluster.kubeconfig, objects.namespace)) as second:
            before = [await objects.get("ModelRoute", "gpt"), await objects.get("LLMProvider", "openai")]
            faultproxy.refuse()
            faultproxy.cut()
            await wait_leading(second)
            await wait_table(second, "Provider/openai", "Route/gpt")
            await eventually(lambda: _has_looked_at_everything(second))
            after = [await objects.get("ModelRoute", "gpt"), await objects.get("LLMProvider", "openai")]
            faultproxy.accept()

    assert after == before


async def _has_looked_at_everything(operator: Operator) -> bool:
    assert operator.rooms is not None
    return operator.rooms.board.idle


async def test_a_rotated_secret_is_published_at_once(cluster: Cluster, objects: Objects) -> None:
    await objects.apply(secret("key", "sk-old"), provider("openai", "key"))
    async with running(make_settings(cluster.kubeconfig, objects.namespace)) as operator:
        await wait_table(operator, "Provider/openai")
        await objects.edit("Secret", "key", lambda raw: raw.update(stringData={"api-key": "sk-new"}))

        await eventually(lambda: _credentials(operator), lambda found: found == ["sk-new"])


async def test_a_secret_without_the_label_is_read_by_name_and_read_again(
    cluster: Cluster, objects: Objects
) -> None:
    await objects.apply(secret("key", "sk-old", watched=False), provider("openai", "key"))
    settings = make_settings(cluster.kubeconfig, objects.namespace, watch=WatchTimes(secrets_s=0.05))
    async with running(settings) as operator:
        await eventually(lambda: _credentials(operator), lambda found: found == ["sk-old"])
        await objects.edit("Secret", "key", lambda raw: raw.update(stringData={"api-key": "sk-new"}))

        await eventually(lambda: _credentials(operator), lambda found: found == ["sk-new"])


async def test_a_secret_that_loses_its_label_still_counts(cluster: Cluster, objects: Objects) -> None:
    """The watch, which selects by label, reports it as deleted."""
    await objects.apply(secret("key", "sk-1"), provider("openai", "key"))
    async with running(make_settings(cluster.kubeconfig, objects.namespace)) as operator:
        await wait_table(operator, "Provider/openai")
        assert operator.rooms is not None
        store = operator.rooms.store
        await objects.edit("Secret", "key", lambda raw: raw["metadata"].update(labels={}))

        async def is_unwatched() -> bool:
            return len(store.secrets.unwatched) == 1 and not store.secrets.unread

        await eventually(is_unwatched)
        assert await _credentials(operator) == ["sk-1"]


async def test_a_deleted_secret_takes_its_credential_away(cluster: Cluster, objects: Objects) -> None:
    await objects.apply(secret("key", "sk-1"), provider("openai", "key"), provider("other"))
    async with running(make_settings(cluster.kubeconfig, objects.namespace)) as operator:
        await wait_table(operator, "Provider/openai", "Provider/other")
        await objects.delete("Secret", "key")

        await wait_table(operator, "Provider/other")


async def test_a_broken_object_does_not_stop_the_others(cluster: Cluster, objects: Objects) -> None:
    await objects.apply(route("broken", "nobody"), provider("openai"), route("gpt", "openai"))
    async with running(make_settings(cluster.kubeconfig, objects.namespace)) as operator:
        await wait_table(operator, "Provider/openai", "Route/gpt", "Route/broken")
        conditions = await eventually(lambda: objects.conditions("ModelRoute", "broken"))

        assert conditions["ResolvedRefs"] == ("False", "ProviderNotFound")


async def test_a_leader_that_loses_its_lease_stops_publishing_and_writing(
    cluster: Cluster, objects: Objects, kube: Kube
) -> None:
    async with running(make_settings(cluster.kubeconfig, objects.namespace)) as operator:
        await wait_leading(operator)
        await eventually(lambda: _take_lease(kube, objects.namespace))
        _, text = await eventually(lambda: probe(operator, "/readyz"), lambda answer: answer[0] == 503)
        await objects.apply(provider("openai"))
        await eventually(lambda: _knows(operator, "openai"))

        assert text == f"follower: Lease {objects.namespace}/headgate-operator is held by rival\n"
        assert table_of(operator) == set()
        assert await objects.conditions("LLMProvider", "openai") == {}


async def test_no_value_of_a_secret_is_shown_anywhere(
    cluster: Cluster, objects: Objects, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    keys = ("sk-planted-watched", "sk-planted-unwatched", "sk-planted\tmalformed")
    await objects.apply(
        secret("watched", keys[0]),
        secret("unwatched", keys[1], watched=False),
        secret("malformed", keys[2]),
        provider("openai", "watched", "unwatched", "malformed"),
        quota("team", "watched"),
        quota("other-team", "watched"),
    )
    async with running(make_settings(cluster.kubeconfig, objects.namespace)) as operator:
        await wait_table(operator, "Provider/openai", "Tenant/team", "Tenant/other-team")
        shown = [str(await eventually(lambda: objects.conditions("TenantQuota", "other-team")))]
        for kind, name in (("LLMProvider", "openai"), ("TenantQuota", "team"), ("TenantQuota", "other-team")):
            await eventually(partial(objects.conditions, kind, name))
            shown.append(str(await objects.get(kind, name)))
        shown.append(str(await eventually(objects.events)))
        shown.append((await probe(operator, "/metrics"))[1])
        assert operator.rooms is not None
        shown.append(repr(operator.rooms.store) + repr(operator.rooms.store.secrets.data))
    shown.append(capsys.readouterr().out + caplog.text)

    assert "planted" not in "".join(shown)


async def test_at_rest_it_asks_the_api_server_only_to_renew_its_lease(
    objects: Objects, apiproxy: ApiProxy, tmp_path: Path
) -> None:
    kubeconfig = apiproxy.access.write_kubeconfig(tmp_path / "kubeconfig")
    await objects.apply(provider("openai"), route("gpt", "openai"))
    lease = LeaseTimes(duration_s=2.0, renew_s=0.1, deadline_s=1.0, poll_s=0.1, retry_s=0.05)
    async with running(make_settings(kubeconfig, objects.namespace, lease=lease)) as operator:
        await wait_table(operator, "Provider/openai", "Route/gpt")
        await eventually(lambda: objects.conditions("ModelRoute", "gpt"))
        await eventually(lambda: objects.conditions("LLMProvider", "openai"))
        await asyncio.to_thread(apiproxy.wait_until, lambda p: p.count(_lists_secrets) >= 3)
        start = len(apiproxy.requests)
        await asyncio.to_thread(apiproxy.wait_until, lambda p: len(p.requests) >= start + 10)

        asked = {(request.verb, request.resource) for request in apiproxy.requests[start:]}
        assert asked == {("update", "leases")}


async def _take_lease(kube: Kube, namespace: str) -> bool:
    lease = await kube.read_lease(namespace, "headgate-operator")
    assert lease is not None
    lease["spec"]["holderIdentity"] = "rival"
    try:
        await kube.replace_lease(lease)
    except Conflict:
        return False
    return True


async def _knows(operator: Operator, name: str) -> bool:
    assert operator.rooms is not None
    return any(key.endswith(f"/{name}") for key in operator.rooms.store.objects)


def _lists_secrets(request: ApiRequest) -> bool:
    """Ours at the start, Kopf's, and the last of the sweep that answers Kopf's."""
    return (request.verb, request.resource) == ("list", "secrets")


async def _credentials(operator: Operator) -> list[str]:
    table = operator.rooms and operator.rooms.publisher.last_published_table()
    return [c.value.reveal() for p in (table.providers if table else ()) for c in p.credentials]
