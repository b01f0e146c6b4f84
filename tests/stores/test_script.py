"""The script in Redis does what the store in Python does, to the last number."""

import random
from collections.abc import AsyncIterator

import pytest

from gateway_runtime.engine.lease_call import LeaseAnswer, LeaseCall, ScopeAsk
from gateway_runtime.engine.lease_store import SOON_MS, MemoryStore
from gateway_runtime.stores.redis import RedisStore, open_redis_store
from tests.stores.redisserver import RedisServer

GATEWAYS = ("a", "b", "c")


@pytest.fixture
async def store(redis_server: RedisServer) -> AsyncIterator[RedisStore]:
    store = open_redis_store(redis_server.url, None)
    yield store
    await store.close()


def ask_of(key: str = "l", **changes: object) -> ScopeAsk:
    ask = ScopeAsk(key, 100, 60_000, 234, (), False, False, 1, 0, (), 0, 0, 0, 0, ())
    return ScopeAsk(**{name: changes.get(name, getattr(ask, name)) for name in ScopeAsk.__struct_fields__})


def call_of(*scopes: ScopeAsk, **changes: object) -> LeaseCall:
    call = LeaseCall("a", 1, 10_000, -1, "one", 0, 1, 0, 2, ("a",), scopes)
    return LeaseCall(**{name: changes.get(name, getattr(call, name)) for name in LeaseCall.__struct_fields__})


async def send(store: RedisStore, root: str, call: LeaseCall) -> LeaseAnswer:
    (answer,) = await store.exchange([(root, call)])
    return answer


