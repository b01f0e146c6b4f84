"""The transport under test, without any proxy that the environment may name."""

from collections.abc import AsyncIterator

import pytest

from gateway_runtime.upstream.proxy import Proxies
from gateway_runtime.upstream.transport import PooledTransport


@pytest.fixture
async def transport() -> AsyncIterator[PooledTransport]:
    transport = PooledTransport(proxies=Proxies({}))
    yield transport
    await transport.close()
