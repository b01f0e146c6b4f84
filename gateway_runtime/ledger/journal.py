"""Rows on their way, safe from `kill -9`: a queue of segments in a folder that several processes share.

    event loop   append -> [active]                        (full: the spare becomes active)
    thread       read <- [oldest] ... -> done -> emptied: it becomes the spare, or goes
                 tend: a spare at hand; a dead process's segments taken over, one at a time

`ledger` owns one: `append` is called on the event loop, everything else in the ledger's thread. A row is safe
when `append` returns, without a system call: see `segment`.

Rules. The folder takes `spool_bytes`, all processes together, but each has two segments in any case; beyond
that the oldest segment is given up for each new one, its rows counted. Where no file can be made rows go to
memory, which a killed process loses: that is told, and tried again. Locks are taken for a full segment and
for an emptied one, never for a row.
"""

import threading
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple

from gateway_runtime.ledger.segment import (
    SUFFIX,
    NotOurs,
    Segment,
    make_memory_segment,
    make_segment,
    take_over,
)

SPOOL_BYTES: Final = 256 * 1024 * 1024
"""A million rows and more."""
SMALLEST_SPOOL_BYTES: Final = 8 * 1024 * 1024

_SEGMENT_BYTES: Final = 4 * 1024 * 1024
"""Half a second at 40,000 requests a second. A guess."""
_SEGMENTS: Final = 32
"""A spool has so many at least: the last one and the spare are no place for rows that wait."""
_MEMORY_BYTES: Final = 64 * 1024 * 1024
_LOOK_S: Final = 1.0
"""Between two looks whether files are still there."""
_RETRY_S: Final = 5.0
"""Before a file is tried again where none could be made."""
_TRIES: Final = 3


class Batch(NamedTuple):
    rows: Sequence[bytes]
    lost: int = 0
    """Rows that somebody has overwritten."""


class Left(NamedTuple):
    """Rows that the store does not have at the end."""

    kept: int
    """In files, for whoever comes."""
    lost: int


