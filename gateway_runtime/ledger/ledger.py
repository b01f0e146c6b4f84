"""Rows on their way to the store: safe at once, written by a thread in batches.

    record -> Journal -> (50 ms) -> one transaction -> the journal forgets them
                 ^------- read again later -------'  the store fails

`server` calls `record` from the event loop for each request, before the last of its answer goes out, and
`close` once no more come; `sum_usage` reads. From `record` on a row outlives the process, and whoever starts
next in the same folder writes what a killed one left: the store keeps a row that comes twice once.

The one subtle rule: nothing is dropped silently, and never the newest. While the store fails rows wait in the
journal; when that is full the oldest go, counted. Each change of state is logged once: failing, dropping, not
safe, written again.
"""

import math
import threading
import traceback
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

import msgspec
import structlog

from gateway_runtime.ledger.journal import Journal
from gateway_runtime.ledger.query import UsageQuery
from gateway_runtime.ledger.report import Report
from gateway_runtime.ledger.row import UsageRow
from gateway_runtime.ledger.store import Store, StoreFailed, read_report

log = structlog.get_logger()

DEFAULT_KEEP_DAYS: Final = 400
"""A year, and a month to close its books."""

_TRANSACTION_ROWS: Final = 2_000
"""At most, however many wait: other processes want to write, too."""
_PRUNED_ROWS: Final = 1_000
_PRUNE_EVERY_S: Final = 3600.0
_ADOPT_EVERY_S: Final = 60.0
"""A look for what the dead have left, by those who live on."""
_DAY_MS: Final = 86_400_000

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(UsageRow).decode


class Pace(NamedTuple):
    """How long the thread waits for what. All guesses."""

    batch_s: float = 0.05
    """For more rows, once there is one."""
    retry_s: float = 0.1
    """Before a store that failed is tried again; doubled each time."""
    longest_retry_s: float = 10.0
    prune_s: float = 0.2
    """Between two deletions, while there is more to delete."""


class LedgerStatistics(NamedTuple):
    waiting: int
    """Of this process, and of a dead one what is being taken over."""
    written: int
    """Since the start, as the next."""
    dropped: int


