"""A streamed answer: Anthropic's events in, the hub's chunks out.

    message_start                     id, model, the prompt's tokens
    content_block_start/delta/stop    one block after the other: text, thinking, a call
    message_delta                     why it stopped, all tokens
    message_stop                      done
    error                             fault
    ping, and what is not known       nothing

https://platform.claude.com/docs/en/build-with-claude/streaming. The type stands in the data as well as in
the event's name, and the data are believed. Types that nobody has heard of are passed over, as the page asks.

The subtle rule: deltas are told at once, and what needs a whole block is told at its end: a thought with its
signature, arguments that were never begun (a call without any streams nothing, and means `{}`), and sources,
whose place is the block's.
"""

from collections.abc import Iterable

import msgspec

from gateway_runtime.providers.answer import Fault, build_fault
from gateway_runtime.providers.chat.answer import Annotation, ChatChunk, ToolCallDelta
from gateway_runtime.providers.sse import LARGEST_EVENT_BYTES, Framer, OversizedEvent
from gateway_runtime.providers.usage import Usage
from gateway_runtime.providers.wires.anthropic.answer import (
    Block,
    build_thinking,
    read_call,
    read_finish,
    read_refusal,
    read_source,
)
from gateway_runtime.providers.wires.anthropic.events import (
    BlockDelta,
    BlockStart,
    BlockStop,
    CitationsDelta,
    Error,
    Event,
    InputDelta,
    MessageDelta,
    MessageStart,
    MessageStop,
    SignatureDelta,
    Stop,
    TextDelta,
    ThinkingDelta,
    decode_event,
    judge_unread,
)
from gateway_runtime.providers.wires.anthropic.refusal import read_error
from gateway_runtime.providers.wires.anthropic.usage import Counts, build_usage, merge_counts, read_counts


class _Open:
    """A block that has begun."""

    __slots__ = ("block", "call", "citations", "has_arguments", "start", "thoughts")

    def __init__(self, block: Block, call: int, start: int) -> None:
        self.block = block
        self.call = call
        """Its place among the calls, if it is one."""
        self.start = start
        """Of its text, in the content."""
        self.has_arguments = False
        self.thoughts: list[str] = []
        self.citations = list(block.citations or ())


