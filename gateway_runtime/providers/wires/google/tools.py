"""The functions that a model may call: the hub's in, Google's `tools` and `toolConfig` out.

Format: https://ai.google.dev/api/caching#FunctionDeclaration. Parameters go as `parametersJsonSchema`, which
takes JSON Schema as it is; `parameters` is an OpenAPI subset that refuses `$ref`, `const` and lists of types.
"""

from gateway_runtime.providers.chat.losses import Losses
from gateway_runtime.providers.chat.request import ChatRequest, NamedToolChoice, is_there
from gateway_runtime.providers.wires.google.api import Api


def build_tools(chat: ChatRequest, losses: Losses) -> list[dict[str, object]]:
    """Raises GatewayError UNSUPPORTED."""
    declared: list[dict[str, object]] = []
    for i, tool in enumerate(chat.tools or ()):
        function = tool.function
        if tool.type != "function" or function is None:
            losses.add(f"tools[{i}]", "only functions can be called")
            continue
        built: dict[str, object] = {"name": function.name}
        if function.description:
            built["description"] = function.description
        if is_there(function.parameters) and bytes(function.parameters) != b"{}":
            built["parametersJsonSchema"] = function.parameters
        declared.append(built)
    return [{"functionDeclarations": declared}] if declared else []


def build_tool_config(chat: ChatRequest, api: Api, losses: Losses) -> dict[str, object] | None:
    """https://ai.google.dev/gemini-api/docs/function-calling#function_calling_modes. The subtle rule:
    `strict` is not a function's there but a mode's. `ANY` holds each call to its schema, and so does
    `VALIDATED`, which is `AUTO` otherwise.
    """
    match chat.tool_choice:
        case "none":
            return _build_mode("NONE")
        case "required":
            return _build_mode("ANY")
        case NamedToolChoice(function=named):
            return _build_mode("ANY", named.name)
    strict = [i for i, tool in enumerate(chat.tools or ()) if tool.function and tool.function.strict]
    if strict and api.validates_calls:
        return _build_mode("VALIDATED")
    for i in strict:
        losses.add(f"tools[{i}].function.strict", "only a call that must come is held to its schema")
    return None


def _build_mode(mode: str, *names: str) -> dict[str, object]:
    built: dict[str, object] = {"mode": mode}
    if names:
        built["allowedFunctionNames"] = list(names)
    return {"functionCallingConfig": built}
