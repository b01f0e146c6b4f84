"""A chat for Converse: the hub's request and its target in, path and body out.

Format: https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html. `conversation` has
the messages, `tools` the tools, `thinking` and `sampling` what goes to a model in its maker's words, too.

The subtle rule: a limit is sent only when somebody set one. Bedrock counts the limit, not the answer, against
the account's tokens a minute until the answer is whole, so the largest would throttle everybody:
https://docs.aws.amazon.com/bedrock/latest/userguide/quotas-token-burndown.html
"""

import re
from collections.abc import Set as AbstractSet
from typing import Final

import msgspec

from gateway_runtime.providers.chat.losses import Losses
from gateway_runtime.providers.chat.request import ChatRequest, is_there
from gateway_runtime.providers.wire import Outgoing, Target
from gateway_runtime.providers.wires.bedrock.conversation import Conversation
from gateway_runtime.providers.wires.bedrock.media import Block
from gateway_runtime.providers.wires.bedrock.model import Family, read_model
from gateway_runtime.providers.wires.bedrock.sampling import add_sampling
from gateway_runtime.providers.wires.bedrock.schema import build_schema
from gateway_runtime.providers.wires.bedrock.thinking import plan_thinking
from gateway_runtime.providers.wires.bedrock.tools import build_tools

_TAKES: Final = frozenset(
    {
        "max_completion_tokens",
        "max_tokens",
        "messages",
        "metadata",
        "model",
        "parallel_tool_calls",
        "reasoning_effort",
        "response_format",
        "service_tier",
        "stop",
        "stream",
        "stream_options",
        "temperature",
        "thinking",
        "tool_choice",
        "tools",
        "top_k",
        "top_p",
    }
)
_TIERS: Final = frozenset({"default", "flex", "priority", "reserved"})
# https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html, requestMetadata
_METADATA: Final = re.compile(r"[a-zA-Z0-9\s:_@$#=/+,.-]{0,256}", re.ASCII)
_MOST_METADATA: Final = 16

_encoder = msgspec.json.Encoder()


def build_chat(chat: ChatRequest, present: AbstractSet[str], target: Target) -> Outgoing:
    """See `wire.Wire`. 10 µs for a small one."""
    model = read_model(target.model)
    losses = Losses("Amazon Bedrock", drop=target.drop)
    if not present <= _TAKES:
        losses.check(present, _TAKES | _find_idle(chat))
    conversation = Conversation(model, losses)
    for place, message in enumerate(chat.messages):
        conversation.add(place, message)
    body: Block = {"messages": conversation.turns}
    if conversation.system:
        body["system"] = conversation.system
    tools = build_tools(chat, model, conversation, losses)
    if tools.config is not None:
        body["toolConfig"] = tools.config
    plan = plan_thinking(chat, target, model, losses, forced=tools.is_forced)
    fields = plan.fields
    if tools.choice is not None:
        fields["tool_choice"] = tools.choice
    inference: Block = {} if plan.limit is None else {"maxTokens": plan.limit}
    add_sampling(chat, model, losses, inference, fields, thinks=plan.is_on)
    stops = [stop for stop in chat.stops if stop]
    if stops:
        inference["stopSequences"] = stops
    if fields:
        body["additionalModelRequestFields"] = fields
    if inference:
        body["inferenceConfig"] = inference
        if stops and model.family is Family.CLAUDE:
            # Which of them it was, Claude alone tells.
            body["additionalModelResponseFieldPaths"] = ["/stop_sequence"]
    output = _build_output(chat, plan.effort, losses)
    if output:
        body["outputConfig"] = output
    if chat.service_tier is not None or chat.metadata is not None:
        _add_filing(chat, body, losses)
    path = "converse-stream" if chat.stream else "converse"
    return Outgoing(f"{model.path}/{path}", _encoder.encode(body), dropped=losses.dropped)


def _find_idle(chat: ChatRequest) -> AbstractSet[str]:
    """Members that say what is so anyway."""
    idle = {
        "n": chat.n in (None, 1),
        "logprobs": not chat.logprobs,
        "top_logprobs": not chat.top_logprobs,
        "logit_bias": not chat.logit_bias,
        "frequency_penalty": not chat.frequency_penalty,
        "presence_penalty": not chat.presence_penalty,
    }
    return {name for name, is_idle in idle.items() if is_idle}


def _build_output(chat: ChatRequest, effort: str | None, losses: Losses) -> Block:
    built: Block = {}
    if effort is not None:
        built["effort"] = effort
    asked = chat.response_format
    if asked is None or asked.type == "text":
        return built
    schema = asked.json_schema
    if schema is None or not is_there(schema.schema):
        losses.add("response_format", "JSON is told there by a schema alone")
        return built
    said: Block = {"schema": build_schema(schema.schema), "name": schema.name}
    if schema.description is not None:
        said["description"] = schema.description
    built["textFormat"] = {"type": "json_schema", "structure": {"jsonSchema": said}}
    return built


def _add_filing(chat: ChatRequest, body: Block, losses: Losses) -> None:
    """Where the request is filed, and how fast it is served."""
    tier = chat.service_tier
    if tier in _TIERS:
        body["serviceTier"] = {"type": tier}
    elif tier not in (None, "auto"):
        losses.add("service_tier")
    if not chat.metadata:
        return
    texts = (*chat.metadata, *chat.metadata.values())
    if "" in chat.metadata or len(chat.metadata) > _MOST_METADATA or not all(map(_METADATA.fullmatch, texts)):
        losses.add("metadata")
    else:
        body["requestMetadata"] = chat.metadata
