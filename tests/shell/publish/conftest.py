"""A publisher on a real socket with TLS, over a fake Kubernetes API, and the doings of a test around it."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager

import pytest
from prometheus_client import CollectorRegistry

from gateway_runtime.contract.stream import Upward
from headgate_operator.publish.change import Change
from headgate_operator.publish.publisher import Publisher
from headgate_operator.settings import OperatorSettings
from tests.shell.publish.fakes import NAMESPACE, FakeKube, TurnedClock
from tests.shell.publish.scripted_gateway import Connection, ScriptedGateway

SETTINGS = OperatorSettings(
    own_namespace=NAMESPACE, stream_host="127.0.0.1", stream_port=0, dns_names=(), ip_addresses=("127.0.0.1",)
)


class Bench:
    """One operator replica and what it has told the status."""

    def __init__(self, kube: FakeKube, clock: TurnedClock) -> None:
        self.kube = kube
        self.clock = clock
        self.registry = CollectorRegistry()
        self.changes: list[Change] = []
        self._changed = asyncio.Event()
        self.publisher = Publisher(
            kube,
            SETTINGS,
            self.registry,
            self._note,
            clock=clock,
            bootstrap_interval_s=0.01,
        )

    def trust(self) -> ssl.SSLContext:
        """What a gateway trusts that has mounted the bundle as it is now."""
        bundle = self.kube.secrets["headgate-ca-bundle"].data["ca.crt"].decode()
        trust = ssl.create_default_context(cadata=bundle)
        trust.verify_flags |= ssl.VERIFY_X509_STRICT  # the default from Python 3.13 on
        return trust

    def dial(
        self, gateway: ScriptedGateway, token: str | None = None, hello: Upward | str | None = None
    ) -> AbstractAsyncContextManager[Connection]:
        """With a token bound to a pod of the gateway's name, unless one is given."""
        return gateway.dial(
            self.publisher.port, self.trust(), token or self.kube.admit(pod=gateway.name), hello
        )

    async def wait_change(self, holds: Callable[[Change], bool]) -> Change:
        """The first that is meant, of those already heard or to come; it is used up."""
        async with asyncio.timeout(10):
            while True:
                for i, change in enumerate(self.changes):
                    if holds(change):
                        return self.changes.pop(i)
                self._changed.clear()
                await self._changed.wait()

    async def wait_event(self, event: str) -> Change:
        return await self.wait_change(lambda change: change.event == event)

    def _note(self, change: Change) -> None:
        self.changes.append(change)
        self._changed.set()


@pytest.fixture
def kube() -> FakeKube:
    return FakeKube()


@pytest.fixture
def clock() -> TurnedClock:
    return TurnedClock()


@pytest.fixture
async def follower(kube: FakeKube, clock: TurnedClock) -> AsyncIterator[Bench]:
    """Started, not leading."""
    bench = Bench(kube, clock)
    await bench.publisher.start()
    yield bench
    await bench.publisher.stop()


@pytest.fixture
async def leader(follower: Bench) -> Bench:
    """Started, and leading with epoch 1; nothing is published yet."""
    await follower.publisher.become_leader(0)
    return follower
