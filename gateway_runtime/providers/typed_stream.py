"""A stream whose events have a type each, and no [DONE] at their end: chunks in, the caller's bytes out.

The Responses API streams so, and images as they are painted; formats:
https://platform.openai.com/docs/api-reference/responses-streaming and .../images-streaming. By the rules of
`stream`: whole events alone go out, nothing before the first good one, and after `done` or a `fault` nothing.

The subtle rule: `response.failed` is a last event like any other, with the whole Response in it; clients read
it there. An event `error` is a fault: another attempt is made where none has gone out before it.
"""

from collections.abc import Set as AbstractSet
from typing import Final

import msgspec

from gateway_runtime.providers.answer import Fault, is_error, read_facts, read_fault
from gateway_runtime.providers.kept import seal_object, splice_item_id
from gateway_runtime.providers.openai import build_event
from gateway_runtime.providers.seal import Seal
from gateway_runtime.providers.sse import Framer, OversizedEvent
from gateway_runtime.providers.stream import DONE
from gateway_runtime.providers.token_usage import read_token_usage
from gateway_runtime.providers.usage import NO_USAGE, Usage

LARGEST_EVENT_BYTES: Final = 16 * 1024 * 1024
"""An event may hold an image of some megapixels in base64, or a Response with several of them. A guess."""

_OPENINGS: Final = (b":", b"data", b"event", b"id", b"retry")
_NULL: Final = msgspec.Raw(b"null")


class _Inner(msgspec.Struct):
    """A Response, as far as it is looked at."""

    usage: msgspec.Raw = NO_USAGE


class _Typed(msgspec.Struct, gc=False):
    type: str = ""
    usage: msgspec.Raw = NO_USAGE
    response: msgspec.Raw = _NULL
    error: msgspec.Raw = _NULL
    item_id: str | None = None


_typed_decoder = msgspec.json.Decoder(_Typed)
_inner_decoder = msgspec.json.Decoder(_Inner | None)


class TypedStreamReader:
    """See `wire.CallerStream`. One per streamed answer."""

    __slots__ = (
        "_framer",
        "_held",
        "_largest",
        "_last",
        "_seal",
        "done",
        "events",
        "fault",
        "usage",
    )

    def __init__(
        self,
        last: AbstractSet[str],
        seal: Seal | None = None,
        largest_event_bytes: int = LARGEST_EVENT_BYTES,
    ) -> None:
        """last: the types of events after which nothing comes. seal: for the ids in them."""
        self._framer = Framer(largest_event_bytes)
        self._largest = largest_event_bytes
        self._held = bytearray()
        """Comments before the first event."""
        self._last = last
        self._seal = seal
        self.events = 0
        self.usage: Usage | None = None
        self.done = False
        self.fault: Fault | None = None

    @property
    def ended(self) -> bool:
        return self.done or self.fault is not None

    def feed(self, chunk: bytes) -> bytes:
        if self.ended:
            return b""
        named = None if self._framer.pending_bytes else _split_named(chunk)
        if named is not None and self.events:
            passed = []
            for raw, name, data in named:
                passed.append(self._judge(raw, name, data))
                if self.done or self.fault is not None:
                    break
            return b"".join(passed)
        return self._cut(chunk)

    def finish(self) -> bytes:
        if not self.ended:
            self.fault = Fault("torn", "its stream ended without its last event")
        return b""

    def _cut(self, chunk: bytes) -> bytes:
        passed: list[bytes] = []
        try:
            for raw, event in self._framer.cut(chunk):
                if event is not None:
                    passed.append(self._judge(raw, event.name.encode(), event.data))
                elif self.events:
                    passed.append(raw)
                else:
                    self._held += raw
                if self.done or self.fault is not None:
                    break
        except OversizedEvent as error:
            self.fault = Fault("malformed", str(error))
        if not self.events and self.fault is None:
            self._check_opening()
        data = b"".join(passed)
        if self._held and data:
            data = bytes(self._held) + data
            self._held.clear()
        return data

    def _judge(self, raw: bytes, name: bytes, data: bytes) -> bytes:
        """What of an event goes out. Sets `done`, `usage` and `fault`."""
        if data == DONE:
            self.done = True
            return raw
        try:
            if not data.isascii():
                data.decode()  # the decoder lets other encodings through in what it skips
            found = _typed_decoder.decode(data)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            if read_facts(data) is None:
                self.fault = Fault("malformed", "an event of its stream is not a JSON object")
                return b""
            self.events += 1  # with numbers that only lenient readers take
            return raw
        kind = found.type
        if kind == "error" or name == b"error" or (found.error != _NULL and _has_error(data)):
            self.fault = read_fault(data)
            return b""
        self.events += 1
        if found.usage != NO_USAGE:
            self.usage = read_token_usage(found.usage) or self.usage
        if kind in self._last:
            self.done = True
            if found.response != _NULL:
                self.usage = _read_inner_usage(found.response) or self.usage
        if self._seal is None:
            return raw
        if found.item_id is not None and kind.endswith(".delta"):
            spliced = splice_item_id(raw, found.item_id, self._seal)
            if spliced is not None:
                return spliced
        written = seal_object(data, self._seal)
        if written is data:
            return raw
        return (b"" if name == b"message" else b"event: %b\n" % name) + build_event(written)

    def _check_opening(self) -> None:
        """A page of HTML has no blank line to wait for."""
        opening = bytes(self._framer.peek(16)).lstrip(b"\xef\xbb\xbf\r\n")[:5]
        if not any(opening.startswith(word) or word.startswith(opening) for word in _OPENINGS):
            self.fault = Fault("malformed", "its body is not a stream of events")
        elif len(self._held) > self._largest:
            self.fault = Fault("malformed", "its stream begins with nothing but comments")


def _split_named(chunk: bytes) -> list[tuple[bytes, bytes, bytes]] | None:
    """The events of a chunk, each as it came, its name and its data, when it is nothing but events of two
    lines; None for any other. Nearly every chunk is, and 2 µs an event are saved.
    """
    if not chunk.startswith(b"event: ") or not chunk.endswith(b"\n\n") or b"\r" in chunk:
        return None
    named = []
    for block in chunk[:-2].split(b"\n\n"):
        head, joint, data = block.partition(b"\ndata: ")
        if not joint or not head.startswith(b"event: ") or b"\n" in head or b"\n" in data:
            return None
        named.append((block + b"\n\n", head[7:], data))
    return named


def _has_error(data: bytes) -> bool:
    found = read_facts(data)
    return found is not None and is_error(found)


def _read_inner_usage(response: msgspec.Raw) -> Usage | None:
    try:
        inner = _inner_decoder.decode(response)
    except (msgspec.DecodeError, RecursionError):
        return None
    return None if inner is None else read_token_usage(inner.usage)
