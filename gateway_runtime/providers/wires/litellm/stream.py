"""A provider's stream in OpenAI's shape, or one that litellm can bring into it: pieces of the body in,
ChatChunks out. See `wire.ChatStream`.

https://platform.openai.com/docs/api-reference/chat-streaming. Some servers never send `[DONE]`: a stream is
whole as well when each choice that began has said why it ended.

The one subtle rule: a finish reason is held back until the stream ends, since a tool call that came under
`stop` makes it `tool_calls`, and the last chunk of a choice is the last one.
"""

from typing import Final

import msgspec

from gateway_runtime.providers.answer import Fault, build_fault
from gateway_runtime.providers.chat.answer import Annotation, ChatChunk, FinishReason, ToolCallDelta
from gateway_runtime.providers.chat.request import AnyThinkingBlock, RedactedThinkingBlock, ThinkingBlock
from gateway_runtime.providers.error import read_error
from gateway_runtime.providers.sse import Framer, OversizedEvent
from gateway_runtime.providers.usage import Usage
from gateway_runtime.providers.wires.litellm.answer import (
    NULL,
    Call,
    Said,
    Sources,
    read_arguments,
    read_finish,
    read_notes,
    read_sources,
    read_tokens,
)
from gateway_runtime.providers.wires.litellm.foreign import open_parser, translate_event
from gateway_runtime.providers.wires.litellm.load import ChunkParser, Config

_DONE: Final = b"[DONE]"
_EMPTY: Final = frozenset({b"null", b"[]", b"{}", b"false", b'""'})


class _Choice(msgspec.Struct):
    delta: Said | None = None
    finish_reason: str | None = None
    index: int = 0
    logprobs: msgspec.Raw = NULL


class _Chunk(Sources, kw_only=True):
    choices: list[_Choice] | None
    id: str | None = None
    model: str | None = None
    usage: msgspec.Raw = NULL
    error: msgspec.Raw = NULL


class _Failed(msgspec.Struct):
    error: msgspec.Raw = NULL


_decoder = msgspec.json.Decoder(_Chunk)
_failed_decoder = msgspec.json.Decoder(_Failed)


