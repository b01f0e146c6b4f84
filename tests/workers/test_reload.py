"""The pod's table counts when all workers run it, and not before."""

import asyncio
import time

from gateway_runtime.contract.stream import Ack, Fault, Nack, Share, Version
from gateway_runtime.contract.table import RoutingTable
from gateway_runtime.server.build import BuiltTable
from gateway_runtime.server.endpoint import Clock
from gateway_runtime.server.state import WHOLE, LiveState
from gateway_runtime.workers.reload import PodReloader
from tests.server.operatorend import build_deltas
from tests.server.rig import DEAD_URL, provider, route, table
from tests.server.test_disk import save

FIRST, SECOND = Version(1, 1), Version(1, 2)


class Workers:
    """What they answer, by version."""

    def __init__(self) -> None:
        self.faults: dict[Version, tuple[Fault, ...]] = {}
        self.handed: list[Version] = []
        self.told: list[Share] = []
        state = LiveState(Clock(time.monotonic, time.time))
        self.reloader = PodReloader(state, self.hand_out, lambda: self.told.append(self.reloader.share))

    async def hand_out(self, version: Version, _: BuiltTable) -> tuple[Fault, ...]:
        running = self.reloader.version
        assert running is None or running < version
        self.handed.append(version)
        return self.faults.get(version, ())

    async def offer(self, new: RoutingTable, version: Version) -> Ack | Nack | None:
        (delta,) = build_deltas(new, version)
        return await self.reloader.offer_part(delta)


async def test_a_version_that_no_worker_refuses_becomes_the_pods_own() -> None:
    workers = Workers()
    answer = await workers.offer(table(provider(DEAD_URL)), FIRST)

    assert isinstance(answer, Ack)
    assert (workers.handed, workers.reloader.version) == ([FIRST], FIRST)


async def test_what_one_worker_refuses_the_pod_refuses_and_keeps_what_it_had() -> None:
    workers = Workers()
    fault = Fault(resource="Route/chat/route", message="worker 1: it does not fit")
    workers.faults[SECOND] = (fault,)
    await workers.offer(table(provider(DEAD_URL)), FIRST)
    workers.reloader.to_save.clear()
    answer = await workers.offer(table(provider(DEAD_URL), routes=[route("gpt-2")]), SECOND)

    found = workers.reloader.find_table()
    assert answer == Nack(version=SECOND, faults=(fault,))
    assert found is not None
    assert found[0] == FIRST
    assert not workers.reloader.to_save.is_set()


async def test_what_the_parent_refuses_no_worker_is_given() -> None:
    workers = Workers()
    await workers.offer(table(provider(DEAD_URL)), SECOND)
    answer = await workers.offer(table(provider(DEAD_URL), routes=[route("gpt-2")]), FIRST)

    message = "version 1.1 is not newer than 1.2, which is running"
    assert answer == Nack(version=FIRST, faults=(Fault(resource="", message=message),))
    assert workers.handed == [SECOND]


async def test_versions_are_handed_out_one_after_the_other() -> None:
    workers = Workers()
    answers = await asyncio.gather(
        workers.offer(table(provider(DEAD_URL)), FIRST),
        workers.offer(table(provider(DEAD_URL), routes=[route("gpt-2")]), SECOND),
    )

    assert [type(answer) for answer in answers] == [Ack, Ack]
    assert workers.handed == [FIRST, SECOND]


async def test_a_share_is_told_at_once_and_restored_with_the_table() -> None:
    workers = Workers()
    before = workers.reloader.share
    share = Share(index=1, gateways=3)
    await workers.reloader.restore(save(table(provider(DEAD_URL)), FIRST, share))

    assert (before, workers.reloader.share, workers.told) == (WHOLE, share, [share])
