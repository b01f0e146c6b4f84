"""A Response: the hub's answer in, the caller's body out. `stream` builds its own from the same pieces.

Format: https://platform.openai.com/docs/api-reference/responses/object. Members that echo the request are
taken from the hub's; `instructions` is null, since there it is one of the messages. `store` is false: nothing
is kept. What OpenAI does not have comes under the names that chat completions have here: `citations` of a
text, `extra_content` of a call.

The subtle rule: the id of an item is the Response's with the item's place. Clients look items up by it, so it
must be the same in each event of a stream.
"""

from collections.abc import Sequence

import msgspec

from gateway_runtime.providers.chat.answer import Annotation, AnswerMessage, ChatAnswer, FinishReason
from gateway_runtime.providers.chat.request import (
    AnyThinkingBlock,
    ChatRequest,
    ExtraContent,
    NamedToolChoice,
    Tool,
    is_there,
)
from gateway_runtime.providers.dialect import Stamp
from gateway_runtime.providers.dialects.responses.thoughts import seal_blocks
from gateway_runtime.providers.usage import Usage

_Json = dict[str, object]


class _Logprobs(msgspec.Struct):
    content: list[msgspec.Raw] | None = None


_logprobs_decoder = msgspec.json.Decoder(_Logprobs)
_encoder = msgspec.json.Encoder()


def build_answer(answer: ChatAnswer, chat: ChatRequest, stamp: Stamp) -> bytes:
    """Of the first choice: nobody can ask for more."""
    choice = answer.choices[0]
    stamp = Stamp(answer.id or stamp.request_id, stamp.unix_s, answer.model or stamp.model)
    output = _build_output(choice.message, read_logprobs(choice.logprobs), stamp)
    ended = build_end(choice.finish_reason)
    if output and "status" in output[-1]:
        output[-1]["status"] = ended["status"]  # what was cut is the last
    return _encoder.encode(
        {**build_response(chat, stamp), **ended, "output": output, "usage": build_usage(answer.usage)}
    )


def build_response(chat: ChatRequest, stamp: Stamp) -> _Json:
    """One that is in progress."""
    return {
        "id": build_id("resp", stamp),
        "object": "response",
        "created_at": stamp.unix_s,
        "status": "in_progress",
        "background": False,
        "error": None,
        "incomplete_details": None,
        "instructions": None,
        "max_output_tokens": chat.output_limit,
        "max_tool_calls": None,
        "model": stamp.model,
        "output": [],
        "parallel_tool_calls": chat.parallel_tool_calls is not False,
        "previous_response_id": None,
        "reasoning": {"effort": chat.reasoning_effort, "summary": None},
        "service_tier": None,
        "store": False,
        "temperature": chat.temperature,
        "text": {"format": _build_format(chat)},
        "tool_choice": _build_tool_choice(chat),
        "tools": [_build_tool(tool) for tool in chat.tools or ()],
        "top_logprobs": chat.top_logprobs or 0,
        "top_p": chat.top_p,
        "truncation": "disabled",
        "usage": None,
        "user": chat.user,
        "metadata": chat.metadata or {},
    }


