"""How much a model is to think: the caller's `thinking` and `reasoning_effort` in, Anthropic's `thinking`,
`output_config.effort` and `max_tokens` out.

    caller              model with budgets              model with adaptive thinking
    effort low ...      enabled, a budget for it        adaptive, the effort
    effort none         nothing: it does not think      off, where it would think unasked
    enabled, budget     as it is                        as it is, or lost where there are no budgets
    adaptive            enabled, effort's budget        as it is, the effort
    disabled            as it is                        off, as far as the model can be

https://platform.claude.com/docs/en/build-with-claude/extended-thinking, .../adaptive-thinking, .../effort.

The subtle rule: thinking counts towards `max_tokens`, here as with OpenAI. A limit that the caller gave is
never raised to make room for it, since budgets and bills rest on it: the budget shrinks instead.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

from gateway_runtime.providers.chat.losses import Losses
from gateway_runtime.providers.chat.request import ChatRequest, Message
from gateway_runtime.providers.wire import Target
from gateway_runtime.providers.wires.anthropic.messages import is_signed
from gateway_runtime.providers.wires.anthropic.models import Model

_BUDGETS: Final = {"low": 1024, "medium": 2048, "high": 4096, "xhigh": 8192, "max": 16_384}
"""Tokens. LiteLLM's, so that a caller who comes from there finds the same."""
_LEAST_BUDGET: Final = 1024
"""Anthropic's."""
_LEVELS: Final = {name: name for name in _BUDGETS} | {"minimal": "low"}
_USUAL_LEVEL: Final = "high"
"""Anthropic's, when nothing is said."""

_USUAL_LIMIT: Final = 4096
"""Tokens, for a caller without a limit and a route that knows none: Anthropic insists on one, and no Claude
takes less than this (Claude 3 ended there). LiteLLM had the same until it looked the models up.
"""
_ADAPTIVE_ROOM: Final = 16_384
"""Tokens on top of it, where the model decides how much it thinks, or half of the answers end before they
began. All of these models write 64,000 and more. A guess.
"""


class Plan(NamedTuple):
    max_tokens: int
    thinking: dict[str, object] | None = None
    effort: str | None = None
    dropped: tuple[str, ...] = ()
    """Beside what `losses` was told."""

    @property
    def is_on(self) -> bool:
        """It was told to think."""
        return self.thinking is not None and self.thinking["type"] in ("enabled", "adaptive")


def plan_thinking(chat: ChatRequest, target: Target, model: Model, losses: Losses, *, forced: bool) -> Plan:
    """forced: the model has to call a tool. Raises GatewayError UNSUPPORTED, through `losses`."""
    limit = chat.output_limit
    asked = chat.thinking
    if asked is None and chat.reasoning_effort is None:
        return Plan(_find_limit(limit, target, _ADAPTIVE_ROOM if model.thinks_unasked else 0))
    level = _read_level(chat.reasoning_effort, model, losses)
    effort = level if model.takes_adaptive else None
    if chat.reasoning_effort == "none" if asked is None else asked.type == "disabled":
        room = _ADAPTIVE_ROOM if model.off != "disabled" else 0
        return Plan(_find_limit(limit, target, room), _turn_off(chat, target, model, losses), effort)
    if asked is None and level is None:
        return Plan(_find_limit(limit, target, 0))  # a level that nobody knows, which was dropped
    wants_budget = asked is not None and asked.type == "enabled"
    if wants_budget and asked is not None and asked.budget_tokens is not None and not model.takes_budget:
        losses.add(
            "thinking.budget_tokens",
            f"{target.model} takes no budget and thinks as much as `reasoning_effort` says",
        )
    if model.takes_adaptive and not (wants_budget and model.takes_budget):
        thinking: dict[str, object] = {"type": "adaptive"}
        if asked is None:
            # From 4.7 on it keeps what it thinks to itself, unless it is told otherwise.
            thinking["display"] = "summarized"
        return Plan(_find_limit(limit, target, _ADAPTIVE_ROOM), thinking, effort)
    return _plan_budget(chat, target, losses, level or _USUAL_LEVEL, forced=forced)


def _plan_budget(chat: ChatRequest, target: Target, losses: Losses, level: str, *, forced: bool) -> Plan:
    limit = chat.output_limit
    name = "reasoning_effort" if chat.thinking is None else "thinking"
    budget = None if chat.thinking is None else chat.thinking.budget_tokens
    if forced:
        # "Tool use with thinking only supports `auto` and `none`". Callers with a forced tool read nothing
        # but its arguments, so the thinking goes.
        losses.add(name, "a model that has to call a tool does not think")
        return Plan(_find_limit(limit, target, 0))
    if chat.thinking is None and _has_lost_thoughts(chat.messages):
        # Refused with budgets: a turn that thinks begins with a thought, and a loop of calls is one turn.
        # Clients that know no thinking blocks do not send them back. Told, but never a reason to refuse: it
        # would end each of their loops after the first call.
        return Plan(_find_limit(limit, target, 0), dropped=(name,))
    if budget is None:
        budget = _BUDGETS[level]
        if limit is not None:
            if limit <= _LEAST_BUDGET:
                least = f"the {_LEAST_BUDGET} tokens that it thinks at least, in a limit of {limit}"
                losses.add(name, f"there is no room for {least}")
                return Plan(limit)
            budget = max(_LEAST_BUDGET, min(budget, limit // 2))
    # A budget that the caller names is passed on, also one above the limit: Anthropic says what is wrong.
    thinking: dict[str, object] = {"type": "enabled", "budget_tokens": budget}
    return Plan(_find_limit(limit, target, budget), thinking)


def _has_lost_thoughts(messages: Sequence[Message]) -> bool:
    """The last turn of the assistant waits for results of its calls, and none of its thoughts came back.
    https://platform.claude.com/docs/en/build-with-claude/thinking-tool-workflows
    """
    calls = False
    in_turn = False
    for message in reversed(messages):
        if message.role == "assistant":
            if any(map(is_signed, message.thinking_blocks or ())):
                return False
            calls = calls or (bool(message.tool_calls) and not in_turn)
            in_turn = True
        elif message.role == "user" and in_turn:
            break
    return calls


def _read_level(effort: str | None, model: Model, losses: Losses) -> str | None:
    """The nearest that the model has."""
    if effort is None or effort == "none":
        return None
    level = _LEVELS.get(effort)
    if level is None:
        losses.add("reasoning_effort", f"it knows no `{effort}`; there are {', '.join(_LEVELS)} and none")
    if level == "xhigh" and model.takes_adaptive and not model.takes_xhigh:
        return "high"  # `max` would cost more than was asked for
    return level


def _turn_off(chat: ChatRequest, target: Target, model: Model, losses: Losses) -> dict[str, object] | None:
    if chat.thinking is None and not model.thinks_unasked:
        return None
    if model.off is None:
        name = "reasoning_effort" if chat.thinking is None else "thinking"
        losses.add(name, f"{target.model} always thinks; `low` is the least")
        return None
    return {"type": model.off}


def _find_limit(limit: int | None, target: Target, room: int) -> int:
    """room: tokens for what it thinks, on top of the answer."""
    if limit is not None:
        return limit
    return target.max_output_tokens or _USUAL_LIMIT + room
