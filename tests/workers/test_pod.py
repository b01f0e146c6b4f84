"""Several workers behind one port: they share the load and the limits, and to everybody else they are one."""

import asyncio
import os
import signal
from pathlib import Path

import aiohttp
import msgspec
import pytest
from structlog.testing import capture_logs

from gateway_runtime.contract.ids import GatewayId
from gateway_runtime.contract.stream import Version
from gateway_runtime.contract.tenant import Limit
from gateway_runtime.providers.fake import FakeScript
from gateway_runtime.server.disk import TableStore
from gateway_runtime.server.fake_provider import FakeProvider
from gateway_runtime.server.settings import GatewaySettings
from gateway_runtime.workers.pod import Pod, settings_for_worker
from tests.server.certificates import Authority
from tests.server.ledgers import read_rows
from tests.server.rig import CHAT, DEAD_URL, PROBE, provider, route, settings, table, tenant
from tests.server.test_disk import save
from tests.server.test_tls import calling, find_server
from tests.workers.podrig import HEADERS, serving_pod

STREAM = {**CHAT, "stream": True}


async def test_both_workers_answer_and_their_metrics_and_reports_are_one(
    tmp_path: Path, fake: FakeProvider
) -> None:
    async with serving_pod(tmp_path, table(provider(fake.url))) as rig:
        asked = await rig.ask_until_both_served()
        metrics = await rig.look("/metrics")
        shown = await rig.look("/debug/table")

    assert f'headgate_requests_total{{route="chat/route",status="2xx"}} {asked}.0\n' in metrics
    assert f'headgate_request_duration_seconds_bucket{{le="+Inf",route="chat/route"}} {asked}.0\n' in metrics
    assert "headgate_workers_listening 2.0\n" in metrics
    assert "headgate_table_sequence 1.0\n" in metrics
    assert shown["providers"][0]["endpoints"][0]["state"]["requests"] == asked
    assert [worker["share"] for worker in shown["workers"]] == [
        {"index": 0, "gateways": 2},
        {"index": 1, "gateways": 2},
    ]


async def test_both_workers_write_to_one_ledger_and_a_graceful_stop_loses_no_row(
    tmp_path: Path, fake: FakeProvider
) -> None:
    path = tmp_path / "usage.db"
    async with serving_pod(tmp_path / "state", table(provider(fake.url)), "--ledger", str(path)) as rig:
        asked = await rig.ask_until_both_served()
        last = await asyncio.gather(*(rig.ask() for _ in range(50)))
        errors = [line for line in rig.events if line["level"] == "error"]
    rows = read_rows(path)

    assert set(last) == {200}
    assert errors == []
    assert len(rows) == len({row.request_id for row in rows}) == asked + 50


async def test_a_limit_of_10_admits_exactly_10_requests(tmp_path: Path, fake: FakeProvider) -> None:
    limited = tenant(limits=[Limit(name="rpm", amount=10, window_s=3600)])
    async with serving_pod(tmp_path, table(provider(fake.url), tenants=[limited])) as rig:
        statuses = await asyncio.gather(*(rig.ask() for _ in range(100)))
        shown = await rig.look("/debug/table")

    assert (statuses.count(200), statuses.count(429)) == (10, 90)
    assert shown["tenants"][0]["limits"] == [{"name": "rpm", "amount_here": 10, "used_here": 10}]