class AnthropicStream:
    """See `wire.ChatStream`. One per streamed answer; 1 µs for a piece of text."""

    __slots__ = (
        "_calls",
        "_counts",
        "_framer",
        "_largest",
        "_length",
        "_open",
        "_stop",
        "done",
        "fault",
        "id",
        "model",
        "usage",
    )

    def __init__(self, largest_event_bytes: int = LARGEST_EVENT_BYTES) -> None:
        self._framer = Framer(largest_event_bytes)
        self._largest = largest_event_bytes
        self._open: dict[int, _Open] = {}
        self._calls = 0
        self._length = 0
        """Characters of the content so far."""
        self._stop = Stop()
        self._counts = Counts()
        self.id = ""
        self.model = ""
        self.usage: Usage | None = None
        self.done = False
        self.fault: Fault | None = None

    @property
    def _ended(self) -> bool:
        return self.done or self.fault is not None

    def feed(self, data: bytes) -> list[ChatChunk]:
        chunks: list[ChatChunk] = []
        if self._ended:
            return chunks
        burst = self._read_burst(data)
        if burst is not None:
            self._take(burst, chunks)
            return chunks
        for piece in self._framer.split(data):
            burst = None if piece is data else self._read_burst(piece)
            if not self._take(self._cut(piece) if burst is None else burst, chunks):
                break
        return chunks

    def finish(self) -> list[ChatChunk]:
        """A last `message_stop` counts without its blank line, which some servers do not write before they
        close the connection.
        """
        if self._ended:
            return []
        chunks = self.feed(b"\n\n")
        if self.done or (self.fault is not None and self.fault.kind == "error"):
            return chunks
        self.fault = Fault("torn", "its stream ended before message_stop")
        return []

    def _read_burst(self, data: bytes) -> list[bytes] | None:
        """The data of each event, when `data` is whole events of one `event: ` and one `data: ` line each,
        and nothing else. Nearly all that Anthropic sends is: 0.5 µs an event, against 2.2 for `cut`.
        """
        if data.startswith(b"data: "):  # other providers of the same API
            return self._framer.read_burst(data)
        if not data.startswith(b"event: ") or not data.endswith(b"\n\n") or b"\r" in data:
            return None
        if self._framer.pending_bytes or len(data) > self._largest:
            return None
        found = []
        for block in data[7:-2].split(b"\n\nevent: "):
            name, between, event = block.partition(b"\ndata: ")
            if not between or b"\n" in event or b"\n" in name:
                return None
            found.append(event)
        return found

    def _cut(self, data: bytes) -> Iterable[bytes]:
        try:
            for block in self._framer.cut(data):
                if block.event is not None:
                    yield block.event.data
        except OversizedEvent as error:
            self.fault = Fault("malformed", str(error))

    def _take(self, events: Iterable[bytes], chunks: list[ChatChunk]) -> bool:
        """Whether the stream goes on after them. Sets everything that is public."""
        for data in events:
            try:
                if not data.isascii():
                    data.decode()  # the decoder lets other encodings through in what stays JSON
                event = decode_event(data)
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                self.fault = judge_unread(data)
                if self.fault is not None:
                    return False
                continue
            if type(event) is BlockDelta:
                delta = event.delta
                if type(delta) is TextDelta:
                    if delta.text:
                        self._length += len(delta.text)
                        chunks.append(ChatChunk(content=delta.text))
                else:
                    self._take_delta(event, chunks)
            else:
                self._take_rare(event, data, chunks)
                if self._ended:
                    return False
        return self.fault is None  # `_cut` sets it

    def _take_delta(self, event: BlockDelta, chunks: list[ChatChunk]) -> None:
        found = self._open.get(event.index)
        if found is None:
            return
        delta = event.delta
        if type(delta) is InputDelta:
            if delta.partial_json and found.block.type == "tool_use":
                found.has_arguments = True
                call = ToolCallDelta(found.call, arguments=delta.partial_json)
                chunks.append(ChatChunk(tool_call=call))
        elif type(delta) is ThinkingDelta:
            if delta.thinking:
                found.thoughts.append(delta.thinking)
                chunks.append(ChatChunk(reasoning_content=delta.thinking))
        elif type(delta) is SignatureDelta:
            found.block.signature = delta.signature
        else:
            assert type(delta) is CitationsDelta  # text is taken where it is found
            found.citations.append(delta.citation)

    def _take_rare(self, event: Event, data: bytes, chunks: list[ChatChunk]) -> None:
        """What comes once in a block, or once in an answer."""
        if type(event) is BlockStart:
            self._begin_block(event.index, event.content_block, chunks)
        elif type(event) is BlockStop:
            self._end_block(event.index, chunks)
        elif type(event) is MessageStart:
            self.id = event.message.id
            self.model = event.message.model
            self._count(event.message.usage)
        elif type(event) is MessageDelta:
            self._stop = event.delta
            self._count(event.usage)
        elif type(event) is MessageStop:
            self._end_message(chunks)
        elif type(event) is Error:
            self.fault = build_fault(read_error(data))

    def _begin_block(self, index: int, block: Block, chunks: list[ChatChunk]) -> None:
        """Blocks begin empty with Anthropic, and may begin with all they have elsewhere."""
        found = self._open[index] = _Open(block, self._calls, self._length)
        if block.type == "tool_use":
            self._calls += 1
            call = read_call(block, found.call)
            chunks.append(ChatChunk(tool_call=ToolCallDelta(found.call, call.id, call.function.name)))
        elif block.type == "text" and block.text:
            self._length += len(block.text)
            chunks.append(ChatChunk(content=block.text))
        elif block.type == "thinking" and block.thinking:
            found.thoughts.append(block.thinking)
            chunks.append(ChatChunk(reasoning_content=block.thinking))

    def _end_block(self, index: int, chunks: list[ChatChunk]) -> None:
        found = self._open.pop(index, None)
        if found is None:
            return
        block = found.block
        if block.type == "tool_use":
            if not found.has_arguments:
                arguments = read_call(block, found.call).function.arguments
                chunks.append(ChatChunk(tool_call=ToolCallDelta(found.call, arguments=arguments)))
        elif block.type in ("thinking", "redacted_thinking"):
            block.thinking = "".join(found.thoughts)
            chunks.append(ChatChunk(thinking_block=build_thinking(block)))
        for citation in found.citations:
            source = read_source(citation, found.start, self._length)
            if isinstance(source, Annotation):
                chunks.append(ChatChunk(annotation=source))
            else:
                chunks.append(ChatChunk(citation=source))

    def _end_message(self, chunks: list[ChatChunk]) -> None:
        for index in sorted(self._open):  # blocks whose end nobody told
            self._end_block(index, chunks)
        stop = self._stop
        refusal = read_refusal(stop.stop_reason, stop.stop_details)
        if refusal:
            chunks.append(ChatChunk(refusal=refusal))
        finish = read_finish(stop.stop_reason, has_calls=bool(self._calls))
        chunks.append(ChatChunk(finish_reason=finish, stop_sequence=stop.stop_sequence))
        self.done = True

    def _count(self, usage: msgspec.Raw) -> None:
        self._counts = merge_counts(self._counts, read_counts(usage))
        self.usage = build_usage(self._counts)
