"""A piece of a journal: a file of fixed size, mapped into memory, in which rows stand one behind the other.

    0         magic, number, done        the head; `done`: how far the store has the rows
    64        length, checksum, row      a record
    ...       length, checksum, row
    end       zeros, or what an earlier use of the file left

`journal` appends to one on the event loop and reads it in the ledger's thread. What is in the mapping
outlives the process, `kill -9` included: the kernel keeps the pages. It does not outlive the machine, since
nothing waits for the disk.

Rules. A checksum begins with the segment's number, another one at each use, so that neither a record that was
torn nor one of an earlier use is taken for a record. The blocks are written before the file is mapped: on a
full disk that write fails, where a mapping would kill the process. Who holds a file's lock (`flock`) owns it,
and the kernel takes the lock from a process that dies.
"""

import fcntl
import mmap
import os
import struct
from pathlib import Path
from typing import Final
from zlib import crc32

SUFFIX: Final = ".rows"
HEAD_BYTES: Final = 64

_MAGIC: Final = b"HGROWS01"
_HEAD: Final = struct.Struct("<8sQQ")
_DONE: Final = struct.Struct("<Q")
_DONE_AT: Final = 16
_RECORD: Final = struct.Struct("<II")
_RECORD_BYTES: Final = _RECORD.size
_pack_record = _RECORD.pack
_NO_MAGIC: Final = bytes(8)
_ZEROS: Final = bytes(64 * 1024)
_MASK: Final = 2**32 - 1


class NotOurs(Exception):
    """The file belongs to another process, or is gone, or is no segment that we know. The message is one
    clause, empty for the first two.
    """


class Segment:
    """Appended to by one thread, read by one thread."""

    __slots__ = ("_buffer", "_file", "_seed", "end", "kept", "limit", "number", "path", "read_at", "rows")

    def __init__(self, buffer: mmap.mmap, path: Path | None, file: int | None) -> None:
        """file: its descriptor, locked. path and file: None for one in memory alone."""
        self._buffer = buffer
        self._file = file
        self._seed = 0
        self.path = path
        self.number = 0
        self.limit = len(buffer)
        """Nothing is appended beyond it. 0: nothing at all any more."""
        self.end = self.read_at = HEAD_BYTES
        """Bytes before `read_at` are done."""
        self.rows = self.kept = 0
        """Appended, and done, in this use."""

    def __repr__(self) -> str:
        return f"<Segment {self.number} {self.path or 'in memory'}: {self.rows - self.kept} rows wait>"

    @property
    def size_bytes(self) -> int:
        return len(self._buffer)

    @property
    def waiting(self) -> int:
        return self.rows - self.kept

    def append(self, row: bytes) -> bool:
        """False: it does not fit."""
        at = self.end
        end = at + _RECORD_BYTES + len(row)
        if end > self.limit:
            return False
        self._buffer[at:end] = _pack_record(len(row), crc32(row, self._seed)) + row
        self.rows += 1
        self.end = end
        return True

    def read(self, limit: int) -> tuple[list[bytes], int]:
        """The rows that are not done, `limit` at most, and where the next begins: for `note_done`. None where
        some should be: somebody has written to the file.
        """
        rows: list[bytes] = []
        at, end = self.read_at, self.end
        while at < end and len(rows) < limit:
            row = self._read_record(at)
            if row is None:
                break
            rows.append(row)
            at += _RECORD_BYTES + len(row)
        return rows, at

    def give_up(self) -> int:
        """What is in it cannot be read, and nothing more goes in: how many rows that are."""
        self.limit = 0
        lost = self.waiting
        self.note_done(self.end, lost)
        return lost

    def note_done(self, at: int, rows: int) -> None:
        """The store has all before `at`: so many rows more than before."""
        _DONE.pack_into(self._buffer, _DONE_AT, at)
        self.read_at = at
        self.kept += rows

    def begin(self, number: int, owner: str) -> None:
        """A new use: what is in it is forgotten. Killed between any two of these steps, it holds rows that
        were done before, or none. Raises OSError.
        """
        if self.path is not None:
            renamed = name_segment(self.path.parent, number, owner)
            self.path.rename(renamed)
            self.path = renamed
        _HEAD.pack_into(self._buffer, 0, _MAGIC, number, HEAD_BYTES)
        self.number = number
        self._seed = number & _MASK
        self.limit = len(self._buffer)
        self.end = self.read_at = HEAD_BYTES
        self.rows = self.kept = 0

    def is_in_place(self) -> bool:
        """Rows in a file that was deleted or moved away are found by nobody."""
        if self.path is None or self._file is None:
            return True
        try:
            return os.path.samestat(os.stat(self.path), os.fstat(self._file))
        except FileNotFoundError:
            return False

    def close(self) -> None:
        """The file stays, for whoever comes."""
        self._buffer.close()
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def remove(self) -> None:
        if self.path is not None and self.is_in_place():
            self.path.unlink()
        self.close()

    def _read_head(self) -> None:
        """Of a file that was found. Raises NotOurs."""
        magic, number, done = _HEAD.unpack_from(self._buffer)
        self.limit = 0
        if magic == _NO_MAGIC:
            return  # its owner died while it made it
        if magic != _MAGIC or not HEAD_BYTES <= done <= len(self._buffer):
            raise NotOurs("it is no journal of this Headgate")
        self.number = number
        self._seed = number & _MASK
        self.read_at = self.end = done
        while (row := self._read_record(self.end)) is not None:
            self.end += _RECORD_BYTES + len(row)
            self.rows += 1

    def _read_record(self, at: int) -> bytes | None:
        """None: there is no whole one."""
        buffer = self._buffer
        start = at + _RECORD_BYTES
        if start > len(buffer):
            return None
        length, checksum = _RECORD.unpack_from(buffer, at)
        if length == 0 or start + length > len(buffer):
            return None
        row = buffer[start : start + length]
        return row if crc32(row, self._seed) == checksum else None


