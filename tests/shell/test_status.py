"""Board, writer and Events on a real API server, with gateways that say what the test tells them."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from gateway_runtime.contract.health import EndpointReport, Health, LimitReport, TenantReport
from gateway_runtime.contract.ids import EndpointId, GatewayId, TenantId
from gateway_runtime.contract.secret import Secret
from gateway_runtime.contract.stream import Version
from headgate_operator.compile import compile_resources
from headgate_operator.kube import Kube
from headgate_operator.metrics import Metrics
from headgate_operator.rollup.views import GatewayView, HeardTenant, Published
from headgate_operator.settings import StatusTimes, WatchTimes
from headgate_operator.status import Announcer, Board, Writer
from headgate_operator.store import Store
from headgate_operator.sweep import Sweeper
from tests.kube.apiproxy import ApiProxy
from tests.kube.apirequest import ApiRequest
from tests.kube.apirules import Refusal
from tests.shell.operators import Objects, eventually, provider, quota, route

pytestmark = pytest.mark.kube

FIRST = Version(1, 1)


class ScriptedFleet:
    def __init__(self) -> None:
        self.gateways: dict[str, GatewayView] = {}
        self.is_settled = True

    def connect(self, name: str, applied: Version | None = FIRST) -> None:
        self.gateways[name] = GatewayView(GatewayId(name), True, applied, None, {}, None)

    def report(self, name: str, endpoint: str, health: Health) -> None:
        report = EndpointReport(
            endpoint=EndpointId(endpoint),
            health=health,
            circuit="Closed",
            reason="" if health == "Healthy" else "connection refused",
            since_s=0,
            latency_ms=None,
            requests=0,
            failures=0,
        )
        now_s = asyncio.get_running_loop().time()
        view = self.gateways[name]
        reports = {**view.reports, report.endpoint: report}
        self.gateways[name] = replace(view, reports=reports, reported_at_s=now_s)

    def use(self, name: str, tenant: str, used: int) -> TenantId:
        """Of the limit `rpm`."""
        limit = LimitReport(name="rpm", amount=100, used=used, held=0, resets_unix_s=None)
        report = TenantReport(tenant=TenantId(tenant), limits=(limit,))
        now_s = asyncio.get_running_loop().time()
        tenants = {report.tenant: HeardTenant(report, now_s)}
        self.gateways[name] = replace(self.gateways[name], tenants=tenants, reported_at_s=now_s)
        return report.tenant

    def views(self) -> tuple[GatewayView, ...]:
        return tuple(self.gateways.values())

    def settled(self, now_s: float) -> bool:
        return self.is_settled


class Bench:
    """What `main` wires, without Kopf and without a config stream."""

    def __init__(self, kube: Kube, namespace: str, times: StatusTimes) -> None:
        self.fleet = ScriptedFleet()
        self.leading = True
        self.metrics = Metrics()
        self.store = Store()
        self.sweeper = Sweeper(kube, self.store, (namespace,), WatchTimes(), self.metrics)
        self.announcer = Announcer(kube, "test", self.metrics)
        self.writer = Writer(kube, self.store, self.announcer, times, lambda: self.leading, self.metrics)
        self.board = Board(self.store, self.fleet, self.writer, times, self.metrics)
        self.store.on_rest = self.board.touch
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        for room in (self.board, self.writer, self.announcer):
            self._tasks.append(asyncio.create_task(room.run()))

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks.clear()

    async def publish(self, version: Version = FIRST) -> None:
        await self.sweeper.confirm()
        compiled = compile_resources(self.store.resources(Secret("salt")))
        keys = [verdict.resource_key for verdict in compiled.verdicts.values()]
        self.board.update(compiled.verdicts, Published(version, dict.fromkeys(keys, version)))

    async def idle(self) -> None:
        async def is_idle() -> bool:
            await asyncio.sleep(0.05)
            return self.board.idle and self.writer.idle

        await eventually(is_idle)

    def count(self, metric: str, **labels: str) -> float | None:
        return self.metrics.registry.get_sample_value(metric, labels)


@pytest.fixture
async def bench(objects: Objects, apiproxy: ApiProxy, tmp_path: Path) -> AsyncIterator[Bench]:
    kube = await Kube.connect(str(apiproxy.access.write_kubeconfig(tmp_path / "kubeconfig")))
    bench = Bench(kube, objects.namespace, StatusTimes())
    yield bench
    await bench.stop()
    await kube.close()


async def test_an_object_that_every_gateway_runs_becomes_ready(bench: Bench, objects: Objects) -> None:
    await objects.apply(provider("openai"), route("gpt", "openai"))
    bench.fleet.connect("gw-1")
    bench.fleet.report("gw-1", f"{objects.namespace}/openai/default", "Healthy")
    bench.start()
    await bench.publish()

    conditions = await eventually(lambda: objects.conditions("ModelRoute", "gpt"))
    assert conditions == {
        "Accepted": ("True", "Accepted"),
        "ResolvedRefs": ("True", "ResolvedRefs"),
        "Programmed": ("True", "Programmed"),
        "Healthy": ("True", "Healthy"),
        "Ready": ("True", "Ready"),
    }


async def test_a_status_that_says_the_same_is_not_written_again(
    bench: Bench, objects: Objects, apiproxy: ApiProxy
) -> None:
    await objects.apply(provider("openai"))
    bench.fleet.connect("gw-1")
    bench.start()
    await bench.publish()
    await bench.idle()
    written = apiproxy.count(_writes_status)
    bench.board.note_membership()
    bench.board.touch(f"LLMProvider/{objects.namespace}/openai")
    await bench.publish()
    await bench.idle()

    assert (written, apiproxy.count(_writes_status)) == (1, 1)


async def test_an_acknowledgement_moves_only_what_was_waiting_for_it(
    bench: Bench, objects: Objects, apiproxy: ApiProxy
) -> None:
    await objects.apply(provider("openai"))
    bench.fleet.connect("gw-1", applied=None)
    bench.start()
    await bench.publish()
    pending = await eventually(lambda: objects.conditions("LLMProvider", "openai"))
    bench.fleet.connect("gw-1", applied=FIRST)
    bench.board.note_answer()

    await eventually(
        lambda: objects.conditions("LLMProvider", "openai"),
        lambda c: c["Programmed"] == ("True", "Programmed"),
    )
    assert pending["Programmed"] == ("False", "Pending")


async def test_a_report_moves_its_provider_and_the_routes_to_it(bench: Bench, objects: Objects) -> None:
    await objects.apply(provider("openai"), route("gpt", "openai"))
    endpoint = f"{objects.namespace}/openai/default"
    bench.fleet.connect("gw-1")
    bench.fleet.report("gw-1", endpoint, "Healthy")
    bench.start()
    await bench.publish()
    await bench.idle()
    bench.fleet.report("gw-1", endpoint, "Unhealthy")
    bench.board.note_report([EndpointId(endpoint)])

    for kind, name in (("LLMProvider", "openai"), ("ModelRoute", "gpt")):
        await eventually(
            partial(objects.conditions, kind, name),
            lambda c: c["Healthy"] == ("False", "Unhealthy"),
        )


async def test_an_edited_provider_brings_the_routes_to_it_along(bench: Bench, objects: Objects) -> None:
    """All of them: none of a provider's routes is forgotten while the set of changed objects grows."""
    await objects.apply(provider("openai"), *(route(f"gpt-{i}", "openai") for i in range(8)))
    bench.fleet.connect("gw-1")
    bench.start()
    await bench.publish()
    await bench.idle()
    endpoint = f"{objects.namespace}/openai/default"
    bench.fleet.report("gw-1", endpoint, "Healthy")
    await objects.edit(
        "LLMProvider", "openai", lambda raw: raw["spec"].update(baseUrl="http://moved.example/v1")
    )
    await bench.publish()

    for i in range(8):
        await eventually(
            partial(objects.conditions, "ModelRoute", f"gpt-{i}"),
            lambda c: c["Healthy"] == ("True", "Healthy"),
        )


