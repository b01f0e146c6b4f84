"""A streamed answer: the server-sent events of streamGenerateContent in, ChatChunks out.

Each event is a whole GenerateContentResponse with what is new; the usage in it is that of the answer so far.
There is no last event: https://ai.google.dev/api/generate-content#method:-models.streamgeneratecontent.

    every candidate that began has said why it finished, and the body ended  -> done
    the body ended before                                                    -> torn

The subtle rule: a reason to finish is passed on when the body has ended. More may come behind the first one,
such as sources and the usage, and whether the answer has tool calls is certain only then.
"""

from typing import Final

from gateway_runtime.providers.answer import Fault, build_fault
from gateway_runtime.providers.chat.answer import ChatChunk, FinishReason
from gateway_runtime.providers.chat.request import ABSENT, is_there
from gateway_runtime.providers.sse import Framer, OversizedEvent
from gateway_runtime.providers.usage import Usage
from gateway_runtime.providers.wires.google.error import read_error
from gateway_runtime.providers.wires.google.pieces import MALFORMED, read_block, read_finish, read_pieces
from gateway_runtime.providers.wires.google.shapes import Candidate, Response, decode_response, read_usage
from gateway_runtime.providers.wires.google.sources import read_sources

_TORN: Final = Fault("torn", "it ended before the answer was whole")

_LARGEST_EVENT_BYTES: Final = 32 * 1024 * 1024
"""Google sends an image whole, in one event. A guess, from 4K images in base64."""


class GoogleStream:
    """See `wire.ChatStream`."""

    __slots__ = (
        "_begun",
        "_calls",
        "_ends",
        "_framer",
        "_spoke",
        "done",
        "fault",
        "id",
        "model",
        "usage",
    )

    def __init__(self) -> None:
        self._framer = Framer(_LARGEST_EVENT_BYTES)
        self._begun: set[int] = set()
        """Candidates, as all that follow."""
        self._spoke: set[int] = set()
        self._calls: dict[int, int] = {}
        self._ends: dict[int, FinishReason] = {}
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
        if burst is None:
            self._take_blocks(data, chunks)
        else:
            for event in burst:
                if not self._take(event, chunks):
                    break
        return chunks

    def finish(self) -> list[ChatChunk]:
        if self.done or self.fault is not None:
            return []
        if not self._begun:
            # An error that comes as plain JSON, as a proxy in between may send it.
            error = read_error(self._framer.peek())
            self.fault = build_fault(error) if error.message else _TORN
            return []
        if self._begun - self._ends.keys():
            self.fault = _TORN
            return []
        self.done = True
        return [self._build_end(index) for index in sorted(self._ends)]

    def _build_end(self, index: int) -> ChatChunk:
        finish = self._ends[index]
        if finish == "stop" and index in self._calls:
            finish = "tool_calls"
        return ChatChunk(finish_reason=finish, index=index)

    def _take_blocks(self, data: bytes, chunks: list[ChatChunk]) -> None:
        try:
            for block in self._framer.cut(data):
                if block.event is not None and not self._take(block.event.data, chunks):
                    return
        except OversizedEvent:
            self.fault = Fault("malformed", "an event of the stream is larger than is kept")

    def _take(self, event: bytes, chunks: list[ChatChunk]) -> bool:
        """Whether more is to be read."""
        try:
            response = decode_response(event)
            if response.error is not ABSENT and is_there(response.error):
                self.fault = build_fault(read_error(event))
                return False
            if not self.id:
                self.id = response.response_id
            if not self.model:
                self.model = response.model_version
            if response.usage_metadata is not ABSENT:
                self.usage = read_usage(response.usage_metadata) or self.usage
            for candidate in response.candidates:
                self._take_candidate(candidate, chunks)
        except MALFORMED:
            self.fault = Fault("malformed", "an event of the stream is not a response of generateContent")
        else:
            if not self._begun:
                self._take_feedback(response, chunks)
        return self.fault is None

    def _take_candidate(self, candidate: Candidate, chunks: list[ChatChunk]) -> None:
        index = candidate.index
        self._begun.add(index)
        for piece in read_pieces(candidate, self._calls.get(index, 0)):
            if piece.tool_call is not None:
                self._calls[index] = piece.tool_call.index + 1
            elif piece.content is not None:
                self._spoke.add(index)
            chunks.append(piece)
        if candidate.grounding_metadata is not ABSENT or candidate.citation_metadata is not ABSENT:
            chunks += read_sources(candidate, None)
        finish = read_finish(candidate)
        if finish is None:
            return
        if isinstance(finish, Fault):
            self.fault = finish
            return
        self._ends[index] = finish
        if finish == "content_filter" and candidate.finish_message and index not in self._spoke:
            chunks.append(ChatChunk(refusal=candidate.finish_message, index=index))

    def _take_feedback(self, response: Response, chunks: list[ChatChunk]) -> None:
        refusal = read_block(response.prompt_feedback)
        if refusal is not None:
            self._begun.add(0)
            self._ends[0] = "content_filter"
            chunks.append(ChatChunk(refusal=refusal))
