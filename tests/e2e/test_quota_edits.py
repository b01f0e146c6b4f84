"""A quota that is edited while callers use it, on two gateways that share a Redis: the new amount binds on
both within a second and resets nothing, a revoked key is over within a second, and the status adds up.
"""

import asyncio
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import pytest

from tests.e2e.manifests import provider, quota, route
from tests.e2e.processes import wait_until
from tests.e2e.system import Gateway, Operator, Provider, System
from tests.stores.redisserver import RedisServer
from tests.upstream.scripted import wait_until as until

pytestmark = [pytest.mark.kube, pytest.mark.e2e]

KEY = "sk-first-7d3f"
BODY = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Hello"}]}


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[RedisServer]:
    server = RedisServer(tmp_path)
    server.start()
    yield server
    server.stop()


@dataclass
class Log:
    """When each answer came, by gateway and status."""

    answers: list[tuple[float, str, int]] = field(default_factory=list)

    def count(self, status: int) -> int:
        return sum(one == status for _, _, one in self.answers)

    def last_s(self, url: str, status: int) -> float:
        return max(at_s for at_s, where, one in self.answers if (where, one) == (url, status))


async def call_all_the_time(urls: list[str], log: Log, key: str, stop: asyncio.Event) -> None:
    """Two callers at each gateway, one request after the other."""

    async def call(url: str) -> None:
        while not stop.is_set():
            async with session.post(f"{url}/v1/chat/completions", json=BODY) as answer:
                await answer.read()
                log.answers.append((time.monotonic(), url, answer.status))

    async with aiohttp.ClientSession(headers={"Authorization": f"Bearer {key}"}) as session:
        await asyncio.gather(*[call(url) for url in urls for _ in range(2)])


def patch(system: System, amount: int) -> float:
    """When it was accepted."""
    change = [{"op": "replace", "path": "/spec/limits/0/amount", "value": amount}]
    system.cluster.kubectl("patch", "tq", "team", "-n", "default", "--type=json", "-p", json.dumps(change))
    return time.monotonic()


async def edit_and_revoke(system: System, urls: list[str]) -> None:
    stop, log = asyncio.Event(), Log()
    calling = asyncio.create_task(call_all_the_time(urls, log, KEY, stop))
    await until(lambda: log.count(200) > 200)

    # Far below what is used: nothing may be served any more, on either gateway.
    edited_s = await asyncio.to_thread(patch, system, 100)
    await until(lambda: {where for _, where, status in log.answers if status == 429} == set(urls))
    refused = log.count(429)
    await until(lambda: log.count(429) > refused + 500)
    assert [max(0.0, log.last_s(url, 200) - edited_s) < 1.0 for url in urls] == [True, True]

    # Twenty more than were used: twenty more are served, since nothing was forgotten.
    used = log.count(200)
    await asyncio.to_thread(patch, system, used + 20)
    await until(lambda: log.count(200) == used + 20)
    refused = log.count(429)
    await until(lambda: log.count(429) > refused + 200)
    assert log.count(200) == used + 20
    stop.set()
    await calling
    assert {status for _, _, status in log.answers} == {200, 429}

    await asyncio.to_thread(patch, system, 1_000_000)
    stop, log = asyncio.Event(), Log()
    calling = asyncio.create_task(call_all_the_time(urls, log, KEY, stop))
    await until(lambda: log.count(200) > 100)
    await asyncio.to_thread(system.cluster.kubectl, "delete", "secret", "team-key", "-n", "default")
    revoked_s = time.monotonic()
    await until(lambda: {where for _, where, status in log.answers if status == 401} == set(urls))
    stop.set()
    await calling
    assert [max(0.0, log.last_s(url, 200) - revoked_s) < 1.0 for url in urls] == [True, True]


def test_an_edit_binds_everywhere_within_a_second_and_forgets_nothing(
    system: System, redis: RedisServer
) -> None:
    limits = "[{name: hourly, amount: 1000000, window: 1h}]"
    with Provider(system, "fake") as fake, Operator(system, "operator-0") as operator:
        operator.wait_leading()
        system.fetch_ca()
        store = ("--limit-store", redis.url)
        with (
            Gateway(system, "gateway-0", (operator.stream_url,), *store) as left,
            Gateway(system, "gateway-1", (operator.stream_url,), *store) as right,
        ):
            system.cluster.apply(provider("a", fake.url) + route("chat", "a") + quota("team", KEY, limits))
            for gateway in (left, right):
                gateway.wait_routing("default/chat")

            asyncio.run(edit_and_revoke(system, [left.url, right.url]))

            # All gateways added up, from the store that they share.
            def told() -> bool:
                status = system.get("tq", "team", "default")["status"]
                (limit,) = status["limits"]
                return limit["amount"] == 1_000_000 and limit["used"] >= 100 and limit["held"] == 0

            wait_until(told, "the status tells what is used")
