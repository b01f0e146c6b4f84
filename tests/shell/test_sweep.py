"""Lists of our own, against a real API server: the store agrees with the cluster afterwards."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway_runtime.contract.secret import Secret
from headgate_operator.compile.resources import SecretId
from headgate_operator.kube import Kube, KubeError, NotFound
from headgate_operator.metrics import Metrics
from headgate_operator.settings import WatchTimes
from headgate_operator.store import Store
from headgate_operator.sweep import Sweeper
from tests.kube.apiproxy import ApiProxy
from tests.kube.apirequest import ApiRequest
from tests.kube.apirules import Refusal
from tests.shell.operators import Objects, provider, quota, route, secret

pytestmark = pytest.mark.kube


class Bench:
    def __init__(self, kube: Kube, namespace: str) -> None:
        self.store = Store()
        self.metrics = Metrics()
        self.sweeper = Sweeper(kube, self.store, (namespace,), WatchTimes(), self.metrics)

    def names(self) -> list[str]:
        return sorted(key.rpartition("/")[2] for key in self.store.objects)

    def count(self, metric: str) -> float | None:
        return self.metrics.registry.get_sample_value(metric)


@pytest.fixture
async def bench(objects: Objects, apiproxy: ApiProxy, tmp_path: Path) -> AsyncIterator[Bench]:
    kube = await Kube.connect(str(apiproxy.access.write_kubeconfig(tmp_path / "kubeconfig")))
    yield Bench(kube, objects.namespace)
    await kube.close()


async def test_filling_lists_every_kind_and_reads_what_is_referenced(bench: Bench, objects: Objects) -> None:
    await objects.apply(
        secret("watched", "sk-1"),
        secret("unwatched", "sk-2", watched=False),
        secret("unreferenced", "sk-3"),
        provider("openai", "watched"),
        route("gpt", "openai"),
        quota("team", "unwatched"),
    )
    dirty: list[bool] = []
    bench.store.on_dirty = lambda: dirty.append(bench.store.synced)
    await bench.sweeper.fill()

    assert bench.names() == ["gpt", "openai", "team"]
    kept = {key.name: (dict(data.values), data.watched) for key, data in bench.store.secrets.data.items()}
    assert kept == {
        "watched": ({"api-key": Secret("sk-1")}, True),
        "unwatched": ({"api-key": Secret("sk-2")}, False),
    }
    assert dirty[-1]


async def test_nothing_is_synced_while_a_kind_cannot_be_listed(
    bench: Bench, objects: Objects, apiproxy: ApiProxy
) -> None:
    await objects.apply(provider("openai"))
    apiproxy.on(lambda request: request.resource == "tenantquotas", Refusal(500, "InternalError"), times=1)

    with pytest.raises(KubeError):
        await bench.sweeper.fill()
    assert not bench.store.synced
    await bench.sweeper.fill()
    assert bench.store.synced


async def test_missing_crds_are_told_from_an_empty_cluster(bench: Bench, apiproxy: ApiProxy) -> None:
    apiproxy.on(lambda request: request.group == "headgate.dev", Refusal(404, "NotFound"))

    with pytest.raises(NotFound):
        await bench.sweeper.fill()


async def test_a_sweep_removes_ghosts_and_counts_them(bench: Bench, objects: Objects) -> None:
    await objects.apply(provider("stays"), provider("goes"))
    await bench.sweeper.fill()
    await objects.delete("LLMProvider", "goes")
    await bench.sweeper.confirm()

    assert bench.names() == ["stays"]
    assert bench.count("ghost_objects_total") == 1


async def test_a_sweep_reads_only_what_is_new_or_edited(
    bench: Bench, objects: Objects, apiproxy: ApiProxy
) -> None:
    await objects.apply(provider("same"), provider("edited"))
    await bench.sweeper.fill()
    await objects.apply(provider("new"))
    await objects.edit(
        "LLMProvider", "edited", lambda raw: raw["spec"].update(baseUrl="http://moved.example/v1")
    )
    await bench.sweeper.confirm()

    assert bench.names() == ["edited", "new", "same"]
    read = [request.name for request in apiproxy.requests if _reads_provider(request)]
    assert sorted(read) == ["edited", "new"]
    assert bench.count("missed_changes_total") == 2


async def test_a_list_whose_beginning_was_forgotten_starts_again(
    bench: Bench, objects: Objects, apiproxy: ApiProxy
) -> None:
    await objects.apply(provider("openai"))
    forgotten = apiproxy.on(
        lambda request: request.resource == "llmproviders", Refusal(410, "Expired"), times=1
    )
    await bench.sweeper.fill()

    assert forgotten.hits == 1
    assert bench.names() == ["openai"]


async def test_a_secret_that_may_not_be_read_is_asked_for_again(
    bench: Bench, objects: Objects, apiproxy: ApiProxy
) -> None:
    await objects.apply(secret("key", "sk-1", watched=False), provider("openai", "key"))
    forbidden = apiproxy.on(lambda request: request.name == "key", Refusal(403, "Forbidden"))
    await bench.sweeper.fill()
    before = set(bench.store.secrets.unread)
    forbidden.remove()
    await bench.sweeper.read_secrets()

    assert before == {SecretId(objects.namespace, "key")}
    assert bench.store.secrets.unread == set()
    assert len(bench.store.secrets.data) == 1


async def test_a_label_that_went_missing_unseen_is_found(bench: Bench, objects: Objects) -> None:
    await objects.apply(secret("key", "sk-1"), provider("openai", "key"))
    await bench.sweeper.fill()
    await objects.edit("Secret", "key", lambda raw: raw["metadata"].update(labels={}))
    await bench.sweeper.confirm()

    (data,) = bench.store.secrets.data.values()
    assert not data.watched


async def test_a_rotation_that_went_unseen_is_found(
    bench: Bench, objects: Objects, apiproxy: ApiProxy
) -> None:
    await objects.apply(
        secret("same", "sk-1"), secret("rotated", "sk-old"), secret("unreferenced", "sk-3"),
        provider("openai", "same", "rotated"),
    )  # fmt: skip
    await bench.sweeper.fill()
    await objects.edit("Secret", "rotated", lambda raw: raw.update(stringData={"api-key": "sk-new"}))
    await bench.sweeper.confirm()

    found = bench.store.secrets.data[SecretId(objects.namespace, "rotated")]
    assert found.values == {"api-key": Secret("sk-new")}
    assert [r.name for r in apiproxy.requests if (r.verb, r.resource) == ("get", "secrets")] == ["rotated"]


def _reads_provider(request: ApiRequest) -> bool:
    return (request.verb, request.resource) == ("get", "llmproviders")
