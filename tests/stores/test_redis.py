"""The store in a real Redis: who answers, what is sent how often, how it fails, TLS, sentinels."""

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import redis

from gateway_runtime.engine.lease_call import LeaseAnswer, LeaseCall, ScopeAsk
from gateway_runtime.stores.redis import RedisStore, open_redis_store
from gateway_runtime.stores.store import StoreAway
from tests.server.certificates import Authority
from tests.stores.redisserver import REDIS, VALKEY, RedisServer, Sentinel
from tests.stores.scriptedredis import ScriptedRedis, bulk
from tests.upstream.scripted import listening, wait_until

PASSWORD = "planted-password"
CALL = LeaseCall("a", 1, 10_000, -1, "", 0, 1, 0, 2, ("a",), ())
ASK = ScopeAsk("l", 100, 60_000, 234, (), False, False, 1, 5, (), 0, 0, 0, 0, ())


def call_of(*scopes: ScopeAsk, **changes: object) -> LeaseCall:
    values = {name: changes.get(name, getattr(CALL, name)) for name in LeaseCall.__struct_fields__}
    return LeaseCall(**{**values, "scopes": scopes})


@asynccontextmanager
async def opened(url: str, password: str | None = None) -> AsyncIterator[RedisStore]:
    store = open_redis_store(url, password)
    try:
        yield store
    finally:
        await store.close()


async def send(store: RedisStore, call: LeaseCall = CALL, root: str = "r") -> LeaseAnswer:
    (answer,) = await store.exchange([(root, call)])
    return answer


async def fail(store: RedisStore) -> str:
    with pytest.raises(StoreAway) as raised:
        await send(store)
    return str(raised.value)


async def answers_again(store: RedisStore, call: LeaseCall) -> LeaseAnswer:
    """Once it is there."""
    async with asyncio.timeout(10):
        while True:
            try:
                return await send(store, call)
            except StoreAway:
                await asyncio.sleep(0.01)  # another process has to come up, and tells nobody when it has


# Who answers.


async def test_another_process_with_the_same_memory_is_noticed_by_the_next_call(tmp_path: Path) -> None:
    server = RedisServer(tmp_path, durable=True)
    server.start()
    async with opened(server.url) as store:
        first = await send(store, call_of(ASK))
        second = await send(store, call_of(ASK, epoch=first.epoch, sequence=2, acknowledged=1, asserts=0))
        server.kill()
        server.start()
        third = await answers_again(
            store, call_of(ASK, epoch=first.epoch, sequence=3, acknowledged=2, asserts=0)
        )
        fourth = await send(store, call_of(ASK, epoch=third.epoch, sequence=3, acknowledged=2))
    server.stop()

    assert (second.asserted, second.scopes[0].total) == (True, 10)
    assert (third.asserted, third.counted, third.epoch > first.epoch) == (False, 2, True)
    assert fourth.scopes[0].total == 15


async def test_a_server_that_may_not_be_asked_who_it_is_serves_all_the_same(own_redis: RedisServer) -> None:
    with own_redis.client() as client:
        client.acl_setuser(
            "gate", enabled=True, passwords=[f"+{PASSWORD}"], keys=["*"], commands=["+@all", "-info"]
        )
    async with opened(own_redis.url.replace("//", "//gate@"), PASSWORD) as store:
        first = await send(store, call_of(ASK))
        second = await send(store, call_of(ASK, epoch=first.epoch, sequence=2, acknowledged=1, asserts=0))

    assert second.scopes[0].total == 10


# What is sent how often.


@asynccontextmanager
async def cutting(cut_after: Callable[[Sequence[bytes]], bool]) -> AsyncIterator[tuple[ScriptedRedis, int]]:
    server = ScriptedRedis(cut_after)
    async with listening(server.handle) as port:
        yield server, port


def is_call(command: Sequence[bytes]) -> bool:
    return command[0] == b"EVALSHA"


async def test_a_call_that_was_read_and_not_answered_is_not_sent_again() -> None:
    async with cutting(is_call) as (server, port), opened(f"redis://127.0.0.1:{port}") as store:
        words = await fail(store)

    assert words
    assert server.count(b"EVALSHA") == 1


