"""The body of a request: the hub's request and the target in, `POST /messages` out.

Everything that is said once per request is here; `messages`, `tools`, `thinking` and `sampling` build their
members. https://platform.claude.com/docs/en/api/messages/create.

The subtle rule: a member that says nothing new stays away. `n: 1`, `logprobs: false` and their like are no
loss, and a body without them is accepted by every model and by other providers of the same API.
"""

import re
from collections.abc import Set as AbstractSet
from typing import Final

import msgspec

from gateway_runtime.providers.chat.losses import Losses
from gateway_runtime.providers.chat.request import ChatRequest, is_there
from gateway_runtime.providers.wire import Outgoing, Target
from gateway_runtime.providers.wires.anthropic.messages import (
    Conversation,
    build_conversation,
    build_plain_conversation,
)
from gateway_runtime.providers.wires.anthropic.models import Model, read_model
from gateway_runtime.providers.wires.anthropic.sampling import build_sampling
from gateway_runtime.providers.wires.anthropic.schema import build_schema
from gateway_runtime.providers.wires.anthropic.thinking import plan_thinking
from gateway_runtime.providers.wires.anthropic.tools import build_tools, is_forced

_PATH: Final = "/messages"
_TAKES: Final = frozenset(
    {
        "frequency_penalty",
        "logit_bias",
        "logprobs",
        "metadata",
        "n",
        "parallel_tool_calls",
        "presence_penalty",
        "reasoning_effort",
        "response_format",
        "service_tier",
        "stop",
        "temperature",
        "thinking",
        "tool_choice",
        "tools",
        "top_k",
        "top_logprobs",
        "top_p",
        "user",
    }
)
"""Looked at one by one; some of them are lost unless they say nothing."""
_ORDINARY: Final = frozenset(
    {
        "model",
        "messages",
        "max_tokens",
        "max_completion_tokens",
        "stream",
        "stream_options",
        "temperature",
        "top_p",
    }
)
"""A request with no others is built in half the time."""
_TIERS: Final = {"default": "standard_only", "standard_only": "standard_only"}
"""OpenAI's `default` asks for the usual price and speed, and so does `standard_only`.
https://platform.claude.com/docs/en/api/service-tiers
"""
_PERSONAL: Final = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+|\+?[\d\s()-]{7,}")
"""Addresses and telephone numbers. Anthropic wants nothing in `user_id` that names a person and refuses what
looks like it; LiteLLM looks for the same two.
"""
_LONGEST_USER_ID: Final = 256

_encoder = msgspec.json.Encoder()


def build_chat(chat: ChatRequest, present: AbstractSet[str], target: Target) -> Outgoing:
    """See `Wire.build_chat`."""
    losses = Losses("Anthropic", drop=target.drop)
    model = read_model(target.model)
    plain = build_plain_conversation(chat.messages) if present <= _ORDINARY else None
    if plain is not None:
        return _build_plain(plain, chat, model, target, losses)
    losses.check(present, _TAKES)
    _check_values(chat, losses)
    plan = plan_thinking(chat, target, model, losses, forced=is_forced(chat))
    conversation = build_conversation(chat.messages, losses)
    body: dict[str, object] = {"model": target.model, "max_tokens": plan.max_tokens}
    if conversation.system:
        body["system"] = conversation.system
    body["messages"] = conversation.turns
    body.update(build_tools(chat, target, model, losses))
    body.update(build_sampling(chat, model, losses, thinks=plan.is_on))
    if plan.thinking is not None:
        body["thinking"] = plan.thinking
    output: dict[str, object] = {} if plan.effort is None else {"effort": plan.effort}
    _put_format(output, chat, model, losses)
    if output:
        body["output_config"] = output
    _put_stops(body, chat, losses)
    _put_user(body, chat, losses)
    _put_tier(body, chat, losses)
    if chat.stream:
        body["stream"] = True
    return Outgoing(_PATH, _encoder.encode(body), dropped=losses.dropped + plan.dropped)


def _build_plain(
    conversation: Conversation, chat: ChatRequest, model: Model, target: Target, losses: Losses
) -> Outgoing:
    """What `build_chat` comes to where nothing else was said."""
    plan = plan_thinking(chat, target, model, losses, forced=False)
    body: dict[str, object] = {"model": target.model, "max_tokens": plan.max_tokens}
    if conversation.system:
        body["system"] = conversation.system
    body["messages"] = conversation.turns
    body.update(build_sampling(chat, model, losses, thinks=False))
    if chat.stream:
        body["stream"] = True
    return Outgoing(_PATH, _encoder.encode(body), dropped=losses.dropped)


def _check_values(chat: ChatRequest, losses: Losses) -> None:
    if chat.n is not None and chat.n != 1:
        losses.add("n", "it gives one answer")
    if chat.logprobs:
        losses.add("logprobs")
    if chat.top_logprobs:
        losses.add("top_logprobs")
    if chat.presence_penalty:
        losses.add("presence_penalty")
    if chat.frequency_penalty:
        losses.add("frequency_penalty")
    if chat.logit_bias:
        losses.add("logit_bias")


def _put_format(output: dict[str, object], chat: ChatRequest, model: Model, losses: Losses) -> None:
    """https://platform.claude.com/docs/en/build-with-claude/structured-outputs. The schema's name,
    description and `strict` have no place there: it is always strict.
    """
    wanted = chat.response_format
    if wanted is None or wanted.type == "text":
        return
    schema = wanted.json_schema
    if wanted.type == "json_object" or schema is None or not is_there(schema.schema):
        losses.add("response_format", "it gives JSON by a schema alone, that is by `json_schema`")
    elif not model.takes_schemas:
        losses.add("response_format", "this model has no structured outputs")
    else:
        built = build_schema(schema.schema, "response_format.json_schema.schema", losses)
        output["format"] = {"type": "json_schema", "schema": built}


def _put_stops(body: dict[str, object], chat: ChatRequest, losses: Losses) -> None:
    if chat.stop is None:
        return
    stops = [stop for stop in chat.stops if stop and not stop.isspace()]
    if any(stop.isspace() for stop in chat.stops):
        losses.add("stop", "it does not stop at blanks or at the end of a line alone")
    if stops:
        body["stop_sequences"] = stops


def _put_user(body: dict[str, object], chat: ChatRequest, losses: Losses) -> None:
    metadata = chat.metadata or {}
    if metadata.keys() - {"user_id"}:
        losses.add("metadata")
    user = chat.user or metadata.get("user_id")
    if not user:
        return
    if len(user) > _LONGEST_USER_ID or _PERSONAL.fullmatch(user):
        losses.add("user" if chat.user else "metadata")
    else:
        body["metadata"] = {"user_id": user}


def _put_tier(body: dict[str, object], chat: ChatRequest, losses: Losses) -> None:
    tier = chat.service_tier
    if tier is None or tier == "auto":
        return
    if tier in _TIERS:
        body["service_tier"] = _TIERS[tier]
    else:
        losses.add("service_tier")
