"""Kopf in its thread: what it hands over, and when a watch counts as dead."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from headgate_operator.handlers import EndlessBackoffs, build_kopf_settings, build_registry
from headgate_operator.kube import Kube
from headgate_operator.kube.client import watch_path
from headgate_operator.settings import WatchTimes
from headgate_operator.watch import Signs, Watcher
from tests.kube.cluster import Cluster
from tests.kube.faultproxy import FaultProxy
from tests.shell.operators import (
    Objects,
    eventually,
    make_settings,
    probe,
    provider,
    running,
    secret,
    wait_leading,
)

PLURALS = ("llmproviders", "modelroutes", "tenantquotas", "secrets")


class Bench:
    """A watcher behind a proxy, and a way to the API server around it."""

    def __init__(self, kube: Kube, proxied: Kube, namespace: str, times: WatchTimes) -> None:
        self.kube = kube
        self.namespace = namespace
        self.paths = [watch_path(plural, namespace) for plural in PLURALS]
        self.events: list[tuple[str | None, str]] = []
        self.lists = 0
        self.signs = Signs(self.paths, self._count_list)
        self.watcher = Watcher(
            proxied.connection,
            build_registry(self._take),
            build_kopf_settings(times),
            (namespace,),
            self.signs,
            lambda method, status: None,
        )
        self.life = asyncio.create_task(self.watcher.run())

    async def sees(self, name: str) -> bool:
        return any(seen == name for _, seen in self.events)

    async def find_dead(self, limit_s: float) -> tuple[str, ...]:
        await self.kube.read_secret(self.namespace, "anything")
        return self.signs.find_dead(time.monotonic(), self.kube.connection.reachable_since, limit_s)

    async def stop(self) -> None:
        self.life.cancel()
        await asyncio.wait((self.life,))

    def _take(self, event: Any) -> None:
        self.events.append((event["type"], event["object"]["metadata"]["name"]))

    def _count_list(self) -> None:
        self.lists += 1


@pytest.fixture
async def start(
    cluster: Cluster, objects: Objects, kube: Kube, faultproxy: FaultProxy, tmp_path: Path
) -> AsyncIterator[Callable[[WatchTimes], Bench]]:
    through = cluster.access.through(f"https://{faultproxy.address}")
    proxied = await Kube.connect(str(through.write_kubeconfig(tmp_path / "kubeconfig")))
    benches: list[Bench] = []

    def start(times: WatchTimes) -> Bench:
        benches.append(Bench(kube, proxied, objects.namespace, times))
        return benches[-1]

    yield start
    faultproxy.resume()
    for bench in benches:
        await bench.stop()
    await proxied.close()


@pytest.mark.kube
async def test_events_of_our_kinds_and_of_labelled_secrets_come_through(
    start: Callable[[WatchTimes], Bench], objects: Objects
) -> None:
    await objects.apply(secret("before", "sk-1"), secret("unlabelled", "sk-2", watched=False))
    bench = start(WatchTimes())
    await eventually(lambda: bench.sees("before"))
    await objects.apply(provider("openai"))
    await eventually(lambda: bench.sees("openai"))
    await objects.delete("LLMProvider", "openai")

    async def is_deleted() -> bool:
        return ("DELETED", "openai") in bench.events

    await eventually(is_deleted)
    assert not await bench.sees("unlabelled")


@pytest.mark.kube
async def test_a_stalled_watch_is_dead_while_the_api_server_answers_others(
    start: Callable[[WatchTimes], Bench], objects: Objects, faultproxy: FaultProxy
) -> None:
    bench = start(WatchTimes(inactivity_s=1000))
    await objects.apply(provider("before"))
    await eventually(lambda: bench.sees("before"))
    alive = await bench.find_dead(5)
    faultproxy.stall()
    await objects.apply(provider("held"))
    dead = await eventually(lambda: bench.find_dead(0.5), lambda found: len(found) == 4)

    assert alive == ()
    assert sorted(dead) == sorted(bench.paths)
    assert not await bench.sees("held")


@pytest.mark.kube
async def test_a_watch_that_stays_silent_is_opened_anew(
    start: Callable[[WatchTimes], Bench], objects: Objects, faultproxy: FaultProxy
) -> None:
    """The proxy holds what is open for ever; what Kopf opens after it gave up is served."""
    bench = start(WatchTimes(inactivity_s=0.5))
    await objects.apply(provider("before"))
    await eventually(lambda: bench.sees("before"))
    connected = faultproxy.connected
    faultproxy.stall()
    await objects.apply(provider("missed"))
    await asyncio.to_thread(faultproxy.wait_until, lambda p: p.connected > connected)
    faultproxy.resume()

    await eventually(lambda: bench.sees("missed"))


@pytest.mark.kube
async def test_a_connection_that_breaks_while_kopf_starts_is_not_its_end(
    start: Callable[[WatchTimes], Bench], objects: Objects, faultproxy: FaultProxy
) -> None:
    await objects.apply(provider("openai"))
    faultproxy.stall()
    bench = start(WatchTimes())
    await asyncio.to_thread(faultproxy.wait_until, lambda p: p.open_connections > 0)
    faultproxy.cut()
    faultproxy.resume()

    await eventually(lambda: bench.sees("openai"))


@pytest.mark.kube
async def test_kopfs_end_is_an_error_that_says_so(
    start: Callable[[WatchTimes], Bench], cluster: Cluster
) -> None:
    bench = start(WatchTimes())
    await eventually(lambda: _has_listed(bench))
    opened = set(bench.watcher._sockets)
    bench.watcher._ask_to_stop()

    with pytest.raises(RuntimeError) as caught:
        await bench.life
    assert str(caught.value) == "Kopf, which watches the cluster, has ended; this process must start anew"
    assert bench.watcher.ended
    assert opened
    assert {one.fileno() for one in opened} == {-1}


@pytest.mark.kube
async def test_healthz_fails_when_a_watch_shows_no_life_though_the_api_server_answers(
    cluster: Cluster, objects: Objects
) -> None:
    """Nothing happens in this namespace, and the first bookmark comes after a minute."""
    settings = make_settings(
        cluster.kubeconfig, objects.namespace, watch=WatchTimes(dead_s=0.5, inactivity_s=1000)
    )
    async with running(settings) as operator:
        await wait_leading(operator)

        def all_are_dead(answer: tuple[int, str]) -> bool:
            return answer[1].count("while the API server answers") == 4

        status, text = await eventually(lambda: probe(operator, "/healthz"), all_are_dead)

        path = watch_path("llmproviders", objects.namespace)
        assert status == 503
        assert f"the watch of {path} has shown no sign of life for " in text


def test_during_an_outage_no_watch_is_dead() -> None:
    signs = Signs(("/a",), lambda: None)
    signs.start(100)

    assert signs.find_dead(1000, None, 180) == ()


def test_after_an_outage_each_watch_has_the_whole_limit_again() -> None:
    signs = Signs(("/a", "/b"), lambda: None)
    signs.start(100)

    assert signs.find_dead(1000, 900, 180) == ()
    assert signs.find_dead(1081, 900, 180) == ("/a", "/b")


def test_a_list_of_a_watched_kind_is_a_hint_to_sweep() -> None:
    hints: list[str] = []
    signs = Signs(("/a",), lambda: hints.append("sweep"))
    signs.start(100)
    signs.see_list("/a")
    signs.see_list("/api/v1/namespaces")

    assert hints == ["sweep"]


def test_backoffs_never_end_and_can_be_used_for_every_request() -> None:
    backoffs = EndlessBackoffs()
    for _ in range(2):
        first = [pause for pause, _ in zip(backoffs, range(100), strict=False)]

        assert len(first) == 100
        assert all(0 < pause <= 5 for pause in first)


async def _has_listed(bench: Bench) -> bool:
    return bench.lists >= 4
