"""Tools and the choice among them: the hub's in, Anthropic's out.

https://platform.claude.com/docs/en/agents-and-tools/tool-use/define-tools,
https://platform.claude.com/docs/en/agents-and-tools/tool-use/strict-tool-use.

The subtle rule: a conversation in which tools were called must name tools, also when none may be called any
more. OpenAI does not ask for that, so callers leave them out; then those that were called are named, and
`none` is the choice.
"""

from typing import Final

import msgspec

from gateway_runtime.contract.errors import ErrorCode, GatewayError
from gateway_runtime.providers.chat.losses import Losses
from gateway_runtime.providers.chat.request import ChatRequest, Function, NamedToolChoice, Tool, is_there
from gateway_runtime.providers.wire import Target
from gateway_runtime.providers.wires.anthropic.models import Model
from gateway_runtime.providers.wires.anthropic.schema import build_schema

_NO_PARAMETERS: Final = msgspec.Raw(b'{"type":"object","properties":{}}')
_MEMBERS: Final = {"type": msgspec.Raw(b'"object"'), "properties": msgspec.Raw(b"{}")}
_CHOICES: Final = {"none": "none", "auto": "auto", "required": "any"}


class _Typed(msgspec.Struct):
    type: msgspec.Raw = msgspec.Raw()


_typed_decoder = msgspec.json.Decoder(_Typed)
_members_decoder = msgspec.json.Decoder(dict[str, msgspec.Raw])
_encoder = msgspec.json.Encoder()


def is_forced(chat: ChatRequest) -> bool:
    """The model has to call a tool."""
    return chat.tool_choice == "required" or isinstance(chat.tool_choice, NamedToolChoice)


def build_tools(chat: ChatRequest, target: Target, model: Model, losses: Losses) -> dict[str, object]:
    """Members of the body. Raises GatewayError: MALFORMED_BODY, UNSUPPORTED through `losses`."""
    if not chat.tools:
        if is_forced(chat):
            raise GatewayError(
                ErrorCode.MALFORMED_BODY, "`tool_choice` asks for a tool to be called, and `tools` has none."
            )
        return _build_called(chat)
    found = [_build_tool(tool, place, model, losses) for place, tool in enumerate(chat.tools)]
    tools = [tool for tool in found if tool is not None]
    choice = _build_choice(chat, target, model, losses)
    if not tools:  # all of them were dropped
        return _build_called(chat)
    return {"tools": tools} if choice is None else {"tools": tools, "tool_choice": choice}


def _build_tool(tool: Tool, place: int, model: Model, losses: Losses) -> dict[str, object] | None:
    function = tool.function
    if tool.type != "function":
        losses.add(f"tools[{place}]", f"a tool of the type `{tool.type}` belongs to another API")
        return None
    if function is None:
        raise GatewayError(ErrorCode.MALFORMED_BODY, f"`tools[{place}].function` is missing.")
    where = f"tools[{place}].function"
    built: dict[str, object] = {"name": function.name}
    if function.description:
        built["description"] = function.description
    strict = function.strict is True
    if strict and not model.takes_schemas:
        losses.add(f"{where}.strict", "this model has no structured outputs")
        strict = False
    schema = _build_input_schema(function, where)
    if strict:
        built["input_schema"] = build_schema(schema, f"{where}.parameters", losses)
        built["strict"] = True
    else:
        built["input_schema"] = schema
    if tool.cache_control is not None:
        built["cache_control"] = tool.cache_control
    return built


def _build_input_schema(function: Function, where: str) -> msgspec.Raw:
    """As the caller wrote it; with the type, which Anthropic insists on, where it is missing."""
    if not is_there(function.parameters):
        return _NO_PARAMETERS
    try:
        if is_there(_typed_decoder.decode(function.parameters).type):
            return function.parameters
        members = _members_decoder.decode(function.parameters)
        return msgspec.Raw(_encoder.encode(_MEMBERS | members))
    except msgspec.DecodeError as error:
        raise GatewayError(
            ErrorCode.MALFORMED_BODY, f"`{where}.parameters` must be a JSON Schema: an object."
        ) from error


def _build_choice(
    chat: ChatRequest, target: Target, model: Model, losses: Losses
) -> dict[str, object] | None:
    """None: nothing needs saying."""
    choice = chat.tool_choice
    if is_forced(chat) and not model.takes_forced_tools:
        losses.add("tool_choice", f"{target.model} decides by itself whether it calls a tool")
        choice = None
    built: dict[str, object] = {"type": "auto"}
    if isinstance(choice, NamedToolChoice):
        built = {"type": "tool", "name": choice.function.name}
    elif choice is not None:
        built = {"type": _CHOICES[choice]}
    if chat.parallel_tool_calls is False and choice != "none":
        built["disable_parallel_tool_use"] = True
    return None if built == {"type": "auto"} else built


def _build_called(chat: ChatRequest) -> dict[str, object]:
    called = {call.function.name for message in chat.messages for call in message.tool_calls or ()}
    if not called:
        return {}
    tools = [{"name": name, "input_schema": _NO_PARAMETERS} for name in sorted(called)]
    return {"tools": tools, "tool_choice": {"type": "none"}}