async def test_events_tell_transitions_and_nothing_twice(bench: Bench, objects: Objects) -> None:
    await objects.apply(provider("openai"), route("gpt", "openia"))
    bench.fleet.connect("gw-1")
    bench.start()
    await bench.publish()
    await bench.idle()
    await bench.publish()
    await bench.idle()
    events = await eventually(objects.events, lambda found: len(found) == 2)

    told = {(e["involvedObject"]["name"], e["type"], e["reason"]): e["message"] for e in events}
    assert sorted(told) == [("gpt", "Warning", "ProviderNotFound"), ("gpt", "Warning", "Unhealthy")]
    message = told["gpt", "Warning", "ProviderNotFound"]
    assert "HG0203" in message
    assert 'Did you mean "openai"?' in message
    assert bench.count("headgate_events_total", result="posted") == 2


async def test_who_does_not_lead_writes_nothing(bench: Bench, objects: Objects, apiproxy: ApiProxy) -> None:
    await objects.apply(provider("openai"))
    bench.leading = False
    bench.start()
    await bench.publish()
    await bench.idle()

    assert apiproxy.count(_writes_status) == 0


async def test_a_new_leader_leaves_alone_what_it_cannot_know_yet(
    bench: Bench, objects: Objects, apiproxy: ApiProxy
) -> None:
    await objects.apply(provider("openai"))
    bench.fleet.connect("gw-1")
    bench.fleet.report("gw-1", f"{objects.namespace}/openai/default", "Healthy")
    bench.start()
    await bench.publish()
    await bench.idle()
    await bench.stop()
    written = apiproxy.count(_writes_status)
    bench.fleet.gateways.clear()
    bench.fleet.is_settled = False
    bench.start()
    await bench.publish(Version(2, 1))
    await bench.idle()

    assert apiproxy.count(_writes_status) == written
    assert (await objects.conditions("LLMProvider", "openai"))["Ready"] == ("True", "Ready")


