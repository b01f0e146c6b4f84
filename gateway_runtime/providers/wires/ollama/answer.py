"""Ollama's whole answer: the body of `POST /chat` with status 200 in, a ChatAnswer or a Fault out. A line of
a stream has the same shape; what both share, `stream` takes from here.

Format: https://github.com/ollama/ollama/blob/main/docs/api.md#generate-a-chat-completion, and ChatResponse
in https://github.com/ollama/ollama/blob/main/api/types.go.

The subtle rule: a count of 0 is left out. Older servers count of the prompt only what was not in their cache,
so the count may be missing where the prompt was seen before; it is 0 then, as Ollama means it, and not
guessed. Newer ones count all of it.
"""

from typing import Annotated

import msgspec

from gateway_runtime.providers.answer import Fault, build_fault
from gateway_runtime.providers.chat.answer import AnswerMessage, ChatAnswer, ChatChoice, FinishReason
from gateway_runtime.providers.chat.request import ABSENT, FunctionCall, ToolCall, is_there
from gateway_runtime.providers.usage import Usage
from gateway_runtime.providers.wires.ollama.error import read_error

_Count = Annotated[int, msgspec.Meta(ge=0, le=2**53 - 1)]


class _Function(msgspec.Struct):
    name: str
    arguments: msgspec.Raw = ABSENT


class CallBody(msgspec.Struct):
    function: _Function
    id: str | None = None


class _Message(msgspec.Struct, frozen=True, gc=False):
    content: str | None = None
    thinking: str | None = None
    tool_calls: list[CallBody] | None = None


class _TopLogprob(msgspec.Struct):
    token: str
    logprob: float
    bytes: list[int] | None = None


class Logprob(msgspec.Struct):
    """OpenAI's shape, too, but for members that are left out when they are empty."""

    token: str
    logprob: float
    bytes: list[int] | None = None
    top_logprobs: list[_TopLogprob] = []


class _Logprobs(msgspec.Struct):
    content: list[Logprob]
    refusal: None = None


class AnswerBody(msgspec.Struct, gc=False):
    message: _Message = _Message()
    model: str = ""
    done: bool = False
    done_reason: str | None = None
    prompt_eval_count: _Count | None = None
    eval_count: _Count | None = None
    logprobs: list[Logprob] | None = None
    error: msgspec.Raw = ABSENT


answer_decoder = msgspec.json.Decoder(AnswerBody)
_encoder = msgspec.json.Encoder()


def read_chat(body: bytes) -> ChatAnswer | Fault:
    try:
        if not body.isascii():
            body.decode()  # the decoder lets other encodings through in what it skips
        answer = answer_decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return Fault("malformed", "its body is not an answer in Ollama's shape")
    if is_there(answer.error):
        return build_fault(read_error(body))
    if not answer.done:
        return Fault("torn", "its body is not the end of an answer")
    said = answer.message
    calls = tuple(
        ToolCall(call.id or f"call_{place}", FunctionCall(call.function.name, read_arguments(call)))
        for place, call in enumerate(said.tool_calls or ())
    )
    message = AnswerMessage(
        content=None if calls and not said.content else said.content or "",
        tool_calls=calls,
        reasoning_content=said.thinking or None,
    )
    choice = ChatChoice(
        message,
        find_finish_reason(answer.done_reason, calls=bool(calls)),
        logprobs=build_logprobs(answer.logprobs) if answer.logprobs else None,
    )
    return ChatAnswer((choice,), read_usage(answer), model=answer.model)


def find_finish_reason(said: str | None, *, calls: bool) -> FinishReason:
    """Besides `stop` and `length` there are `load` and `unload`, of requests without messages, and none at
    all from older servers.
    """
    if said == "length":
        return "length"
    return "tool_calls" if calls else "stop"


def read_arguments(call: CallBody) -> str:
    arguments = call.function.arguments
    return bytes(arguments).decode() if is_there(arguments) else "{}"


def read_usage(answer: AnswerBody) -> Usage | None:
    if answer.prompt_eval_count is None and answer.eval_count is None:
        return None
    return Usage(answer.prompt_eval_count or 0, answer.eval_count or 0)


def build_logprobs(found: list[Logprob]) -> msgspec.Raw:
    return msgspec.Raw(_encoder.encode(_Logprobs(found)))
