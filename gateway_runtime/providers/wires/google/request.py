"""A chat: the hub's request in, the body of generateContent out, with what of it Google does not hear of.

Format: https://ai.google.dev/api/generate-content#request-body.
"""

from collections.abc import Set as AbstractSet
from typing import Final

import msgspec

from gateway_runtime.providers.chat.losses import Losses
from gateway_runtime.providers.chat.request import AudioPart, ChatRequest, RefusalPart
from gateway_runtime.providers.wire import Target
from gateway_runtime.providers.wires.google.api import Api
from gateway_runtime.providers.wires.google.config import build_config
from gateway_runtime.providers.wires.google.contents import Contents
from gateway_runtime.providers.wires.google.models import find_traits
from gateway_runtime.providers.wires.google.tools import build_tool_config, build_tools

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
        "service_tier",
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
"""Or takes where they change nothing: `_check` looks closer."""

_USUAL_TIERS: Final = (None, "auto", "default", "standard")
_TIERS: Final = ("flex", "priority")

_encoder = msgspec.json.Encoder()


def build_chat(
    chat: ChatRequest, present: AbstractSet[str], target: Target, api: Api
) -> tuple[bytes, tuple[str, ...]]:
    """The body, and what was dropped. Raises GatewayError MALFORMED_BODY and UNSUPPORTED."""
    losses = Losses(api.name, drop=target.drop)
    losses.check(present, _TAKES)
    _check(chat, losses)
    traits = find_traits(target.model)
    contents = Contents(api, traits, losses)
    contents.add_all(chat)
    body: dict[str, object] = {"contents": contents.build()}
    if contents.system:
        body["systemInstruction"] = {"parts": contents.system}
    tools = build_tools(chat, losses)
    if tools:
        body["tools"] = tools
        tool_config = build_tool_config(chat, api, losses)
        if tool_config is not None:
            body["toolConfig"] = tool_config
    config = build_config(chat, traits, losses)
    if config:
        body["generationConfig"] = config
    if chat.service_tier not in _USUAL_TIERS:
        if api.has_tiers and chat.service_tier in _TIERS:
            body["serviceTier"] = chat.service_tier
        else:
            losses.add("service_tier")
    dropped = losses.dropped
    if _marks_cache(chat):
        # A hint, which is dropped under either rule: Gemini caches prompts by itself.
        dropped = (*dropped, "cache_control")
    return _encoder.encode(body), dropped


def _check(chat: ChatRequest, losses: Losses) -> None:
    if chat.logit_bias:
        losses.add("logit_bias")
    if chat.parallel_tool_calls is False and chat.tools:
        losses.add("parallel_tool_calls", "a model calls as many tools at once as it likes")


def _marks_cache(chat: ChatRequest) -> bool:
    if any(tool.cache_control is not None for tool in chat.tools or ()):
        return True
    for message in chat.messages:
        if message.cache_control is not None:
            return True
        if isinstance(message.content, list):
            for part in message.content:
                if not isinstance(part, AudioPart | RefusalPart) and part.cache_control is not None:
                    return True
    return False