async def test_a_status_that_somebody_overwrote_is_put_right(bench: Bench, objects: Objects) -> None:
    await objects.apply(provider("openai"))
    bench.fleet.connect("gw-1")
    bench.start()
    await bench.publish()
    await bench.idle()
    raw = await objects.get("LLMProvider", "openai")
    right = raw["status"]
    path = f"/apis/headgate.dev/v1alpha1/namespaces/{objects.namespace}/llmproviders/openai/status"
    wrong = await objects.request("PUT", path, {**raw, "status": {"health": "Healthy"}})
    bench.store.upsert(wrong)
    await bench.idle()

    found = (await objects.get("LLMProvider", "openai"))["status"]
    assert found["gateways"] == right["gateways"]
    assert {c["type"] for c in found["conditions"]} == {c["type"] for c in right["conditions"]}


async def test_writes_that_fail_are_tried_again(bench: Bench, objects: Objects, apiproxy: ApiProxy) -> None:
    await objects.apply(provider("openai"))
    refused = apiproxy.on(_writes_status, Refusal(503, "ServiceUnavailable"), times=2)
    bench.start()
    await bench.publish()

    await eventually(lambda: objects.conditions("LLMProvider", "openai"))
    assert refused.hits == 2
    assert bench.count("headgate_status_writes_total", result="failed") == 2


async def test_an_object_that_is_gone_costs_one_request(
    bench: Bench, objects: Objects, apiproxy: ApiProxy
) -> None:
    await objects.apply(provider("gone"), provider("stays"))
    await bench.publish()
    await objects.delete("LLMProvider", "gone")
    bench.start()
    bench.board.update({}, None)
    await bench.sweeper.fill()
    compiled = compile_resources(bench.store.resources(Secret("salt")))
    keys = [verdict.resource_key for verdict in compiled.verdicts.values()]
    bench.board.update(compiled.verdicts, Published(FIRST, dict.fromkeys(keys, FIRST)))
    await eventually(lambda: objects.conditions("LLMProvider", "stays"))
    await bench.idle()

    assert bench.count("headgate_status_writes_total", result="gone") == 1
    assert apiproxy.count(_writes_status) == 2


def limited(raw: dict[str, Any]) -> dict[str, Any]:
    return {**raw, "spec": {**raw["spec"], "limits": [{"name": "rpm", "amount": 100, "window": "1m"}]}}


def anonymous(name: str) -> dict[str, Any]:
    raw = quota(name, "none")
    return {**raw, "spec": {"subjects": [{"name": "any", "type": "Anonymous"}]}}


async def test_what_gateways_tell_of_a_tenant_moves_its_quota_alone(
    bench: Bench, objects: Objects, apiproxy: ApiProxy
) -> None:
    await objects.apply(limited(anonymous("busy")), limited(quota("idle", "missing")))
    bench.fleet.connect("gw-1")
    bench.start()
    await bench.publish()
    await bench.idle()
    written = apiproxy.count(_writes_status)
    bench.board.note_use([bench.fleet.use("gw-1", f"{objects.namespace}/busy", 100)])
    busy = await eventually(
        lambda: objects.conditions("TenantQuota", "busy"),
        lambda c: c["WithinLimits"] == ("False", "Exhausted"),
    )
    await bench.idle()

    shown = (await objects.get("TenantQuota", "busy"))["status"]
    assert busy["Ready"] == ("True", "Ready")
    assert (shown["tightest"], shown["limits"][0]["remaining"]) == ("rpm 100%", 0)
    assert apiproxy.count(_writes_status) == written + 1
    assert "Exhausted" not in {event["reason"] for event in await objects.events()}


async def test_values_of_use_wait_for_their_turn_and_are_written_once(
    bench: Bench, objects: Objects, apiproxy: ApiProxy
) -> None:
    """A hundred reports in the ten seconds after a write are one write."""
    await objects.apply(limited(anonymous("busy")))
    tenant = f"{objects.namespace}/busy"
    bench.fleet.connect("gw-1")
    bench.fleet.use("gw-1", tenant, 0)
    bench.start()
    await bench.publish()
    await bench.idle()
    written = apiproxy.count(_writes_status)
    for used in range(50):
        bench.board.note_use([bench.fleet.use("gw-1", tenant, used)])
        await asyncio.sleep(0)
    await bench.idle()

    assert apiproxy.count(_writes_status) == written


def _writes_status(request: ApiRequest) -> bool:
    return request.subresource == "status" and request.verb == "patch"
