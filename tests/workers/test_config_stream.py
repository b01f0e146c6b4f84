"""One config stream for all workers: an Ack when every one of them runs the version, and one report of each
endpoint.
"""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from gateway_runtime.contract.codec import build_snapshot
from gateway_runtime.contract.health import HealthReport
from gateway_runtime.contract.stream import Ack, Fault, Hello, Nack, Share, Version
from gateway_runtime.contract.table import RoutingTable
from gateway_runtime.contract.tenant import Limit
from gateway_runtime.server.fake_provider import FakeProvider
from tests.server.operatorend import OperatorEnd, build_deltas, issue_certificate, operator_end
from tests.server.rig import CHAT, DEAD_URL, provider, route, table, tenant
from tests.workers.podrig import PodRig, serving_pod


def digests_of(given: RoutingTable) -> list[str]:
    return [bucket.digest for bucket in build_snapshot(given).buckets]


@asynccontextmanager
async def connected_pod(folder: Path) -> AsyncIterator[tuple[PodRig, OperatorEnd]]:
    """The operator has heard the Hello."""
    token = folder / "token"
    token.write_text("token-1")
    async with operator_end(issue_certificate(folder)) as end:
        options = ("--operator", end.url, "--operator-ca", str(folder / "ca.pem"), "--token-file", str(token))
        async with serving_pod(folder / "state", None, *options) as rig:
            hello = await end.hear(Hello)
            assert (hello.gateway, hello.version) == ("pod-0", None)
            yield rig, end


async def test_a_version_is_acked_when_the_last_worker_runs_it(tmp_path: Path) -> None:
    async with connected_pod(tmp_path) as (rig, end):
        stopped = (await rig.find_workers())[1]["pid"]
        acking = asyncio.create_task(end.hear(Ack))
        os.kill(stopped, signal.SIGSTOP)
        await end.say(*build_deltas(table(provider(DEAD_URL)), Version(1, 1)))
        await rig.wait_for("table applied", worker=0)
        readiness = await rig.look("/readyz")
        acked_early = acking.done()
        os.kill(stopped, signal.SIGCONT)
        ack = await acking
        applied = [line.get("worker") for line in rig.find("table applied", version="1.1")]

    assert readiness == {"ready": False, "reason": "no routing table yet"}
    assert not acked_early
    assert ack.version == Version(1, 1)
    assert sorted(applied[:2], key=str) == [0, 1]


async def test_a_worker_that_dies_while_its_ack_is_awaited_is_not_waited_for(tmp_path: Path) -> None:
    async with connected_pod(tmp_path) as (rig, end):
        stopped = (await rig.find_workers())[1]["pid"]
        os.kill(stopped, signal.SIGSTOP)
        await end.say(*build_deltas(table(provider(DEAD_URL)), Version(1, 1)))
        await rig.wait_for("table applied", worker=0)
        os.kill(stopped, signal.SIGKILL)
        ack = await end.hear(Ack)
        await rig.wait_for("worker listens", 2, worker=1)
        versions = [worker["version"] for worker in await rig.find_workers()]

    assert ack.version == Version(1, 1)
    assert versions == ["1.1", "1.1"]


async def test_edits_come_as_differences_and_a_share_is_split_and_its_use_is_one_number_to_everybody(
    tmp_path: Path, fake: FakeProvider
) -> None:
    limited = tenant(limits=[Limit(name="rpm", amount=11, window_s=3600)])
    first = table(provider(fake.url), tenants=[limited])
    second = table(provider(fake.url), tenants=[limited], routes=[route("gpt", "gpt-2")])
    async with connected_pod(tmp_path) as (rig, end):
        await end.say(Share(index=1, gateways=2))
        for version, edit, have in ((Version(1, 1), first, ()), (Version(1, 2), second, digests_of(first))):
            await end.say(*build_deltas(edit, version, have))
            await end.hear(Ack)
        statuses = await asyncio.gather(*(rig.ask({**CHAT, "model": "gpt-2"}) for _ in range(60)))
        shown = await rig.look("/debug/table")
        while (told := (await end.hear(HealthReport)).tenants) == () or told[0].limits[0].used < 5:
            pass
        metrics = await rig.look("/metrics")

    assert [(worker["version"], worker["share"]) for worker in shown["workers"]] == [
        ("1.2", {"index": 1, "gateways": 4}),
        ("1.2", {"index": 3, "gateways": 4}),
    ]
    assert statuses.count(200) == 5  # of 11; the other gateway has 6
    assert shown["tenants"][0]["limits"] == [{"name": "rpm", "amount_here": 5, "used_here": 5}]
    (report,) = told
    (limit,), (key,) = report.limits, report.keys
    assert (report.tenant, limit.name, limit.amount, limit.used) == (limited.id, "rpm", 11, 5)
    assert len(key.key_id) == 12
    for what, number in (("used", 5.0), ("amount", 11.0)):
        assert f'headgate_tenant_limit_{what}{{limit="rpm",tenant="{limited.id}"}} {number}\n' in metrics


async def test_a_table_that_cannot_be_served_is_refused_before_any_worker_sees_it(tmp_path: Path) -> None:
    empty = table()
    async with connected_pod(tmp_path) as (rig, end):
        await end.say(*build_deltas(table(provider(DEAD_URL)), Version(1, 1)))
        await end.hear(Ack)
        await end.say(*build_deltas(empty, Version(1, 2), digests_of(table(provider(DEAD_URL)))))
        nack = await end.hear(Nack)
        workers = await rig.find_workers()

    message = "its target provider chat/openai is not in the table"
    assert nack.faults == (Fault(resource="Route/chat/route", message=message),)
    assert [worker["version"] for worker in workers] == ["1.1", "1.1"]
    assert [line.get("worker") for line in rig.find("table refused")] == [None]


async def test_a_circuit_that_opens_in_one_worker_is_reported_at_once_for_the_pod(tmp_path: Path) -> None:
    served = table(provider(DEAD_URL), routes=[route(max_attempts=1)])
    async with connected_pod(tmp_path) as (rig, end):
        await end.say(*build_deltas(served, Version(1, 1)))
        await end.hear(Ack)
        while not rig.find("circuit"):
            await rig.ask()
        while (report := (await end.hear(HealthReport)).endpoints) == () or report[0].circuit != "Open":
            pass

    assert report[0].endpoint == "chat/openai/e0"
    assert report[0].reason.startswith("open in ")
    assert report[0].reason.endswith(" of 2 workers: 3 failures in a row, last: connection refused")
