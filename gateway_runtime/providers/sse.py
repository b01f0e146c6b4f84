"""Server-sent events: chunks of a stream in, whole events out, right at every byte boundary.

    chunk -> lines (LF, CR or CRLF) -> fields -> an event at each blank line

The gateway passes a stream's bytes on untouched; beside that `server` feeds them to a Framer, to know whether
the stream ended properly, and where its last whole event ended (`pending_bytes`), so that an event which the
provider never finished can be held back.

Format: https://html.spec.whatwg.org/multipage/server-sent-events.html#parsing-an-event-stream. The subtle
rule: a CR ends its line at once, and an LF that follows belongs to it, even when it comes in the next chunk.
Data stay bytes, so a character that a chunk boundary cuts needs no care.
"""

from typing import Final

import msgspec

LARGEST_EVENT_BYTES: Final = 4 * 1024 * 1024
"""An image in base64 fits into one event; a provider that never ends its line does not fill the memory. A
guess.
"""

_BOM: Final = b"\xef\xbb\xbf"


class OversizedEvent(ValueError):
    """The stream holds more bytes without the end of an event than are kept: the provider's fault."""


class Event(msgspec.Struct, frozen=True):
    data: bytes
    """The data lines, joined by LF. UTF-8 as it came."""
    name: str = "message"


class Framer:
    """One per stream."""

    __slots__ = ("_after_cr", "_at_start", "_data", "_largest", "_line", "_name", "pending_bytes")

    def __init__(self, largest_event_bytes: int = LARGEST_EVENT_BYTES) -> None:
        self._largest = largest_event_bytes
        self._line = bytearray()
        self._data: list[bytes] = []
        self._name = b""
        self._after_cr = False
        self._at_start = True
        self.pending_bytes = 0
        """How many of the bytes fed stand after the last blank line: the beginning of an unfinished event."""

    def feed(self, chunk: bytes) -> list[Event]:
        """The events that `chunk` completes. Raises OversizedEvent; the stream is of no use after that."""
        events: list[Event] = []
        if self._after_cr and chunk:
            self._after_cr = False
            if chunk.startswith(b"\n"):
                chunk = chunk[1:]
                if self.pending_bytes:
                    self.pending_bytes += 1
        for line in chunk.splitlines(keepends=True):
            self.pending_bytes += len(line)
            if self.pending_bytes > self._largest:
                raise OversizedEvent(f"an event of the stream has more than {self._largest} bytes")
            self._after_cr = line.endswith(b"\r")
            if not self._after_cr and not line.endswith(b"\n"):
                self._line += line  # only the last piece of a chunk has no end
                return events
            if self._line:
                line = bytes(self._line) + line
                self._line.clear()
            self._take_line(line.rstrip(b"\r\n"), events)
        return events

    def _take_line(self, line: bytes, events: list[Event]) -> None:
        if self._at_start:
            self._at_start = False
            line = line.removeprefix(_BOM)
        if not line:
            if self._data:
                name = self._name.decode(errors="replace") if self._name else "message"
                events.append(Event(b"\n".join(self._data), name))
                self._data = []
            self._name = b""
            self.pending_bytes = 0
            return
        field, _, value = line.partition(b":")
        if field == b"data":
            self._data.append(value.removeprefix(b" "))
        elif field == b"event":
            self._name = value.removeprefix(b" ")
        # Comments, `id`, `retry` and fields that the format does not know concern the caller alone.
