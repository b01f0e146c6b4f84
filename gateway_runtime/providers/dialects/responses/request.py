"""A request to the Responses API: the caller's body in, the hub's request out.

Format: https://platform.openai.com/docs/api-reference/responses/create. Most members have a twin in chat
completions. Those that have none, and what is done:

    include                what is asked for beside the answer; log probabilities are, reasoning always comes
    max_tool_calls         counts calls of OpenAI's own tools, which are told by themselves
    reasoning.summary      the summary always comes, where the model thinks aloud
    store                  false is what the gateway does; true is a hint
    background, truncation their default says nothing
    any other              keeps its own name, which no wire takes

The subtle rule: the limit becomes `max_tokens`, which every wire and most servers know; the wire of a model
that wants the newer name writes that.
"""

from collections.abc import Mapping
from typing import Final

import msgspec

from gateway_runtime.contract.errors import ErrorCode, GatewayError
from gateway_runtime.providers.chat.request import (
    ABSENT,
    ChatRequest,
    Function,
    JsonSchema,
    Message,
    NamedToolChoice,
    ResponseFormat,
    StreamOptions,
    Tool,
    ToolChoice,
    is_there,
    refuse_member,
)
from gateway_runtime.providers.dialect import Asked
from gateway_runtime.providers.dialects.responses.items import read_items
from gateway_runtime.providers.request_body import RequestBody


class _Format(msgspec.Struct):
    type: str = "text"
    name: str = ""
    schema: msgspec.Raw = ABSENT
    description: str | None = None
    strict: bool | None = None


class _Text(msgspec.Struct):
    format: _Format | None = None
    verbosity: str | None = None


class _Reasoning(msgspec.Struct):
    effort: str | None = None


class _Tool(msgspec.Struct):
    type: str
    name: str | None = None
    description: str | None = None
    parameters: msgspec.Raw = ABSENT
    strict: bool | None = None


class _ToolChoice(msgspec.Struct):
    type: str
    name: str | None = None
    mode: str | None = None
    tools: list[_Tool] | None = None


class _Request(msgspec.Struct):
    model: str
    input: msgspec.Raw = ABSENT
    instructions: str | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    max_output_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_logprobs: int | None = None
    user: str | None = None
    tools: list[_Tool] | None = None
    tool_choice: str | _ToolChoice | None = None
    parallel_tool_calls: bool | None = None
    text: _Text | None = None
    reasoning: _Reasoning | None = None
    metadata: dict[str, str] | None = None
    service_tier: str | None = None
    include: list[str] | None = None
    store: bool | None = None
    background: bool | None = None
    truncation: str | None = None


_AS_THEY_ARE: Final = frozenset(
    {"metadata", "model", "parallel_tool_calls", "service_tier", "stream", "temperature", "top_p", "user"}
)
"""The hub's names as well."""

_READ: Final = _AS_THEY_ARE | frozenset({*_Request.__struct_fields__, "max_tool_calls"})
"""Members that are looked at one by one."""

_LOGPROBS: Final = "message.output_text.logprobs"

_decoder = msgspec.json.Decoder(_Request)


def read_request(body: RequestBody) -> Asked:
    """Raises GatewayError MALFORMED_BODY, which names the member."""
    try:
        asked = _decoder.decode(body.build(body.model, ask_usage=False))
        present = _find_present(asked, body.members)
        messages = _read_messages(asked, present)
    except msgspec.DecodeError as error:  # its JSON is known to be whole: `request_body` has read it
        raise refuse_member(str(error)) from error
    chat = ChatRequest(
        model=asked.model,
        messages=messages,
        stream=asked.stream,
        stream_options=asked.stream_options,
        max_tokens=asked.max_output_tokens,
        temperature=asked.temperature,
        top_p=asked.top_p,
        logprobs=True if "logprobs" in present else None,
        top_logprobs=asked.top_logprobs or None,
        user=asked.user,
        tools=_read_tools(asked),
        tool_choice=_read_tool_choice(asked, present),
        parallel_tool_calls=asked.parallel_tool_calls,
        response_format=_read_format(asked, present),
        reasoning_effort=None if asked.reasoning is None else asked.reasoning.effort,
        metadata=asked.metadata,
        service_tier=asked.service_tier,
    )
    return Asked(chat, present)


