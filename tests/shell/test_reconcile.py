"""The loop from a store to a publisher: when it compiles, what it publishes, and what it needs confirmed."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway_runtime.contract.secret import Secret
from gateway_runtime.contract.stream import Version
from gateway_runtime.contract.table import RoutingTable
from headgate_operator.kube import Kube
from headgate_operator.metrics import Metrics
from headgate_operator.reconcile import Reconciler
from headgate_operator.rollup.views import GatewayView, Published
from headgate_operator.settings import StatusTimes, WatchTimes
from headgate_operator.status import Announcer, Board, Writer
from headgate_operator.store import Store
from headgate_operator.sweep import Sweeper
from tests.kube.apiproxy import ApiProxy
from tests.kube.apirules import Refusal
from tests.shell.operators import Objects, eventually, provider

pytestmark = pytest.mark.kube


class RecordingPublisher:
    """Takes whatever it is given, as a publisher in its term does."""

    def __init__(self) -> None:
        self.taken: list[tuple[RoutingTable, bool]] = []
        self.before: RoutingTable | None = None
        self.failures = 0
        self.fenced = False

    def publish(self, table: RoutingTable, *, shrink_confirmed: bool) -> Published | None:
        if self.failures:
            self.failures -= 1
            raise ZeroDivisionError("a bug in publishing")
        if self.fenced:
            return None
        self.taken.append((table, shrink_confirmed))
        return Published(self.version, {})

    @property
    def version(self) -> Version:
        return Version(1, len(self.taken))

    def last_published_table(self) -> RoutingTable | None:
        return self.taken[-1][0] if self.taken else self.before

    def views(self) -> tuple[GatewayView, ...]:
        return ()

    def settled(self, now_s: float) -> bool:
        return False

    def names(self) -> list[str]:
        return [p.id.partition("/")[2] for p in self.taken[-1][0].providers] if self.taken else []


class Bench:
    def __init__(self, kube: Kube, namespace: str) -> None:
        self.metrics = Metrics()
        self.publisher = RecordingPublisher()
        self.store = Store()
        self.sweeper = Sweeper(kube, self.store, (namespace,), WatchTimes(), self.metrics)
        announcer = Announcer(kube, "test", self.metrics)
        writer = Writer(kube, self.store, announcer, StatusTimes(), lambda: False, self.metrics)
        self.board = Board(self.store, self.publisher, writer, StatusTimes(), self.metrics)
        self.reconciler = Reconciler(
            self.store, self.sweeper, self.publisher, self.board, Secret("salt"), self.metrics
        )
        self.store.on_dirty = self.reconciler.mark
        self.life = asyncio.create_task(self.reconciler.run())

    async def publishes(self, *names: str) -> None:
        async def published() -> list[str]:
            return self.publisher.names()

        await eventually(published, lambda found: found == sorted(names))

    async def stop(self) -> None:
        self.life.cancel()
        await asyncio.wait((self.life,))

    def count(self, result: str) -> float | None:
        labels = {"controller": "headgate", "result": result}
        return self.metrics.registry.get_sample_value("controller_runtime_reconcile_total", labels)


@pytest.fixture
async def bench(objects: Objects, apiproxy: ApiProxy, tmp_path: Path) -> AsyncIterator[Bench]:
    kube = await Kube.connect(str(apiproxy.access.write_kubeconfig(tmp_path / "kubeconfig")))
    bench = Bench(kube, objects.namespace)
    yield bench
    await bench.stop()
    await kube.close()


async def test_nothing_is_published_before_everything_has_been_listed(bench: Bench, objects: Objects) -> None:
    await objects.apply(provider("a"))
    bench.reconciler.lead()
    await asyncio.sleep(0.09)
    before = list(bench.publisher.taken)
    await bench.sweeper.fill()

    await bench.publishes("a")
    assert before == []


async def test_a_follower_publishes_nothing_and_a_new_leader_everything(
    bench: Bench, objects: Objects
) -> None:
    await objects.apply(provider("a"))
    await bench.sweeper.fill()
    await eventually(lambda: _passes(bench))
    as_follower = list(bench.publisher.taken)
    bench.reconciler.lead()

    await bench.publishes("a")
    assert as_follower == []


async def test_a_burst_of_changes_is_published_once(bench: Bench, objects: Objects) -> None:
    await objects.apply(*(provider(f"p{i}") for i in range(5)))
    bench.reconciler.lead()
    await bench.sweeper.fill()
    await bench.publishes("p0", "p1", "p2", "p3", "p4")

    assert len(bench.publisher.taken) == 1


async def test_a_table_that_lost_most_is_published_after_a_fresh_list_agrees(
    bench: Bench, objects: Objects, apiproxy: ApiProxy
) -> None:
    await objects.apply(provider("a"))
    bench.reconciler.lead()
    await bench.sweeper.fill()
    await bench.publishes("a")
    await objects.delete("LLMProvider", "a")
    lists = apiproxy.count(lambda request: request.verb == "list")
    bench.store.remove_key(f"LLMProvider/{objects.namespace}/a", 10**9)

    await bench.publishes()
    assert bench.publisher.taken[-1][1]
    assert apiproxy.count(lambda request: request.verb == "list") == lists + 4


async def test_a_loss_that_a_fresh_list_does_not_confirm_is_never_published(
    bench: Bench, objects: Objects
) -> None:
    """The store was told of a deletion that did not happen."""
    await objects.apply(provider("a"))
    bench.reconciler.lead()
    await bench.sweeper.fill()
    await bench.publishes("a")
    stored = bench.store.get(f"LLMProvider/{objects.namespace}/a")
    assert stored is not None
    bench.store.remove_key(f"LLMProvider/{objects.namespace}/a", stored.resource_version)
    await objects.edit("LLMProvider", "a", lambda raw: raw["spec"].update(baseUrl="http://moved.example/v1"))
    await eventually(lambda: _takes(bench, 2))

    assert all(table.providers for table, _ in bench.publisher.taken)


async def test_a_loss_waits_while_the_api_server_cannot_confirm_it(
    bench: Bench, objects: Objects, apiproxy: ApiProxy
) -> None:
    await objects.apply(provider("a"))
    bench.reconciler.lead()
    await bench.sweeper.fill()
    await bench.publishes("a")
    await objects.delete("LLMProvider", "a")
    away = apiproxy.on(lambda request: request.verb == "list", Refusal(503, "ServiceUnavailable"))
    bench.store.remove_key(f"LLMProvider/{objects.namespace}/a", 10**9)
    await asyncio.to_thread(apiproxy.wait_until, lambda _: away.hits > 0)
    meanwhile = bench.publisher.names()
    away.remove()

    await bench.publishes()
    assert meanwhile == ["a"]


async def test_a_refused_version_is_confirmed_once(bench: Bench, objects: Objects) -> None:
    await objects.apply(provider("a"))
    bench.reconciler.lead()
    await bench.sweeper.fill()
    await bench.publishes("a")
    bench.reconciler.confirm(bench.publisher.version)
    await eventually(lambda: _takes(bench, 2))
    bench.reconciler.confirm(bench.publisher.version)
    bench.reconciler.confirm(Version(1, 1))
    bench.reconciler.mark()
    await eventually(lambda: _takes(bench, 3))

    assert [confirmed for _, confirmed in bench.publisher.taken] == [False, True, False]


async def test_a_pass_that_fails_is_counted_and_tried_again(bench: Bench, objects: Objects) -> None:
    await objects.apply(provider("a"))
    bench.publisher.failures = 1
    bench.reconciler.lead()
    await bench.sweeper.fill()

    await bench.publishes("a")
    assert (bench.count("error"), bench.count("success")) == (1, 1)


async def test_publishing_nothing_while_leading_is_noticed_as_a_fence(bench: Bench) -> None:
    bench.reconciler.lead()
    bench.publisher.fenced = True
    await bench.sweeper.fill()
    await bench.reconciler.wait_fenced(5)

    assert bench.reconciler.version is None


async def _passes(bench: Bench) -> bool:
    return bool(bench.count("success"))


async def _takes(bench: Bench, count: int) -> bool:
    return len(bench.publisher.taken) == count
