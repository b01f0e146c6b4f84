"""The suite of the stores runs against each of them."""

from collections.abc import Iterator

import pytest

from tests.stores.fixtures import running
from tests.stores.redisserver import REDIS, VALKEY, RedisServer

PROGRAMS = {"Redis": REDIS, "Valkey": VALKEY}


@pytest.fixture(scope="session", params=PROGRAMS.values(), ids=PROGRAMS)
def redis_server(
    tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Iterator[RedisServer]:
    """As everywhere, of each kind."""
    with running(tmp_path_factory, request.param) as server:
        yield server


@pytest.fixture(params=PROGRAMS.values(), ids=PROGRAMS)
def own_redis(
    tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Iterator[RedisServer]:
    """The same."""
    with running(tmp_path_factory, request.param) as server:
        yield server