class Ledger:
    """`record` is for one thread; the rest is for any."""

    def __init__(
        self,
        store: Store,
        journal: Journal,
        unix: Callable[[], float],
        *,
        keep_days: int | None = DEFAULT_KEEP_DAYS,
        pace: Pace | None = None,
    ) -> None:
        """journal: nobody else's. unix: the wall clock. keep_days: older rows are deleted; None keeps all."""
        self._store = store
        self._journal = journal
        self._unix = unix
        self._keep_days = keep_days
        self._pace = pace or Pace()
        self._written = self._lost = 0
        """Lost: by a bug."""
        self._dropped = 0
        """By the journal, as far as it is told."""
        self._dropped_before = 0
        """When rows began to be dropped, the last time."""
        self._failing = self._dropping = False
        self._trouble: str | None = None
        """Of the journal, as far as it is told."""
        self._strange = 0
        self._prune_at_s = math.inf if keep_days is None else 0.0
        self._adopt_at_s = 0.0
        self._idle = False
        """The thread waits for a row."""
        self._some = threading.Event()
        self._closing = threading.Event()
        self._begun = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Blocks until the store is open, or has failed for the first time."""
        self._thread = threading.Thread(target=self._run, name="ledger", daemon=True)
        self._thread.start()
        self._begun.wait()

    def record(self, row: UsageRow) -> None:
        """The row is safe when this returns. Never waits for anything and never raises. Takes 0.9 µs."""
        try:
            self._journal.append(_encode(row))
        except Exception:
            self._note_lost(1, traceback.format_exc())
        if self._idle:
            self._idle = False
            self._some.set()

    def sum_usage(self, query: UsageQuery) -> Report:
        """Blocks while it reads. Raises StoreFailed."""
        return read_report(self._store, query)

    def statistics(self) -> LedgerStatistics:
        return LedgerStatistics(self._journal.waiting, self._written, self._lost + self._journal.dropped)

    def close(self) -> None:
        """Blocks until all is written, or the store has failed once more. No row may come afterwards."""
        self._closing.set()
        self._some.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def _run(self) -> None:
        try:
            self._journal.open()
            self._store.open()
        except StoreFailed as error:
            self._note_failure(error)
        finally:
            self._tell_of_journal()
            self._begun.set()
        pause_s = self._pace.retry_s
        while True:
            self._gather()
            closing = self._closing.is_set()
            if not closing:
                self._journal.tend()
            self._tell_of_journal()
            if self._write_rows() and self._prune():
                pause_s = self._pace.retry_s
                if closing and not self._journal.waiting:
                    break
                if not closing:
                    self._adopt()
            elif closing:
                break
            else:
                self._closing.wait(pause_s)
                pause_s = min(2 * pause_s, self._pace.longest_retry_s)
        self._store.close()
        left = self._journal.close()
        if left.kept:
            log.warning(
                "usage rows wait for the next start", rows=left.kept, folder=str(self._journal.folder)
            )
        if left.lost:
            log.error("usage rows lost", rows=left.lost)

    def _gather(self) -> None:
        """Until there is something to do."""
        self._idle = True  # before the rows are looked at: one that comes behind wakes us
        if not self._journal.waiting and not self._closing.is_set():
            next_s = min(self._prune_at_s, self._adopt_at_s) - self._unix()
            self._some.wait(min(max(0.0, next_s), _PRUNE_EVERY_S))
        self._idle = False
        self._some.clear()
        if self._journal.waiting and not self._failing:
            self._closing.wait(self._pace.batch_s)

    def _write_rows(self) -> bool:
        """All that wait by now; what comes meanwhile gathers for the next time, since small transactions cost
        five times as much a row. False: the store failed.
        """
        left = self._journal.waiting
        while left > 0 and (batch := self._journal.read(_TRANSACTION_ROWS)) is not None:
            left -= len(batch.rows) + batch.lost
            rows = self._decode_rows(batch.rows)
            if batch.lost:
                self._note_lost(batch.lost, "somebody has written to a file of the journal")
            try:
                if rows:
                    self._store.write(rows)
            except StoreFailed as error:
                self._journal.put_back()
                self._note_failure(error)
                return False
            except Exception:
                self._write_singly(rows, traceback.format_exc())
            else:
                self._written += len(rows)
            self._journal.note_done()
            self._note_success()
        return True

    def _decode_rows(self, encoded: Sequence[bytes]) -> list[UsageRow]:
        try:
            return [_decode(row) for row in encoded]
        except msgspec.MsgspecError as error:
            found = str(error)
        rows: list[UsageRow] = []
        for row in encoded:
            try:
                rows.append(_decode(row))
            except msgspec.MsgspecError:
                continue
        self._note_lost(len(encoded) - len(rows), found)
        return rows

    def _write_singly(self, rows: Sequence[UsageRow], found: str) -> None:
        """One of them cannot be kept, by a bug: the others shall be."""
        lost = 0
        for row in rows:
            try:
                self._store.write([row])
            except Exception:
                lost += 1
        self._written += len(rows) - lost
        self._note_lost(lost, found)

    def _adopt(self) -> None:
        """What a dead process left: one segment at a time, so that our own rows do not wait."""
        now_s = self._unix()
        if now_s < self._adopt_at_s:
            return
        before = self._journal.taken_over
        try:
            found = self._journal.adopt()
        except OSError as error:
            log.warning("rows of dead processes cannot be taken over", reason=str(error))
            found = False
        if not found:
            self._adopt_at_s = now_s + _ADOPT_EVERY_S
        rows = self._journal.taken_over - before
        if rows:
            log.info("usage rows of a dead process taken over", rows=rows)

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

    def _tell_of_journal(self) -> None:
        journal = self._journal
        if journal.dropped > self._dropped and not self._dropping:
            self._dropping, self._dropped_before = True, self._dropped
            log.error("usage rows are dropped, the oldest first", waiting=journal.waiting)
        self._dropped = journal.dropped
        if (journal.trouble is None) != (self._trouble is None):
            if journal.trouble is None:
                log.info("usage rows are safe from a kill again")
            else:
                log.error("usage rows are in memory alone: a kill loses them", reason=journal.trouble)
        self._trouble = journal.trouble
        for path, reason in list(journal.strange.items())[self._strange :]:
            log.warning("a file in the journal is left alone", path=str(path), reason=reason)
        self._strange = len(journal.strange)

    def _note_lost(self, rows: int, found: str) -> None:
        self._lost += rows
        log.error("usage rows lost by a bug", rows=rows, traceback=found)

    def _note_failure(self, error: StoreFailed) -> None:
        if not self._failing:
            self._failing = True
            log.error("ledger cannot be written", reason=str(error), waiting=self._journal.waiting)

    def _note_success(self) -> None:
        if not self._failing and not self._dropping:
            return
        now = self._journal.dropped
        dropped = now - self._dropped_before if self._dropping else 0
        self._failing = self._dropping = False
        self._dropped = now
        log.info("ledger is written again", dropped=dropped)
