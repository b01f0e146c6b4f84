"""A whole answer: the body of a 200 in, the hub's answer out.

    text                    content; its sources are annotations (web) or citations
    thinking, redacted      reasoning_content, and thinking_blocks with what has to come back
    tool_use                tool_calls
    anything else           server tools at work: no part of what was said

https://platform.claude.com/docs/en/api/messages/create,
https://platform.claude.com/docs/en/build-with-claude/handling-stop-reasons, .../citations.

The subtle rule: `content` is one string here and several blocks there. A source belongs to its whole block,
so the block's place in the string is what the annotation tells.
"""

from typing import Final, Literal

import msgspec

from gateway_runtime.providers.answer import Fault, build_fault
from gateway_runtime.providers.chat.answer import (
    Annotation,
    AnswerMessage,
    ChatAnswer,
    ChatChoice,
    FinishReason,
)
from gateway_runtime.providers.chat.request import (
    ABSENT,
    AnyThinkingBlock,
    FunctionCall,
    RedactedThinkingBlock,
    ThinkingBlock,
    ToolCall,
    is_there,
)
from gateway_runtime.providers.wires.anthropic.refusal import read_error
from gateway_runtime.providers.wires.anthropic.usage import build_usage, read_counts

_FINISHES: Final[dict[str | None, FinishReason]] = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "pause_turn": "stop",  # server tools alone pause, and nobody can ask for them here
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "refusal": "content_filter",
}


class Block(msgspec.Struct, gc=False):
    """Of any type."""

    type: str
    text: str | None = None
    citations: list[msgspec.Raw] | None = None
    thinking: str | None = None
    signature: str | None = None
    data: str = ""
    id: str = ""
    name: str = ""
    input: msgspec.Raw = ABSENT


class _Answer(msgspec.Struct):
    content: list[Block]
    id: str = ""
    model: str = ""
    stop_reason: str | None = None
    stop_sequence: str | None = None
    stop_details: msgspec.Raw = ABSENT
    usage: msgspec.Raw = ABSENT


class _Failed(msgspec.Struct):
    error: msgspec.Raw


class _WebSource(msgspec.Struct):
    type: Literal["web_search_result_location"]
    url: str
    title: str | None = None


class _StopDetails(msgspec.Struct):
    explanation: str | None = None


_decoder = msgspec.json.Decoder(_Answer)
_failed_decoder = msgspec.json.Decoder(_Failed)
_web_source_decoder = msgspec.json.Decoder(_WebSource)
_details_decoder = msgspec.json.Decoder(_StopDetails)


def read_chat(body: bytes) -> ChatAnswer | Fault:
    """See `Wire.read_chat`."""
    try:
        if not body.isascii():
            body.decode()  # the decoder lets other encodings through in what stays JSON
        answer = _decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return _read_failure(body)
    message = _read_message(answer)
    choice = ChatChoice(
        message,
        read_finish(answer.stop_reason, has_calls=bool(message.tool_calls)),
        stop_sequence=answer.stop_sequence,
    )
    return ChatAnswer((choice,), build_usage(read_counts(answer.usage)), answer.id, answer.model)


def read_finish(stop_reason: str | None, *, has_calls: bool) -> FinishReason:
    finish = _FINISHES.get(stop_reason, "stop")
    return "tool_calls" if has_calls and finish == "stop" else finish


def read_refusal(stop_reason: str | None, details: msgspec.Raw) -> str | None:
    """Why the model declined, in the provider's words, where it tells."""
    if stop_reason != "refusal":
        return None
    try:
        return _details_decoder.decode(details).explanation
    except (msgspec.DecodeError, RecursionError):
        return None


def read_call(block: Block, index: int) -> ToolCall:
    """index: of the call among the answer's calls."""
    arguments = bytes(block.input).decode() if is_there(block.input) else "{}"
    return ToolCall(block.id or f"call_{index}", FunctionCall(block.name, arguments))


def read_source(citation: msgspec.Raw, start: int, end: int) -> Annotation | msgspec.Raw:
    """start, end: of the block's text, in characters of the content."""
    try:
        found = _web_source_decoder.decode(citation)
    except (msgspec.DecodeError, RecursionError):
        return citation
    return Annotation(found.url, found.title or "", start, end)


def build_thinking(block: Block) -> AnyThinkingBlock:
    if block.type == "redacted_thinking":
        return RedactedThinkingBlock(block.data)
    return ThinkingBlock(block.thinking or "", block.signature or None)


def _read_message(answer: _Answer) -> AnswerMessage:
    content = ""
    has_text = False
    reasoning = ""
    calls: list[ToolCall] = []
    thoughts: list[AnyThinkingBlock] = []
    sources: list[Annotation | msgspec.Raw] = []
    for block in answer.content:
        if block.type == "text":
            has_text = True
            start = len(content)
            content += block.text or ""
            if block.citations:
                sources += [read_source(raw, start, len(content)) for raw in block.citations]
        elif block.type == "tool_use":
            calls.append(read_call(block, len(calls)))
        elif block.type in ("thinking", "redacted_thinking"):
            reasoning += block.thinking or ""
            thoughts.append(build_thinking(block))
    return AnswerMessage(
        content=content if has_text else None,
        refusal=read_refusal(answer.stop_reason, answer.stop_details),
        tool_calls=tuple(calls),
        reasoning_content=reasoning or None,
        thinking_blocks=tuple(thoughts),
        annotations=tuple([one for one in sources if isinstance(one, Annotation)]),
        citations=tuple([one for one in sources if isinstance(one, msgspec.Raw)]),
    )


def _read_failure(body: bytes) -> Fault:
    try:
        is_error = is_there(_failed_decoder.decode(body).error)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        is_error = False
    if is_error:
        return build_fault(read_error(body))
    return Fault("malformed", "its body is not a message")
