"""`headgate verify-limits`: what it proves, what it finds, and what it leaves behind."""

import asyncio
import json
import signal
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any, Final

import redis
from click.testing import CliRunner, Result

from gateway_runtime.engine.lease_call import LeaseAnswer, LeaseCall
from gateway_runtime.engine.lease_store import MemoryStore
from headgate.cli import main
from headgate.verify.virtual import run_virtual
from headgate.verify.world import Parts
from tests.stores.redisserver import RedisServer
from tests.upstream.scripted import wait_until

SHORT = ("--operations", "3000", "--seconds", "2", "--gateways", "2", "--seed", "1")


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["verify-limits", *arguments])


def test_without_a_store_it_is_proved_in_virtual_time() -> None:
    result = run("--operations", "20000", "--seed", "1")

    assert result.exit_code == 0
    assert result.stdout.startswith("4 gateways, store in process, in virtual time, seed 1, ")
    assert "20,000 operations, " in result.stdout
    assert "LIMIT      RESOURCE      WINDOW   ADMITTED   FULLEST WINDOW           OF" in result.stdout
    assert result.stdout.endswith("held: no window of any limit ever had more than its amount\n")


def test_all_that_can_go_wrong_does_and_the_fullest_window_is_told() -> None:
    report = json.loads(run("--operations", "20000", "--seed", "1", "-o", "json").stdout)

    assert report["verdict"] == "Held"
    assert report["problems"] == []
    assert report["done"]["operations"] == 20_000
    assert min(report["done"].values()) > 0
    assert [limit["name"] for limit in report["limits"]] == ["requests", "tokens", "spend", "at-once"]
    assert all(50 < limit["fullest_percent"] <= 100 for limit in report["limits"])


def test_a_seed_has_the_same_course_each_time() -> None:
    first, second = (run("--operations", "4000", "--seed", "7", "-o", "json").stdout for _ in range(2))

    assert first == second


class GrantsTwice(MemoryStore):
    def exchange(self, root_id: str, call: LeaseCall, clock_ms: int) -> LeaseAnswer:
        answer = super().exchange(root_id, call, clock_ms)
        for scope in self._scopes.values():
            for lease in scope.leases.values():
                lease.amount = lease.amount * 2 // 3
        return answer


def test_a_mistake_of_the_store_is_found_and_told() -> None:
    report = run_virtual(operations=20_000, gateways=3, seed=1, parts=Parts(store=GrantsTwice))

    assert report.verdict == "Broken"
    assert any(problem.startswith("limit requests was overrun ") for problem in report.problems)


def test_seconds_without_a_store_are_refused() -> None:
    result = run("--seconds", "5")

    assert result.exit_code == 2
    assert "--seconds goes with --store: virtual time takes as long as it does" in result.stderr


def test_what_is_no_store_is_refused() -> None:
    result = run("--store", "http://redis")

    assert result.exit_code == 2
    assert "the store's URL begins with one of redis, rediss" in result.stderr


def test_a_store_that_is_not_there_is_told() -> None:
    result = run("--store", "redis://127.0.0.1:1", *SHORT)

    assert result.exit_code == 3
    assert "headgate verify-limits: the store could not be looked at: " in result.stderr


# Over a real store.


@asynccontextmanager
async def running(server: RedisServer, *arguments: str) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "headgate.cli",
        "verify-limits",
        "--store",
        server.url,
        *arguments,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.communicate()


def find_roots(client: redis.Redis) -> list[Any]:
    return list(client.scan_iter("headgate-verify-*:{parent}"))


async def test_it_holds_over_a_real_store_that_is_killed_in_the_middle(own_redis: RedisServer) -> None:
    with own_redis.client() as client:
        client.set("others", 1)
        async with running(own_redis, *SHORT, "-o", "json") as process:
            await wait_until(lambda: find_roots(client) != [])
            own_redis.kill()
            own_redis.start()
            await wait_until(lambda: find_roots(client) != [])
            stdout, stderr = await process.communicate()
        report = json.loads(stdout)
        keys = client.keys()

    assert (process.returncode, report["problems"], stderr) == (0, [], b"operations\n")
    assert keys == []  # `others` went with the memory
    assert report["done"]["operations"] >= 3000
    assert [report["done"][name] > 0 for name in ("killed", "stopped", "forgotten", "edited")] == [True] * 4


LOSE: Final = """
if redis.call('EXISTS', KEYS[1]) == 1 then
  redis.call('HSET', KEYS[1], 't', '0')
  for _, field in ipairs(redis.call('HKEYS', KEYS[1])) do
    if string.sub(field, 1, 2) == 'l:' then
      redis.call('HDEL', KEYS[1], field)
    end
  end
end
"""


@contextmanager
def losing_counts(server: RedisServer) -> Iterator[None]:
    """A store that forgets what was spent and granted, and says nothing of it."""
    over = threading.Event()

    def keep_losing() -> None:
        with server.client() as client:
            lose = client.register_script(LOSE)
            while not over.is_set():
                for key in client.scan_iter("headgate-verify-*:l:*"):
                    lose(keys=[key])

    thread = threading.Thread(target=keep_losing)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def test_a_store_that_loses_counts_without_a_word_is_found(own_redis: RedisServer) -> None:
    with losing_counts(own_redis), own_redis.client() as client:
        client.set("others", 1)
        result = run("--store", own_redis.url, *SHORT)
        left = client.keys()

    assert result.exit_code == 1
    assert "problem: limit alone/at-once was overrun " in result.stdout
    assert result.stdout.endswith("BROKEN: see the problems above; the same seed may show them again\n")
    assert left == [b"others"]


async def test_an_interrupt_leaves_nothing_behind(own_redis: RedisServer) -> None:
    with own_redis.client() as client:
        async with running(own_redis, *SHORT) as process:
            await wait_until(lambda: find_roots(client) != [])
            process.send_signal(signal.SIGINT)
            stdout, stderr = await process.communicate()
        keys = client.keys()

    assert process.returncode == 130
    assert (stdout, stderr) == (b"", b"operations\n")
    assert keys == []
