"""How much a model is to think: the caller's `thinking` and `reasoning_effort` in; the fields of its maker's,
Converse's effort and the limit of the answer out.

    caller              Claude with budgets         adaptive Claude              Nova 2, gpt-oss
    effort low ...      enabled, a budget for it    adaptive, the effort         the effort
    effort none         nothing                     off, where it would think    nothing; `none`
    enabled, budget     as it is                    as it is, or lost from 4.7   lost
    adaptive            enabled, effort's budget    as it is, the effort         lost

Fields of makers go into `additionalModelRequestFields`; the effort of a Claude into Converse's own
`outputConfig`. Claude: https://docs.aws.amazon.com/bedrock/latest/userguide/claude-messages-adaptive-thinking.html,
Nova: https://docs.aws.amazon.com/nova/latest/nova2-userguide/extended-thinking.html, gpt-oss:
https://docs.aws.amazon.com/bedrock/latest/userguide/model-parameters-openai.html

The subtle rule: a budget is part of the answer's limit and has to be smaller. A limit of the caller's is
never raised for it, since bills rest on it: the budget shrinks. Where there is none, a budget brings one.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

from gateway_runtime.providers.chat.losses import Losses
from gateway_runtime.providers.chat.request import ChatRequest, Message, ThinkingBlock
from gateway_runtime.providers.wire import Target
from gateway_runtime.providers.wires.bedrock.media import Block
from gateway_runtime.providers.wires.bedrock.model import Family, Model, Thinking

_BUDGETS: Final = {"low": 1024, "medium": 2048, "high": 4096, "xhigh": 8192, "max": 16_384}
"""Tokens. LiteLLM's, so that a caller who comes from there finds the same."""
_LEAST_BUDGET: Final = 1024
"""Claude's."""
_BESIDE_BUDGET: Final = 4096
"""Tokens for the answer itself, when nobody sets a limit: LiteLLM's number."""
_LEVELS: Final = {name: name for name in _BUDGETS} | {"minimal": "low"}
_USUAL_LEVEL: Final = "high"
"""Claude's, when nothing is said."""
_NOVA_LEVELS: Final = {"low": "low", "medium": "medium", "high": "high", "xhigh": "high", "max": "high"}
_CANNOT: Final = "this model cannot be told how much to think"


class Plan(NamedTuple):
    fields: Block
    """For `additionalModelRequestFields`."""
    limit: int | None = None
    """Tokens that the answer may have at most; None: as many as the model writes."""
    effort: str | None = None
    """`outputConfig.effort`."""

    @property
    def is_on(self) -> bool:
        """A Claude was told to think."""
        thinking = self.fields.get("thinking")
        return isinstance(thinking, dict) and thinking["type"] in ("enabled", "adaptive")


def plan_thinking(chat: ChatRequest, target: Target, model: Model, losses: Losses, *, forced: bool) -> Plan:
    """forced: the model has to call a tool. Raises GatewayError UNSUPPORTED, through `losses`."""
    asked = chat.thinking
    limit = chat.output_limit
    if asked is None and chat.reasoning_effort is None:
        return Plan({}, limit)
    if model.family is Family.UNKNOWN and asked is not None:
        # Who speaks Claude's words knows that a Claude stands behind the name.
        return _pass_on(chat, target)
    if asked is None and model.thinking is Thinking.EFFORT:
        return Plan(_build_effort(chat.reasoning_effort or "", model, losses), limit)
    if chat.reasoning_effort == "none" if asked is None else asked.type in ("disabled", "between_tools"):
        return Plan(_build_off(chat, model, losses), limit)
    if model.thinking not in (Thinking.BUDGET, Thinking.ADAPTIVE):
        losses.add(_name(chat), _CANNOT)
        return Plan({}, limit)
    level = _read_level(chat, model, losses)
    if asked is not None and asked.type == "enabled" and asked.budget_tokens is not None:
        if model.takes_budget:
            return _pass_on(chat, target)
        losses.add("thinking.budget_tokens", "this model thinks as much as `reasoning_effort` says")
    if model.thinking is Thinking.ADAPTIVE:
        thinking: Block = {"type": "adaptive"}
        if asked is not None and asked.display is not None:
            thinking["display"] = asked.display
        return Plan({"thinking": thinking}, limit, level)
    return _plan_budget(chat, target, losses, _BUDGETS[level or _USUAL_LEVEL], forced=forced)


