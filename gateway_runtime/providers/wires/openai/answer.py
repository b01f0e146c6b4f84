"""What a model behind OpenAI's API says: a provider's whole answer in, the hub's out.

Format: https://platform.openai.com/docs/api-reference/chat/object. Read beside it are the members that other
servers have: `reasoning_content` (DeepSeek, older vLLM), `reasoning` (OpenRouter, Groq, newer vLLM), content
in pieces, some of which are thoughts (Mistral: https://docs.mistral.ai/capabilities/reasoning), `stop_reason`
(vLLM), `extra_content` (Google).

The subtle rule: only what callers act on is typed strictly: text, calls, the end. What stands beside it is
read on its own, and left out where it cannot be read.
"""

import json
from typing import Final, TypeVar

import msgspec

from gateway_runtime.providers.answer import Facts, Fault, build_fault, is_error, read_facts
from gateway_runtime.providers.chat.answer import (
    Annotation,
    AnswerMessage,
    ChatAnswer,
    ChatChoice,
    FinishReason,
)
from gateway_runtime.providers.chat.request import (
    ABSENT,
    ExtraContent,
    FunctionCall,
    ToolCall,
    is_there,
)
from gateway_runtime.providers.error import ProviderError, read_error
from gateway_runtime.providers.usage import NO_USAGE, read_usage

NO_ERROR: Final = msgspec.Raw(b"null")
_LEAST_LOGPROB: Final = -9999.0
"""OpenAI's own word for what some servers call -Infinity, which is no JSON."""

_FINISH_REASONS: Final[dict[str, FinishReason]] = {
    "stop": "stop",
    "length": "length",
    "tool_calls": "tool_calls",
    "function_call": "tool_calls",
    "content_filter": "content_filter",
    "model_length": "length",  # Mistral: the context is full
    "max_tokens": "length",
}
_FAILURES: Final = {
    "error": ProviderError(code="error"),  # OpenRouter, Mistral
    "abort": ProviderError(code="abort"),  # vLLM: it shuts down
    "insufficient_system_resource": ProviderError(  # DeepSeek
        message="The request was interrupted for lack of resources.",
        code="insufficient_system_resource",
        words=("overloaded_error",),
        status=503,
    ),
}

_Decoded = TypeVar("_Decoded")


class Text(msgspec.Struct, gc=False):
    text: str = ""


class Piece(msgspec.Struct):
    """Of Mistral's content: `text` or `thinking`; a reference to a document has neither."""

    text: str | None = None
    thinking: str | list[Text] | None = None

    @property
    def thought(self) -> str:
        if isinstance(self.thinking, list):
            return "".join(piece.text for piece in self.thinking)
        return self.thinking or ""


class _Function(msgspec.Struct):
    name: str
    arguments: str | dict[str, object] | None = None
    """An object from some servers of little age."""


class _ToolCall(msgspec.Struct):
    function: _Function
    id: str | None = None
    extra_content: msgspec.Raw = ABSENT


class _Message(msgspec.Struct):
    content: str | list[Piece] | None = None
    refusal: str | None = None
    tool_calls: list[_ToolCall] | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    annotations: msgspec.Raw = ABSENT


class _Choice(msgspec.Struct):
    message: _Message
    index: int = 0
    finish_reason: str | None = None
    logprobs: msgspec.Raw = ABSENT
    stop_reason: str | int | None = None
    error: msgspec.Raw = NO_ERROR
    """OpenRouter's, beside the finish reason `error`."""


class _Answer(msgspec.Struct):
    choices: list[_Choice] | None = None
    id: str | None = None
    model: str | None = None
    usage: msgspec.Raw = NO_USAGE
    error: msgspec.Raw = NO_ERROR


class _UrlCitation(msgspec.Struct):
    url: str
    title: str | None = None
    start_index: int | None = None
    end_index: int | None = None


class _Annotation(msgspec.Struct):
    type: str
    url_citation: _UrlCitation | None = None


_answer_decoder = msgspec.json.Decoder(_Answer)
_annotations_decoder = msgspec.json.Decoder(list[_Annotation])
_extra_decoder = msgspec.json.Decoder(ExtraContent)
_encoder = msgspec.json.Encoder()


