"""A streamed answer of ConverseStream: pieces of the body in, the hub's chunks out.

    messageStart -> (contentBlockStart? -> contentBlockDelta* -> contentBlockStop)* -> messageStop -> metadata

    messageStop    the last chunk; the answer is whole for the caller
    metadata       the usage; done
    exception      fault, wherever it comes
    body ends      before messageStop: torn. Behind it: done, without usage

Only blocks of tools have a contentBlockStart. Events that are not known are skipped, as are the members `p`
that pad each payload. Format:
https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_ConverseStream.html

The subtle rule: a call without arguments has no delta, and callers parse what they get as JSON. So such a
call is given `{}` at the end of its block.
"""

from typing import Final

import msgspec

from gateway_runtime.providers.answer import Fault, build_fault
from gateway_runtime.providers.chat.answer import ChatChunk, ToolCallDelta
from gateway_runtime.providers.chat.request import (
    ABSENT,
    RedactedThinkingBlock,
    ThinkingBlock,
    is_there,
)
from gateway_runtime.providers.usage import Usage
from gateway_runtime.providers.wires.bedrock.answer import (
    MALFORMED_OUTPUT,
    find_finish,
    is_malformed,
    read_citation,
    read_stop,
    read_usage,
)
from gateway_runtime.providers.wires.bedrock.error import read_exception
from gateway_runtime.providers.wires.bedrock.event_stream import BrokenFrame, Frame, FrameCutter


class _ToolUseStart(msgspec.Struct, rename="camel"):
    tool_use_id: str
    name: str
    type: str | None = None


class _Start(msgspec.Struct, rename="camel"):
    tool_use: _ToolUseStart | None = None


class _BlockStart(msgspec.Struct, rename="camel"):
    content_block_index: int
    start: _Start


class _ToolUseDelta(msgspec.Struct):
    input: str = ""


class _ReasoningDelta(msgspec.Struct, rename="camel"):
    text: str | None = None
    signature: str | None = None
    redacted_content: str | None = None


class _Delta(msgspec.Struct, rename="camel", gc=False):
    text: str | None = None
    tool_use: _ToolUseDelta | None = None
    reasoning_content: _ReasoningDelta | None = None
    citation: msgspec.Raw = ABSENT


class _BlockDelta(msgspec.Struct, rename="camel", gc=False):
    content_block_index: int
    delta: _Delta


class _BlockStop(msgspec.Struct, rename="camel"):
    content_block_index: int


class _MessageStop(msgspec.Struct, rename="camel"):
    stop_reason: str = ""
    additional_model_response_fields: msgspec.Raw = ABSENT


class _Metadata(msgspec.Struct):
    usage: msgspec.Raw = ABSENT


_decode_start = msgspec.json.Decoder(_BlockStart).decode
_decode_delta = msgspec.json.Decoder(_BlockDelta).decode
_decode_stop = msgspec.json.Decoder(_BlockStop).decode
_decode_message_stop = msgspec.json.Decoder(_MessageStop).decode
_decode_metadata = msgspec.json.Decoder(_Metadata).decode

_NOT_OURS: Final = -1


class _Call:
    """A tool's block while it is open."""

    __slots__ = ("index", "said")

    def __init__(self, index: int) -> None:
        self.index = index
        """Among the answer's calls; _NOT_OURS for a tool that runs at the provider."""
        self.said = False
        """Arguments were given."""


