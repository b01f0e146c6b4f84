"""The events of a stream, as Anthropic writes them: the data of one in, a Struct or a judgement out.

https://platform.claude.com/docs/en/build-with-claude/streaming. One decoding reads an event and tells its
type, 0.3 µs for a piece of text. What it cannot read may be new, and new types are to be passed over; so the
types that are known are looked for a second time before the stream is called malformed.
"""

from typing import Final

import msgspec

from gateway_runtime.providers.answer import Fault, build_fault
from gateway_runtime.providers.chat.request import ABSENT, is_there
from gateway_runtime.providers.wires.anthropic.answer import Block
from gateway_runtime.providers.wires.anthropic.refusal import read_error


class _Message(msgspec.Struct):
    id: str = ""
    model: str = ""
    usage: msgspec.Raw = ABSENT


class MessageStart(msgspec.Struct, tag="message_start"):
    message: _Message


class BlockStart(msgspec.Struct, tag="content_block_start"):
    index: int
    content_block: Block


class TextDelta(msgspec.Struct, tag="text_delta", gc=False):
    text: str


class InputDelta(msgspec.Struct, tag="input_json_delta", gc=False):
    partial_json: str


class ThinkingDelta(msgspec.Struct, tag="thinking_delta", gc=False):
    thinking: str


class SignatureDelta(msgspec.Struct, tag="signature_delta", gc=False):
    signature: str


class CitationsDelta(msgspec.Struct, tag="citations_delta", gc=False):
    citation: msgspec.Raw


class BlockDelta(msgspec.Struct, tag="content_block_delta", gc=False):
    index: int
    delta: TextDelta | InputDelta | ThinkingDelta | SignatureDelta | CitationsDelta


class BlockStop(msgspec.Struct, tag="content_block_stop", gc=False):
    index: int


class Stop(msgspec.Struct):
    stop_reason: str | None = None
    stop_sequence: str | None = None
    stop_details: msgspec.Raw = ABSENT


class MessageDelta(msgspec.Struct, tag="message_delta"):
    delta: Stop
    usage: msgspec.Raw = ABSENT


class MessageStop(msgspec.Struct, tag="message_stop", gc=False):
    pass


class _Ping(msgspec.Struct, tag="ping", gc=False):
    pass


class Error(msgspec.Struct, tag="error", gc=False):
    pass


Event = MessageStart | BlockStart | BlockDelta | BlockStop | MessageDelta | MessageStop | _Ping | Error
_DELTAS: Final = frozenset(
    {"text_delta", "input_json_delta", "thinking_delta", "signature_delta", "citations_delta"}
)
_EVENTS: Final = frozenset(
    {
        "message_start",
        "content_block_start",
        "content_block_delta",
        "content_block_stop",
        "message_delta",
        "message_stop",
    }
)


class _Typed(msgspec.Struct):
    type: str = ""


class _AnyEvent(_Typed):
    delta: _Typed = msgspec.field(default_factory=_Typed)
    error: msgspec.Raw = ABSENT


decode_event = msgspec.json.Decoder(Event).decode
_any_decoder = msgspec.json.Decoder(_AnyEvent)


def judge_unread(data: bytes) -> Fault | None:
    """data: of an event that `decode_event` refused. None: it is of a type that nobody has heard of."""
    malformed = Fault("malformed", "an event of its stream is not a JSON object in the API's shape")
    try:
        data.decode()
        seen = _any_decoder.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return malformed
    if is_there(seen.error):  # without a type: how other providers of the same API say it
        return build_fault(read_error(data))
    if seen.type == "content_block_delta" and seen.delta.type:
        return malformed if seen.delta.type in _DELTAS else None
    return malformed if not seen.type or seen.type in _EVENTS else None
