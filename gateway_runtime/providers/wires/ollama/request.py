"""A chat for Ollama: the hub's request in, the body of `POST /chat` out. `messages` builds the messages.

Format: https://github.com/ollama/ollama/blob/main/docs/api.md#generate-a-chat-completion. What differs from
OpenAI's in more than a name:

    options       all that a model's file can set, in a member of its own
    format        `"json"`, or the bare schema
    tool_choice   there is none; without tools none is called
    think         on, off or a level

The subtle rule: `stream` is always said. Ollama streams unless it is told not to.
"""

from collections.abc import Set as AbstractSet
from typing import Final

import msgspec

from gateway_runtime.providers.chat.losses import Losses
from gateway_runtime.providers.chat.request import ChatRequest, ResponseFormat, Tool, is_there
from gateway_runtime.providers.wire import Outgoing, Target
from gateway_runtime.providers.wires.ollama.messages import build_messages

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

_THINK: Final[dict[str, bool | str]] = {
    "none": False,
    "minimal": "low",
    "low": "low",
    "medium": "medium",
    "high": "high",
    "xhigh": "max",
}
"""As Ollama's own OpenAI API means them: `thinkFromReasoningEffort` in
https://github.com/ollama/ollama/blob/main/openai/openai.go.
"""

_NO_PARAMETERS: Final = msgspec.Raw(b'{"type":"object","properties":{}}')

_encoder = msgspec.json.Encoder()


def build_chat(chat: ChatRequest, present: AbstractSet[str], target: Target) -> Outgoing:
    losses = Losses("Ollama", drop=target.drop)
    losses.check(present, _TAKES)
    _check_values(chat, losses)
    hints: list[str] = []
    body: dict[str, object] = {
        "model": target.model,
        "messages": build_messages(chat.messages, losses, hints),
        "stream": chat.stream is True,
    }
    options = _build_options(chat)
    if options:
        body["options"] = options
    think = _find_think(chat, losses, hints)
    if think is not None:
        body["think"] = think
    if chat.response_format is not None and chat.response_format.type != "text":
        body["format"] = _build_format(chat.response_format, hints)
    if chat.tools and chat.tool_choice != "none":
        tools = _build_tools(chat.tools, losses, hints)
        if tools:
            body["tools"] = tools
    if chat.logprobs:
        body["logprobs"] = True
        if chat.top_logprobs:
            body["top_logprobs"] = chat.top_logprobs
    return Outgoing("/chat", _encoder.encode(body), dropped=tuple(dict.fromkeys((*losses.dropped, *hints))))


def _check_values(chat: ChatRequest, losses: Losses) -> None:
    if chat.n is not None and chat.n != 1:
        losses.add("n", "it answers once")
    if chat.logit_bias:
        losses.add("logit_bias")
    if chat.parallel_tool_calls is False and chat.tools:
        losses.add("parallel_tool_calls", "its models may always call several tools at once")
    if chat.tool_choice not in (None, "auto", "none"):
        losses.add("tool_choice", "its models call tools as they like")


def _build_options(chat: ChatRequest) -> dict[str, object]:
    """https://github.com/ollama/ollama/blob/main/docs/modelfile.mdx#valid-parameters-and-values"""
    options: dict[str, object] = {}
    limit = chat.output_limit
    if limit is not None:
        options["num_predict"] = limit
    if chat.temperature is not None:
        options["temperature"] = chat.temperature
    if chat.top_p is not None:
        options["top_p"] = chat.top_p
    if chat.top_k is not None:
        options["top_k"] = chat.top_k
    if chat.seed is not None:
        options["seed"] = chat.seed
    stops = chat.stops
    if stops:
        options["stop"] = stops
    if chat.presence_penalty is not None:
        options["presence_penalty"] = chat.presence_penalty
    if chat.frequency_penalty is not None:
        options["frequency_penalty"] = chat.frequency_penalty
    return options


def _find_think(chat: ChatRequest, losses: Losses, hints: list[str]) -> bool | str | None:
    thinking = chat.thinking
    if thinking is not None:
        if thinking.budget_tokens is not None:
            hints.append("thinking.budget_tokens")  # that it thinks is said; how long is a matter of cost
        return thinking.type != "disabled"
    if chat.reasoning_effort is None:
        return None
    known = _THINK.get(chat.reasoning_effort)
    if known is None:
        losses.add("reasoning_effort", f"it is none of {', '.join(_THINK)}")
    return known


def _build_format(asked: ResponseFormat, hints: list[str]) -> object:
    """A schema is always kept to, so `strict` needs no word."""
    if asked.json_schema is None:
        return "json"
    if asked.json_schema.description is not None:
        hints.append("response_format.json_schema.description")
    return asked.json_schema.schema if is_there(asked.json_schema.schema) else "json"


def _build_tools(tools: list[Tool], losses: Losses, hints: list[str]) -> list[object]:
    built: list[object] = []
    for place, tool in enumerate(tools):
        function = tool.function
        if tool.type != "function" or function is None:
            losses.add(f"tools[{place}]", "its tools are functions")
            continue
        if tool.cache_control is not None:
            hints.append("cache_control")
        if function.strict:
            losses.add(f"tools[{place}].function.strict", "it holds no call to its schema")
        described: dict[str, object] = {
            "name": function.name,
            "parameters": function.parameters if is_there(function.parameters) else _NO_PARAMETERS,
        }
        if function.description is not None:
            described["description"] = function.description
        built.append({"type": "function", "function": described})
    return built
