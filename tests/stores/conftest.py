"""The suite of the stores runs against each of them."""

from collections.abc import Iterator

import pytest

from tests.stores.redisserver import REDIS, VALKEY, RedisServer

PROGRAMS = {"Redis": REDIS, "Valkey": VALKEY}


@pytest.fixture(scope="session", params=PROGRAMS.values(), ids=PROGRAMS)
def redis_server(
    tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Iterator[RedisServer]:
    """Shared by tests that use names of their own and leave it running."""
    server = RedisServer(tmp_path_factory.mktemp("redis"), program=request.param)
    server.start()
    yield server
    server.stop()


@pytest.fixture(params=PROGRAMS.values(), ids=PROGRAMS)
def own_redis(
    tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Iterator[RedisServer]:
    """Of one test, which may do to it what it likes."""
    server = RedisServer(tmp_path_factory.mktemp("redis"), program=request.param)
    server.start()
    yield server
    server.stop()
