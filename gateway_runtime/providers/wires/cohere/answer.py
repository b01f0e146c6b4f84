"""Cohere's whole answer: the body of `POST /chat` with status 200 in, a ChatAnswer or a Fault out. What both
kinds of answer share, `stream` takes from here.

Format: https://docs.cohere.com/reference/chat#response. A `tool_plan` is what the model thinks before it
calls tools, and no part of what it answers: it becomes `reasoning_content`, as thinking blocks do.

The subtle rule: usage has two counts. `tokens` is what the model read and wrote, `billed_units` leaves out
what Cohere adds to the prompt and what it gives for nothing; limits and prices are set by the first here, and
the second stands in only where the first is missing.
"""

from typing import Annotated, Final

import msgspec

from gateway_runtime.providers.answer import Fault, build_fault
from gateway_runtime.providers.chat.answer import AnswerMessage, ChatAnswer, ChatChoice, FinishReason
from gateway_runtime.providers.chat.request import ABSENT, ChatRequest, FunctionCall, ToolCall
from gateway_runtime.providers.error import ProviderError, read_error
from gateway_runtime.providers.usage import Usage
from gateway_runtime.providers.wires.cohere.error import add_word

_FINISH_REASONS: Final[dict[str, FinishReason]] = {
    "MAX_TOKENS": "length",
    "TOOL_CALL": "tool_calls",
    "ERROR_TOXIC": "content_filter",  # version 1's, which Cohere's other endpoints still list
}
_FAILURES: Final = {"ERROR": 500, "TIMEOUT": 504}
"""Finish reasons of an answer that is none, and the status that an error without one of its own has."""


_Count = Annotated[float, msgspec.Meta(ge=0, le=2**53 - 1)]  # Cohere writes 71.0, too


class _Tokens(msgspec.Struct):
    input_tokens: _Count | None = None
    output_tokens: _Count | None = None


class _Usage(msgspec.Struct):
    tokens: _Tokens | None = None
    billed_units: _Tokens | None = None
    cached_tokens: _Count | None = None


_NO_TOKENS: Final = _Tokens()


class LogprobItem(msgspec.Struct):
    """Of a piece of text, which may be several tokens."""

    text: str | None = None
    logprobs: list[float] = []


class _Function(msgspec.Struct):
    name: str
    arguments: str | None = None


class ToolCallBody(msgspec.Struct):
    function: _Function
    id: str = ""


class _Block(msgspec.Struct):
    text: str | None = None
    thinking: str | None = None


class _Message(msgspec.Struct):
    content: list[_Block] | None = None
    tool_plan: str | None = None
    tool_calls: list[ToolCallBody] | None = None
    citations: list[msgspec.Raw] | None = None


class _Answer(msgspec.Struct):
    message: _Message
    finish_reason: str
    id: str = ""
    usage: msgspec.Raw = ABSENT
    logprobs: list[LogprobItem] | None = None


class _Refusal(msgspec.Struct):
    """The body of an error, where an answer should stand."""

    message: str


class _TokenLogprob(msgspec.Struct):
    token: str
    logprob: float
    bytes: list[int]
    top_logprobs: tuple[()] = ()


class _Logprobs(msgspec.Struct):
    content: list[_TokenLogprob]
    refusal: None = None


_decoder = msgspec.json.Decoder(_Answer)
_refusal_decoder = msgspec.json.Decoder(_Refusal)
_usage_decoder = msgspec.json.Decoder(_Usage | None)
_encoder = msgspec.json.Encoder()


def read_chat(body: bytes, chat: ChatRequest) -> ChatAnswer | Fault:
    try:
        if not body.isascii():
            body.decode()  # the decoder lets other encodings through in what it skips
        answer = _decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return read_refusal(body) or Fault("malformed", "its body is not an answer in Cohere's shape")
    failure = find_failure(answer.finish_reason, "")
    if failure is not None:
        return failure
    said = answer.message
    blocks = said.content or []
    texts = [block.text for block in blocks if block.text is not None]
    thoughts = "".join(block.thinking for block in blocks if block.thinking is not None)
    thoughts += said.tool_plan or ""
    calls = tuple(
        ToolCall(
            call.id or f"call_{place}", FunctionCall(call.function.name, call.function.arguments or "{}")
        )
        for place, call in enumerate(said.tool_calls or ())
    )
    message = AnswerMessage(
        content=None if calls and not texts else "".join(texts),
        tool_calls=calls,
        reasoning_content=thoughts or None,
        citations=tuple(said.citations or ()),
    )
    choice = ChatChoice(
        message,
        find_finish_reason(answer.finish_reason, calls=bool(calls)),
        logprobs=build_logprobs(answer.logprobs) if answer.logprobs else None,
        stop_sequence=find_stop_sequence(answer.finish_reason, chat),
    )
    return ChatAnswer((choice,), read_usage(answer.usage), answer.id)


def find_finish_reason(said: str, *, calls: bool) -> FinishReason:
    """A reason that nobody has heard of is an end like others."""
    reason = _FINISH_REASONS.get(said, "stop")
    if reason == "stop" and calls:
        return "tool_calls"
    return reason if calls or reason != "tool_calls" else "stop"


def find_failure(said: str, message: str) -> Fault | None:
    """message: Cohere's words, if there are any."""
    status = _FAILURES.get(said)
    if status is None and not message:
        return None
    error = ProviderError(message, status=status or 500)
    worded = add_word(error.status or 500, error)
    # The words say more than the status, which is ours.
    return build_fault(msgspec.structs.replace(worded, status=None) if worded.words else worded)


def read_refusal(data: bytes) -> Fault | None:
    """data: of an answer or event that does not fit."""
    try:
        _refusal_decoder.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    error = read_error(data)
    return build_fault(add_word(error.status or 500, error))


def find_stop_sequence(said: str, chat: ChatRequest) -> str | None:
    """Cohere does not tell which it was; with one there is no doubt."""
    stops = chat.stops
    return stops[0] if said == "STOP_SEQUENCE" and len(stops) == 1 else None


def read_usage(usage: msgspec.Raw) -> Usage | None:
    """usage: the JSON value of the member, if it is there. None when it tells no count of the prompt."""
    try:
        found = _usage_decoder.decode(usage)
    except (msgspec.DecodeError, RecursionError):
        return None
    if found is None:
        return None
    tokens, billed = found.tokens or _NO_TOKENS, found.billed_units or _NO_TOKENS
    read = billed.input_tokens if tokens.input_tokens is None else tokens.input_tokens
    written = billed.output_tokens if tokens.output_tokens is None else tokens.output_tokens
    if read is None:
        return None
    return Usage(int(read), int(written or 0), min(int(found.cached_tokens or 0), int(read)))


def build_logprobs(items: list[LogprobItem]) -> msgspec.Raw:
    """OpenAI's shape. The probability of a text is the product of its tokens'."""
    content = []
    for item in items:
        text = item.text or ""
        content.append(_TokenLogprob(text, sum(item.logprobs), list(text.encode())))
    return msgspec.Raw(_encoder.encode(_Logprobs(content)))
