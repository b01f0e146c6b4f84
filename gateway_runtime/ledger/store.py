"""Where rows are kept, as `Ledger` and readers see it: `sqlite`, a file for all processes of a pod, or
`postgres`, a database for many pods. `place` says which.
"""

from collections.abc import Iterator, Sequence
from typing import Protocol

from gateway_runtime.ledger.query import UsageQuery
from gateway_runtime.ledger.report import Report, Sum, build_report
from gateway_runtime.ledger.row import UsageRow


class StoreFailed(Exception):
    """It cannot be written or read now, and may be later: the disk is full, the file is broken or locked, the
    server is away. The message is one clause that names the place.
    """


class Store(Protocol):
    """All block, and are not for a thread with a running event loop. All raise StoreFailed; any other
    exception out of `write` means that a row cannot be kept at all.
    """

    def open(self) -> None:
        """Makes it, if need be, so that it can be read from now on. `write` opens by itself, too."""

    def write(self, rows: Sequence[UsageRow]) -> None:
        """All or none. A row whose id is there already is passed over."""

    def prune(self, before_unix_ms: int, limit: int) -> int:
        """Deletes the oldest rows that ended before then, `limit` at most; how many there were. Whole months
        may go beside, uncounted.
        """

    def sum_usage(self, query: UsageQuery) -> Sequence[Sum]:
        """Sorted by group. May be called from any thread, at any time."""

    def list_rows(self, query: UsageQuery) -> Iterator[Sequence[UsageRow]]:
        """Those that the sums are made of, the oldest first, some at a time. From any thread, at any time."""

    def close(self) -> None:
        """May be used again afterwards."""


def read_report(store: Store, query: UsageQuery) -> Report:
    """Blocks while it reads. Raises StoreFailed."""
    return build_report(query, store.sum_usage(query))
