"""Rows on their way to the store: in batches, in order, again when the store failed, and never dropped
without a word.
"""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from gateway_runtime.ledger.journal import SMALLEST_SPOOL_BYTES, Journal
from gateway_runtime.ledger.ledger import Ledger, Pace
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

    def list_rows(self, query: UsageQuery) -> Iterator[Sequence[UsageRow]]:
        yield []

    def close(self) -> None:
        self.closed = True

    def wait(self, holds: Callable[[], bool]) -> None:
        with self._changed:
            assert self._changed.wait_for(holds, LONG_S)


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


def unix() -> float:
    return NOON_MS / 1000


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "usage.db-spool"


@contextmanager
def keeping(store: MemoryStore, folder: Path | None = None, **options: Any) -> Iterator[Ledger]:
    """folder: of the journal; None keeps it in memory."""
    journal = options.pop("journal", None) or Journal(folder, "me", unix)
    ledger = Ledger(store, journal, unix, **{"keep_days": None, "pace": SOON, **options})
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


def test_rows_that_come_within_a_moment_are_one_batch_in_order(store: MemoryStore) -> None:
    rows = build_rows(500)
    with keeping(store, pace=Pace(batch_s=LONG_S)) as ledger:
        hand_over(ledger, rows)
        ledger.close()  # ends the moment

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


def test_of_too_many_rows_the_oldest_are_dropped_counted_and_told(store: MemoryStore, folder: Path) -> None:
    store.fails = "gone"
    journal = Journal(folder, "me", unix, spool_bytes=SMALLEST_SPOOL_BYTES)
    rows = [build_row(f"{number:06d}", user="x" * 256) for number in range(30_000)]
    with capture_logs() as logs, keeping(store, journal=journal) as ledger:
        hand_over(ledger, rows)
        store.wait(lambda: store.tries >= 5)
        taken = sum(file.stat().st_size for file in folder.iterdir())
        store.fails = ""
        store.wait(lambda: store.ids[-1:] == ["029999"])

    assert taken <= SMALLEST_SPOOL_BYTES
    waiting, written, dropped = ledger.statistics()
    assert 0 < dropped < 20_000
    assert (waiting, written) == (0, 30_000 - dropped)
    assert store.ids == [f"{number:06d}" for number in range(dropped, 30_000)]
    assert [line["event"] for line in logs if line["event"] != "ledger cannot be written"] == [
        "usage rows are dropped, the oldest first",
        "ledger is written again",
    ]
    assert logs[-1]["dropped"] == dropped


def test_what_the_store_never_took_waits_on_disk_for_the_next_start(store: MemoryStore, folder: Path) -> None:
    store.fails = "gone"
    with capture_logs() as logs, keeping(store, folder, pace=Pace(retry_s=LONG_S)) as ledger:
        hand_over(ledger, build_rows(4))
        store.wait(lambda: store.tries == 1)
        ledger.close()
    tries = store.tries
    store.fails = ""
    heir = Journal(folder, "another", unix)
    with capture_logs() as later, keeping(store, journal=heir):
        store.wait(lambda: len(store.ids) == 4)

    assert tries == 2
    assert logs[-1] == {
        "event": "usage rows wait for the next start",
        "rows": 4,
        "folder": str(folder),
        "log_level": "warning",
    }
    assert store.ids == ["r0", "r1", "r2", "r3"]
    assert [(line["event"], line["rows"]) for line in later] == [
        ("usage rows of a dead process taken over", 4)
    ]
    assert list(folder.iterdir()) == []


def test_without_a_place_on_disk_what_the_store_never_took_is_lost_and_told(store: MemoryStore) -> None:
    store.fails = "gone"
    with capture_logs() as logs, keeping(store, pace=Pace(retry_s=LONG_S)) as ledger:
        hand_over(ledger, build_rows(4))
        store.wait(lambda: store.tries == 1)
        ledger.close()

    assert logs[-1] == {"event": "usage rows lost", "rows": 4, "log_level": "error"}


def test_where_no_file_can_be_made_rows_go_through_memory_and_that_is_told_once(
    store: MemoryStore, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    with capture_logs() as logs, keeping(store, tmp_path / "file") as ledger:
        hand_over(ledger, build_rows(3))
        store.wait(lambda: len(store.ids) == 3)

    assert [(line["event"], line["reason"]) for line in logs] == [
        ("usage rows are in memory alone: a kill loses them", f"{tmp_path}/file: File exists")
    ]


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


class Other:
    """No row: as if a bug had made one that cannot be encoded."""

    request_id = "r"


def test_a_row_that_cannot_be_written_down_costs_no_request_its_answer(store: MemoryStore) -> None:
    bad: Any = Other()
    with capture_logs() as logs, keeping(store) as ledger:
        ledger.record(bad)
        ledger.record(build_row("1"))
        store.wait(lambda: store.ids == ["1"])

    assert ledger.statistics() == (0, 1, 1)
    assert logs[0]["event"] == "usage rows lost by a bug"
