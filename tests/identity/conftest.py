"""What the tests of callers share: an Authenticator, issuers' documents and a clock that stands still."""

from collections.abc import AsyncIterator

import pytest

from tests.identity.rig import Rig


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    rig = Rig()
    yield rig
    await rig.authenticator.key_store.close()
