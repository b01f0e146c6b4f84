"""A worker process as the parent knows it; the test plays the worker's part."""

import asyncio
from asyncio.subprocess import create_subprocess_exec
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from socket import socketpair
from typing import NamedTuple

from gateway_runtime.contract.codec import build_snapshot
from gateway_runtime.contract.health import HealthReport, LimitReport, TenantReport
from gateway_runtime.contract.ids import EndpointId, TenantId
from gateway_runtime.contract.stream import Ack, Delta, Fault, Nack, Version
from gateway_runtime.contract.table import RoutingTable
from gateway_runtime.server.build import BuiltTable, build_from_table
from gateway_runtime.workers.channel import (
    Ask,
    Exposition,
    Listen,
    Listening,
    WorkerEnd,
    open_parent_end,
    open_worker_end,
)
from gateway_runtime.workers.child import PART_BYTES, Child, build_deltas
from tests.server.rig import DEAD_URL, provider, route, table
from tests.workers.test_join import report

FIRST, SECOND = Version(1, 1), Version(1, 2)


class Scripted(NamedTuple):
    child: Child
    worker: WorkerEnd
    listening: asyncio.Task[bool]


@asynccontextmanager
async def scripted() -> AsyncIterator[Scripted]:
    ours, theirs = socketpair()
    process = await create_subprocess_exec("sleep", "60")
    child = Child(0, process, await open_parent_end(ours))
    worker = await open_worker_end(theirs)
    listening = asyncio.create_task(child.listen_to(5.0))
    try:
        yield Scripted(child, worker, listening)
    finally:
        worker.close()
        await listening
        await child.end(0.0)


def build(given: RoutingTable) -> BuiltTable:
    return build_from_table(given, build_snapshot(given))


async def receive_table(worker: WorkerEnd) -> Delta:
    message = await worker.receive()
    assert isinstance(message, Delta)
    return message


async def test_the_next_table_is_sent_as_a_difference_from_what_was_acked() -> None:
    first, second = table(provider(DEAD_URL)), table(provider(DEAD_URL), routes=[route("gpt-2")])
    sizes = []
    async with scripted() as (child, worker, _):
        for version, given in ((FIRST, first), (SECOND, second)):
            giving = asyncio.create_task(child.give_table(version, build(given)))
            delta = await receive_table(worker)
            sizes.append(len(delta.buckets))
            worker.say(Ack(version=version, digest=delta.digest))
            assert await giving is None

    assert sizes == [256, 1]


async def test_after_a_nack_the_difference_is_from_the_table_before() -> None:
    given = build(table(provider(DEAD_URL)))
    nack = Nack(version=FIRST, faults=(Fault(resource="", message="too large"),))
    async with scripted() as (child, worker, _):
        giving = asyncio.create_task(child.give_table(FIRST, given))
        await receive_table(worker)
        worker.say(nack)
        answer = await giving
        giving = asyncio.create_task(child.give_table(SECOND, given))
        again = await receive_table(worker)
        worker.say(Ack(version=SECOND, digest=again.digest))
        await giving

    assert answer == nack
    assert len(again.buckets) == 256


async def test_whoever_waits_for_a_worker_that_goes_gets_none() -> None:
    async with scripted() as (child, worker, listening):
        asking = asyncio.create_task(child.fetch_metrics())
        question = await worker.receive()
        worker.close()
        gone = await listening
        late = await child.fetch_metrics()

    assert isinstance(question, Ask)
    assert (gone, await asking, late) == (False, None, None)


async def test_an_answer_finds_its_question_and_is_remembered() -> None:
    async with scripted() as (child, worker, _):
        asking = asyncio.create_task(child.fetch_metrics())
        question = await worker.receive()
        assert isinstance(question, Ask)
        worker.say(Exposition(question.number + 1, "of another time"))
        worker.say(Exposition(question.number, "now"))
        answer = await asking

    assert (answer, child.metrics) == ("now", "now")


async def test_a_worker_that_is_silent_hangs() -> None:
    ours, theirs = socketpair()
    with theirs:
        process = await create_subprocess_exec("sleep", "60")
        child = Child(0, process, await open_parent_end(ours))
        silent = await child.listen_to(0.01)
        reason = await child.end(0.0)

    assert (silent, reason) == (True, "killed by SIGKILL")


async def test_changes_of_circuits_are_told_and_full_reports_forget_what_left() -> None:
    changed: list[EndpointId] = []
    async with scripted() as (child, worker, _):
        child.on_circuit = changed.append
        said = [
            HealthReport(sequence=1, full=True, endpoints=(report("Closed"),)),
            HealthReport(sequence=2, full=False, endpoints=(report("Open"),)),
            HealthReport(sequence=3, full=True, endpoints=(report("Open"),)),
        ]
        for message in said:
            worker.say(message)
        worker.say(Listening())
        opening = asyncio.create_task(child.open_port())
        order = await worker.receive()
        await opening
        known = dict(child.told)
        worker.say(HealthReport(sequence=4, full=True, endpoints=()))
        asking = asyncio.create_task(child.fetch_metrics())
        await worker.receive()
        worker.say(Exposition(0, ""))
        await asking

    assert isinstance(order, Listen)
    assert changed == ["chat/openai/e0"]
    assert (list(known), child.told) == (["chat/openai/e0"], {})


async def test_what_a_worker_tells_of_tenants_stays_until_it_tells_otherwise() -> None:
    def tell(tenant: str, used: int | None, resets_unix_s: float = 60.0) -> TenantReport:
        limit = LimitReport(name="rpm", amount=9, used=used or 0, held=0, resets_unix_s=resets_unix_s)
        return TenantReport(tenant=TenantId(tenant), limits=() if used is None else (limit,))

    moved: list[list[str]] = []
    async with scripted() as (child, worker, _):
        child.on_tenants = lambda tenants: moved.append(list(tenants))
        said = [[tell("a", 1), tell("b", 1)], [tell("a", 1, 61.0)], [tell("a", 2), tell("b", None)]]
        changed = []
        for sequence, tenants in enumerate(said, 1):
            worker.say(HealthReport(sequence=sequence, full=False, endpoints=(), tenants=tuple(tenants)))
            asking = asyncio.create_task(child.fetch_metrics())
            question = await worker.receive()
            assert isinstance(question, Ask)
            worker.say(Exposition(question.number, ""))
            await asking
            changed.append(child.told_tenants[TenantId("a")].changed_s)

    assert moved == [["a", "b"], ["a"], ["a", "b"]]
    assert changed[0] == changed[1] < changed[2]
    assert [(t, told.report.limits[0].used) for t, told in child.told_tenants.items()] == [("a", 2)]


def test_a_large_table_comes_in_parts_that_make_it_whole() -> None:
    many = [
        route(*(f"{'m' * 200}-{i}-{j}" for j in range(20)), name=f"r{i}")
        for i in range(2 * PART_BYTES // 4000)
    ]
    built = build(table(provider(DEAD_URL), routes=many))

    deltas = list(build_deltas(FIRST, built, ()))

    merged = {index: bytes(raw) for delta in deltas for index, raw in delta.buckets.items()}
    assert len(deltas) > 1
    assert [delta.part for delta in deltas] == list(range(len(deltas)))
    assert merged == dict(enumerate(built.payloads))


def test_a_version_without_a_change_is_one_empty_part() -> None:
    built = build(table(provider(DEAD_URL)))

    (delta,) = build_deltas(SECOND, built, built.digests)

    assert (delta.version, delta.parts, dict(delta.buckets)) == (SECOND, 1, {})