def read_answer(body: bytes) -> ChatAnswer | Fault:
    """body: of an answer with status 200."""
    answer = decode(body, _answer_decoder, "its body")
    if isinstance(answer, Fault):
        return answer
    if tells_error(answer.error):
        return build_fault(read_error(body))
    if not answer.choices:
        return Fault("malformed", "its answer has no choices")
    choices = []
    for choice in answer.choices:
        failure = read_failure(choice.finish_reason, choice.error)
        if failure is not None:
            return failure
        choices.append(_read_choice(choice))
    return ChatAnswer(tuple(choices), read_usage(answer.usage), answer.id or "", answer.model or "")


def decode(data: bytes, decoder: msgspec.json.Decoder[_Decoded], what: str) -> _Decoded | Fault:
    """what: of the answer, for people. An error whose other members do not fit is told as the error."""
    try:
        if not data.isascii():
            data.decode()  # the decoder lets other encodings through in what it skips
        return decoder.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        found = read_facts(data)
        if found is None:
            return Fault("malformed", f"{what} is not a JSON object")
        if is_error(found):
            return build_fault(read_error(data))
        problem: Exception = error
        if not isinstance(error, msgspec.ValidationError):
            try:
                return decoder.decode(_mend(data))
            except (ValueError, RecursionError) as second:  # msgspec's and json's errors are ValueErrors
                problem = second
        return Fault("malformed", f"{what} does not have OpenAI's shape: {problem}")


def tells_error(error: msgspec.Raw) -> bool:
    return error != NO_ERROR and is_error(Facts(error=error))


def read_failure(finish_reason: str | None, error: msgspec.Raw) -> Fault | None:
    """Of a choice that ended because the provider failed. error: the choice's own."""
    failed = _FAILURES.get(finish_reason or "")
    if failed is None:
        return None
    return build_fault(read_error(error) if tells_error(error) else failed)


def read_finish_reason(finish_reason: str | None, *, has_calls: bool) -> FinishReason:
    """A word that nobody knows is the name of a stop token: `eos`, `</s>`."""
    found = _FINISH_REASONS.get(finish_reason or "", "stop")
    return "tool_calls" if found == "stop" and has_calls else found


def read_annotations(raw: msgspec.Raw) -> tuple[Annotation, ...]:
    if not is_there(raw):
        return ()
    try:
        found = _annotations_decoder.decode(raw)
    except (msgspec.DecodeError, RecursionError):
        return ()
    return tuple(
        Annotation(cited.url, cited.title or "", cited.start_index or 0, cited.end_index or 0)
        for annotation in found
        if (cited := annotation.url_citation) is not None
    )


def read_extra(raw: msgspec.Raw) -> ExtraContent | None:
    if not is_there(raw):
        return None
    try:
        return _extra_decoder.decode(raw)
    except (msgspec.DecodeError, RecursionError):
        return None


def read_arguments(arguments: str | dict[str, object] | None) -> str:
    return _encoder.encode(arguments).decode() if isinstance(arguments, dict) else arguments or ""


def _read_choice(choice: _Choice) -> ChatChoice:
    said = choice.message
    content, reasoning = said.content, said.reasoning_content or said.reasoning or None
    if isinstance(content, list):
        reasoning = "".join(piece.thought for piece in content) or reasoning
        content = "".join(piece.text or "" for piece in content) or None
    calls = tuple(
        ToolCall(
            call.id or f"call_{place}",
            FunctionCall(call.function.name, read_arguments(call.function.arguments)),
            read_extra(call.extra_content),
        )
        for place, call in enumerate(said.tool_calls or ())
    )
    return ChatChoice(
        AnswerMessage(
            # Some servers write "" beside a call.
            content=content if content or not calls else None,
            refusal=said.refusal,
            tool_calls=calls,
            reasoning_content=reasoning,
            annotations=read_annotations(said.annotations),
        ),
        read_finish_reason(choice.finish_reason, has_calls=bool(calls)),
        choice.index,
        choice.logprobs if is_there(choice.logprobs) else None,
        choice.stop_reason if isinstance(choice.stop_reason, str) else None,
    )


def _mend(data: bytes) -> bytes:
    """JSON as Python reads it, written anew: without infinities, and halves of a character replaced."""
    text = json.dumps(json.loads(data.decode(), parse_constant=_name_number), ensure_ascii=False)
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace").encode()


def _name_number(name: str) -> float | None:
    return {"-Infinity": _LEAST_LOGPROB, "Infinity": -_LEAST_LOGPROB}.get(name)
