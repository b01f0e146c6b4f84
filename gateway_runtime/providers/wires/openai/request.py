"""A chat as OpenAI's API takes it: the hub's request in, the provider's body out.

Format: https://platform.openai.com/docs/api-reference/chat/create. The hub's vocabulary is OpenAI's, so most
of it goes out as it is; `messages` has what does not.

The subtle rule: a member that says no more than its default is not sent. Servers that are built like OpenAI's
refuse members that they do not know, whatever their value.
"""

from collections.abc import Set as AbstractSet
from typing import Final

import msgspec

from gateway_runtime.providers.chat.losses import Losses
from gateway_runtime.providers.chat.request import ChatRequest, Function, Tool, is_there
from gateway_runtime.providers.wire import Target
from gateway_runtime.providers.wires.openai.manner import Manner, find_manner
from gateway_runtime.providers.wires.openai.messages import build_messages

TAKES: Final = frozenset(
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
        "service_tier",
        "stop",
        "temperature",
        "thinking",
        "tool_choice",
        "tools",
        "top_logprobs",
        "top_p",
        "user",
    }
)
"""Of the request's top level. `metadata` is not among them: OpenAI answers 400 unless the chat is stored, too
(https://community.openai.com/t/1119240). Nor is `top_k`, which vLLM knows and OpenAI refuses.
"""
_LONGEST_USER: Final = 64
"""OpenAI refuses a longer one with a 400; Anthropic takes 256, and callers make use of them."""

_encoder = msgspec.json.Encoder()


def build_body(
    chat: ChatRequest, present: AbstractSet[str], target: Target, provider: str, *, deployment: bool
) -> tuple[bytes, tuple[str, ...]]:
    """The body, and what was dropped. provider: for people. deployment: see `manner`. Raises GatewayError
    UNSUPPORTED.
    """
    losses = Losses(provider, drop=target.drop)
    losses.check(present, TAKES)
    manner = find_manner(target.model, deployment=deployment)
    body: dict[str, object] = {
        "model": target.model,
        "messages": build_messages(chat.messages, manner, losses),
    }
    if chat.stream:
        body["stream"] = True
        options: dict[str, object] = {"include_usage": True}
        if chat.stream_options is not None and chat.stream_options.include_obfuscation is not None:
            options["include_obfuscation"] = chat.stream_options.include_obfuscation
        body["stream_options"] = options
    _add_limit(body, chat, manner)
    _add_sampling(body, chat)
    if chat.tools:
        _add_tools(body, chat, chat.tools, losses)
    elif chat.tool_choice not in (None, "auto", "none"):
        body["tool_choice"] = chat.tool_choice  # OpenAI says best what is wrong with it
    if chat.response_format is not None and chat.response_format.type != "text":
        body["response_format"] = chat.response_format
    _add_effort(body, chat, manner, losses)
    _add_hints(body, chat, losses)
    return _encoder.encode(body), losses.dropped


def _add_limit(body: dict[str, object], chat: ChatRequest, manner: Manner) -> None:
    limit = chat.output_limit
    if limit is not None:
        newer = manner.newer_limit or chat.max_completion_tokens is not None
        body["max_completion_tokens" if newer else "max_tokens"] = limit


def _add_sampling(body: dict[str, object], chat: ChatRequest) -> None:
    if chat.temperature is not None:
        body["temperature"] = chat.temperature
    if chat.top_p is not None:
        body["top_p"] = chat.top_p
    if chat.stop:
        body["stop"] = chat.stop
    if chat.seed is not None:
        body["seed"] = chat.seed
    if chat.n is not None and chat.n != 1:
        body["n"] = chat.n
    if chat.presence_penalty:
        body["presence_penalty"] = chat.presence_penalty
    if chat.frequency_penalty:
        body["frequency_penalty"] = chat.frequency_penalty
    if chat.logit_bias:
        body["logit_bias"] = chat.logit_bias
    if chat.logprobs:
        body["logprobs"] = True
        if chat.top_logprobs is not None:
            body["top_logprobs"] = chat.top_logprobs


def _add_tools(body: dict[str, object], chat: ChatRequest, tools: list[Tool], losses: Losses) -> None:
    built = []
    for place, tool in enumerate(tools):
        if tool.type != "function" or tool.function is None:
            losses.add(f"tools[{place}]", f"a tool of type `{tool.type}` is another provider's own")
            continue
        if tool.cache_control is not None:
            losses.tell("cache_control")
        built.append({"type": "function", "function": _build_function(tool.function)})
    if not built:
        return  # with neither of the two below, which OpenAI refuses without tools
    body["tools"] = built
    if chat.tool_choice is not None and chat.tool_choice != "auto":
        body["tool_choice"] = chat.tool_choice
    if chat.parallel_tool_calls is False:
        body["parallel_tool_calls"] = False


def _build_function(function: Function) -> dict[str, object]:
    built: dict[str, object] = {"name": function.name}
    if function.description is not None:
        built["description"] = function.description
    if is_there(function.parameters):
        built["parameters"] = function.parameters
    if function.strict is not None:
        built["strict"] = function.strict
    return built


def _add_effort(body: dict[str, object], chat: ChatRequest, manner: Manner, losses: Losses) -> None:
    """Anthropic's budget becomes the nearest word. `disabled` and `adaptive` leave it to the model: the word
    for none is one that only the newest models know.
    """
    effort, asked = chat.reasoning_effort, "reasoning_effort"
    if effort is None and chat.thinking is not None and chat.thinking.type == "enabled":
        budget, asked = chat.thinking.budget_tokens or 0, "thinking"
        # Between LiteLLM's words for 1024, 2048 and 4096, and Anthropic's advice to begin with 16k for what
        # is hard: a guess.
        effort = "low" if budget < 2048 else "medium" if budget < 8192 else "high"
    if effort is None:
        return
    if not manner.never_reasons:
        body["reasoning_effort"] = effort
    elif effort != "none":
        losses.add(asked, "this model does not reason")


def _add_hints(body: dict[str, object], chat: ChatRequest, losses: Losses) -> None:
    if chat.user is not None:
        if len(chat.user) <= _LONGEST_USER:
            body["user"] = chat.user
        else:
            losses.add("user")
    if chat.service_tier == "standard_only":  # Anthropic's word
        losses.add("service_tier")
    elif chat.service_tier not in (None, "auto"):
        body["service_tier"] = chat.service_tier