class BedrockStream:
    """See `wire.ChatStream`. 2 µs for a piece of text."""

    id = ""
    model = ""

    __slots__ = (
        "_calls",
        "_cutter",
        "_finished",
        "_signature",
        "_thought",
        "_tools",
        "done",
        "fault",
        "usage",
    )

    def __init__(self) -> None:
        self._cutter = FrameCutter()
        self._tools: dict[int, _Call] = {}
        self._calls = 0
        self._thought: list[str] = []
        self._signature = ""
        self._finished = False
        self.usage: Usage | None = None
        self.done = False
        self.fault: Fault | None = None

    def feed(self, data: bytes) -> list[ChatChunk]:
        chunks: list[ChatChunk] = []
        if self._is_over():
            return chunks
        try:
            for frame in self._cutter.cut(data):
                if frame.head.name == "contentBlockDelta":
                    self._read_delta(frame.payload, chunks)
                else:
                    self._read_event(frame, chunks)
                if self._is_over():
                    break
        except BrokenFrame as error:
            self.fault = Fault("malformed", str(error))
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            self.fault = Fault("malformed", "an event of the stream is not JSON in ConverseStream's shape")
        return chunks

    def finish(self) -> list[ChatChunk]:
        if self.fault is None and not self.done:
            if self._finished:
                self.done = True
            else:
                self.fault = Fault("torn", "the stream ended before its message did")
        return []

    def _is_over(self) -> bool:
        return self.done or self.fault is not None

    def _read_delta(self, payload: bytes, chunks: list[ChatChunk]) -> None:
        event = _decode_delta(payload)
        delta = event.delta
        if delta.text is not None:
            if delta.text:
                chunks.append(ChatChunk(delta.text))
        elif delta.tool_use is not None:
            call = self._tools.get(event.content_block_index)
            if call is None:
                self.fault = Fault("malformed", "a piece of a tool call came without its beginning")
            elif call.index != _NOT_OURS and delta.tool_use.input:
                call.said = True
                piece = ToolCallDelta(call.index, arguments=delta.tool_use.input)
                chunks.append(ChatChunk(tool_call=piece))
        elif delta.reasoning_content is not None:
            self._read_reasoning(delta.reasoning_content, chunks)
        elif is_there(delta.citation):
            page = read_citation(delta.citation)
            if page is None:
                chunks.append(ChatChunk(citation=delta.citation))
            else:
                chunks.append(ChatChunk(annotation=page))

    def _read_reasoning(self, delta: _ReasoningDelta, chunks: list[ChatChunk]) -> None:
        if delta.text:
            self._thought.append(delta.text)
            chunks.append(ChatChunk(reasoning_content=delta.text))
        if delta.signature:
            self._signature += delta.signature
        if delta.redacted_content is not None:  # base64, and so never in pieces
            chunks.append(ChatChunk(thinking_block=RedactedThinkingBlock(delta.redacted_content)))

    def _read_event(self, frame: Frame, chunks: list[ChatChunk]) -> None:
        head = frame.head
        if head.kind != "event":
            self.fault = build_fault(read_exception(head.name, frame.payload, head.message))
            return
        match head.name:
            case "contentBlockStart":
                self._start_block(_decode_start(frame.payload), chunks)
            case "contentBlockStop":
                self._end_block(_decode_stop(frame.payload).content_block_index, chunks)
            case "messageStop":
                stop = _decode_message_stop(frame.payload)
                if is_malformed(stop.stop_reason):
                    self.fault = MALFORMED_OUTPUT
                    return
                self._finished = True
                finish = find_finish(stop.stop_reason, called=self._calls > 0)
                stopped_at = read_stop(stop.additional_model_response_fields)
                chunks.append(ChatChunk(finish_reason=finish, stop_sequence=stopped_at))
            case "metadata":
                self.usage = read_usage(_decode_metadata(frame.payload).usage) or self.usage
                self.done = self._finished

    def _start_block(self, event: _BlockStart, chunks: list[ChatChunk]) -> None:
        use = event.start.tool_use
        if use is None:
            return
        if use.type is not None:  # `server_tool_use`
            self._tools[event.content_block_index] = _Call(_NOT_OURS)
            return
        self._tools[event.content_block_index] = _Call(self._calls)
        chunks.append(ChatChunk(tool_call=ToolCallDelta(self._calls, use.tool_use_id, use.name)))
        self._calls += 1

    def _end_block(self, index: int, chunks: list[ChatChunk]) -> None:
        call = self._tools.pop(index, None)
        if call is not None and call.index != _NOT_OURS and not call.said:
            chunks.append(ChatChunk(tool_call=ToolCallDelta(call.index, arguments="{}")))
        if self._signature:
            thought = ThinkingBlock("".join(self._thought), self._signature)
            chunks.append(ChatChunk(thinking_block=thought))
        self._signature = ""
        self._thought.clear()