def build_end(finish_reason: FinishReason | None) -> _Json:
    if finish_reason == "length":
        return {"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}}
    if finish_reason == "content_filter":
        return {"status": "incomplete", "incomplete_details": {"reason": "content_filter"}}
    return {"status": "completed"}


def build_id(kind: str, stamp: Stamp, place: int | None = None) -> str:
    """kind: OpenAI's prefix: `resp`, `msg`, `fc`, `rs`. place: in the output."""
    return f"{kind}_{stamp.request_id}" if place is None else f"{kind}_{stamp.request_id}_{place}"


def build_reasoning(item_id: str, texts: Sequence[str], blocks: Sequence[AnyThinkingBlock]) -> _Json:
    item: _Json = {
        "id": item_id,
        "type": "reasoning",
        "summary": [{"type": "summary_text", "text": text} for text in texts],
    }
    sealed = seal_blocks(blocks)
    if sealed is not None:
        item["encrypted_content"] = sealed
    return item


def build_message(item_id: str, parts: Sequence[object], status: str = "completed") -> _Json:
    return {"id": item_id, "type": "message", "status": status, "role": "assistant", "content": parts}


def build_text(
    text: str,
    annotations: Sequence[Annotation] = (),
    citations: Sequence[msgspec.Raw] = (),
    logprobs: Sequence[msgspec.Raw] = (),
) -> _Json:
    part: _Json = {
        "type": "output_text",
        "text": text,
        "annotations": [build_annotation(annotation) for annotation in annotations],
        "logprobs": logprobs,
    }
    if citations:
        part["citations"] = citations
    return part


def build_refusal(refusal: str) -> _Json:
    return {"type": "refusal", "refusal": refusal}


def build_call(
    item_id: str,
    call_id: str,
    name: str,
    arguments: str,
    extra: ExtraContent | None,
    status: str = "completed",
) -> _Json:
    item: _Json = {
        "id": item_id,
        "type": "function_call",
        "status": status,
        "call_id": call_id,
        "name": name,
        "arguments": arguments,
    }
    if extra is not None:
        item["extra_content"] = extra
    return item


def build_annotation(annotation: Annotation) -> _Json:
    return {
        "type": "url_citation",
        "url": annotation.url,
        "title": annotation.title,
        "start_index": annotation.start_index,
        "end_index": annotation.end_index,
    }


def build_usage(usage: Usage | None) -> _Json | None:
    if usage is None:
        return None
    return {
        "input_tokens": usage.input_tokens,
        "input_tokens_details": {
            "cached_tokens": usage.cached_tokens,
            "cache_write_tokens": usage.cache_write_tokens,
        },
        "output_tokens": usage.output_tokens,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
        "total_tokens": usage.input_tokens + usage.output_tokens,
    }


def read_logprobs(raw: msgspec.Raw | None) -> list[msgspec.Raw]:
    """raw: in the shape of chat completions. Its tokens have the same in both."""
    if raw is None:
        return []
    try:
        return _logprobs_decoder.decode(raw).content or []
    except msgspec.DecodeError:
        return []


def _build_output(said: AnswerMessage, logprobs: list[msgspec.Raw], stamp: Stamp) -> list[_Json]:
    output: list[_Json] = []
    if said.reasoning_content or said.thinking_blocks:
        texts = [said.reasoning_content] if said.reasoning_content else []
        output.append(build_reasoning(build_id("rs", stamp, 0), texts, said.thinking_blocks))
    parts: list[_Json] = []
    if said.content or (said.content is not None and not said.tool_calls and said.refusal is None):
        parts.append(build_text(said.content, said.annotations, said.citations, logprobs))
    if said.refusal is not None:
        parts.append(build_refusal(said.refusal))
    if parts:
        output.append(build_message(build_id("msg", stamp, len(output)), parts))
    for call in said.tool_calls:
        item_id = build_id("fc", stamp, len(output))
        function = call.function
        output.append(build_call(item_id, call.id, function.name, function.arguments, call.extra_content))
    return output


def _build_tool(tool: Tool) -> _Json:
    function = tool.function
    if function is None:
        return {"type": tool.type}
    return {
        "type": "function",
        "name": function.name,
        "description": function.description,
        "parameters": function.parameters if is_there(function.parameters) else None,
        "strict": function.strict,
    }


def _build_tool_choice(chat: ChatRequest) -> object:
    if isinstance(chat.tool_choice, NamedToolChoice):
        return {"type": "function", "name": chat.tool_choice.function.name}
    return chat.tool_choice or "auto"


def _build_format(chat: ChatRequest) -> _Json:
    asked = chat.response_format
    if asked is None or asked.json_schema is None:
        return {"type": "text" if asked is None else asked.type}
    schema = asked.json_schema
    return {
        "type": "json_schema",
        "name": schema.name,
        "description": schema.description,
        "schema": schema.schema if is_there(schema.schema) else {},
        "strict": schema.strict,
    }
