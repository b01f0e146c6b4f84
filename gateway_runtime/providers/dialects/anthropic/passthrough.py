"""Anthropic's answers on their way to a caller who speaks the same: bytes in, the same bytes out, and the
facts beside them.

`server` uses `read_message` for a whole answer and a MessagesReader for a stream, with the rules of
`providers.stream`: only whole events go out, and nothing before the first good one.

    message_start   the first good event; its `usage` has the prompt's tokens
    message_delta   its `usage` is cumulative
    message_stop    done
    error           a fault; its body is the caller's
    ping            a beat: it says nothing about the answer, and none goes out before `message_start`

The subtle rule: nearly all bytes of a stream are `content_block_delta` events, one or a few to a chunk. Of
those nothing is asked but that they are what they say, so that such an event costs 1.3 µs alone in its chunk
and 0.7 µs among others.

Format: https://docs.anthropic.com/en/docs/build-with-claude/streaming.
"""

import json
from typing import Final, Literal

import msgspec

from gateway_runtime.providers.answer import Answer, Facts, Fault, is_error
from gateway_runtime.providers.dialects.anthropic.errors import read_fault
from gateway_runtime.providers.dialects.anthropic.usage import (
    NO_COUNTS,
    Counts,
    merge_counts,
    read_counts,
    sum_counts,
)
from gateway_runtime.providers.sse import LARGEST_EVENT_BYTES, Event
from gateway_runtime.providers.stream import StreamReader

_ABSENT: Final = msgspec.Raw(b"null")
_DELTA: Final = b"event: content_block_delta\ndata: "
_NEXT_DELTA: Final = b"\n\n" + _DELTA
_UNTYPED: Final = frozenset({"", "message"})
"""`message` is what an event without a name is called."""


class _Delta(msgspec.Struct, gc=False):
    type: Literal["content_block_delta"]


class _Facts(msgspec.Struct, gc=False):
    """The members of an answer or event that are looked at."""

    type: str = ""
    message: msgspec.Raw = _ABSENT
    usage: msgspec.Raw = _ABSENT
    error: msgspec.Raw = _ABSENT


class _OrdinaryMessage(msgspec.Struct, gc=False):
    """A good answer: one decoding tells all."""

    type: Literal["message"]
    usage: Counts | None = None
    error: None = None


_decode_delta = msgspec.json.Decoder(_Delta).decode
_facts_decoder = msgspec.json.Decoder(_Facts)
_ordinary_decoder = msgspec.json.Decoder(_OrdinaryMessage)


def read_message(body: bytes) -> Answer:
    """body: of a whole answer with status 200."""
    try:
        if body.isascii():
            counts = _ordinary_decoder.decode(body).usage
            return Answer(None if counts is None else sum_counts(counts), None)
    except (msgspec.DecodeError, RecursionError):
        pass  # a closer look follows
    found = _read_facts(body)
    if found is None:
        return Answer(None, Fault("malformed", "its body is not a JSON object"))
    usage = sum_counts(read_counts(found.usage))
    if found.type == "error" or is_error(Facts(error=found.error)):
        return Answer(usage, read_fault(body))
    if found.type != "message":
        return Answer(usage, Fault("malformed", "its body is not a message"))
    return Answer(usage, None)


class MessagesReader(StreamReader):
    """One per streamed answer."""

    __slots__ = ("_counts",)

    def __init__(self, *, largest_event_bytes: int = LARGEST_EVENT_BYTES) -> None:
        super().__init__(hide_usage=False, largest_event_bytes=largest_event_bytes)
        self._counts = NO_COUNTS

    def finish(self) -> bytes:
        """The body has ended. A last message_stop counts without its blank line, which then goes out with
        it.
        """
        if self.ended:
            return b""
        rest = self._framer.peek().rstrip(b"\r\n")
        if self.events and _is_stop(rest):
            self.done = True
            return self._release(rest + b"\n\n")
        self.fault = Fault("torn", "its stream ended without message_stop")
        return b""

    def _takes_burst(self, chunk: bytes) -> bool:
        """Whether all of it may go out unseen: deltas and nothing else, as Anthropic itself frames them."""
        if (
            not self.events
            or self._framer.pending_bytes
            or not chunk.startswith(_DELTA)
            or not chunk.endswith(b"\n\n")
            or len(chunk) > self._largest
        ):
            return False
        burst = chunk[len(_DELTA) : -2].split(_NEXT_DELTA)
        try:
            if not chunk.isascii():
                chunk.decode()
            for data in burst:
                if b"\n" in data or b"\r" in data:
                    return False
                _decode_delta(data)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return False
        self.events += len(burst)
        self._hid = False
        return True

    def _judge(self, event: Event) -> bool:
        """Whether it goes out. Sets `done`, `usage` and `fault`."""
        self._hid = False
        found = _read_facts(event.data)
        kind = (found and found.type) or event.name
        if "error" in (kind, event.name) or (found is not None and is_error(Facts(error=found.error))):
            self.fault = read_fault(event.data)
            return False
        if found is None:
            self.fault = Fault("malformed", "an event of its stream is not a JSON object")
            return False
        if not self.events:
            self._hid = kind == "ping"
            if kind in _UNTYPED:
                self.fault = Fault("malformed", "its stream does not begin with message_start")
            if self._hid or self.fault is not None:
                return False
        if kind == "message_stop":
            self.done = True
            return True
        if kind == "message_start":
            message = _read_facts(found.message)
            self._note_usage(_ABSENT if message is None else message.usage)
        else:
            self._note_usage(found.usage)
        self.events += 1
        return True

    def _note_usage(self, usage: msgspec.Raw) -> None:
        if usage != _ABSENT:
            self._counts = merge_counts(self._counts, read_counts(usage))
            self.usage = sum_counts(self._counts)


def _read_facts(data: bytes | msgspec.Raw) -> _Facts | None:
    """None when it is not a JSON object, in UTF-8."""
    data = bytes(data)
    try:
        if not data.isascii():
            data.decode()  # the decoder lets other encodings through in what it skips
        return _facts_decoder.decode(data)
    except UnicodeDecodeError:
        return None
    except (msgspec.DecodeError, RecursionError):
        return _read_leniently(data)


def _read_leniently(data: bytes) -> _Facts | None:
    """As `providers.answer` does, and for its reason: servers that are Anthropic-compatible and no more."""
    try:
        value = json.loads(data.decode())
    except (ValueError, RecursionError):
        return None
    if not isinstance(value, dict):
        return None
    kind = value.get("type")
    found = {name: msgspec.Raw(json.dumps(value[name])) for name in _RAW_FACTS if name in value}
    return _Facts(kind if isinstance(kind, str) else "", **found)


_RAW_FACTS: Final = ("message", "usage", "error")


def _is_stop(rest: bytes) -> bool:
    """rest: the last event's lines."""
    name, _, data = rest.replace(b"\r\n", b"\n").replace(b"\r", b"\n").rpartition(b"\n")
    found = _read_facts(data.removeprefix(b"data:")) if data.startswith(b"data:") else None
    return found is not None and found.type == "message_stop" and name.startswith(b"event:")