async def test_a_killed_worker_takes_only_its_own_connections_along_and_comes_back(
    tmp_path: Path, fake: FakeProvider
) -> None:
    async with serving_pod(tmp_path, table(provider(fake.url))) as rig:
        asked = await rig.ask_until_both_served()
        before = await rig.look("/metrics")
        victim = (await rig.find_workers())[0]
        os.kill(victim["pid"], signal.SIGKILL)
        died = await rig.wait_for("worker died")
        statuses = {await rig.ask() for _ in range(20)}
        readiness = await rig.look("/readyz")
        await rig.wait_for("worker listens", 2, worker=0)
        revived = (await rig.find_workers())[0]
        metrics = await rig.look("/metrics")

    assert f'headgate_requests_total{{route="chat/route",status="2xx"}} {asked}.0\n' in before
    assert {name: died[name] for name in ("level", "worker", "reason", "restart_in_s")} == {
        "level": "error",
        "worker": 0,
        "reason": "killed by SIGKILL",
        "restart_in_s": 0.1,
    }
    assert statuses == {200}
    assert readiness == {"ready": True}
    assert (revived["version"], revived["pid"] == victim["pid"]) == ("1.1", False)
    assert f'headgate_requests_total{{route="chat/route",status="2xx"}} {asked + 20}.0\n' in metrics
    assert "headgate_worker_deaths_total 1.0\n" in metrics


async def test_a_circuit_that_is_open_in_a_worker_is_told_with_the_count(tmp_path: Path) -> None:
    served = table(provider(DEAD_URL), routes=[route(max_attempts=1)])
    async with serving_pod(tmp_path, served) as rig:
        while not rig.find("circuit"):
            assert await rig.ask() in (502, 503)
        shown = await rig.look("/debug/table")

    state = shown["providers"][0]["endpoints"][0]["state"]
    circuits = [worker["endpoints"][0]["circuit"] for worker in shown["workers"]]
    assert state["circuit"] == "Open"
    assert state["reason"] == (
        f"open in {circuits.count('Open')} of 2 workers: 3 failures in a row, last: connection refused"
    )


async def test_the_parent_alone_probes_and_its_verdict_reaches_all_workers(
    tmp_path: Path, fake: FakeProvider
) -> None:
    fake.script = FakeScript(failing=True)
    slow = msgspec.structs.replace(PROBE, interval_s=3600.0)
    async with serving_pod(tmp_path, table(provider(fake.url, probe=slow))) as rig:
        for worker in (0, 1):
            await rig.wait_for("endpoint health", health="Unhealthy", worker=worker)
        shown = await rig.look("/debug/table")

    state = shown["providers"][0]["endpoints"][0]["state"]
    assert (state["health"], state["reason"]) == ("Unhealthy", "probe failed: 503 from upstream")
    assert fake.seen.probes == 1


async def test_sigterm_lets_streams_of_all_workers_finish_and_ends_with_0(
    tmp_path: Path, fake: FakeProvider
) -> None:
    fake.script = FakeScript(tokens_per_s=200)
    async with serving_pod(tmp_path, table(provider(fake.url)), "--unready", "30") as rig:
        async with aiohttp.ClientSession(headers=HEADERS) as session:
            answers = [await session.post(rig.url, json=STREAM) for _ in range(8)]
            rig.process.send_signal(signal.SIGTERM)
            await rig.wait_for("gateway drains", 3)
            readiness = await rig.look("/readyz")
            late = await rig.ask()
            bodies = [await answer.read() for answer in answers]
        rig.process.send_signal(signal.SIGTERM)
        code = await rig.process.wait()
        await rig.wait_for("gateway stopped", 3)

    assert readiness == {"ready": False, "reason": "shutting down"}
    assert late == 200
    assert all(body.endswith(b"data: [DONE]\n\n") for body in bodies)
    assert code == 0
    assert rig.events[-1]["event"] == "gateway stopped"
    assert "worker" not in rig.events[-1]


async def test_ctrl_c_reaches_the_workers_too_and_they_wait_for_the_parents_word(
    tmp_path: Path, fake: FakeProvider
) -> None:
    fake.script = FakeScript(tokens_per_s=200)
    async with serving_pod(tmp_path, table(provider(fake.url))) as rig:
        pids = [worker["pid"] for worker in await rig.find_workers()]
        async with aiohttp.ClientSession(headers=HEADERS) as session:
            answers = [await session.post(rig.url, json=STREAM) for _ in range(8)]
            for pid in (*pids, rig.process.pid):
                os.kill(pid, signal.SIGINT)
            bodies = [await answer.read() for answer in answers]
        code = await rig.process.wait()

    assert all(body.endswith(b"data: [DONE]\n\n") for body in bodies)
    assert (code, rig.find("worker died")) == (0, [])