def _find_present(asked: _Request, members: Mapping[str, msgspec.Raw]) -> set[str]:
    names = {name for name, value in members.items() if is_there(value)}
    present = (names & _AS_THEY_ARE) | (names - _READ) | {"messages"}
    text, reasoning = asked.text or _Text(), asked.reasoning or _Reasoning()
    said = {
        "stream_options": asked.stream_options is not None,
        "max_tokens": asked.max_output_tokens is not None,
        "logprobs": bool(asked.top_logprobs) or _LOGPROBS in (asked.include or ()),
        "top_logprobs": bool(asked.top_logprobs),
        "tools": bool(asked.tools),
        "tool_choice": asked.tool_choice is not None,
        "response_format": text.format is not None,
        "verbosity": text.verbosity not in (None, "medium"),
        "reasoning_effort": reasoning.effort is not None,
        "store": asked.store is True,
        "background": asked.background is True,
        "truncation": asked.truncation not in (None, "disabled"),
    }
    return present | {name for name, is_said in said.items() if is_said}


def _read_messages(asked: _Request, present: set[str]) -> list[Message]:
    if not is_there(asked.input):
        raise GatewayError(
            ErrorCode.MALFORMED_BODY,
            "`input` is missing. Send a text, or all items of the conversation: the gateway keeps none.",
        )
    messages = read_items(asked.input, present)
    return messages if asked.instructions is None else [Message("system", asked.instructions), *messages]


def _read_tools(asked: _Request) -> list[Tool] | None:
    if not asked.tools:
        return None
    allowed = None
    choice = asked.tool_choice
    if isinstance(choice, _ToolChoice) and choice.type == "allowed_tools":
        allowed = {(tool.type, tool.name) for tool in choice.tools or ()}
    tools = []
    for place, tool in enumerate(asked.tools):
        if allowed is not None and (tool.type, tool.name) not in allowed:
            continue
        function = None
        if tool.type == "function":
            if tool.name is None:
                raise GatewayError(ErrorCode.MALFORMED_BODY, f"`tools[{place}].name` is missing.")
            function = Function(tool.name, tool.description, tool.parameters, tool.strict)
        tools.append(Tool(tool.type, function))
    return tools or None


def _read_tool_choice(asked: _Request, present: set[str]) -> ToolChoice | None:
    """A tool of OpenAI's own by name is told as `tool_choice.type`. `allowed_tools` becomes its mode, among
    the tools that it lists: https://platform.openai.com/docs/guides/function-calling#allowed-tools.
    """
    choice = asked.tool_choice
    if isinstance(choice, _ToolChoice):
        if choice.type == "function" and choice.name is not None:
            return msgspec.convert({"type": "function", "function": {"name": choice.name}}, NamedToolChoice)
        if choice.type != "allowed_tools":
            present.discard("tool_choice")
            present.add("tool_choice.type")
            return None
        choice = choice.mode
    if choice == "auto" or choice is None:
        return None if choice is None else "auto"
    if choice == "none":
        return "none"
    if choice == "required":
        return "required"
    raise GatewayError(
        ErrorCode.MALFORMED_BODY, "`tool_choice` must be `none`, `auto`, `required`, or an object."
    )


def _read_format(asked: _Request, present: set[str]) -> ResponseFormat | None:
    found = asked.text.format if asked.text is not None else None
    if found is None:
        return None
    match found.type:
        case "text":
            return ResponseFormat("text")
        case "json_object":
            return ResponseFormat("json_object")
        case "json_schema":
            schema = JsonSchema(found.name, found.schema, found.description, found.strict)
            return ResponseFormat("json_schema", schema)
    present.discard("response_format")
    present.add("text.format.type")  # such as a grammar
    return None
