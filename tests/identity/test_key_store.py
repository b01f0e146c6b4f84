"""When issuers are asked for their keys, and what happens while they are away."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import NamedTuple

import pytest
from structlog.testing import capture_logs

from gateway_runtime.identity.document import Document, Unfetched
from gateway_runtime.identity.key_store import AWAY_S, KeyStore, Source
from tests.identity.rig import EC, ISSUER, KEYS_URL, OTHER_RSA, RSA, Issuers, jwk, jwks, subject
from tests.tokens.rig import TurnedClock

SOURCE = Source(ISSUER, KEYS_URL)
CLUSTER = Source(ISSUER, None)
GONE = Unfetched("there is no connection to its server")


class Store(NamedTuple):
    keys: KeyStore
    issuers: Issuers
    clock: TurnedClock
    changes: list[float]
    """When `on_change` was called."""

    def ids(self, source: Source = SOURCE) -> list[str | None] | None:
        keys = self.keys.peek(source)
        return None if keys is None else [key.key_id for key in keys.keys]

    def publish(self, *ids: str, cache_control: str = "") -> None:
        self.issuers.pages[KEYS_URL] = Document(jwks(*(jwk(kid=kid) for kid in ids)), cache_control)

    async def turn(self, seconds: float, count: int) -> None:
        """Until so many questions were asked, and what came of them is known."""
        self.clock.turn(seconds)
        await self.issuers.wait_for(count)
        await self.settle()

    async def settle(self) -> None:
        while self.keys._flights:
            await asyncio.wait(self.keys._flights)
            await asyncio.sleep(0)  # their callbacks


@asynccontextmanager
async def storing(fetch_s: float = 5.0) -> AsyncIterator[Store]:
    clock, issuers, changes = TurnedClock(), Issuers(), list[float]()
    keys = KeyStore(
        issuers.fetch,
        clock.now,
        lambda: 0.5,
        lambda: changes.append(clock.now()),
        call_later=clock.call_later,
        fetch_s=fetch_s,
    )
    keys.configure([subject()], None)
    yield Store(keys, issuers, clock, changes)
    issuers.open.set()
    await keys.close()


@pytest.fixture
async def store() -> AsyncIterator[Store]:
    async with storing() as store:
        yield store


@pytest.fixture
async def renewed(store: Store) -> AsyncIterator[Store]:
    """With its task, and keys."""
    task = asyncio.create_task(store.keys.run())
    await store.turn(0, 1)
    yield store
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_keys_are_there_once_they_were_prepared(store: Store) -> None:
    assert store.ids() is None

    await store.keys.prepare([SOURCE])

    assert store.ids() == ["k1"]
    assert store.issuers.asked == [KEYS_URL]


async def test_keys_that_are_there_are_not_asked_for_again(store: Store) -> None:
    await store.keys.prepare([SOURCE])
    await store.keys.prepare([SOURCE])

    assert store.issuers.asked == [KEYS_URL]


async def test_all_that_come_meanwhile_wait_for_one_fetch(store: Store) -> None:
    store.issuers.open.clear()
    waiting = [asyncio.create_task(store.keys.prepare([SOURCE])) for _ in range(5)]
    await store.issuers.wait_for(1)
    waiting[0].cancel()
    store.issuers.open.set()
    await asyncio.gather(*waiting, return_exceptions=True)

    assert waiting[0].cancelled()
    assert store.ids() == ["k1"]
    assert store.issuers.asked == [KEYS_URL]


async def test_a_new_source_is_fetched_before_anybody_asks(renewed: Store) -> None:
    assert renewed.ids() == ["k1"]


async def test_keys_are_renewed_before_they_are_old(renewed: Store) -> None:
    """Ten minutes, where their server says nothing."""
    renewed.clock.turn(500)
    await asyncio.sleep(0)
    early = len(renewed.issuers.asked)
    await renewed.turn(20, 2)

    assert early == 1
    assert renewed.clock.next_s == pytest.approx(600 * 0.85)


async def test_their_server_says_how_long_they_live(store: Store) -> None:
    store.publish("k1", cache_control="max-age=100")
    task = asyncio.create_task(store.keys.run())
    await store.turn(0, 1)
    await asyncio.sleep(0)

    assert store.clock.next_s == pytest.approx(85)
    task.cancel()


async def test_other_keys_are_told_of_and_the_same_ones_are_not(renewed: Store) -> None:
    renewed.issuers.pages[KEYS_URL] = Document(jwks(jwk(extra="words")))
    await renewed.turn(510, 2)
    same = list(renewed.changes)
    renewed.publish("k1", "k2")
    await renewed.turn(510, 3)

    assert same == []
    assert len(renewed.changes) == 1
    assert renewed.ids() == ["k1", "k2"]


async def test_while_an_issuer_is_away_its_last_keys_stay_for_a_day(renewed: Store) -> None:
    renewed.issuers.pages[KEYS_URL] = GONE
    await renewed.turn(510, 2)
    renewed.clock.turn(AWAY_S - 511)
    before = renewed.ids()
    renewed.clock.turn(2)

    assert before == ["k1"]
    assert renewed.ids() is None


async def test_an_issuer_that_is_away_is_asked_more_and_more_rarely(renewed: Store) -> None:
    renewed.issuers.pages[KEYS_URL] = GONE
    await renewed.turn(510, 2)
    pauses = []
    for count in range(3, 12):
        await asyncio.sleep(0)
        assert renewed.clock.next_s is not None
        pauses.append(renewed.clock.next_s)
        await renewed.turn(renewed.clock.next_s, count)

    assert pauses == [0.75, 1.5, 3, 6, 12, 24, 45, 45, 45]


async def test_each_change_of_state_is_logged_once(store: Store) -> None:
    with capture_logs() as logs:
        store.issuers.pages[KEYS_URL] = GONE
        for _ in range(3):
            await store.keys.renew([SOURCE])
            store.clock.turn(2)
        store.publish("k1")
        await store.keys.renew([SOURCE])
        store.clock.turn(20)
        await store.keys.renew([SOURCE])
        store.clock.turn(20)
        store.publish("k2")
        await store.keys.renew([SOURCE])

    said = {"issuer": ISSUER, "url": KEYS_URL}
    assert logs == [
        {
            "event": "issuer's keys not got",
            "log_level": "warning",
            "reason": "there is no connection to its server",
            **said,
        },
        {"event": "issuer's keys", "log_level": "info", "keys": 1, "changed": False, **said},
        {"event": "issuer's keys", "log_level": "info", "keys": 1, "changed": True, **said},
    ]


async def test_for_the_sake_of_an_unknown_key_they_are_fetched_once_in_ten_seconds(store: Store) -> None:
    await store.keys.prepare([SOURCE])
    at_once = await store.keys.renew([SOURCE])
    store.clock.turn(9)
    too_soon = await store.keys.renew([SOURCE])
    store.clock.turn(1)
    store.publish("k1", "k2")
    in_time = await store.keys.renew([SOURCE])

    assert (at_once, too_soon, in_time) == (False, False, True)
    assert store.ids() == ["k1", "k2"]
    assert len(store.issuers.asked) == 2


async def test_whoever_fails_is_not_waited_for_and_may_be_asked_again_after_a_second(store: Store) -> None:
    store.issuers.pages[KEYS_URL] = GONE
    await store.keys.prepare([SOURCE])
    await store.keys.prepare([SOURCE])
    at_once = await store.keys.renew([SOURCE])
    store.clock.turn(1)
    store.publish("k1")
    a_second_later = await store.keys.renew([SOURCE])

    assert (at_once, a_second_later) == (False, True)
    assert store.ids() == ["k1"]
    assert len(store.issuers.asked) == 2


async def test_a_server_that_does_not_answer_is_given_up() -> None:
    async with storing(fetch_s=0.01) as store:
        store.issuers.open.clear()
        with capture_logs() as logs:
            await store.keys.prepare([SOURCE])
        found = store.ids()

    assert found is None
    assert [line["reason"] for line in logs] == ["its server did not answer within 0.01 s"]


async def test_a_bug_in_a_fetch_is_a_failure_like_any_other(store: Store) -> None:
    store.issuers.pages[KEYS_URL] = RuntimeError("a bug")
    with capture_logs() as logs:
        await store.keys.prepare([SOURCE])

    assert store.ids() is None
    assert [line["event"] for line in logs] == ["issuer's keys not got by a bug", "issuer's keys not got"]


async def test_what_left_the_table_is_forgotten(store: Store) -> None:
    await store.keys.prepare([SOURCE])
    store.keys.configure([], None)

    assert store.ids() is None
    assert not await store.keys.renew([SOURCE])


async def test_what_stayed_in_the_table_keeps_its_keys(store: Store) -> None:
    await store.keys.prepare([SOURCE])
    store.keys.configure([subject("other"), subject("another")], None)

    assert store.ids() == ["k1"]


async def test_one_issuer_at_two_urls_has_two_sets_of_keys(store: Store) -> None:
    other = Source(ISSUER, "https://elsewhere.example.com/keys")
    store.issuers.pages[other.url or ""] = Document(jwks(jwk(EC, "theirs")))
    store.keys.configure([subject(), subject(jwks_url=other.url)], None)
    await store.keys.prepare([SOURCE, other])

    assert (store.ids(), store.ids(other)) == (["k1"], ["theirs"])


async def test_the_clusters_keys_come_with_the_table_and_nobody_is_asked(store: Store) -> None:
    store.keys.configure([subject(jwks_url=None)], jwks(jwk(kid="c1")).decode())
    await store.keys.prepare([CLUSTER])
    first = store.ids(CLUSTER)
    store.keys.configure([subject(jwks_url=None)], jwks(jwk(OTHER_RSA, "c2")).decode())

    assert first == ["c1"]
    assert store.ids(CLUSTER) == ["c2"]
    assert store.issuers.asked == []
    assert store.keys.good_for_s(CLUSTER) is None


async def test_without_a_cluster_there_are_no_keys_of_it(store: Store) -> None:
    store.keys.configure([subject(jwks_url=None)], None)

    assert store.ids(CLUSTER) is None
    assert not await store.keys.renew([CLUSTER])


async def test_keys_of_the_cluster_that_cannot_be_read_are_logged_once(store: Store) -> None:
    with capture_logs() as logs:
        store.keys.configure([subject(jwks_url=None)], "{}")
        store.keys.configure([subject(jwks_url=None)], "{}")

    assert store.ids(CLUSTER) is None
    assert logs == [
        {
            "event": "cluster's keys cannot be used",
            "log_level": "error",
            "reason": "it is not a JWKS, a JSON object with a list `keys`",
        }
    ]


async def test_how_long_keys_are_good_is_told_from_when_they_came(store: Store) -> None:
    await store.keys.prepare([SOURCE])
    store.clock.turn(100)

    assert store.keys.good_for_s(SOURCE) == AWAY_S - 100


async def test_at_the_end_whoever_waits_is_told(store: Store) -> None:
    store.issuers.open.clear()
    waiting = asyncio.create_task(store.keys.prepare([SOURCE]))
    await store.issuers.wait_for(1)
    await store.keys.close()
    await waiting

    assert store.ids() is None
    assert not await store.keys.renew([SOURCE])


async def test_no_more_than_eight_are_asked_at_once_ahead_of_time(store: Store) -> None:
    urls = [f"https://i{i}.example.com/keys" for i in range(20)]
    store.issuers.pages |= {url: Document(jwks(jwk(RSA))) for url in urls}
    store.keys.configure([subject(jwks_url=url) for url in urls], None)
    store.issuers.open.clear()
    task = asyncio.create_task(store.keys.run())
    await store.issuers.wait_for(8)
    first = len(store.issuers.asked)
    store.issuers.open.set()
    await store.issuers.wait_for(20)
    task.cancel()

    assert first == 8
    assert sorted(store.issuers.asked) == sorted(urls)


async def test_whoever_comes_while_keys_are_fetched_waits_for_them(store: Store) -> None:
    """Also `run` does not ask a second time."""
    store.issuers.open.clear()
    first = asyncio.create_task(store.keys.prepare([SOURCE]))
    await store.issuers.wait_for(1)
    second = asyncio.create_task(store.keys.renew([SOURCE]))
    task = asyncio.create_task(store.keys.run())
    await asyncio.sleep(0)
    store.issuers.open.set()
    await first
    task.cancel()

    assert await second
    assert store.issuers.asked == [KEYS_URL]


async def test_a_cluster_that_is_gone_takes_its_keys_along(store: Store) -> None:
    store.keys.configure([subject(jwks_url=None)], jwks().decode())
    before = store.ids(CLUSTER)
    store.keys.configure([subject(jwks_url=None)], None)

    assert before == ["k1"]
    assert store.ids(CLUSTER) is None
