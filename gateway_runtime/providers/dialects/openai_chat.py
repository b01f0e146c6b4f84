"""OpenAI's chat completions, towards a caller whose provider speaks something else: the hub's answer and
chunks in, OpenAI's JSON out.

Between a caller and a provider that both speak it nothing is written anew: see `stream` and `answer`.
Formats: https://platform.openai.com/docs/api-reference/chat/object and .../chat-streaming. What OpenAI does
not have comes under the names that clients know: `reasoning_content`, `thinking_blocks` (LiteLLM's).
"""

from collections.abc import Sequence
from typing import Final

import msgspec

from gateway_runtime.contract.errors import GatewayError
from gateway_runtime.providers import openai
from gateway_runtime.providers.cause import Cause
from gateway_runtime.providers.chat.answer import Annotation, ChatAnswer, ChatChoice, ChatChunk, ToolCallDelta
from gateway_runtime.providers.chat.request import read_chat
from gateway_runtime.providers.dialect import Asked, Stamp
from gateway_runtime.providers.error import ProviderError, build_openai_error
from gateway_runtime.providers.request_body import RequestBody
from gateway_runtime.providers.usage import Usage

_DONE: Final = b"data: [DONE]\n\n"

_encoder = msgspec.json.Encoder()


class OpenAIChat:
    name = "OpenAI chat completions"

    def read_chat(self, body: RequestBody) -> Asked:
        return Asked(read_chat(body.build(body.model, ask_usage=False)), body.present)

    def build_answer(self, answer: ChatAnswer, asked: Asked, stamp: Stamp) -> bytes:
        built: dict[str, object] = {
            "id": answer.id or f"chatcmpl-{stamp.request_id}",
            "object": "chat.completion",
            "created": stamp.unix_s,
            "model": answer.model or stamp.model,
            "choices": [_build_choice(choice) for choice in answer.choices],
        }
        if answer.usage is not None:
            built["usage"] = build_usage(answer.usage)
        return _encoder.encode(built)

    def open_writer(self, asked: Asked, stamp: Stamp) -> "OpenAIChunkWriter":
        options = asked.chat.stream_options
        return OpenAIChunkWriter(stamp, wants_usage=options is not None and options.include_usage is True)

    def build_error(self, error: GatewayError) -> bytes:
        return openai.build_error(error)

    def build_error_event(self, error: GatewayError) -> bytes:
        return openai.build_error_event(error)

    def build_provider_error(self, error: ProviderError, cause: Cause) -> bytes:
        """cause: its words stand for those that the provider did not give."""
        code = error.code or _CODES.get(cause, "")
        error_type = error.type or _TYPES.get(cause, "")
        return build_openai_error(msgspec.structs.replace(error, code=code, type=error_type))

    def build_last_event(self, body: bytes) -> bytes:
        return openai.build_event(body)


_CODES: Final = {
    Cause.CONTEXT_TOO_LONG: "context_length_exceeded",
    Cause.CONTENT_FILTERED: "content_filter",
    Cause.RATE_LIMITED: "rate_limit_exceeded",
    Cause.QUOTA_SPENT: "insufficient_quota",
    Cause.NOT_FOUND: "model_not_found",
}
"""OpenAI's own words, which programs look for."""
_TYPES: Final = {
    Cause.BAD_REQUEST: "invalid_request_error",
    Cause.CONTEXT_TOO_LONG: "invalid_request_error",
    Cause.CONTENT_FILTERED: "invalid_request_error",
    Cause.REQUEST_TOO_LARGE: "invalid_request_error",
    Cause.CREDENTIAL_REFUSED: "invalid_request_error",
    Cause.NOT_FOUND: "invalid_request_error",
    Cause.RATE_LIMITED: "rate_limit_error",
    Cause.QUOTA_SPENT: "insufficient_quota",
}
"""The same; for all others it is `api_error`."""


class _Delta(msgspec.Struct, omit_defaults=True):
    role: str = ""
    content: str | None = None
    reasoning_content: str | None = None
    refusal: str | None = None
    tool_calls: list[dict[str, object]] | None = None
    thinking_blocks: list[object] | None = None
    annotations: list[object] | None = None
    citations: list[msgspec.Raw] | None = None


class _Choice(msgspec.Struct):
    index: int
    delta: _Delta
    logprobs: msgspec.Raw | None
    finish_reason: str | None


