"""Ollama's streamed answer: lines of JSON in, ChatChunks out.

Each line is an answer as `answer` reads it, with the next piece of the message; the last says `done`, and
has the counts. A line with an `error` ends the stream, whose status has long been 200:
https://github.com/ollama/ollama/blob/main/docs/api/errors.mdx#errors-that-occur-while-streaming.

The subtle rule: a call comes whole, in one line, and several lines may bring calls. Their places are counted
over the stream: Ollama's own index is 0 for all of them on many servers.
"""

from typing import Final

import msgspec

from gateway_runtime.providers.answer import Fault, build_fault
from gateway_runtime.providers.chat.answer import ChatChunk, ToolCallDelta
from gateway_runtime.providers.chat.request import ABSENT, is_there
from gateway_runtime.providers.sse import LARGEST_EVENT_BYTES
from gateway_runtime.providers.usage import Usage
from gateway_runtime.providers.wires.ollama.answer import (
    CallBody,
    answer_decoder,
    build_logprobs,
    find_finish_reason,
    read_arguments,
    read_usage,
)
from gateway_runtime.providers.wires.ollama.error import read_error

_TORN: Final = Fault("torn", "the stream ended before its last line")
_MALFORMED: Final = Fault("malformed", "a line of the stream is not in Ollama's shape")
_TOO_LARGE: Final = Fault("malformed", "a line of the stream is too large")


class OllamaStream:
    """See `wire.ChatStream`. 1.2 µs for a line with a piece of text."""

    __slots__ = ("_calls", "_pending", "done", "fault", "id", "model", "usage")

    def __init__(self) -> None:
        self._pending = bytearray()
        self._calls = 0
        self.id = ""
        self.model = ""
        self.usage: Usage | None = None
        self.done = False
        self.fault: Fault | None = None

    def feed(self, data: bytes) -> list[ChatChunk]:
        chunks: list[ChatChunk] = []
        if self._is_over():
            return chunks
        *lines, rest = data.split(b"\n")
        if lines and self._pending:
            lines[0] = bytes(self._pending) + lines[0]
            self._pending.clear()
        for line in lines:
            self._read_line(line, chunks)
        self._pending += rest
        if len(self._pending) > LARGEST_EVENT_BYTES and not self._is_over():
            self.fault = _TOO_LARGE
        return chunks

    def finish(self) -> list[ChatChunk]:
        """The last line may do without its end, but not without its second half."""
        chunks: list[ChatChunk] = []
        if self._is_over():
            return chunks
        self._read_line(bytes(self._pending), chunks)
        if not self._is_over() or self.fault is _MALFORMED:
            self.fault = _TORN
        return chunks

    def _is_over(self) -> bool:
        return self.done or self.fault is not None

    def _read_line(self, line: bytes, chunks: list[ChatChunk]) -> None:
        if self.done or self.fault is not None or not line or line.isspace():
            return
        try:
            answer = answer_decoder.decode(line)
            if answer.error is not ABSENT and is_there(answer.error):
                self.fault = build_fault(read_error(line))
                return
            self.model = answer.model or self.model
            said = answer.message
            if said.content or said.thinking or answer.logprobs:
                logprobs = build_logprobs(answer.logprobs) if answer.logprobs else None
                chunks.append(ChatChunk(said.content or None, said.thinking or None, logprobs=logprobs))
            if said.tool_calls:
                chunks += [self._read_call(call) for call in said.tool_calls]
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            self.fault = _MALFORMED
            return
        if answer.done:
            self.usage = read_usage(answer)
            reason = find_finish_reason(answer.done_reason, calls=self._calls > 0)
            chunks.append(ChatChunk(finish_reason=reason))
            self.done = True

    def _read_call(self, call: CallBody) -> ChatChunk:
        place = self._calls
        self._calls += 1
        name = call.function.name
        return ChatChunk(
            tool_call=ToolCallDelta(place, call.id or f"call_{place}", name, read_arguments(call))
        )
