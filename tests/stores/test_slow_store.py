"""A store that answers slowly: far away, or busy. Its answers are late, and its clock is not to blame."""

from collections.abc import AsyncIterator

import msgspec
import pytest

from gateway_runtime.engine.lease import LeasedLimit
from gateway_runtime.engine.lease_call import LeaseCall, ScopeAsk
from gateway_runtime.engine.lease_grant import Term
from gateway_runtime.engine.lease_root import LeaseRoot
from gateway_runtime.engine.lease_store import MemoryStore
from gateway_runtime.stores.redis import RedisStore, open_redis_store
from tests.stores.redisserver import RedisServer

ASK = ScopeAsk("l", 100, 60_000, 234, (), False, False, 1, 5, (), 0, 0, 0, 0, ())
CALL = LeaseCall("a", 1, 10_000, -1, "one", 0, 1, 0, 2, ("a",), (ASK,))


@pytest.fixture
async def store(redis_server: RedisServer) -> AsyncIterator[RedisStore]:
    store = open_redis_store(redis_server.url, None)
    yield store
    await store.close()


@pytest.mark.parametrize("way_s", [0.001, 0.06, 0.4])
def test_a_slow_way_to_the_store_loses_no_time(way_s: float) -> None:
    store, root = MemoryStore(), LeaseRoot("r", "g")
    term = Term(10.0, 1.0)
    limit = LeasedLimit("l", 60, "Requests", 6.0, key="l", root="r", term=term, on_use=root.note)
    now_s, clock_ms = 1000.0, 0
    told_ms: list[int] = []

    for _ in range(100):
        limit.add(now_s)
        call = root.build_call(now_s, 1, ["g"], term)
        assert call is not None
        now_s += way_s
        clock_ms = int((5_000_000 + now_s) * 1000)
        answer = store.exchange("r", call, clock_ms)
        now_s += way_s
        root.apply(answer, now_s)
        told_ms.append(clock_ms - answer.now_ms)

    assert told_ms == [0] * 100


@pytest.mark.parametrize(
    ("estimate_ms", "uncertain_ms", "told_ms"),
    [(-50, 0, 0), (-900, 0, -900), (-900, 700, -200), (-900, 850, 0), (900, 5_000, 900)],
    ids=["calls take time", "it was set ahead", "it was, in part", "the answer was slow", "it was set back"],
)
async def test_the_script_judges_a_clock_by_how_long_the_answer_was_under_way(
    store: RedisStore, estimate_ms: int, uncertain_ms: int, told_ms: int
) -> None:
    root = f"slow{estimate_ms}-{uncertain_ms}"
    (first,) = await store.exchange([(root, CALL)])
    later = msgspec.structs.replace(
        CALL, epoch=first.epoch, sequence=2, acknowledged=1, asserts=0, scopes=(), uncertain_ms=uncertain_ms
    )
    model = MemoryStore()
    model.exchange(root, CALL, first.now_ms)
    clock_ms = first.now_ms + 10_000

    # The same in Python, where the clock can be held; the script's runs on, by a few milliseconds.
    held = msgspec.structs.replace(later, epoch=first.now_ms, estimate_ms=clock_ms + estimate_ms)
    in_python = model.exchange(root, held, clock_ms)
    (started,) = await store.exchange([(root, msgspec.structs.replace(later, estimate_ms=-1))])
    (in_script,) = await store.exchange(
        [
            (
                root,
                msgspec.structs.replace(
                    later, sequence=3, acknowledged=2, estimate_ms=started.now_ms + estimate_ms
                ),
            )
        ]
    )

    assert in_python.now_ms == clock_ms + told_ms
    assert max(0, told_ms) <= in_script.now_ms - started.now_ms <= max(0, told_ms) + 50
