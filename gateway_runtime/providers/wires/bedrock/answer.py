"""A whole answer of Converse: its body in, the hub's answer or a Fault out.

Format: https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html#API_runtime_Converse_ResponseSyntax
It tells no id and no model.

The subtle rule: `inputTokens` is what was neither read from the cache nor written to it; the prompt is the
sum of the three: https://docs.aws.amazon.com/bedrock/latest/userguide/prompt-caching.html
"""

from typing import Annotated, Final

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
from gateway_runtime.providers.usage import Usage
from gateway_runtime.providers.wires.bedrock.error import read_error

_Count = Annotated[int, msgspec.Meta(ge=0, le=2**53 - 1)]

_FINISHES: Final[dict[str, FinishReason]] = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "tool_use": "tool_calls",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "content_filtered": "content_filter",
    "guardrail_intervened": "content_filter",
}
MALFORMED_OUTPUT: Final = Fault("malformed", "the model wrote what its provider could not read")
"""`malformed_model_output` and `malformed_tool_use`: another attempt may do better."""


class _Counts(msgspec.Struct, rename="camel"):
    input_tokens: _Count
    output_tokens: _Count = 0


class _DetailedCounts(_Counts, rename="camel"):
    cache_read_input_tokens: _Count | None = None
    cache_write_input_tokens: _Count | None = None


class _ToolUse(msgspec.Struct, rename="camel"):
    tool_use_id: str
    name: str
    input: msgspec.Raw = ABSENT
    type: str | None = None
    """`server_tool_use`: of a tool that runs at the provider, and no business of the caller's."""


class _ReasoningText(msgspec.Struct):
    text: str = ""
    signature: str | None = None


class _Reasoning(msgspec.Struct, rename="camel"):
    reasoning_text: _ReasoningText | None = None
    redacted_content: str | None = None


class _CitedText(msgspec.Struct):
    text: str = ""


class _Cited(msgspec.Struct):
    content: tuple[_CitedText, ...] = ()
    citations: tuple[msgspec.Raw, ...] = ()


class _Block(msgspec.Struct, rename="camel"):
    text: str | None = None
    tool_use: _ToolUse | None = None
    reasoning_content: _Reasoning | None = None
    citations_content: _Cited | None = None


class _Message(msgspec.Struct):
    content: tuple[_Block, ...]


class _Output(msgspec.Struct):
    message: _Message


class _Answer(msgspec.Struct, rename="camel"):
    output: _Output
    stop_reason: str = ""
    usage: msgspec.Raw = ABSENT
    additional_model_response_fields: msgspec.Raw = ABSENT


class _Error(msgspec.Struct):
    message: str = ""
    type: str = msgspec.field(default="", name="__type")


class _Web(msgspec.Struct):
    url: str
    domain: str = ""


class _Location(msgspec.Struct):
    web: _Web


class _WebCitation(msgspec.Struct):
    location: _Location
    title: str = ""


class _Stopped(msgspec.Struct):
    stop_sequence: str | None = None


_answer_decoder = msgspec.json.Decoder(_Answer)
_error_decoder = msgspec.json.Decoder(_Error)
_counts_decoder = msgspec.json.Decoder(_Counts)
_detailed_decoder = msgspec.json.Decoder(_DetailedCounts)
_web_decoder = msgspec.json.Decoder(_WebCitation)
_stopped_decoder = msgspec.json.Decoder(_Stopped)


def read_answer(body: bytes) -> ChatAnswer | Fault:
    try:
        answer = _answer_decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return _read_fault(body)
    if is_malformed(answer.stop_reason):
        return MALFORMED_OUTPUT
    message = _build_message(answer.output.message.content)
    choice = ChatChoice(
        message,
        find_finish(answer.stop_reason, called=bool(message.tool_calls)),
        stop_sequence=read_stop(answer.additional_model_response_fields),
    )
    return ChatAnswer((choice,), read_usage(answer.usage))


