"""Rows on their way to the store: in batches, in order, again when the store failed, and never dropped
without a word.
"""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest
from structlog.testing import capture_logs

from gateway_runtime.ledger.ledger import BATCH_ROWS, Ledger, Pace
from gateway_runtime.ledger.query import UsageQuery
from gateway_runtime.ledger.report import Sum
from gateway_runtime.ledger.row import UsageRow
from gateway_runtime.ledger.store import StoreFailed
from tests.ledger.rows import DAY_MS, NOON_MS, ask, build_row, build_rows

SOON = Pace(batch_s=0.001, retry_s=0.001, longest_retry_s=0.002, prune_s=0.0)
LONG_S = 30.0
"""Longer than any test: what is waited for comes at once, or never."""


class MemoryStore:
    """Remembers what was written, and fails while told to."""

    def __init__(self) -> None:
        self.batches: list[list[str]] = []
        self.pruned: list[tuple[int, int]] = []
        self.old_rows = 0
        self.fails = ""
        self.tries = 0
        self.closed = False
        self._changed = threading.Condition()

    def open(self) -> None:
        if self.fails:
            raise StoreFailed(self.fails)

    @property
    def ids(self) -> list[str]:
        return [name for batch in self.batches for name in batch]

    def write(self, rows: Sequence[UsageRow]) -> None:
        with self._changed:
            self.tries += 1
            self._changed.notify_all()
            if self.fails:
                raise StoreFailed(self.fails)
            if any(row.tenant == "unwritable" for row in rows):
                raise UnicodeError("cannot be written")
            self.batches.append([row.request_id for row in rows])

    def prune(self, before_unix_ms: int, limit: int) -> int:
        with self._changed:
            self.pruned.append((before_unix_ms, limit))
            self._changed.notify_all()
            deleted = min(limit, self.old_rows)
            self.old_rows -= deleted
            return deleted

    def sum_usage(self, query: UsageQuery) -> Sequence[Sum]:
        return [Sum(requests=len(self.ids))]

    def close(self) -> None:
        self.closed = True

    def wait(self, holds: Callable[[], bool]) -> None:
        with self._changed:
            assert self._changed.wait_for(holds, LONG_S)


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


@contextmanager
def keeping(store: MemoryStore, **options: Any) -> Iterator[Ledger]:
    ledger = Ledger(store, lambda: NOON_MS / 1000, **{"keep_days": None, "pace": SOON, **options})
    ledger.start()
    try:
        yield ledger
    finally:
        ledger.close()


def hand_over(ledger: Ledger, rows: Sequence[UsageRow]) -> None:
    for row in rows:
        ledger.record(row)


def test_a_row_is_written_without_waiting_for_others(store: MemoryStore) -> None:
    with keeping(store) as ledger:
        ledger.record(build_row("1"))
        store.wait(lambda: store.ids == ["1"])
        ledger.record(build_row("2"))
        store.wait(lambda: store.ids == ["1", "2"])


def test_rows_that_come_together_are_one_batch_in_order(store: MemoryStore) -> None:
    rows = build_rows(BATCH_ROWS)
    with keeping(store, pace=Pace(batch_s=LONG_S)) as ledger:
        hand_over(ledger, rows)  # the last one makes the batch full, and nobody waits for the time
        store.wait(lambda: bool(store.batches))

    assert store.ids == [row.request_id for row in rows]
    assert len(store.batches) == 1


def test_closing_writes_all_at_once(store: MemoryStore) -> None:
    with keeping(store, pace=Pace(batch_s=LONG_S)) as ledger:
        hand_over(ledger, build_rows(7000))
        ledger.close()

        assert len(store.ids) == 7000
        assert max(map(len, store.batches)) <= 2000
        assert store.closed
        assert ledger.statistics() == (0, 7000, 0)