def _pass_on(chat: ChatRequest, target: Target) -> Plan:
    """Also a budget above the limit: Claude says what is wrong."""
    asked = chat.thinking
    assert asked is not None
    thinking: Block = {"type": asked.type}
    limit = chat.output_limit
    if asked.budget_tokens is not None:
        thinking["budget_tokens"] = asked.budget_tokens
        limit = limit or _find_limit(asked.budget_tokens, target)
    if asked.display is not None:
        thinking["display"] = asked.display
    return Plan({"thinking": thinking}, limit)


def _plan_budget(chat: ChatRequest, target: Target, losses: Losses, budget: int, *, forced: bool) -> Plan:
    limit = chat.output_limit
    name = _name(chat)
    if forced:
        # "Thinking may not be enabled when tool_choice forces tool use."
        losses.add(name, "a model that has to call a tool does not think")
    elif limit is not None and limit <= _LEAST_BUDGET:
        losses.add(name, f"it thinks {_LEAST_BUDGET} tokens at least, and the limit is {limit}")
    elif _has_lost_thoughts(chat.messages):
        # Clients that know no thinking blocks do not send them back: to refuse would end each of their loops
        # after the first call.
        losses.tell(name)
    elif limit is None:
        limit = _find_limit(budget, target)
        return Plan(_enable(min(budget, limit - 1)), limit)
    else:
        return Plan(_enable(max(_LEAST_BUDGET, min(budget, limit // 2))), limit)
    return Plan({}, limit)


def _enable(budget: int) -> Block:
    return {"thinking": {"type": "enabled", "budget_tokens": budget}}


def _find_limit(budget: int, target: Target) -> int:
    limit = budget + _BESIDE_BUDGET
    most = target.max_output_tokens
    return limit if most is None or most <= _LEAST_BUDGET else min(limit, most)


def _has_lost_thoughts(messages: Sequence[Message]) -> bool:
    """While tools are at work, Claude wants back what it thought before it called them.
    https://platform.claude.com/docs/en/build-with-claude/extended-thinking#extended-thinking-with-tool-use
    """
    last = next((message for message in reversed(messages) if message.role != "tool"), None)
    if last is None or not last.tool_calls:
        return False
    return not any(
        not isinstance(thought, ThinkingBlock) or thought.signature for thought in last.thinking_blocks or ()
    )


def _build_off(chat: ChatRequest, model: Model, losses: Losses) -> Block:
    if not model.thinks_unasked:
        return {}
    if model.off is None:
        losses.add(_name(chat), "this model always thinks; `low` is the least")
        return {}
    return {"thinking": {"type": model.off}}


def _build_effort(effort: str, model: Model, losses: Losses) -> Block:
    if model.family is Family.GPT_OSS:
        return {"reasoning_effort": effort}
    if effort == "none":
        return {}
    level = _NOVA_LEVELS.get(_LEVELS.get(effort, ""))
    if level is None:
        losses.add("reasoning_effort", f"it has no `{effort}`")
        return {}
    return {"reasoningConfig": {"type": "enabled", "maxReasoningEffort": level}}


def _read_level(chat: ChatRequest, model: Model, losses: Losses) -> str | None:
    """The nearest that the model has."""
    effort = chat.reasoning_effort
    if effort is None or effort == "none":
        return None
    level = _LEVELS.get(effort)
    if level is None:
        losses.add("reasoning_effort", f"it has no `{effort}`")
    if level == "xhigh" and model.thinking is Thinking.ADAPTIVE and not model.takes_xhigh:
        return "high"  # `max` would cost more than was asked for
    return level


def _name(chat: ChatRequest) -> str:
    return "reasoning_effort" if chat.thinking is None else "thinking"
