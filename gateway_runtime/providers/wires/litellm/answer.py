"""A provider's answer in OpenAI's shape: its body in, the hub's answer out.

https://platform.openai.com/docs/api-reference/chat/object, as the long tail writes it: `reasoning` beside
`reasoning_content`, arguments of a tool call as an object, Perplexity's `citations` and `search_results` at
the top level (https://docs.perplexity.ai/api-reference/chat-completions-post).

The one subtle rule: what is in this shape is read here, and not by litellm, which would give the same for
thirty times the work and drops members that it does not know. Only what is in another shape goes to
`foreign`.
"""

from typing import Final

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
    AnyThinkingBlock,
    FunctionCall,
    RedactedThinkingBlock,
    ToolCall,
)
from gateway_runtime.providers.error import read_error
from gateway_runtime.providers.usage import Usage, read_usage

NULL: Final = msgspec.Raw(b"null")
_EMPTY: Final = frozenset({b"null", b"[]", b"{}", b"false", b'""'})

FINISHES: Final[dict[str, FinishReason]] = {
    "stop": "stop",
    "eos": "stop",
    "eos_token": "stop",
    "stop_sequence": "stop",
    "length": "length",
    "max_tokens": "length",
    "model_length": "length",
    "tool_calls": "tool_calls",
    "function_call": "tool_calls",
    "tool_use": "tool_calls",
    "content_filter": "content_filter",
}
"""Others than OpenAI's are Together's, Mistral's and TGI's."""


class Call(msgspec.Struct):
    class Function(msgspec.Struct):
        name: str | None = None
        arguments: msgspec.Raw = NULL

    function: Function
    id: str | None = None
    index: int | None = None


class UrlCitation(msgspec.Struct):
    url: str
    title: str | None = None
    start_index: int | None = None
    end_index: int | None = None


class Note(msgspec.Struct):
    """Of `annotations`; other types than this one have other members."""

    url_citation: UrlCitation | None = None


class Said(msgspec.Struct):
    """A message, or a piece of one."""

    content: str | None = None
    refusal: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    tool_calls: list[Call] | None = None
    thinking_blocks: list[AnyThinkingBlock] | None = None
    annotations: list[Note] | None = None

    @property
    def thought(self) -> str | None:
        return self.reasoning_content or self.reasoning or None


class _Choice(msgspec.Struct):
    message: Said
    finish_reason: str | None = None
    index: int = 0
    logprobs: msgspec.Raw = NULL


class SearchResult(msgspec.Struct):
    url: str
    title: str | None = None


class Sources(msgspec.Struct):
    """Perplexity's."""

    citations: list[str] | None = None
    search_results: list[SearchResult] | None = None


class _Answer(Sources):
    id: str | None = None
    model: str | None = None
    choices: list[_Choice] | None = None
    usage: msgspec.Raw = NULL
    error: msgspec.Raw = NULL


_decoder = msgspec.json.Decoder(_Answer)
_text_decoder = msgspec.json.Decoder(str)


def read_answer(body: bytes, json_tool: str, provider: str) -> ChatAnswer | Fault | None:
    """json_tool: whose call stands for text, or nothing. None: it is not in OpenAI's shape."""
    try:
        answer = _decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    if bytes(answer.error) not in _EMPTY:
        return build_fault(read_error(body))
    if not answer.choices:
        return None
    notes = read_sources(answer)
    return ChatAnswer(
        choices=tuple(_read_choice(choice, json_tool, notes) for choice in answer.choices),
        usage=read_tokens(answer.usage),
        id=answer.id or "",
        model=(answer.model or "").removeprefix(f"{provider}/"),
    )


def _read_choice(choice: _Choice, json_tool: str, notes: tuple[Annotation, ...]) -> ChatChoice:
    said = choice.message
    content, calls = said.content, said.tool_calls or []
    finish = read_finish(choice.finish_reason or "stop")
    if json_tool and any(call.function.name == json_tool for call in calls):
        content = "".join(read_arguments(call) for call in calls if call.function.name == json_tool)
        calls = [call for call in calls if call.function.name != json_tool]
        finish = "stop" if finish == "tool_calls" else finish
    if calls and finish == "stop":
        finish = "tool_calls"
    # Without a signature a block says nothing that `reasoning_content` does not.
    blocks = tuple(
        block
        for block in said.thinking_blocks or ()
        if isinstance(block, RedactedThinkingBlock) or block.signature
    )
    return ChatChoice(
        AnswerMessage(
            content=content or None if calls else content,
            refusal=said.refusal,
            tool_calls=tuple(_read_call(call, place) for place, call in enumerate(calls)),
            reasoning_content=said.thought,
            thinking_blocks=blocks,
            annotations=read_notes(said.annotations) or notes,
        ),
        finish,
        choice.index,
        None if choice.logprobs == NULL else choice.logprobs,
    )


def _read_call(call: Call, place: int) -> ToolCall:
    name = call.function.name or ""
    return ToolCall(call.id or f"call_{place}", FunctionCall(name, read_arguments(call) or "{}"))


def read_arguments(call: Call) -> str:
    """JSON, or a piece of it. Some write the object itself."""
    raw = bytes(call.function.arguments)
    if raw[:1] == b'"':
        return _text_decoder.decode(raw)
    return "" if raw == b"null" else raw.decode()


def read_finish(word: str) -> FinishReason:
    return FINISHES.get(word.lower(), "stop")


def read_sources(found: Sources) -> tuple[Annotation, ...]:
    """With the titles that `search_results` has."""
    titles = {result.url: result.title or "" for result in found.search_results or ()}
    urls = found.citations or list(titles)
    return tuple(Annotation(url, titles.get(url, "")) for url in urls)


def read_notes(notes: list[Note] | None) -> tuple[Annotation, ...]:
    return tuple(
        Annotation(cited.url, cited.title or "", cited.start_index or 0, cited.end_index or 0)
        for cited in (note.url_citation for note in notes or ())
        if cited is not None
    )


class _Details(msgspec.Struct):
    cache_creation_tokens: int | None = None
    cache_write_tokens: int | None = None


class _Written(msgspec.Struct):
    prompt_tokens_details: _Details | None = None


_written_decoder = msgspec.json.Decoder(_Written)


def read_tokens(raw: msgspec.Raw) -> Usage | None:
    """With what was written into the cache: under OpenRouter's name for it, or litellm's."""
    usage = read_usage(raw)
    if usage is None or b"cache_" not in bytes(raw):
        return usage
    try:
        details = _written_decoder.decode(raw).prompt_tokens_details
    except (msgspec.DecodeError, RecursionError):
        return usage
    written = 0 if details is None else details.cache_write_tokens or details.cache_creation_tokens or 0
    most = usage.input_tokens - usage.cached_tokens
    return msgspec.structs.replace(usage, cache_write_tokens=max(0, min(written, most)))