def test_while_the_store_fails_rows_wait_and_each_change_is_logged_once(store: MemoryStore) -> None:
    store.fails = "/state/usage.db: database or disk is full"
    rows = build_rows(300)
    with capture_logs() as logs, keeping(store) as ledger:
        hand_over(ledger, rows[:200])
        store.wait(lambda: store.tries >= 5)
        hand_over(ledger, rows[200:])
        store.wait(lambda: store.tries >= 10)
        assert ledger.statistics().written == 0
        store.fails = ""
        store.wait(lambda: len(store.ids) == 300)

    assert store.ids == [row.request_id for row in rows]
    assert [(line["event"], line["log_level"]) for line in logs] == [
        ("ledger cannot be written", "error"),
        ("ledger is written again", "info"),
    ]
    assert logs[0]["reason"] == "/state/usage.db: database or disk is full"
    assert ledger.statistics() == (0, 300, 0)


def test_of_too_many_rows_the_oldest_are_dropped_counted_and_told(store: MemoryStore) -> None:
    store.fails = "gone"
    rows = build_rows(20)
    with capture_logs() as logs, keeping(store, spool_rows=8) as ledger:
        hand_over(ledger, rows)
        store.wait(lambda: store.tries >= 5)
        hand_over(ledger, build_rows(3, "newest-"))
        store.wait(lambda: store.tries >= 10)
        store.fails = ""
        store.wait(lambda: bool(store.ids))

    assert store.ids == [*(f"r{n}" for n in range(15, 20)), "newest-0", "newest-1", "newest-2"]
    assert ledger.statistics() == (0, 8, 15)
    assert sorted(line["event"] for line in logs) == [
        "ledger cannot be written",
        "ledger is written again",
        "usage rows are dropped, the oldest first",
    ]
    assert logs[-1]["dropped"] == 15


def test_closing_while_the_store_fails_tries_once_more_and_tells_what_is_lost(store: MemoryStore) -> None:
    store.fails = "gone"
    with capture_logs() as logs, keeping(store, pace=Pace(retry_s=LONG_S)) as ledger:
        hand_over(ledger, build_rows(4))
        store.wait(lambda: store.tries == 1)
        ledger.close()

    assert store.tries == 2
    assert logs[-1] == {"event": "usage rows lost", "rows": 4, "log_level": "error"}


def test_a_row_that_cannot_be_kept_costs_no_other(store: MemoryStore) -> None:
    rows = [build_row("1"), build_row("2", tenant="unwritable"), build_row("3")]
    with capture_logs() as logs, keeping(store) as ledger:
        hand_over(ledger, rows)
        store.wait(lambda: len(store.ids) == 2)

    assert store.ids == ["1", "3"]
    assert ledger.statistics() == (0, 2, 1)
    assert (logs[0]["event"], logs[0]["rows"]) == ("usage rows lost by a bug", 1)
    assert "UnicodeError" in logs[0]["traceback"]


def test_old_rows_are_deleted_from_the_start_in_small_steps(store: MemoryStore) -> None:
    store.old_rows = 2500
    with keeping(store, keep_days=30):
        store.wait(lambda: len(store.pruned) == 3)

    assert store.pruned == [(NOON_MS - 30 * DAY_MS, 1000)] * 3


def test_a_store_that_fails_from_the_start_is_told_before_the_first_row(store: MemoryStore) -> None:
    store.fails = "/state/usage.db: Permission denied"
    with capture_logs() as logs, keeping(store):
        told = list(logs)
        store.fails = ""

    assert [(line["event"], line["reason"]) for line in told] == [
        ("ledger cannot be written", "/state/usage.db: Permission denied")
    ]


def test_sums_are_the_stores(store: MemoryStore) -> None:
    with keeping(store) as ledger:
        ledger.record(build_row())
        store.wait(lambda: bool(store.ids))
        report = ledger.sum_usage(ask())

    assert (report.total.requests, report.sums) == (1, [Sum(requests=1)])
