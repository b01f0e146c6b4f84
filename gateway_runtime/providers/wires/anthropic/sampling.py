"""`temperature`, `top_p` and `top_k`: how the next token is chosen.

OpenAI's scale ends at 2, Anthropic's at 1, and the same number means about the same on both. What a model
takes is told in `models`; while it thinks, it takes less:
https://platform.claude.com/docs/en/build-with-claude/extended-thinking (feature compatibility).

The subtle rule: a default is no wish. Many clients write `temperature: 1` and `top_p: 1` into each request;
both stay away, so that no rule about them is broken by what changes nothing.
"""

from typing import Final

from gateway_runtime.providers.chat.losses import Losses
from gateway_runtime.providers.chat.request import ChatRequest
from gateway_runtime.providers.wires.anthropic.models import Model

_LEAST_TOP_P_THINKING: Final = 0.95


def build_sampling(chat: ChatRequest, model: Model, losses: Losses, *, thinks: bool) -> dict[str, object]:
    """Members of the body. thinks: it was told to. Raises GatewayError UNSUPPORTED, through `losses`."""
    if model.samples == "freely":
        given = {"temperature": chat.temperature, "top_p": chat.top_p, "top_k": chat.top_k}
        return {name: value for name, value in given.items() if value is not None}
    temperature = None if chat.temperature == 1 else chat.temperature
    top_p = None if chat.top_p == 1 else chat.top_p
    top_k = chat.top_k
    if temperature is not None and temperature > 1:
        losses.add("temperature", "it ends at 1 there")
        temperature = None  # which is 1
    if model.samples == "by_itself":
        why = "this model takes its default alone"
        for name, value in (("temperature", temperature), ("top_p", top_p), ("top_k", top_k)):
            if value is not None:
                losses.add(name, why)
        return {}
    if thinks:
        if temperature is not None:
            losses.add("temperature", "a model that thinks takes 1 alone")
            temperature = None
        if top_p is not None and top_p < _LEAST_TOP_P_THINKING:
            losses.add("top_p", f"a model that thinks takes {_LEAST_TOP_P_THINKING} to 1 alone")
            top_p = None
        if top_k is not None:
            losses.add("top_k", "a model that thinks takes none")
            top_k = None
    if model.samples == "by_one" and temperature is not None and top_p is not None:
        losses.add("top_p", "this model takes `temperature` or `top_p`, not both")
        top_p = None
    built: dict[str, object] = {}
    if temperature is not None:
        built["temperature"] = temperature
    if top_p is not None:
        built["top_p"] = top_p
    if top_k is not None:
        built["top_k"] = top_k
    return built
