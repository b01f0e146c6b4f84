"""What a worker does with its parent's orders; the test plays the parent."""

import asyncio
import dataclasses
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from socket import socketpair
from typing import NamedTuple, TypeVar

import pytest

from gateway_runtime.contract.codec import build_snapshot
from gateway_runtime.contract.health import HealthReport
from gateway_runtime.contract.ids import EndpointId
from gateway_runtime.contract.stream import Ack, Nack, Share, Version
from gateway_runtime.server.build import OutOfStep
from gateway_runtime.workers.channel import (
    Ask,
    Drain,
    Exposition,
    Listen,
    Listening,
    ParentEnd,
    Standing,
    open_parent_end,
    open_worker_end,
)
from gateway_runtime.workers.worker import ObedientGateway
from tests.server.operatorend import build_deltas
from tests.server.rig import DEAD_URL, provider, settings, table
from tests.workers.test_join import report

_Kind = TypeVar("_Kind")


class Obeying(NamedTuple):
    gateway: ObedientGateway
    parent: ParentEnd
    obeying: asyncio.Task[None]

    async def hear(self, kind: type[_Kind]) -> _Kind:
        """Passes over other messages."""
        while True:
            message = await self.parent.receive()
            assert message is not None
            if isinstance(message, kind):
                return message


@asynccontextmanager
async def obedient(port: int = 0) -> AsyncIterator[Obeying]:
    ours, theirs = socketpair()
    parent = await open_parent_end(ours)
    chosen = dataclasses.replace(settings(), port=port, shares_port=port == 0)
    gateway = ObedientGateway(chosen, await open_worker_end(theirs))
    obeying = asyncio.create_task(gateway.obey())
    try:
        yield Obeying(gateway, parent, obeying)
    finally:
        parent.close()
        await asyncio.wait((obeying,))


async def test_a_worker_has_its_table_and_its_share_before_it_listens() -> None:
    async with obedient() as worker:
        worker.parent.say(Share(index=1, gateways=2))
        (delta,) = build_deltas(table(provider(DEAD_URL)), Version(1, 1))
        worker.parent.say(delta)
        ack = await worker.hear(Ack)
        port_before = worker.gateway.port
        worker.parent.say(Listen())
        await worker.hear(Listening)
        worker.parent.say(Ask(7, "standing"))
        standing = await worker.hear(Standing)
        _, writer = await asyncio.open_connection("127.0.0.1", worker.gateway.port)
        writer.close()

    assert (ack.version, port_before) == (Version(1, 1), 0)
    assert (standing.number, standing.version) == (7, Version(1, 1))
    assert standing.share == Share(index=1, gateways=2)


async def test_it_believes_its_parents_probes_and_knows_no_better() -> None:
    async with obedient() as worker:
        (delta,) = build_deltas(table(provider(DEAD_URL)), Version(1, 1))
        worker.parent.say(delta)
        probed = report(health="Unhealthy", reason="probe failed: 503 from upstream")
        worker.parent.say(HealthReport(sequence=0, full=True, endpoints=(probed,)))
        worker.parent.say(Ask(0, "standing"))
        (told,) = (await worker.hear(Standing)).endpoints

    assert (told.endpoint, told.health, told.reason) == (EndpointId("chat/openai/e0"), "Unhealthy", "")


async def test_it_tells_its_metrics_as_prometheus_reads_them() -> None:
    async with obedient() as worker:
        worker.parent.say(Ask(3, "metrics"))
        told = await worker.hear(Exposition)

    assert told.number == 3
    assert "\nheadgate_requests_in_flight 0.0\n" in told.text


async def test_a_table_that_it_cannot_serve_is_refused() -> None:
    async with obedient() as worker:
        (delta,) = build_deltas(table(), Version(1, 1))
        worker.parent.say(delta)
        nack = await worker.hear(Nack)

    assert nack.faults[0].message == "its target provider chat/openai is not in the table"


async def test_a_difference_from_something_else_ends_it() -> None:
    async with obedient() as worker:
        given = table(provider(DEAD_URL))
        have = [bucket.digest for bucket in build_snapshot(given).buckets]
        (delta,) = build_deltas(given, Version(1, 1), have)
        worker.parent.say(delta)

        with pytest.raises(OutOfStep):
            await worker.obeying


async def test_told_to_drain_before_it_listens_it_ends_at_once() -> None:
    async with obedient() as worker:
        worker.parent.say(Drain())
        worker.parent.say(Listen())
        await worker.obeying

    assert worker.gateway.port == 0


async def test_a_port_that_is_taken_ends_it() -> None:
    async with obedient() as first:
        first.parent.say(Listen())
        await first.hear(Listening)
        async with obedient(first.gateway.port) as second:
            second.parent.say(Listen())

            with pytest.raises(OSError, match="address already in use"):
                await second.obeying


async def test_without_its_parent_it_drains_and_ends() -> None:
    async with obedient() as worker:
        worker.parent.say(Listen())
        await worker.hear(Listening)
        worker.parent.close()
        await worker.obeying

        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", worker.gateway.port)
