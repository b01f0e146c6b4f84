"""What the tests of media share: a server of a stranger, and a fetcher that may reach it."""

from collections.abc import AsyncIterator

import pytest

from gateway_runtime.media import MediaFetcher
from tests.media.rig import Site, serving


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    async with serving() as site:
        yield site


@pytest.fixture
async def fetcher() -> AsyncIterator[MediaFetcher]:
    """Of a gateway whose owner allows private addresses: the tests' servers have no others."""
    fetcher = MediaFetcher(allow_private=True)
    yield fetcher
    await fetcher.close()


@pytest.fixture
async def strict() -> AsyncIterator[MediaFetcher]:
    """As it comes."""
    fetcher = MediaFetcher()
    yield fetcher
    await fetcher.close()
