"""Where rows are kept, as `Ledger` and readers see it.

SQLite is the only one so far: one file for all processes of a pod. PostgreSQL, for many pods, fits behind the
same calls (COPY into a temporary table, then INSERT ... ON CONFLICT DO NOTHING); its driver has to be
one that blocks, or runs its own loop, since `Ledger` calls from a thread.
"""

from collections.abc import Sequence
from typing import Protocol

from gateway_runtime.ledger.query import UsageQuery
from gateway_runtime.ledger.report import Sum
from gateway_runtime.ledger.row import UsageRow


class StoreFailed(Exception):
    """It cannot be written or read now, and may be later: the disk is full, the file is broken or locked.
    The message is one clause that names the place.
    """


class Store(Protocol):
    """All raise StoreFailed. Any other exception out of `write` means that a row cannot be kept at all."""

    def open(self) -> None:
        """Makes it, if need be, so that it can be read from now on. `write` opens by itself, too."""

    def write(self, rows: Sequence[UsageRow]) -> None:
        """All or none. A row whose id is there already is passed over."""

    def prune(self, before_unix_ms: int, limit: int) -> int:
        """Deletes the oldest rows that ended before then, `limit` at most; how many there were."""

    def sum_usage(self, query: UsageQuery) -> Sequence[Sum]:
        """Sorted by group. May be called from any thread, at any time."""

    def close(self) -> None:
        """May be used again afterwards."""
