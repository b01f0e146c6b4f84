"""Bytes that are kept until they are needed again: in memory while they are few, then in a temporary file.

`upload` puts what comes of a form into one, and reads it from the beginning for each attempt. The file has no
name, so it is gone with the process, whatever ends it; the system's `TMPDIR` says where it lies. A container
whose root is read-only needs a volume there.

The one subtle rule: whoever waits for the disk may be cancelled at any time, and the write goes on in its
thread. So it is remembered, and whoever comes next waits for it first.
"""

import asyncio
import os
import tempfile
from typing import BinaryIO, Final

MEMORY_BYTES: Final = 512 * 1024
"""Kept in memory, of each. Most recordings of a sentence are smaller. A guess."""


class Spool:
    def __init__(self, memory_bytes: int = MEMORY_BYTES) -> None:
        self._limit = memory_bytes
        self._memory = bytearray()
        """What follows behind that which the file holds."""
        self._file: BinaryIO | None = None
        self._filed = 0
        self._writing: asyncio.Future[None] | None = None
        self._written = 0
        """How much of the memory that write takes."""
        self.size = 0
        self.start = 0
        """What came before it was forgotten."""
        self.is_filed = True
        """False: there is no disk to be had, and memory is all that there is."""

    async def append(self, data: bytes) -> None:
        """Raises nothing for a disk that fails: `is_filed` tells."""
        self._memory += data
        self.size += len(data)
        if len(self._memory) > self._limit and self.is_filed:
            await self._settle()
            self._written = len(self._memory)
            self._writing = asyncio.ensure_future(asyncio.to_thread(self._write, bytes(self._memory)))
            await self._settle()

    async def read(self, start: int, size: int) -> bytes:
        """At most `size` bytes, and at least one where there are some."""
        await self._settle()
        if start >= self._filed:
            offset = start - self._filed
            return bytes(self._memory[offset : offset + size])
        assert self._file is not None
        return await asyncio.to_thread(os.pread, self._file.fileno(), min(size, self._filed - start), start)

    def forget(self, before: int) -> None:
        """Only where there is no disk: what has gone out is not kept."""
        if not self.is_filed and before > self._filed:
            del self._memory[: before - self._filed]
            self.start = self._filed = before

    async def close(self) -> None:
        await self._settle()
        if self._file is not None:
            self._file.close()

    async def _settle(self) -> None:
        """The write that is under way."""
        if self._writing is None:
            return
        writing = self._writing
        try:
            await asyncio.shield(writing)
        except OSError:
            self.is_filed = False
        if self._writing is writing:
            self._writing = None
            if self.is_filed:
                del self._memory[: self._written]
                self._filed += self._written

    def _write(self, data: bytes) -> None:
        if self._file is None:
            self._file = tempfile.TemporaryFile()  # noqa: SIM115 (it lives as long as the spool)
        view = memoryview(data)
        at = self._filed
        while view:
            done = os.pwrite(self._file.fileno(), view, at)
            view = view[done:]
            at += done
