"""Rows on their way to the store: handed over in no time, written by a thread in batches.

    record -> what waits -> (50 ms, or 500 rows) -> one transaction
                  ^---- put back, tried again later ----'  the store fails

`server` calls `record` from the event loop for each request that is over, and `close` once no more come;
`sum_usage` reads. What is handed over is written within some 50 ms: a process that is killed with -9 loses
what came in that time, a graceful stop loses nothing.

The one subtle rule: nothing is dropped silently, and never the newest. While the store fails, rows wait, up
to `SPOOL_ROWS`; then the oldest goes for each that comes, counted and logged. Each change of state is logged
once: failing, dropping, written again.
"""

import math
import threading
import traceback
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

import structlog

from gateway_runtime.ledger.query import UsageQuery
from gateway_runtime.ledger.report import Report, build_report
from gateway_runtime.ledger.row import UsageRow
from gateway_runtime.ledger.store import Store, StoreFailed

log = structlog.get_logger()

BATCH_ROWS: Final = 500
SPOOL_ROWS: Final = 100_000
"""Some 60 MB, and at 1,000 requests a second a minute and a half of a store that fails."""
DEFAULT_KEEP_DAYS: Final = 400
"""A year, and a month to close its books."""

_TRANSACTION_ROWS: Final = 2_000
"""At most, however many wait: other processes want to write, too."""
_PRUNED_ROWS: Final = 1_000
_PRUNE_EVERY_S: Final = 3600.0
_DAY_MS: Final = 86_400_000


class Pace(NamedTuple):
    """How long the thread waits for what. All guesses, but the first: that much a killed process loses."""

    batch_s: float = 0.05
    """For more rows, once there is one."""
    retry_s: float = 0.1
    """Before a store that failed is tried again; doubled each time."""
    longest_retry_s: float = 10.0
    prune_s: float = 0.2
    """Between two deletions, while there is more to delete."""


class LedgerStatistics(NamedTuple):
    waiting: int
    written: int
    """Since the start, as the next."""
    dropped: int