def make_segment(folder: Path, size_bytes: int, number: int, owner: str) -> Segment:
    """A new file. owner: a word that no other process has. Raises OSError: no room, no right, no lock."""
    path = name_segment(folder, number, owner)
    file = os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        segment = _fill_and_map(file, path, size_bytes)
        segment.begin(number, owner)
    except BaseException:
        os.close(file)
        path.unlink(missing_ok=True)
        raise
    return segment


def make_memory_segment(size_bytes: int, number: int) -> Segment:
    """One that dies with the process."""
    segment = Segment(mmap.mmap(-1, size_bytes), None, None)
    segment.begin(number, "")
    return segment


def take_over(path: Path) -> Segment:
    """The file of a process that is dead. Raises NotOurs, and OSError."""
    try:
        file = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError as error:
        raise NotOurs from error
    try:
        segment = _map_found(file, path)
        segment._read_head()
    except BaseException:
        os.close(file)
        raise
    return segment


def name_segment(folder: Path, number: int, owner: str) -> Path:
    """Names sort by age."""
    return folder / f"{number:020d}-{owner}{SUFFIX}"


def _fill_and_map(file: int, path: Path, size_bytes: int) -> Segment:
    """Raises OSError."""
    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    at = 0
    while at < size_bytes:
        at += os.pwrite(file, _ZEROS[: size_bytes - at], at)
    segment = Segment(mmap.mmap(file, size_bytes), path, file)
    if not segment.is_in_place():
        # Whoever takes over from the dead found it before it was locked, empty, and is done with it.
        raise BlockingIOError(f"{path} was taken away")
    return segment


def _map_found(file: int, path: Path) -> Segment:
    """Raises NotOurs, and OSError."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise NotOurs from error
    size_bytes = os.fstat(file).st_size
    if size_bytes < HEAD_BYTES:
        path.unlink(missing_ok=True)  # its owner died while it made it
        raise NotOurs
    segment = Segment(mmap.mmap(file, size_bytes), path, file)
    if not segment.is_in_place():
        raise NotOurs  # another was faster
    return segment