class LitellmStream:
    __slots__ = (
        "_begun",
        "_calls",
        "_config",
        "_finishes",
        "_framer",
        "_json_tool",
        "_notes",
        "_parser",
        "_provider",
        "_thoughts",
        "_tricked",
        "done",
        "fault",
        "id",
        "model",
        "usage",
    )

    def __init__(self, config: Config, provider: str, json_tool: str) -> None:
        """json_tool: whose call stands for text, or nothing."""
        self._config = config
        self._provider = provider
        self._json_tool = json_tool
        self._parser: ChunkParser | None = None
        self._framer = Framer()
        self._begun: set[int] = set()
        self._finishes: dict[int, FinishReason] = {}
        self._calls: dict[tuple[int, int], int] = {}
        """Choice and the provider's index of a call -> its place among the choice's calls."""
        self._tricked: set[tuple[int, int]] = set()
        """Of them, the calls that stand for text."""
        self._thoughts: dict[int, str] = {}
        """Choice -> what it has thought in a block without its signature."""
        self._notes: tuple[Annotation, ...] = ()
        self.id = ""
        self.model = ""
        self.usage: Usage | None = None
        self.done = False
        self.fault: Fault | None = None

    def feed(self, data: bytes) -> list[ChatChunk]:
        chunks: list[ChatChunk] = []
        if self.done or self.fault is not None:
            return chunks
        burst = self._framer.read_burst(data)
        if burst is not None:
            for event in burst:
                self._take(event, chunks)
            return chunks
        try:
            for block in self._framer.cut(data):
                if block.event is not None:
                    self._take(block.event.data, chunks)
        except OversizedEvent as error:
            self.fault = Fault("malformed", str(error))
        return chunks

    def finish(self) -> list[ChatChunk]:
        if self.done or self.fault is not None:
            return []
        if self._finishes and self._finishes.keys() >= self._begun and not self._framer.pending_bytes:
            return self._end()
        self.fault = Fault("torn", "the stream ended before the answer did")
        return []

    def _take(self, data: bytes, chunks: list[ChatChunk]) -> None:
        if self.done or self.fault is not None:
            return
        try:
            chunk = _decoder.decode(data)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            if data.strip() == _DONE:
                chunks += self._end()
                return
            other = self._translate(data)
            if other is None:
                return
            chunk = other
        if bytes(chunk.error) not in _EMPTY:
            self.fault = build_fault(read_error(data))
            return
        if not self.id:
            self.id = chunk.id or ""
            self.model = (chunk.model or "").removeprefix(f"{self._provider}/")
        if chunk.usage != NULL:
            self.usage = read_tokens(chunk.usage) or self.usage
        if chunk.citations or chunk.search_results:
            self._notes = read_sources(chunk)
        for choice in chunk.choices or ():
            self._read_choice(choice, chunks)

    def _translate(self, data: bytes) -> _Chunk | None:
        """None: a fault was found, or nothing to see."""
        try:
            failed = _failed_decoder.decode(data)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            self.fault = Fault("malformed", "an event of the stream is not a JSON object")
            return None
        if bytes(failed.error) not in _EMPTY:
            self.fault = build_fault(read_error(data))
            return None
        self._parser = self._parser or open_parser(self._config)
        translated = None if self._parser is None else translate_event(self._parser, data)
        try:
            return _decoder.decode(translated or b"")
        except (msgspec.DecodeError, RecursionError):
            self.fault = Fault("malformed", "an event of the stream is not in the provider's shape")
            return None

    def _read_choice(self, choice: _Choice, chunks: list[ChatChunk]) -> None:
        index, said = choice.index, choice.delta
        self._begun.add(index)
        if said is not None:
            logprobs = None if choice.logprobs == NULL else choice.logprobs
            if said.content or logprobs is not None:
                chunks.append(ChatChunk(content=said.content or None, logprobs=logprobs, index=index))
            # Most pieces are text alone: one look at the rest together.
            if (
                said.reasoning_content
                or said.reasoning
                or said.tool_calls
                or said.thinking_blocks
                or said.refusal
                or said.annotations
            ):
                self._read_rest(said, index, chunks)
        if choice.finish_reason:
            self._finishes[index] = read_finish(choice.finish_reason)

    def _read_rest(self, said: Said, index: int, chunks: list[ChatChunk]) -> None:
        if said.thought:
            chunks.append(ChatChunk(reasoning_content=said.thought, index=index))
        for block in said.thinking_blocks or ():
            whole = self._join_thought(block, index)
            if whole is not None:
                chunks.append(ChatChunk(thinking_block=whole, index=index))
        if said.refusal:
            chunks.append(ChatChunk(refusal=said.refusal, index=index))
        chunks.extend(ChatChunk(annotation=note, index=index) for note in read_notes(said.annotations))
        for place, call in enumerate(said.tool_calls or ()):
            self._read_call(call, index, place, chunks)

    def _join_thought(self, block: AnyThinkingBlock, index: int) -> AnyThinkingBlock | None:
        """They come in pieces, and the signature with the last. None: that is still to come."""
        if isinstance(block, RedactedThinkingBlock):
            return block
        text = self._thoughts.pop(index, "") + block.thinking
        if block.signature:
            return ThinkingBlock(text, block.signature)
        self._thoughts[index] = text
        return None

    def _read_call(self, call: Call, index: int, place: int, chunks: list[ChatChunk]) -> None:
        key = (index, place if call.index is None else call.index)
        arguments = read_arguments(call)
        name = call.function.name
        known = self._calls.get(key)
        if key in self._tricked or (self._json_tool and known is None and name == self._json_tool):
            self._tricked.add(key)
            if arguments:
                chunks.append(ChatChunk(content=arguments, index=index))
            return
        if known is not None:
            chunks.append(ChatChunk(tool_call=ToolCallDelta(known, arguments=arguments), index=index))
            return
        number = sum(1 for choice, _ in self._calls if choice == index)
        self._calls[key] = number
        delta = ToolCallDelta(number, call.id or f"call_{number}", name or "", arguments)
        chunks.append(ChatChunk(tool_call=delta, index=index))

    def _end(self) -> list[ChatChunk]:
        """Everything was said: why each choice ended, and the sources of the first."""
        if not self._begun:
            self.fault = Fault("torn", "the stream ended before the answer began")
            return []
        self.done = True
        chunks = [ChatChunk(annotation=note) for note in self._notes]
        called = {index for index, _ in self._calls}
        tricked = {index for index, _ in self._tricked}
        for index in sorted(self._begun):
            reason = self._finishes.get(index, "stop")
            if index in called and reason == "stop":
                reason = "tool_calls"
            elif index in tricked and index not in called and reason == "tool_calls":
                reason = "stop"
            chunks.append(ChatChunk(finish_reason=reason, index=index))
        return chunks