class _Chunk(msgspec.Struct):
    id: str
    created: int
    model: str
    choices: list[_Choice]
    object: str = "chat.completion.chunk"


class OpenAIChunkWriter:
    """See `dialect.ChunkWriter`. 1 µs for a piece of text."""

    __slots__ = ("_begun", "_stamp", "_wants_usage")

    def __init__(self, stamp: Stamp, *, wants_usage: bool) -> None:
        self._stamp = stamp
        self._wants_usage = wants_usage
        self._begun: set[int] = set()
        """Choices that were told their role."""

    def write(self, chunks: Sequence[ChatChunk]) -> bytes:
        written = []
        request_id, unix_s, model = self._stamp
        for chunk in chunks:
            delta = _Delta(
                content=chunk.content, reasoning_content=chunk.reasoning_content, refusal=chunk.refusal
            )
            if chunk.index not in self._begun:
                self._begun.add(chunk.index)
                delta.role = "assistant"
            if chunk.tool_call is not None:
                delta.tool_calls = [_build_tool_call_delta(chunk.tool_call)]
            if chunk.thinking_block is not None:
                delta.thinking_blocks = [chunk.thinking_block]
            if chunk.annotation is not None:
                delta.annotations = [_build_annotation(chunk.annotation)]
            if chunk.citation is not None:
                delta.citations = [_put_in_line(chunk.citation)]
            logprobs = None if chunk.logprobs is None else _put_in_line(chunk.logprobs)
            choice = _Choice(chunk.index, delta, logprobs, chunk.finish_reason)
            written.append(b"data: %b\n\n" % _encoder.encode(_Chunk(request_id, unix_s, model, [choice])))
        return b"".join(written)

    def end(self, usage: Usage | None) -> bytes:
        if not self._wants_usage or usage is None:
            return _DONE
        request_id, unix_s, model = self._stamp
        last = {
            "id": request_id,
            "created": unix_s,
            "model": model,
            "choices": [],
            "object": "chat.completion.chunk",
            "usage": build_usage(usage),
        }
        return b"data: %b\n\n%b" % (_encoder.encode(last), _DONE)


def build_usage(usage: Usage) -> dict[str, object]:
    """OpenAI's shape. `cache_write_tokens` is ours: OpenAI bills no writing."""
    return {
        "prompt_tokens": usage.input_tokens,
        "completion_tokens": usage.output_tokens,
        "total_tokens": usage.input_tokens + usage.output_tokens,
        "prompt_tokens_details": {
            "cached_tokens": usage.cached_tokens,
            "cache_write_tokens": usage.cache_write_tokens,
        },
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
    }


def _build_choice(choice: ChatChoice) -> dict[str, object]:
    said = choice.message
    message: dict[str, object] = {"role": "assistant", "content": said.content, "refusal": said.refusal}
    if said.tool_calls:
        message["tool_calls"] = said.tool_calls
    if said.reasoning_content is not None:
        message["reasoning_content"] = said.reasoning_content
    if said.thinking_blocks:
        message["thinking_blocks"] = said.thinking_blocks
    if said.annotations:
        message["annotations"] = [_build_annotation(annotation) for annotation in said.annotations]
    if said.citations:
        message["citations"] = said.citations
    return {
        "index": choice.index,
        "message": message,
        "logprobs": choice.logprobs,
        "finish_reason": choice.finish_reason,
    }


def _build_tool_call_delta(call: ToolCallDelta) -> dict[str, object]:
    """The official SDKs add the pieces of `arguments` up, and take everything else from the first."""
    built: dict[str, object] = {"index": call.index}
    if call.id is None:
        built["function"] = {"arguments": call.arguments}
        return built
    built["id"] = call.id
    built["type"] = "function"
    built["function"] = {"name": call.name, "arguments": call.arguments}
    if call.extra_content is not None:
        built["extra_content"] = call.extra_content
    return built


def _put_in_line(raw: msgspec.Raw) -> msgspec.Raw:
    """A provider's JSON may span lines, which an event's data must not."""
    data = bytes(raw)
    return (
        raw if b"\n" not in data and b"\r" not in data else msgspec.Raw(msgspec.json.format(data, indent=-1))
    )


def _build_annotation(annotation: Annotation) -> dict[str, object]:
    return {
        "type": "url_citation",
        "url_citation": {
            "url": annotation.url,
            "title": annotation.title,
            "start_index": annotation.start_index,
            "end_index": annotation.end_index,
        },
    }
