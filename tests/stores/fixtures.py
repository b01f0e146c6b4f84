"""Real servers of Redis, for every folder that has tests against one."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.stores.redisserver import REDIS, RedisServer

__all__ = ["own_redis", "redis_server"]


@contextmanager
def running(folders: pytest.TempPathFactory, program: str = REDIS) -> Iterator[RedisServer]:
    server = RedisServer(folders.mktemp("redis"), program=program)
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """Shared by tests that use names of their own and leave it running."""
    with running(tmp_path_factory) as server:
        yield server


@pytest.fixture
def own_redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """Of one test, which may do to it what it likes."""
    with running(tmp_path_factory) as server:
        yield server
