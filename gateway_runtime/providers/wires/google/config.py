"""How to answer: the hub's sampling, format and thinking members in, Google's `generationConfig` out.

Format: https://ai.google.dev/api/generate-content#v1beta.GenerationConfig.

    effort    Gemini 3 Flash  Gemini 3 Pro      a budget before that
    none      MINIMAL         cannot be said    0; Pro cannot
    minimal   MINIMAL         LOW               1024
    low       LOW             LOW               1024
    medium    MEDIUM          MEDIUM or HIGH    8192
    high      HIGH            HIGH              24576

as https://ai.google.dev/gemini-api/docs/openai maps them for its own OpenAI-compatible API. `xhigh` and `max`
are the most there is.
"""

from typing import Final

import msgspec

from gateway_runtime.providers.chat.losses import Losses
from gateway_runtime.providers.chat.request import ChatRequest, ImagePart, ResponseFormat, is_there
from gateway_runtime.providers.wires.google.models import Traits

_BUDGETS: Final = {
    "none": 0,
    "minimal": 1024,
    "low": 1024,
    "medium": 8192,
    "high": 24576,
    "xhigh": 24576,
    "max": 24576,
}
_LEVELS: Final = {
    "none": "MINIMAL",
    "minimal": "MINIMAL",
    "low": "LOW",
    "medium": "MEDIUM",
    "high": "HIGH",
    "xhigh": "HIGH",
    "max": "HIGH",
}
_LARGEST_BUDGET: Final = 24576
_LARGEST_BUDGET_PRO: Final = 32768
"""https://ai.google.dev/gemini-api/docs/thinking#set-budget. Anthropic's models take more, and a request that
was made for them is not refused for it.
"""
_SMALLEST_BUDGET_PRO: Final = 128

_SEEDS: Final = range(-(2**31), 2**31)

_JSON: Final = "application/json"

_object_decoder = msgspec.json.Decoder(dict[str, msgspec.Raw])
_encoder = msgspec.json.Encoder()


def build_config(chat: ChatRequest, traits: Traits, losses: Losses) -> dict[str, object]:
    """Raises GatewayError UNSUPPORTED."""
    config: dict[str, object] = {}
    if chat.output_limit is not None:
        config["maxOutputTokens"] = chat.output_limit
    if chat.temperature is not None:
        config["temperature"] = chat.temperature
    if chat.top_p is not None:
        config["topP"] = chat.top_p
    if chat.top_k is not None:
        config["topK"] = chat.top_k
    if chat.n is not None and chat.n != 1:
        config["candidateCount"] = chat.n
    if chat.stop is not None:
        config["stopSequences"] = chat.stops
    # Some models refuse penalties, also ones that do nothing.
    if chat.presence_penalty:
        config["presencePenalty"] = chat.presence_penalty
    if chat.frequency_penalty:
        config["frequencyPenalty"] = chat.frequency_penalty
    if chat.seed is not None:
        if chat.seed in _SEEDS:
            config["seed"] = chat.seed
        else:
            losses.add("seed", "a seed has 32 bits there")
    if chat.logprobs:
        config["responseLogprobs"] = True
        if chat.top_logprobs:
            config["logprobs"] = chat.top_logprobs
    elif chat.top_logprobs:
        losses.add("top_logprobs", "`logprobs` is not true")
    if chat.response_format is not None:
        _add_format(config, chat.response_format)
    thinking = _build_thinking(chat, traits, losses)
    if thinking is not None:
        config["thinkingConfig"] = thinking
    resolution = _find_resolution(chat)
    if resolution is not None:
        config["mediaResolution"] = resolution
    return config


def _add_format(config: dict[str, object], asked: ResponseFormat) -> None:
    """https://ai.google.dev/gemini-api/docs/structured-output: the answer is held to the schema, so `strict`
    is always so, and `name` says nothing.
    """
    if asked.type == "text":
        return
    config["responseMimeType"] = _JSON
    wanted = asked.json_schema
    if wanted is None or not is_there(wanted.schema):
        return
    config["responseJsonSchema"] = wanted.schema
    if wanted.description:
        try:
            schema = _object_decoder.decode(wanted.schema)
        except msgspec.DecodeError:
            return  # true, or false
        config["responseJsonSchema"] = {
            "description": msgspec.Raw(_encoder.encode(wanted.description)),
            **schema,
        }


def _build_thinking(chat: ChatRequest, traits: Traits, losses: Losses) -> dict[str, object] | None:
    asked = chat.thinking
    if asked is not None:
        if asked.type == "disabled":
            return _build_effort("none", "thinking", traits, losses)
        if asked.type == "enabled" and asked.budget_tokens is not None:
            # Gemini 3 takes budgets, too, but not beside a level.
            largest = _LARGEST_BUDGET_PRO if traits.pro else _LARGEST_BUDGET
            return {"thinkingBudget": min(asked.budget_tokens, largest), "includeThoughts": True}
        if traits.third:
            return {"includeThoughts": True}
        return {"thinkingBudget": -1, "includeThoughts": True}  # as much as the model likes
    if chat.reasoning_effort is None:
        return None
    return _build_effort(chat.reasoning_effort, "reasoning_effort", traits, losses)


def _build_effort(effort: str, member: str, traits: Traits, losses: Losses) -> dict[str, object] | None:
    if effort not in _BUDGETS:
        losses.add(member, f"it knows {', '.join(_BUDGETS)}")
        return None
    thinks = effort != "none"
    if not thinks and traits.pro:
        losses.add(member, "this model cannot stop thinking")
    if traits.third:
        level = _LEVELS[effort]
        if traits.pro and level == "MINIMAL":
            level = "LOW"
        elif not traits.has_medium and level == "MEDIUM":
            level = "HIGH"
        return {"thinkingLevel": level, "includeThoughts": thinks}
    budget = _BUDGETS[effort]
    return {
        "thinkingBudget": max(budget, _SMALLEST_BUDGET_PRO) if traits.pro else budget,
        "includeThoughts": thinks,
    }


def _find_resolution(chat: ChatRequest) -> str | None:
    """https://ai.google.dev/gemini-api/docs/media-resolution: one for all media of a request, so the finest
    that an image asks for.
    """
    details = {
        part.image_url.detail
        for message in chat.messages
        if isinstance(message.content, list)
        for part in message.content
        if isinstance(part, ImagePart)
    }
    if "high" in details:
        return "MEDIA_RESOLUTION_HIGH"
    return "MEDIA_RESOLUTION_LOW" if details == {"low"} else None
