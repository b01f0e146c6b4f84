"""A strict reader of HTTP/1.1 answers: bytes of a connection in, one Reading for each answer out.

`caller` reads with it. It takes nothing that a client could understand in two ways: a status line, fields,
either a Content-Length or chunks, nothing else. What breaks off is a Reading too, with all that came.
"""

import asyncio
import re
from dataclasses import dataclass, field
from typing import Final, Literal

_STATUS: Final = re.compile(rb"HTTP/1\.1 ([1-5][0-9][0-9]) [A-Za-z -]+\r\n")
_FIELD: Final = re.compile(rb"([a-z0-9-]+): ?([\x20-\x7e\x80-\xff]*)\r\n", re.IGNORECASE)
_PIECE_BYTES: Final = 16 * 1024


class NotHttp(Exception):
    """What came is no answer; the text says why."""


@dataclass(slots=True)
class Reading:
    status: int = 0
    """0: not one byte came."""
    headers: dict[bytes, bytes] = field(default_factory=dict)
    body: bytearray = field(default_factory=bytearray)
    ended: Literal["whole", "cut"] = "cut"

    @property
    def keeps_open(self) -> bool:
        return self.ended == "whole" and self.headers.get(b"connection", b"").lower() != b"close"


async def read_answer(reader: asyncio.StreamReader, pause_s: float, reading: Reading) -> None:
    """Fills `reading`. pause_s: between pieces, for callers that are slow. Raises NotHttp."""
    try:
        _take_head(await reader.readuntil(b"\r\n\r\n"), reading)
        if reading.headers.get(b"transfer-encoding") == b"chunked":
            while size := await _read_size(reader):
                await _read_piece(reader, size, pause_s, reading)
                if await reader.readexactly(2) != b"\r\n":
                    raise NotHttp("a chunk is not as long as it says")
            if await reader.readexactly(2) != b"\r\n":
                raise NotHttp("trailers, which nobody asked for")
        else:
            await _read_piece(reader, int(reading.headers[b"content-length"]), pause_s, reading)
    except asyncio.IncompleteReadError as error:
        if reading.status == 0 and error.partial:
            raise NotHttp(f"a torn head: {error.partial[:80]!r}") from error
    except ConnectionError:
        return
    else:
        reading.ended = "whole"


def _take_head(head: bytes, reading: Reading) -> None:
    status = _STATUS.match(head)
    if status is None:
        raise NotHttp(f"no status line: {head[:80]!r}")
    at = status.end()
    while head[at:] != b"\r\n":
        found = _FIELD.match(head, at)
        if found is None:
            raise NotHttp(f"no field: {head[at : at + 80]!r}")
        name = found[1].lower()
        if name in reading.headers and name != b"set-cookie":
            raise NotHttp(f"{name!r} comes twice")
        reading.headers[name] = found[2].strip()
        at = found.end()
    framings = [name for name in (b"transfer-encoding", b"content-length") if name in reading.headers]
    if len(framings) != 1:
        raise NotHttp(f"framed by {framings}")
    reading.status = int(status[1])


async def _read_size(reader: asyncio.StreamReader) -> int:
    line = await reader.readuntil(b"\r\n")
    if not re.fullmatch(rb"[0-9a-fA-F]+\r\n", line):
        raise NotHttp(f"no chunk size: {line[:80]!r}")
    return int(line, 16)


async def _read_piece(reader: asyncio.StreamReader, size: int, pause_s: float, reading: Reading) -> None:
    while size:
        piece = await reader.read(min(size, _PIECE_BYTES))
        if not piece:
            raise asyncio.IncompleteReadError(b"", size)
        reading.body += piece
        size -= len(piece)
        if pause_s:
            await asyncio.sleep(pause_s)