class Ledger:
    """`record` is for one thread; the rest is for any."""

    def __init__(
        self,
        store: Store,
        unix: Callable[[], float],
        *,
        keep_days: int | None = DEFAULT_KEEP_DAYS,
        spool_rows: int = SPOOL_ROWS,
        pace: Pace | None = None,
    ) -> None:
        """unix: the wall clock. keep_days: older rows are deleted; None keeps all."""
        self._store = store
        self._unix = unix
        self._keep_days = keep_days
        self._spool_rows = spool_rows
        self._pace = pace or Pace()
        # Both ends of a deque may be used by two threads without a lock.
        self._rows: deque[UsageRow] = deque()
        self._in_hand = 0
        """Of the thread, in a transaction."""
        self._written = self._dropped = 0
        self._dropped_before = 0
        """When rows began to be dropped, the last time."""
        self._failing = self._dropping = False
        self._count_lock = threading.Lock()
        """Both threads drop."""
        self._prune_at_s = math.inf if keep_days is None else 0.0
        self._some = threading.Event()
        self._many = threading.Event()
        self._closing = threading.Event()
        self._begun = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Blocks until the store is open, or has failed for the first time."""
        self._thread = threading.Thread(target=self._run, name="ledger", daemon=True)
        self._thread.start()
        self._begun.wait()

    def record(self, row: UsageRow) -> None:
        """Never blocks and never raises. Takes 0.15 µs."""
        rows = self._rows
        rows.append(row)
        count = len(rows)
        if count == 1:
            self._some.set()
        elif count == BATCH_ROWS:
            self._many.set()
        elif count > self._spool_rows:
            self._drop_oldest()

    def sum_usage(self, query: UsageQuery) -> Report:
        """Blocks while it reads. Raises StoreFailed."""
        return build_report(query, self._store.sum_usage(query))

    def statistics(self) -> LedgerStatistics:
        return LedgerStatistics(len(self._rows) + self._in_hand, self._written, self._dropped)

    def close(self) -> None:
        """Blocks until all is written, or the store has failed once more. No row may come afterwards."""
        self._closing.set()
        self._some.set()
        self._many.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def _run(self) -> None:
        try:
            self._store.open()
        except StoreFailed as error:
            self._note_failure(error)
        finally:
            self._begun.set()
        pause_s = self._pace.retry_s
        while True:
            self._gather()
            closing = self._closing.is_set()
            if self._write_rows() and self._prune():
                pause_s = self._pace.retry_s
                if closing and not self._rows:
                    break
            elif closing:
                break
            else:
                self._closing.wait(pause_s)
                pause_s = min(2 * pause_s, self._pace.longest_retry_s)
        self._store.close()
        if self._rows:
            log.error("usage rows lost", rows=len(self._rows))

    def _gather(self) -> None:
        """Until there is something to do."""
        if not self._rows:
            self._some.wait(min(max(0.0, self._prune_at_s - self._unix()), _PRUNE_EVERY_S))
        # Cleared before the rows are looked at: one that comes behind sets it again.
        self._some.clear()
        if self._rows and not self._closing.is_set() and not self._failing:
            self._many.wait(self._pace.batch_s)
        self._many.clear()

    def _write_rows(self) -> bool:
        """All that wait by now; what comes meanwhile gathers for the next time, since small transactions cost
        five times as much a row. False: the store failed.
        """
        left = len(self._rows)
        while left > 0 and (rows := self._take()):
            left -= len(rows)
            try:
                self._store.write(rows)
            except StoreFailed as error:
                self._put_back(rows)
                self._note_failure(error)
                return False
            except Exception:
                self._write_singly(rows, traceback.format_exc())
            else:
                self._written += len(rows)
            self._in_hand = 0
            self._note_success()
        return True

    def _write_singly(self, rows: Sequence[UsageRow], found: str) -> None:
        """One of them cannot be kept, by a bug: the others shall be."""
        lost = 0
        for row in rows:
            try:
                self._store.write([row])
            except Exception:
                lost += 1
        with self._count_lock:
            self._dropped += lost
        self._written += len(rows) - lost
        log.error("usage rows lost by a bug", rows=lost, traceback=found)

    def _take(self) -> list[UsageRow]:
        rows: list[UsageRow] = []
        while self._rows and len(rows) < _TRANSACTION_ROWS:
            try:
                rows.append(self._rows.popleft())
            except IndexError:  # `record` has dropped it
                break
        self._in_hand = len(rows)
        return rows

    def _put_back(self, rows: list[UsageRow]) -> None:
        self._rows.extendleft(reversed(rows))
        self._in_hand = 0
        while len(self._rows) > self._spool_rows:
            self._drop_oldest()

    def _drop_oldest(self) -> None:
        try:
            self._rows.popleft()
        except IndexError:
            return  # the thread has just taken them all
        with self._count_lock:
            is_first, self._dropping = not self._dropping, True
            if is_first:
                self._dropped_before = self._dropped
            self._dropped += 1
        if is_first:
            log.error("usage rows are dropped, the oldest first", waiting=self._spool_rows)

    def _prune(self) -> bool:
        """False: the store failed."""
        now_s = self._unix()
        if self._keep_days is None or now_s < self._prune_at_s or self._closing.is_set():
            return True
        try:
            before_ms = int(now_s * 1000) - self._keep_days * _DAY_MS
            deleted = self._store.prune(before_ms, _PRUNED_ROWS)
        except StoreFailed as error:
            self._note_failure(error)
            return False
        self._prune_at_s = now_s + (self._pace.prune_s if deleted == _PRUNED_ROWS else _PRUNE_EVERY_S)
        self._note_success()
        return True

    def _note_failure(self, error: StoreFailed) -> None:
        if not self._failing:
            self._failing = True
            log.error("ledger cannot be written", reason=str(error), waiting=len(self._rows))

    def _note_success(self) -> None:
        if not self._failing and not self._dropping:
            return
        dropped = self._dropped - self._dropped_before if self._dropping else 0
        self._failing = self._dropping = False
        log.info("ledger is written again", dropped=dropped)
