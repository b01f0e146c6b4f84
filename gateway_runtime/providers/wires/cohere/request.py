"""A chat for Cohere: the hub's request in, the body of `POST /chat` out. `messages` builds the messages.

Format: https://docs.cohere.com/reference/chat. What differs from OpenAI's in more than a name:

    tool_choice      REQUIRED, NONE or nothing: a function cannot be named
    strict           for all the tools or for none: `strict_tools`
    json_schema      the bare schema, beside the type `json_object`
    thinking         on unless it is turned off; how much is a budget of tokens, not an effort

The subtle rule: a value that says nothing is not sent. Cohere refuses some of its members in company, such
as the two penalties (https://docs.cohere.com/reference/errors), and callers' frameworks write zeros.
"""

from collections.abc import Set as AbstractSet
from typing import Final

import msgspec

from gateway_runtime.providers.chat.losses import Losses
from gateway_runtime.providers.chat.request import (
    ChatRequest,
    NamedToolChoice,
    ResponseFormat,
    Tool,
    is_there,
)
from gateway_runtime.providers.wire import Outgoing, Target
from gateway_runtime.providers.wires.cohere.messages import build_messages

_TAKES: Final = frozenset(
    {
        "frequency_penalty",
        "logit_bias",
        "logprobs",
        "n",
        "parallel_tool_calls",
        "presence_penalty",
        "reasoning_effort",
        "response_format",
        "seed",
        "stop",
        "temperature",
        "thinking",
        "tool_choice",
        "tools",
        "top_k",
        "top_logprobs",
        "top_p",
    }
)
"""Some of them only with a value that asks for nothing: `_check_values`."""

_THINKING: Final[dict[str, dict[str, object]]] = {
    "none": {"type": "disabled"},
    "minimal": {"type": "enabled", "token_budget": 512},
    "low": {"type": "enabled", "token_budget": 1024},
    "medium": {"type": "enabled", "token_budget": 4096},
    "high": {"type": "enabled"},
    "xhigh": {"type": "enabled"},
}
"""Cohere's own OpenAI API knows `none` and `high`, and means off and on
(https://docs.cohere.com/docs/compatibility-api). The budgets between are a guess; without one the model
thinks as long as it likes, which Cohere recommends (https://docs.cohere.com/docs/reasoning).
"""

_NO_PARAMETERS: Final = msgspec.Raw(b'{"type":"object","properties":{}}')
_LEAST_P: Final = 0.01
_MOST_P: Final = 0.99

_encoder = msgspec.json.Encoder()


def build_chat(chat: ChatRequest, present: AbstractSet[str], target: Target) -> Outgoing:
    losses = Losses("Cohere", drop=target.drop)
    losses.check(present, _TAKES)
    _check_values(chat, losses)
    hints: list[str] = []
    body: dict[str, object] = {
        "model": target.model,
        "messages": build_messages(chat.messages, losses, hints),
    }
    if chat.stream:
        body["stream"] = True
    limit = chat.output_limit
    if limit is not None:
        body["max_tokens"] = limit
    _add_sampling(body, chat)
    thinking = _build_thinking(chat, losses)
    if thinking is not None:
        body["thinking"] = thinking
    if chat.response_format is not None and chat.response_format.type != "text":
        body["response_format"] = _build_format(chat.response_format, hints)
    if chat.tools:
        _add_tools(body, chat.tools, losses, hints)
    if chat.tool_choice is not None:
        _add_tool_choice(body, chat, losses)
    return Outgoing("/chat", _encoder.encode(body), dropped=tuple(dict.fromkeys((*losses.dropped, *hints))))


def _check_values(chat: ChatRequest, losses: Losses) -> None:
    if chat.n is not None and chat.n != 1:
        losses.add("n", "it answers once")
    if chat.logit_bias:
        losses.add("logit_bias")
    if chat.top_logprobs:
        losses.add("top_logprobs", "it tells the probabilities of the chosen tokens alone")
    if chat.parallel_tool_calls is False and chat.tools:
        losses.add("parallel_tool_calls", "its models may always call several tools at once")


def _add_sampling(body: dict[str, object], chat: ChatRequest) -> None:
    if chat.temperature is not None:
        body["temperature"] = chat.temperature
    if chat.top_p is not None:
        # OpenAI's 1, the default that many callers spell out, is out of Cohere's range.
        body["p"] = min(max(chat.top_p, _LEAST_P), _MOST_P)
    if chat.top_k is not None:
        body["k"] = chat.top_k
    if chat.seed is not None:
        body["seed"] = chat.seed
    stops = chat.stops
    if stops:
        body["stop_sequences"] = stops
    if chat.frequency_penalty:
        body["frequency_penalty"] = chat.frequency_penalty
    if chat.presence_penalty:
        body["presence_penalty"] = chat.presence_penalty
    if chat.logprobs:
        body["logprobs"] = True


def _build_thinking(chat: ChatRequest, losses: Losses) -> dict[str, object] | None:
    thinking = chat.thinking
    if thinking is not None:
        if thinking.type == "disabled":
            return {"type": "disabled"}
        if thinking.budget_tokens is None:
            return {"type": "enabled"}
        return {"type": "enabled", "token_budget": thinking.budget_tokens}
    if chat.reasoning_effort is None:
        return None
    known = _THINKING.get(chat.reasoning_effort)
    if known is None:
        losses.add("reasoning_effort", f"it is none of {', '.join(_THINKING)}")
    return known


def _build_format(asked: ResponseFormat, hints: list[str]) -> dict[str, object]:
    """The guide calls the schema `schema`, as version 1 of the API did; the reference and Cohere's own
    client say `json_schema`. A schema is always kept to, so `strict` needs no word.
    """
    built: dict[str, object] = {"type": "json_object"}
    if asked.json_schema is not None:
        if is_there(asked.json_schema.schema):
            built["json_schema"] = asked.json_schema.schema
        if asked.json_schema.description is not None:
            hints.append("response_format.json_schema.description")
    return built


def _add_tools(body: dict[str, object], tools: list[Tool], losses: Losses, hints: list[str]) -> None:
    built: list[object] = []
    strict: list[int] = []
    for place, tool in enumerate(tools):
        function = tool.function
        if tool.type != "function" or function is None:
            losses.add(f"tools[{place}]", "its tools are functions")
            continue
        if tool.cache_control is not None:
            hints.append("cache_control")
        described: dict[str, object] = {
            "name": function.name,
            "parameters": function.parameters if is_there(function.parameters) else _NO_PARAMETERS,
        }
        if function.description is not None:
            described["description"] = function.description
        if function.strict:
            strict.append(place)
        built.append({"type": "function", "function": described})
    if not built:
        return
    body["tools"] = built
    if len(strict) == len(built):
        body["strict_tools"] = True
    else:
        for place in strict:
            losses.add(f"tools[{place}].function.strict", "either all tools are strict or none is")


def _add_tool_choice(body: dict[str, object], chat: ChatRequest, losses: Losses) -> None:
    """https://docs.cohere.com/v2/docs/tool-use-usage-patterns#forcing-tool-usage"""
    choice = chat.tool_choice
    if isinstance(choice, NamedToolChoice):
        if [tool.function and tool.function.name for tool in chat.tools or ()] == [choice.function.name]:
            body["tool_choice"] = "REQUIRED"
        else:
            losses.add("tool_choice", "one tool of several cannot be named")
    elif choice == "required":
        if "tools" in body:
            body["tool_choice"] = "REQUIRED"
        else:
            losses.add("tool_choice", "there is no tool that it could call")
    elif choice == "none" and "tools" in body:
        body["tool_choice"] = "NONE"
