"""What the tests of tokens share: an issuer on a real socket and a clock that stands still."""

from collections.abc import AsyncIterator

import pytest

from tests.tokens.rig import Rig, rigged


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    async with rigged() as rig:
        yield rig