async def test_of_several_calls_none_is_sent_again() -> None:
    seen = 0

    def cut_after_the_second(command: Sequence[bytes]) -> bool:
        nonlocal seen
        seen += is_call(command)
        return seen == 2

    async with cutting(cut_after_the_second) as (server, port), opened(f"redis://127.0.0.1:{port}") as store:
        with pytest.raises(StoreAway):
            await store.exchange([("r1", CALL), ("r2", CALL), ("r3", CALL)])
        await asyncio.sleep(0)

    roots = [command[3] for command in server.heard if is_call(command)]
    assert roots == [b"headgate:{r1}", b"headgate:{r2}"]


async def test_a_call_through_a_sentinel_is_not_sent_again_either() -> None:
    async with cutting(is_call) as (server, port):
        told = b"name limits ip 127.0.0.1 port %d flags master num-other-sentinels 0" % port
        words = told.split()
        state = b"*1\r\n*%d\r\n%s" % (len(words), b"".join(map(bulk, words)))
        sentinel = ScriptedRedis(lambda _: False, {b"SENTINEL": state})
        async with (
            listening(sentinel.handle) as sentinel_port,
            opened(f"redis+sentinel://127.0.0.1:{sentinel_port}/limits") as store,
        ):
            await fail(store)

    assert (sentinel.count(b"SENTINEL"), server.count(b"EVALSHA")) == (1, 1)


async def test_many_exchanges_at_once_share_eight_connections(own_redis: RedisServer) -> None:
    async with opened(own_redis.url) as store:
        await asyncio.gather(*(send(store, call_of(ASK), f"r{number}") for number in range(100)))
        with own_redis.client() as client:
            clients = client.client_list()

    assert len(clients) == 8 + 1


# How it fails.


async def test_a_server_that_is_not_there_is_named(own_redis: RedisServer) -> None:
    own_redis.kill()
    async with opened(own_redis.url) as store:
        words = await fail(store)

    assert f"127.0.0.1:{own_redis.port}" in words


async def test_a_frozen_server_is_given_up_after_a_second_and_found_again(own_redis: RedisServer) -> None:
    async with opened(own_redis.url) as store:
        first = await send(store, call_of(ASK))
        own_redis.freeze()
        words = await fail(store)
        own_redis.thaw()
        again = await answers_again(
            store, call_of(ASK, epoch=first.epoch, sequence=3, acknowledged=1, asserts=0)
        )

    assert words == "it does not answer within 1 s"
    assert again.scopes[0].total == 10


@pytest.mark.parametrize(
    ("password", "words"),
    [
        (None, "it wants a password: set HEADGATE_STORE_PASSWORD"),
        (
            "another-planted",
            "it refuses the password in HEADGATE_STORE_PASSWORD, or the user in its URL: "
            "invalid username-password pair or user is disabled.",
        ),
    ],
)
async def test_a_wrong_password_is_told_and_not_repeated(
    tmp_path: Path, password: str | None, words: str
) -> None:
    server = RedisServer(tmp_path, password=PASSWORD)
    server.start()
    async with opened(server.url, password) as store, opened(server.url, PASSWORD) as right:
        told = await fail(store)
        answer = await send(right)
    server.stop()

    assert told == words
    assert answer.asserted


async def test_a_user_who_may_not_run_scripts_is_told_what_is_needed(own_redis: RedisServer) -> None:
    with own_redis.client() as client:
        client.acl_setuser("gate", enabled=True, passwords=[f"+{PASSWORD}"], keys=["*"], commands=["+info"])
    async with opened(own_redis.url.replace("//", "//gate@"), PASSWORD) as store:
        words = await fail(store)

    assert words.startswith(
        "its user may not do what is needed (EVALSHA, SCRIPT LOAD, INFO, hashes, sorted sets)"
    )


def read_rights() -> list[str]:
    (rule,) = re.findall(r"^ACL SETUSER (.*)$", Path("docs/limit-store.md").read_text(), re.MULTILINE)
    return rule.replace(">...", f">{PASSWORD}").split()


async def test_a_user_with_the_rights_that_the_docs_name_has_enough(own_redis: RedisServer) -> None:
    with own_redis.client() as client:
        client.execute_command("ACL", "SETUSER", *read_rights())
        async with opened(own_redis.url.replace("//", "//headgate@"), PASSWORD) as store:
            await store.beat("a", ())
            first = await send(store, call_of(ASK))
            own_redis.flush()
            await send(store, call_of(ASK, epoch=first.epoch, sequence=2, acknowledged=1))
            await store.leave("a")
            await store.clear()
        keys = client.keys()

    assert keys == []