class Journal:
    """`open` before all else, `close` after it."""

    def __init__(
        self,
        folder: Path | None,
        owner: str,
        unix: Callable[[], float],
        *,
        spool_bytes: int = SPOOL_BYTES,
    ) -> None:
        """folder: None keeps rows in memory alone. owner: a word that no other process has. unix: the wall
        clock.
        """
        self.folder = folder
        self._owner = owner
        self._unix = unix
        self._spool_bytes = spool_bytes
        self._segment_bytes = min(_SEGMENT_BYTES, spool_bytes // _SEGMENTS)
        self._lock = threading.Lock()
        self._making = threading.Lock()
        """Before the other: both threads make segments, and count what there is before."""
        self._segments: deque[Segment] = deque()
        """From the oldest to the active one."""
        self._spare: Segment | None = None
        self._in_hand: Segment | None = None
        """The thread reads it, and nobody else may touch it."""
        self._read_to = (0, 0)
        """In it: the byte, and the rows up to there."""
        self._last_number = 0
        self._retry_at_s = self._look_at_s = 0.0
        self.active: Segment
        self.dropped = 0
        """Since the start."""
        self.taken_over = 0
        """Rows of the dead, since the start."""
        self.trouble: str | None = None
        """Why rows are not safe, in a clause; None: they are, or nobody asked for it."""
        self.strange: dict[Path, str] = {}
        """Files in the folder that are left alone, and why."""

    def open(self) -> None:
        self.active = self._make()
        self._segments.append(self.active)

    @property
    def waiting(self) -> int:
        """Rows that the store does not have."""
        with self._lock:
            return sum([segment.waiting for segment in self._segments])

    # -- on the event loop

    def append(self, row: bytes) -> None:
        """Raises ValueError for one that is larger than a segment."""
        while not self.active.append(row):
            if self.active.limit and not self.active.rows:
                raise ValueError(f"a row of {len(row)} bytes, and a segment has {self._segment_bytes}")
            self._rotate()

    def _rotate(self) -> None:
        with self._making:
            with self._lock:
                segment, self._spare = self._spare, None
            if segment is None:
                segment = self._make()
            with self._lock:
                self._segments.append(segment)
                self.active = segment

    # -- in the thread

    def read(self, limit: int) -> Batch | None:
        """The next rows, `limit` at most, in the order in which they came; `note_done` or `put_back` comes
        before the next `read`. None: there are none.
        """
        while (segment := self._take_oldest()) is not None:
            rows, at = segment.read(limit)
            if rows:
                self._read_to = at, len(rows)
                return Batch(rows)
            if segment.end > segment.read_at:
                lost = segment.give_up()
                self._release(segment)
                return Batch((), lost)
            self._release(segment)
            if segment is self.active:
                return None
        return None

    def note_done(self) -> None:
        """The store has what was read."""
        segment = self._in_hand
        if segment is not None:
            segment.note_done(*self._read_to)
            self._release(segment)

    def put_back(self) -> None:
        """The store has nothing of what was read."""
        self._in_hand = None

    def tend(self) -> None:
        """Now and then: a segment at hand for when the active one is full, and files that are still there."""
        now_s = self._unix()
        if self.folder is None:
            return
        if now_s >= self._look_at_s:
            self._look_at_s = now_s + _LOOK_S
            with self._lock:
                spare, self._spare = self._spare, None
            if spare is not None and spare.is_in_place():
                self._spare = spare
            elif spare is not None:
                spare.close()
            if not self.active.is_in_place():
                self.active.limit = 0
        if self._spare is None and now_s >= self._retry_at_s:
            with self._making:
                spare = self._make()
                if spare.path is None:
                    spare.close()
                    self._retry_at_s = now_s + _RETRY_S
                    return
                self._spare = spare
            if self.active.path is None:
                self.active.limit = 0  # the next row goes to a file again

    def adopt(self) -> bool:
        """Takes over one segment of a process that is dead: what is in it is read next. False: there is none.
        Raises OSError.
        """
        segment = self._find_orphan()
        if segment is None:
            return False
        if not segment.waiting:
            segment.remove()
            return True
        self.taken_over += segment.waiting
        with self._lock:
            self._segments.appendleft(segment)
        return True

    def close(self) -> "Left":
        with self._lock:
            segments = [*self._segments, *([] if self._spare is None else [self._spare])]
            self._segments.clear()
            self._spare = None
        kept = lost = 0
        for segment in segments:
            waiting = segment.waiting
            if waiting and segment.path is not None and segment.is_in_place():
                kept += waiting
                segment.close()
            else:
                lost += waiting
                segment.remove()
        return Left(kept, lost)

    # -- segments

    def _take_oldest(self) -> Segment | None:
        with self._lock:
            self._in_hand = self._segments[0] if self._segments else None
            return self._in_hand

    def _release(self, segment: Segment) -> None:
        """It was in hand. One that is emptied, and gets no more, is the next spare."""
        with self._lock:
            self._in_hand = None
            if segment is self.active or segment.waiting:
                return
            self._segments.remove(segment)
            keeps = self._spare is None and self._is_fit(segment)
        if keeps:
            try:
                segment.begin(self._next_number(), self._owner)
            except OSError:
                segment.close()  # its folder is gone; `tend` sees to it
                return
            self._spare = segment
        else:
            segment.remove()

    def _is_fit(self, segment: Segment) -> bool:
        return (
            segment.size_bytes == self._segment_bytes
            and (segment.path is None) == (self.folder is None)
            and segment.is_in_place()
        )

    def _make(self) -> Segment:
        """Of a file where that can be; on the event loop only when the thread has not come to it."""
        if self.folder is not None:
            try:
                segment = self._make_file(self.folder)
            except OSError as error:
                self.trouble = f"{self.folder}: {error.strerror or error}"
            else:
                self.trouble = None
                return segment
        with self._lock:
            in_memory = sum([segment.path is None for segment in self._segments])
        limit_bytes = self._spool_bytes if self.folder is None else _MEMORY_BYTES
        if (in_memory + 1) * self._segment_bytes > min(limit_bytes, _MEMORY_BYTES):
            self._drop_oldest()
        return make_memory_segment(self._segment_bytes, self._next_number())

    def _make_file(self, folder: Path) -> Segment:
        """Raises OSError."""
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if _measure(folder) + self._segment_bytes > self._spool_bytes:
            self._drop_oldest()
        for _ in range(_TRIES):
            try:
                return make_segment(folder, self._segment_bytes, self._next_number(), self._owner)
            except BlockingIOError:  # see there: the next name is another
                continue
        raise BlockingIOError(f"{_TRIES} new files were taken away at once")

    def _drop_oldest(self) -> None:
        """Of the dead first: theirs are older than ours. The active segment stays, and the one in hand."""
        segment = self._find_orphan() if self.folder is not None else None
        if segment is None:
            with self._lock:
                segment = next(
                    (one for one in self._segments if one not in (self._in_hand, self.active)), None
                )
                if segment is None:
                    return
                self._segments.remove(segment)
        with self._lock:
            self.dropped += segment.waiting
        segment.remove()

    def _find_orphan(self) -> Segment | None:
        """Raises OSError."""
        if self.folder is None:
            return None
        for path in sorted(self.folder.glob(f"*{SUFFIX}")):
            if f"-{self._owner}{SUFFIX}" in path.name:
                continue
            if path in self.strange:
                continue
            try:
                return take_over(path)
            except NotOurs as error:
                if str(error):
                    self.strange[path] = str(error)
        return None

    def _next_number(self) -> int:
        with self._lock:
            self._last_number = max(self._last_number + 1, int(self._unix() * 1e6))
            return self._last_number


def _measure(folder: Path) -> int:
    """In bytes. Others remove theirs meanwhile."""
    size_bytes = 0
    for path in folder.glob(f"*{SUFFIX}"):
        with suppress(FileNotFoundError):
            size_bytes += path.stat().st_size
    return size_bytes
