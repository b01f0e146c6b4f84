"""How the next token is chosen: the caller's `temperature`, `top_p` and `top_k` in, Converse's
`inferenceConfig` and the fields of makers out.

OpenAI's temperature ends at 2, Converse's at 1, and the same number means about the same on both. `top_k` is
Claude's `top_k` and Nova's `inferenceConfig.topK`:
https://docs.aws.amazon.com/nova/latest/userguide/using-converse-api.html

The subtle rule: a default is no wish. Many clients write `temperature: 1` and `top_p: 1` into each request;
for a Claude both stay away, so that no rule about them is broken by what changes nothing.
"""

from typing import Final

from gateway_runtime.providers.chat.losses import Losses
from gateway_runtime.providers.chat.request import ChatRequest
from gateway_runtime.providers.wires.bedrock.media import Block
from gateway_runtime.providers.wires.bedrock.model import Family, Model

_LEAST_TOP_P_THINKING: Final = 0.95


def add_sampling(
    chat: ChatRequest, model: Model, losses: Losses, inference: Block, fields: Block, *, thinks: bool
) -> None:
    """inference, fields: to be added to. thinks: a Claude was told to. Raises GatewayError UNSUPPORTED,
    through `losses`.
    """
    temperature, top_p, top_k = chat.temperature, chat.top_p, chat.top_k
    if temperature is not None and temperature > 1:
        losses.add("temperature", "it ends at 1 there")
        temperature = None
    if model.family is Family.CLAUDE:
        temperature = None if temperature == 1 else temperature
        top_p = None if top_p == 1 else top_p
        lost = _find_refused(model, temperature, top_p, top_k, thinks=thinks)
        for name, why in lost.items():
            losses.add(name, why)
        temperature = None if "temperature" in lost else temperature
        top_p = None if "top_p" in lost else top_p
        top_k = None if "top_k" in lost else top_k
    if temperature is not None:
        inference["temperature"] = temperature
    if top_p is not None:
        inference["topP"] = top_p
    if top_k is None:
        return
    if model.family is Family.CLAUDE:
        fields["top_k"] = top_k
    elif model.family is Family.NOVA:
        fields["inferenceConfig"] = {"topK": top_k}
    else:
        losses.add("top_k", "only Claude and Nova models take it")


def _find_refused(
    model: Model, temperature: float | None, top_p: float | None, top_k: int | None, *, thinks: bool
) -> dict[str, str]:
    """What a Claude answers with a 400, and why."""
    given = {"temperature": temperature, "top_p": top_p, "top_k": top_k}
    if model.samples == "by_itself":
        why = "this model takes its default alone"
        return {name: why for name, value in given.items() if value is not None}
    lost: dict[str, str] = {}
    if thinks:
        if temperature is not None:
            lost["temperature"] = "a model that thinks takes 1 alone"
        if top_p is not None and top_p < _LEAST_TOP_P_THINKING:
            lost["top_p"] = f"a model that thinks takes {_LEAST_TOP_P_THINKING} to 1 alone"
        if top_k is not None:
            lost["top_k"] = "a model that thinks takes none"
    elif model.samples == "by_one" and temperature is not None and top_p is not None:
        lost["top_p"] = "this model takes `temperature` or `top_p`, not both"
    return lost