async def test_a_replica_takes_no_calls(own_redis: RedisServer, tmp_path: Path) -> None:
    replica = RedisServer(tmp_path, replica_of=own_redis, program=own_redis.program)
    replica.start()
    async with opened(replica.url) as store:
        words = await fail(store)
    replica.stop()

    assert "replica" in words


async def test_a_server_without_memory_left_is_told_as_it_says_it(own_redis: RedisServer) -> None:
    with own_redis.client() as client:
        client.config_set("maxmemory", "1")
    async with opened(own_redis.url) as store:
        words = await fail(store)

    assert "maxmemory" in words


# TLS.


async def test_tls_trusts_the_authority_that_the_url_names(tmp_path: Path) -> None:
    authority, other = Authority(tmp_path), Authority(tmp_path, "other")
    server = RedisServer(tmp_path, password=PASSWORD, tls=authority.issue(tmp_path / "issued", "redis"))
    server.start()
    url = f"rediss://127.0.0.1:{server.tls_port}"
    async with (
        opened(f"{url}?ca={authority.path}", PASSWORD) as store,
        opened(f"{url}?ca={other.path}", PASSWORD) as wary,
        opened(url, PASSWORD) as default,
    ):
        answer = await send(store)
        refused = [await fail(wary), await fail(default)]
    server.stop()

    assert answer.asserted
    assert ["certificate verify failed" in words for words in refused] == [True, True]


# Sentinels.


@pytest.mark.parametrize("program", [REDIS, VALKEY], ids=["Redis", "Valkey"])
async def test_a_failover_leads_to_the_replica_which_is_another_process(
    tmp_path_factory: pytest.TempPathFactory, program: str
) -> None:
    master = RedisServer(tmp_path_factory.mktemp("master"), password=PASSWORD, program=program)
    replica = RedisServer(
        tmp_path_factory.mktemp("replica"), password=PASSWORD, replica_of=master, program=program
    )
    sentinel = Sentinel(tmp_path_factory.mktemp("sentinel"), master)
    for one in (master, replica, sentinel):
        one.start()
    async with opened(sentinel.url, PASSWORD) as store:
        first = await send(store, call_of(ASK))
        later = call_of(ASK, epoch=first.epoch, sequence=2, acknowledged=1, asserts=0)
        with replica.client() as client:
            await wait_until(lambda: holds_root(client))
        master.kill()
        second = await answers_again(store, later)
    for one in (sentinel, replica):
        one.stop()

    # The replica knew of the first call, and is not believed to know all.
    assert (second.asserted, second.counted) == (False, 1)


def holds_root(client: redis.Redis) -> bool:
    return client.hget("headgate:{r}", "c:a") == b"1"


async def test_a_sentinel_that_is_gone_leaves_time_for_the_next(
    own_redis: RedisServer, tmp_path_factory: pytest.TempPathFactory
) -> None:
    replica = RedisServer(tmp_path_factory.mktemp("replica"), replica_of=own_redis, program=own_redis.program)
    sentinel = Sentinel(tmp_path_factory.mktemp("sentinel"), own_redis)
    replica.start()
    sentinel.start()
    unheard = asyncio.Event()

    async def say_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        unheard.set()
        writer.close()

    async with listening(say_nothing) as port:
        url = sentinel.url.replace("//", f"//127.0.0.1:{port},")
        async with opened(url) as store:
            answer = await send(store)
        await unheard.wait()
    for one in (sentinel, replica):
        one.stop()

    assert answer.asserted


# What `verify-limits` asks.


async def test_to_forget_is_to_lose_all_that_was_counted_in_one_step(own_redis: RedisServer) -> None:
    async with opened(own_redis.url) as store:
        first = await send(store, call_of(ASK))
        await store.beat("a", ())
        await store.forget(["r"])
        second = await send(store, call_of(ASK, epoch=first.epoch, sequence=2, acknowledged=1))
        beat = await store.beat("a", ())

    assert second.epoch > first.epoch
    assert second.scopes[0].total == 5
    assert not beat.was_known


async def test_to_clear_is_to_leave_nothing_but_what_others_have(own_redis: RedisServer) -> None:
    with own_redis.client() as client:
        client.set("others", 1)
        async with opened(f"{own_redis.url}?prefix=mine") as store:
            for number in range(30):
                await send(store, call_of(ASK), f"r{number}")
            await store.beat("a", ())
            await store.clear()
        keys = client.keys()

    assert keys == [b"others"]