async def test_a_second_signal_cuts_the_drain_short(tmp_path: Path, fake: FakeProvider) -> None:
    fake.script = FakeScript(latency_s=60)
    async with serving_pod(tmp_path, table(provider(fake.url))) as rig:
        asking = asyncio.create_task(rig.ask())
        await fake.wait_until_seen(lambda seen: seen.under_way == 1)
        rig.process.send_signal(signal.SIGTERM)
        await rig.wait_for("gateway drains", 3)
        rig.process.send_signal(signal.SIGTERM)
        code = await rig.process.wait()
        with pytest.raises(aiohttp.ClientError):
            await asking
        cut = await rig.wait_for("requests cut")

    assert (code, cut["requests"]) == (0, 1)


async def test_workers_whose_parent_dies_finish_what_is_under_way_and_end(
    tmp_path: Path, fake: FakeProvider
) -> None:
    fake.script = FakeScript(tokens_per_s=200)
    async with serving_pod(tmp_path, table(provider(fake.url))) as rig:
        async with aiohttp.ClientSession(headers=HEADERS) as session:
            answers = [await session.post(rig.url, json=STREAM) for _ in range(8)]
            rig.process.send_signal(signal.SIGKILL)
            bodies = [await answer.read() for answer in answers]
        await rig.wait_for("parent is gone", 2)
        await rig.wait_for("gateway stopped", 2)

    assert all(body.endswith(b"data: [DONE]\n\n") for body in bodies)


async def test_without_a_table_the_workers_listen_and_the_pod_is_not_ready(tmp_path: Path) -> None:
    async with serving_pod(tmp_path, None) as rig:
        status, readiness = await rig.ask(), await rig.look("/readyz")

    assert status == 503
    assert readiness == {"ready": False, "reason": "no routing table yet"}


async def test_all_workers_show_a_new_certificate_after_sighup(tmp_path: Path, fake: FakeProvider) -> None:
    authority = Authority(tmp_path)
    files = authority.issue(tmp_path / "secret", "first")
    options = ("--tls-cert", str(files.certificate), "--tls-key", str(files.key))
    async with serving_pod(tmp_path / "state", table(provider(fake.url)), *options) as rig:
        before = await find_server(rig.port, authority)
        authority.issue(tmp_path / "secret", "second")
        rig.process.send_signal(signal.SIGHUP)
        await rig.wait_for("certificate taken", 2)
        after = {await find_server(rig.port, authority) for _ in range(10)}
        async with calling(rig.port, authority) as caller:
            status = await caller.ask()

    assert (before, after, status) == ("first", {"second"}, b"HTTP/1.1 200 OK")


async def test_the_parent_runs_on_asyncios_own_loop_too(tmp_path: Path, fake: FakeProvider) -> None:
    TableStore(tmp_path).save(save(table(provider(fake.url)), Version(1, 1)))
    pod = Pod(settings(state_dir=tmp_path), 2)
    await pod.start()
    before = pod.find_unreadiness()
    await pod.wait_until_listening()
    ready = pod.find_unreadiness()
    await pod.stop()

    assert (before, ready, pod.find_unreadiness()) == ("0 of 2 workers listen", None, "shutting down")


async def test_a_pod_can_be_stopped_before_its_workers_are_up(tmp_path: Path) -> None:
    pod = Pod(settings(state_dir=tmp_path), 2)
    await pod.start()
    with capture_logs() as logs:
        await pod.stop()

    assert [line["event"] for line in logs] == ["gateway drains", "gateway stopped"]


def test_bounds_on_what_is_under_way_are_the_pods() -> None:
    pod = GatewaySettings(name=GatewayId("pod"), max_requests=10, max_streams=5, max_request_bytes=10**9)

    worker = settings_for_worker(pod, 8080, 4)

    assert (worker.max_requests, worker.max_streams, worker.max_request_bytes) == (3, 2, 25 * 10**7)
    assert (worker.port, worker.shares_port) == (8080, True)
