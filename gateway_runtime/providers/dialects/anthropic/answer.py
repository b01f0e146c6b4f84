"""The hub's answer in, a Message of Anthropic's API out.

The blocks come in the order in which models write them: thinking, text, tool calls. Anthropic knows one
choice; further ones, which nobody can ask for, are left out.

The subtle rule: `input` of a tool call is an object, and some models write arguments that are none. An
empty object in their place would have the caller's program run the tool without them; so it gets
`{"INVALID_JSON": "<as written>"}`, the form in which Anthropic's own documentation hands on such arguments:
https://docs.anthropic.com/en/docs/agents-and-tools/tool-use/fine-grained-tool-streaming. No arguments at
all are an empty object.

Format: https://docs.anthropic.com/en/api/messages.
"""

from typing import Final, Literal

import msgspec

from gateway_runtime.providers.chat.answer import (
    Annotation,
    AnswerMessage,
    ChatAnswer,
    ChatChoice,
    FinishReason,
)
from gateway_runtime.providers.chat.request import RedactedThinkingBlock, ToolCall
from gateway_runtime.providers.dialect import Stamp
from gateway_runtime.providers.dialects.anthropic.call_id import sign_id
from gateway_runtime.providers.dialects.anthropic.usage import build_usage

_STOP_REASONS: Final[dict[FinishReason, str]] = {
    "stop": "end_turn",
    "length": "max_tokens",
    "tool_calls": "tool_use",
    "content_filter": "refusal",
}
_NO_ARGUMENTS: Final = frozenset({"", "null"})
_NO_INPUT: Final = msgspec.Raw(b"{}")


class _Citation(msgspec.Struct):
    """One that callers' SDKs know; other providers' have other forms."""

    type: Literal[
        "char_location",
        "page_location",
        "content_block_location",
        "search_result_location",
        "web_search_result_location",
    ]


_encoder = msgspec.json.Encoder()
_citation_decoder = msgspec.json.Decoder(_Citation)
_object_decoder = msgspec.json.Decoder(dict[str, msgspec.Raw])


def build_message(answer: ChatAnswer, stamp: Stamp) -> bytes:
    choice = next((choice for choice in answer.choices if choice.index == 0), _NOTHING_SAID)
    said = choice.message
    built = open_message(answer.id or stamp.request_id, answer.model or stamp.model)
    built["content"] = _build_content(said)
    built |= build_stop(choice.finish_reason, choice.stop_sequence, said.refusal)
    built["usage"] = build_usage(answer.usage)
    return _encoder.encode(built)


def open_message(answer_id: str, model: str) -> dict[str, object]:
    """All that is known before the model has said anything."""
    return {
        "id": answer_id if answer_id.startswith("msg_") else f"msg_{answer_id}",
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": build_usage(None),
    }


def build_stop(
    finish_reason: FinishReason, stop_sequence: str | None, refusal: str | None
) -> dict[str, object]:
    """Why it stopped. refusal: the model's words, which are told as its text, too: programs that do not look
    at `stop_details` show that.
    """
    if refusal or finish_reason == "content_filter":
        details = {"type": "refusal", "category": None, "explanation": refusal or None}
        return {"stop_reason": "refusal", "stop_sequence": None, "stop_details": details}
    if stop_sequence is not None and finish_reason == "stop":
        return {"stop_reason": "stop_sequence", "stop_sequence": stop_sequence}
    return {"stop_reason": _STOP_REASONS[finish_reason], "stop_sequence": None}


def build_citation(annotation: Annotation) -> dict[str, object]:
    """What the page says there, and Anthropic's handle of it, no other provider tells."""
    return {
        "type": "web_search_result_location",
        "url": annotation.url,
        "title": annotation.title or None,
        "cited_text": "",
        "encrypted_index": "",
    }


def is_known_citation(citation: msgspec.Raw) -> bool:
    try:
        _citation_decoder.decode(citation)
    except (msgspec.DecodeError, RecursionError):
        return False
    return True


def _build_content(said: AnswerMessage) -> list[dict[str, object]]:
    content: list[dict[str, object]] = []
    for thought in said.thinking_blocks:
        if isinstance(thought, RedactedThinkingBlock):
            content.append({"type": "redacted_thinking", "data": thought.data})
        else:
            content.append(_build_thinking(thought.thinking, thought.signature or ""))
    if said.reasoning_content and not said.thinking_blocks:
        content.append(_build_thinking(said.reasoning_content, ""))
    text = (said.content or "") + (said.refusal or "")
    if text:
        content.append({"type": "text", "text": text, **_build_citations(said)})
    content += [_build_call(call) for call in said.tool_calls]
    return content


def _build_thinking(thinking: str, signature: str) -> dict[str, object]:
    return {"type": "thinking", "thinking": thinking, "signature": signature}


def _build_citations(said: AnswerMessage) -> dict[str, object]:
    citations: list[object] = [build_citation(annotation) for annotation in said.annotations]
    citations += [citation for citation in said.citations if is_known_citation(citation)]
    return {"citations": citations} if citations else {}


def _build_call(call: ToolCall) -> dict[str, object]:
    return {
        "type": "tool_use",
        "id": sign_id(call.id, call.extra_content),
        "name": call.function.name,
        "input": _build_input(call.function.arguments),
    }


def _build_input(arguments: str) -> object:
    if arguments.strip() in _NO_ARGUMENTS:
        return _NO_INPUT
    if is_object(arguments):
        return msgspec.Raw(arguments.encode())
    return {"INVALID_JSON": arguments}


def is_object(arguments: str) -> bool:
    try:
        _object_decoder.decode(arguments)
    except (msgspec.DecodeError, RecursionError):
        return False
    return True


_NOTHING_SAID: Final = ChatChoice(AnswerMessage(), "stop")
