"""Tools for Converse: the hub's tools and choice in, `toolConfig` and what Claude's own API is told out.

Format: https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_ToolConfiguration.html

The subtle rules: Converse has no choice `none`, so the tools are left out. But a history with calls is
refused without tools ("The toolConfig field must be defined when using toolUse and toolResult content
blocks"); then they stay, those of the history where the caller gives none, and Claude is told `none` in its
own words. And Converse refuses a choice that is said twice: in `toolChoice` and as Claude's
`tool_choice.type`.
"""

from typing import Final, NamedTuple

from gateway_runtime.contract.errors import ErrorCode, GatewayError
from gateway_runtime.providers.chat.losses import Losses
from gateway_runtime.providers.chat.request import ChatRequest, Tool, is_there
from gateway_runtime.providers.wires.bedrock.conversation import Conversation
from gateway_runtime.providers.wires.bedrock.media import Block
from gateway_runtime.providers.wires.bedrock.model import Family, Model

_NO_PARAMETERS: Final[Block] = {"type": "object", "properties": {}}


class Tools(NamedTuple):
    config: Block | None = None
    choice: Block | None = None
    """Claude's `tool_choice`, for what Converse has no words for.
    https://platform.claude.com/docs/en/agents-and-tools/tool-use/implement-tool-use
    """

    @property
    def is_forced(self) -> bool:
        return self.config is not None and "toolChoice" in self.config


def build_tools(chat: ChatRequest, model: Model, conversation: Conversation, losses: Losses) -> Tools:
    claude = model.family is Family.CLAUDE
    called = conversation.called
    choice = chat.tool_choice
    if choice == "none" and not called:
        return Tools()
    tools = _build_specs(chat.tools or [], model, conversation, losses)
    if not tools:
        if not called:
            return Tools()
        # A model that is not Claude may call them; a history without its tools is rare enough.
        tools = [_build_spec(name, None, _NO_PARAMETERS) for name in called]
        return Tools({"tools": tools}, {"type": "none"} if claude else None)
    config: Block = {"tools": tools}
    if choice == "none":
        if claude:
            return Tools(config, {"type": "none"})
        losses.add("tool_choice", "it has no `none`, and no history with calls but without their tools")
    elif choice is not None and choice != "auto":
        if not model.takes_forced_tools:
            losses.add("tool_choice", "this model cannot be forced to call a tool")
        elif choice == "required":
            config["toolChoice"] = {"any": {}}
        else:
            config["toolChoice"] = {"tool": {"name": choice.function.name}}
    if chat.parallel_tool_calls is not False:
        return Tools(config)
    if not claude:
        losses.add("parallel_tool_calls", "only Claude models can be told to call one tool at a time")
        return Tools(config)
    single: Block = {"disable_parallel_tool_use": True}
    if "toolChoice" not in config:
        single["type"] = "auto"
    return Tools(config, single)


def _build_specs(tools: list[Tool], model: Model, conversation: Conversation, losses: Losses) -> list[Block]:
    built: list[Block] = []
    for place, tool in enumerate(tools):
        where = f"tools[{place}]"
        if tool.type != "function":
            losses.add(where, f"a tool `{tool.type}` is of another provider")
            continue
        function = tool.function
        if function is None:
            raise GatewayError(ErrorCode.MALFORMED_BODY, f"`{where}` does not fit: it has no `function`.")
        parameters = function.parameters if is_there(function.parameters) else _NO_PARAMETERS
        built.append(_build_spec(function.name, function.description, parameters, function.strict is True))
        if tool.cache_control is not None and model.family is Family.NOVA:
            losses.tell(f"{where}.cache_control")  # Nova caches messages and system alone
        else:
            conversation.mark(built, tool.cache_control, f"{where}.cache_control")
    return built


def _build_spec(name: str, description: str | None, parameters: object, strict: bool = False) -> Block:
    spec: Block = {"name": name, "inputSchema": {"json": parameters}}
    if description:
        spec["description"] = description
    if strict:
        spec["strict"] = True
    return {"toolSpec": spec}