def is_malformed(stop_reason: str) -> bool:
    return stop_reason.startswith("malformed_")


def find_finish(stop_reason: str, *, called: bool) -> FinishReason:
    """called: the answer has tool calls."""
    finish = _FINISHES.get(stop_reason, "stop")
    if finish == "stop":
        return "tool_calls" if called else finish
    # Tools that run at the provider end with `tool_use`, too.
    return "stop" if finish == "tool_calls" and not called else finish


def read_usage(usage: msgspec.Raw) -> Usage | None:
    """None: there is none that can be read. Details that cannot be read never cost the counts."""
    try:
        counts = _detailed_decoder.decode(usage)
    except (msgspec.DecodeError, RecursionError):
        return _read_counts(usage)
    read = counts.cache_read_input_tokens or 0
    written = counts.cache_write_input_tokens or 0
    return Usage(counts.input_tokens + read + written, counts.output_tokens, read, cache_write_tokens=written)


def _read_counts(usage: msgspec.Raw) -> Usage | None:
    try:
        counts = _counts_decoder.decode(usage)
    except (msgspec.DecodeError, RecursionError):
        return None
    return Usage(counts.input_tokens, counts.output_tokens)


def read_citation(citation: msgspec.Raw) -> Annotation | None:
    """None: its source is no page of the web."""
    try:
        found = _web_decoder.decode(citation)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return Annotation(found.location.web.url, found.title or found.location.web.domain)


def read_stop(fields: msgspec.Raw) -> str | None:
    """fields: `additionalModelResponseFields`."""
    if not is_there(fields):
        return None
    try:
        return _stopped_decoder.decode(fields).stop_sequence
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def _build_message(blocks: tuple[_Block, ...]) -> AnswerMessage:
    texts: list[str] = []
    thoughts: list[str] = []
    thinking: list[AnyThinkingBlock] = []
    calls: list[ToolCall] = []
    annotations: list[Annotation] = []
    citations: list[msgspec.Raw] = []
    for block in blocks:
        if block.text is not None:
            texts.append(block.text)
        elif block.tool_use is not None:
            use = block.tool_use
            if use.type is None:
                arguments = bytes(use.input).decode() if is_there(use.input) else "{}"
                calls.append(ToolCall(use.tool_use_id, FunctionCall(use.name, arguments)))
        elif block.reasoning_content is not None:
            _add_reasoning(block.reasoning_content, thoughts, thinking)
        elif block.citations_content is not None:
            cited = block.citations_content
            start = sum(map(len, texts))
            texts += [piece.text for piece in cited.content]
            for citation in cited.citations:
                page = read_citation(citation)
                if page is None:
                    citations.append(citation)
                else:
                    end = sum(map(len, texts))
                    annotations.append(Annotation(page.url, page.title, start, end))
    return AnswerMessage(
        content="".join(texts) if texts or not calls else None,
        tool_calls=tuple(calls),
        reasoning_content="".join(thoughts) if thoughts else None,
        thinking_blocks=tuple(thinking),
        annotations=tuple(annotations),
        citations=tuple(citations),
    )


def _add_reasoning(reasoning: _Reasoning, thoughts: list[str], thinking: list[AnyThinkingBlock]) -> None:
    """A block without a signature is text alone: it need not come back, see `conversation`."""
    said = reasoning.reasoning_text
    if said is not None:
        if said.text:
            thoughts.append(said.text)
        if said.signature:
            thinking.append(ThinkingBlock(said.text, said.signature))
    elif reasoning.redacted_content is not None:
        thinking.append(RedactedThinkingBlock(reasoning.redacted_content))


def _read_fault(body: bytes) -> Fault:
    try:
        error = _error_decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return Fault("malformed", "its body is not JSON in Converse's shape")
    if error.message or error.type:
        return build_fault(read_error(500, body))
    return Fault("malformed", "it has no message")
