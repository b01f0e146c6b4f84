"""What the tests of the server share: a fake provider, and a real Redis."""

from collections.abc import AsyncIterator

import pytest

from gateway_runtime.server.fake_provider import FakeProvider
from tests.stores.fixtures import *  # noqa: F403 (fixtures are found by name)


@pytest.fixture
async def fake() -> AsyncIterator[FakeProvider]:
    provider = FakeProvider()
    await provider.start()
    yield provider
    await provider.stop()


@pytest.fixture
async def other_fake() -> AsyncIterator[FakeProvider]:
    provider = FakeProvider()
    await provider.start()
    yield provider
    await provider.stop()
