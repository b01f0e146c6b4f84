"""The bootstrap Secrets follow what is published."""

import asyncio
import base64
import random
from collections.abc import AsyncIterator

import msgspec
import pytest
from prometheus_client import CollectorRegistry

from gateway_runtime.contract.codec import build_snapshot
from gateway_runtime.contract.ids import GatewayId
from gateway_runtime.contract.saved import decode_saved
from gateway_runtime.contract.secret import Secret
from gateway_runtime.contract.stream import Counts, Version
from gateway_runtime.contract.table import Credential
from headgate_operator.kube import Unreachable
from headgate_operator.publish.bootstrap import PART_BYTES, SECRETS, Bootstrap
from headgate_operator.publish.bootstrap_writer import BootstrapWriter
from headgate_operator.publish.metrics import PublishMetrics
from headgate_operator.publish.offer import Offer
from tests.shell.publish.fakes import NAMESPACE, FakeKube, make_provider, make_table

ROSTER = (GatewayId("gw-1"),)


def offer(sequence: int) -> Offer:
    snapshot = build_snapshot(make_table(make_provider(1, generation=sequence)))
    return Offer(Version(1, sequence), snapshot, Counts(1, 0, 0), shrink_confirmed=False)


class Desk:
    """A writer that runs, and the versions that reach the Secret."""

    def __init__(self, kube: FakeKube, interval_s: float = 0.05) -> None:
        self.kube = kube
        self.registry = CollectorRegistry()
        self.bootstrap = Bootstrap(kube, NAMESPACE, "first")
        self.deposed = asyncio.Event()
        self.writer = BootstrapWriter(
            self.bootstrap, PublishMetrics(self.registry), interval_s, self.deposed.set
        )
        self.attempted = asyncio.Event()

    def refresh(self, sequence: int) -> None:
        self.writer.refresh(offer(sequence), ROSTER)

    async def wait_attempt(self) -> int | None:
        """The sequence in the Secret after the next attempt to write it."""
        async with asyncio.timeout(10):
            await self.attempted.wait()
        self.attempted.clear()
        part = self.kube.secrets["headgate-bootstrap-0"].data.get("part-000")
        return decode_saved(part).version.sequence if part else None


@pytest.fixture
async def desk(kube: FakeKube) -> AsyncIterator[Desk]:
    desk = Desk(kube)
    await desk.bootstrap.claim(0)
    kube.before_write = lambda name: desk.attempted.set()
    task = asyncio.create_task(desk.writer.run())
    yield desk
    task.cancel()
    await asyncio.wait([task])


async def test_the_first_version_is_written_at_once(desk: Desk) -> None:
    desk.refresh(1)

    assert await desk.wait_attempt() == 1


async def test_what_comes_soon_after_is_written_once_and_is_the_newest(desk: Desk) -> None:
    desk.refresh(1)
    await desk.wait_attempt()
    desk.kube.writes.clear()
    for sequence in range(2, 30):
        desk.refresh(sequence)

    assert await desk.wait_attempt() == 29
    assert desk.kube.writes == ["headgate-bootstrap-0"]


async def test_a_write_that_failed_is_tried_again(desk: Desk) -> None:
    succeed = desk.kube.before_write

    def fail_once(name: str) -> None:
        desk.kube.before_write = succeed
        succeed(name)
        raise Unreachable("cut in the middle")

    desk.kube.before_write = fail_once
    desk.refresh(1)

    assert [await desk.wait_attempt(), await desk.wait_attempt()] == [None, 1]


async def test_a_leader_that_was_replaced_is_told(desk: Desk) -> None:
    await Bootstrap(desk.kube, NAMESPACE, "second").claim(0)
    desk.refresh(1)
    async with asyncio.timeout(10):
        await desk.deposed.wait()

    assert "part-000" not in desk.kube.secrets["headgate-bootstrap-0"].data


async def test_a_table_that_does_not_fit_shows_in_the_metrics(kube: FakeKube) -> None:
    desk = Desk(kube)
    await desk.bootstrap.claim(0)
    # Random text does not shrink: this takes the place of some 100,000 resources.
    value = base64.b64encode(random.Random(1).randbytes(SECRETS * PART_BYTES)).decode()
    credential = Credential(name="main", value=Secret(value))
    huge = make_table(msgspec.structs.replace(make_provider(1), credentials=(credential,)))
    desk.writer.refresh(
        Offer(Version(1, 1), build_snapshot(huge), Counts(1, 0, 0), shrink_confirmed=False), ROSTER
    )
    await desk.writer.write_newest()
    size = desk.registry.get_sample_value("headgate_bootstrap_bytes")

    assert desk.registry.get_sample_value("headgate_bootstrap_too_large") == 1
    assert size is not None
    assert size > SECRETS * PART_BYTES
    assert "part-000" not in desk.kube.secrets["headgate-bootstrap-0"].data