def draw_ask(rng: random.Random, kind: int, now_ms: int) -> ScopeAsk:
    calendar = (now_ms - now_ms % 40, now_ms - now_ms % 40 + 40)
    pairs = [(now_ms // 2 - rng.randrange(40), rng.randrange(1, 9)) for _ in range(rng.randrange(3))]
    need = rng.choice((0, 0, rng.randrange(1, 40)))
    return ScopeAsk(
        key=f"l{kind}",
        amount=rng.choice((50, 50, 50, 30, 2**50)),
        window_ms=(60, 60, 0, 0)[kind],
        width_ms=(rng.choice((2, 2, 2, 5)), 2, 0, 0)[kind],
        periods=(*calendar, calendar[1], calendar[1] + 40) if kind == 2 else (),
        concurrency=kind == 3,
        shadow=kind == 1,
        generation=rng.choice((1, 1, 1, 2)),
        spent=rng.choice((0, rng.randrange(9))),
        refunds=tuple(part for pair in pairs for part in pair),
        keep=rng.choice((0, rng.randrange(12))),
        need=need,
        want=rng.choice((need, need + rng.randrange(20))),
        held=rng.randrange(4),
        journal=tuple(part for pair in pairs for part in pair),
    )


@pytest.mark.parametrize("seed", range(30))
async def test_the_script_and_the_store_in_python_answer_the_same(store: RedisStore, seed: int) -> None:
    rng, model, root = random.Random(seed), MemoryStore(), f"same-{seed}"
    epochs, sequences = dict.fromkeys(GATEWAYS, 0), dict.fromkeys(GATEWAYS, 0)
    now_ms = 0

    for turn in range(80):
        gateway = rng.choice(GATEWAYS)
        sequences[gateway] += 1
        call = LeaseCall(
            gateway,
            rng.choice((1, 3)),
            rng.choice((10, 1000)),
            rng.choice((-1, now_ms or -1)),
            "one" if turn < 50 else "other",
            epochs[gateway],
            sequences[gateway],
            sequences[gateway] - rng.choice((1, 1, 1, 1, 1, 0)),  # 0: a store that counted less
            rng.choice((0, 0, 0, 0, 1, 2)),
            GATEWAYS,
            tuple(draw_ask(rng, kind, now_ms) for kind in rng.sample(range(4), rng.randrange(5))),
        )
        answer = await send(store, root, call)
        now_ms = answer.now_ms

        # The same clock reading: nothing but the answer tells which one the script had.
        assert model.exchange(root, call, answer.now_ms) == answer

        epochs[gateway] = answer.epoch


async def test_the_script_and_the_store_in_python_tell_the_same_waits(store: RedisStore) -> None:
    """In windows that are long, so that it matters who holds what is missing."""
    rng, model, waits_ms = random.Random(7), MemoryStore(), set[int]()
    hour, day = {"window_ms": 3_600_000, "width_ms": 14_062}, {"window_ms": 0, "width_ms": 0}
    epochs, sequences = dict.fromkeys(GATEWAYS, 0), dict.fromkeys(GATEWAYS, 0)
    midnight_ms = 0

    for _ in range(200):
        gateway = rng.choice(GATEWAYS)
        sequences[gateway] += 1
        periods = tuple(midnight_ms + days * 86_400_000 for days in (0, 1, 1, 2))
        told = {"spent": rng.choice((0, 0, 3)), "keep": rng.choice((0, 10)), "need": rng.randrange(1, 100)}
        told["want"] = told["need"]
        call = call_of(
            ask_of("hour", **hour, **told),
            ask_of("day", **day, **told, periods=periods),
            gateway=gateway,
            epoch=epochs[gateway],
            sequence=sequences[gateway],
            acknowledged=sequences[gateway] - 1,
            asserts=0 if epochs[gateway] else 2,
            peers=(gateway,),
        )
        answer = await send(store, "waits", call)

        assert model.exchange("waits", call, answer.now_ms) == answer

        epochs[gateway] = answer.epoch
        midnight_ms = answer.now_ms - answer.now_ms % 86_400_000
        waits_ms |= {scope.wait_ms for scope in answer.scopes}

    assert {0, SOON_MS} <= waits_ms
    assert max(waits_ms) > 3_600_000


async def test_what_others_hold_in_advance_may_be_back_soon(store: RedisStore) -> None:
    hour = ask_of(window_ms=3_600_000, width_ms=14_062, need=90, want=90)
    await send(store, "soon", call_of(hour))
    refused = await send(store, "soon", call_of(hour, gateway="b"))

    assert refused.scopes[0].wait_ms == SOON_MS


async def test_a_clock_that_jumps_is_followed_by_what_callers_expect(store: RedisStore) -> None:
    first = await send(store, "clock", call_of(ask_of(spent=5)))
    an_hour_ago = first.now_ms - 3_600_000
    later = call_of(ask_of(spent=5), epoch=first.epoch, sequence=2, acknowledged=1, asserts=0)

    ahead = await send(
        store,
        "clock",
        call_of(
            *later.scopes,
            epoch=first.epoch,
            sequence=2,
            acknowledged=1,
            asserts=0,
            estimate_ms=first.now_ms + 50_000,
        ),
    )
    back = await send(
        store,
        "clock",
        call_of(
            *later.scopes, epoch=first.epoch, sequence=3, acknowledged=2, asserts=0, estimate_ms=an_hour_ago
        ),
    )

    assert ahead.now_ms == first.now_ms + 50_000
    assert back.now_ms == ahead.now_ms
    assert back.scopes[0].total == 15


async def test_a_script_that_the_server_has_forgotten_is_loaded_again(
    store: RedisStore, redis_server: RedisServer
) -> None:
    await send(store, "before", call_of(ask_of(spent=5)))
    redis_server.forget_scripts()

    one = await send(store, "after", call_of(ask_of(spent=5)))
    redis_server.forget_scripts()
    two, three = await store.exchange([("r2", call_of(ask_of(spent=1))), ("r3", call_of(ask_of(spent=2)))])

    assert [answer.scopes[0].total for answer in (one, two, three)] == [5, 1, 2]


async def test_a_gateway_that_leaves_is_not_alive_and_not_forgotten(store: RedisStore) -> None:
    before = await store.beat("leaving", ())
    again = await store.beat("leaving", ())
    other = await store.beat("staying", ())
    await store.leave("leaving")
    after = await store.beat("staying", ())

    assert (before.was_known, again.was_known) == (False, True)
    assert set(other.alive) >= {"leaving", "staying"}
    assert "leaving" in after.peers
    assert "leaving" not in after.alive
    await store.leave("staying")
