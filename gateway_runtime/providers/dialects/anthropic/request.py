"""A body of Anthropic's Messages API in, the hub's ChatRequest out, and with it the names of what was said.

    Anthropic's                               the hub's
    system                                    a message before all others
    stop_sequences                            stop
    metadata.user_id                          user
    tool_choice.type any / tool               tool_choice required / by its name
    tool_choice.disable_parallel_tool_use     parallel_tool_calls
    output_config, output_format              reasoning_effort, response_format
    service_tier standard_only                service_tier default
    cache_control, of the whole request       the last message's mark
    a tool with a `type` of Anthropic's own   a tool of that type, without a function

The subtle rule: what the hub does not know is not dropped here. Its name, or its place, is left in
`Asked.present`, where the wire that is asked in the end finds it and refuses or drops it; see `losses`. What
says no more than its absence would (`thinking` disabled, an empty `mcp_servers`) is not left there. Hints on
how Anthropic itself treats a tool (`defer_loading`, `eager_input_streaming`, `input_examples`) change nothing
that another provider could do, and are passed over.

Format: https://docs.anthropic.com/en/api/messages.
"""

from typing import Final, Literal, NamedTuple

import msgspec

from gateway_runtime.contract.errors import ErrorCode, GatewayError
from gateway_runtime.providers.chat.request import (
    ABSENT,
    CacheControl,
    ChatRequest,
    Function,
    NamedToolChoice,
    Thinking,
    Tool,
    ToolChoice,
    is_there,
    refuse_member,
)
from gateway_runtime.providers.dialect import Asked
from gateway_runtime.providers.dialects.anthropic.block import Block, Turn
from gateway_runtime.providers.dialects.anthropic.output_config import (
    OutputConfig,
    OutputFormat,
    build_effort,
    build_format,
    find_unknown,
)
from gateway_runtime.providers.dialects.anthropic.turns import build_messages, build_system
from gateway_runtime.providers.request_body import RequestBody


class _Tool(msgspec.Struct):
    type: str | None = None
    name: str | None = None
    description: str | None = None
    input_schema: msgspec.Raw = ABSENT
    strict: bool | None = None
    cache_control: CacheControl | None = None


class _ToolChoice(msgspec.Struct):
    type: Literal["auto", "any", "tool", "none"]
    name: str | None = None
    disable_parallel_tool_use: bool | None = None


class _Thinking(msgspec.Struct):
    type: str
    budget_tokens: int | None = None


class _Metadata(msgspec.Struct):
    user_id: str | None = None


class _Body(msgspec.Struct):
    model: str
    messages: list[Turn]
    max_tokens: int | None = None
    system: str | list[Block] | None = None
    stream: bool | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    stop_sequences: list[str] | None = None
    tools: list[_Tool] | None = None
    tool_choice: _ToolChoice | None = None
    thinking: _Thinking | None = None
    metadata: _Metadata | None = None
    output_config: OutputConfig | None = None
    output_format: OutputFormat | None = None
    service_tier: str | None = None
    cache_control: CacheControl | None = None


class _Edit(msgspec.Struct):
    type: Literal["clear_thinking_20251015"]
    keep: Literal["all"]


class _NoEdits(msgspec.Struct, forbid_unknown_fields=True):
    """A `context_management` that changes nothing."""

    edits: list[_Edit] = []


class _Choice(NamedTuple):
    tool: ToolChoice | None = None
    parallel: bool | None = None


_decoder = msgspec.json.Decoder(_Body)
_no_edits_decoder = msgspec.json.Decoder(_NoEdits)

_KNOWN: Final = frozenset(_Body.__struct_fields__)
_FOREIGN: Final = frozenset(ChatRequest.__struct_fields__) - _KNOWN
"""The hub's names of things that the Messages API does not have: a wire would take them for said and done."""
_NOTHING: Final = frozenset({b"null", b"[]", b"{}", b'""', b"false"})
_SAID_BY_DEFAULT: Final = {"speed": b'"standard"'}
_SERVICE_TIERS: Final = {"standard_only": "default"}


def read_messages(body: RequestBody) -> Asked:
    """Raises GatewayError MALFORMED_BODY, which names the member."""
    decoded = _decode(body)
    if decoded.max_tokens is None:
        raise GatewayError(
            ErrorCode.MALFORMED_BODY,
            "`max_tokens` is missing. The Messages API wants a limit in every request; add one, "
            'for example "max_tokens": 1024.',
        )
    return _build(decoded, body)


def read_count(body: RequestBody) -> Asked:
    """The same for a request whose tokens are to be counted, which has no limit. Raises as the other."""
    return _build(_decode(body), body)


def _decode(body: RequestBody) -> _Body:
    try:
        return _decoder.decode(body.build(body.model, ask_usage=False))
    except msgspec.ValidationError as error:
        raise refuse_member(str(error)) from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise GatewayError(
            ErrorCode.MALFORMED_BODY, f"The request body is not valid JSON: {error}."
        ) from error


def _build(body: _Body, raw: RequestBody) -> Asked:
    lost: set[str] = set()
    messages = [build_system(body.system, lost)] if body.system else []
    messages += build_messages(body.messages, lost)
    if body.cache_control is not None and messages:
        messages[-1] = msgspec.structs.replace(messages[-1], cache_control=body.cache_control)
    choice = _Choice() if body.tool_choice is None else _build_choice(body.tool_choice)
    tier = body.service_tier
    chat = ChatRequest(
        model=body.model,
        messages=messages,
        stream=body.stream,
        max_tokens=body.max_tokens,
        temperature=body.temperature,
        top_p=body.top_p,
        top_k=body.top_k,
        stop=body.stop_sequences or None,
        user=None if body.metadata is None else body.metadata.user_id,
        tools=[_build_tool(tool, place) for place, tool in enumerate(body.tools)] if body.tools else None,
        tool_choice=choice.tool,
        parallel_tool_calls=choice.parallel,
        response_format=build_format(body.output_config, body.output_format),
        reasoning_effort=build_effort(body.output_config),
        thinking=_build_thinking(body.thinking),
        service_tier=None if tier is None else _SERVICE_TIERS.get(tier, tier),
    )
    return Asked(chat, _find_present(chat) | _find_unknown(body, raw) | lost)


def _build_tool(tool: _Tool, place: int) -> Tool:
    if tool.type is not None and tool.type != "custom":
        return Tool(tool.type, cache_control=tool.cache_control)
    if tool.name is None or not is_there(tool.input_schema):
        missing = "name" if tool.name is None else "input_schema"
        raise GatewayError(
            ErrorCode.MALFORMED_BODY, f"`tools[{place}]` does not fit: its `{missing}` is missing."
        )
    function = Function(tool.name, tool.description, tool.input_schema, tool.strict)
    return Tool("function", function, tool.cache_control)


def _build_choice(choice: _ToolChoice) -> _Choice:
    parallel = False if choice.disable_parallel_tool_use else None
    if choice.type != "tool":
        return _Choice("required" if choice.type == "any" else choice.type, parallel)
    if choice.name is None:
        raise GatewayError(ErrorCode.MALFORMED_BODY, "`tool_choice` does not fit: its `name` is missing.")
    return _Choice(msgspec.convert(_name_tool(choice.name), NamedToolChoice), parallel)


def _name_tool(name: str) -> dict[str, object]:
    return {"type": "function", "function": {"name": name}}


def _build_thinking(thinking: _Thinking | None) -> Thinking | None:
    if thinking is None:
        return None
    match thinking.type:
        case "enabled" | "disabled" | "adaptive":
            return Thinking(thinking.type, thinking.budget_tokens)
        case _:
            return None


def _find_present(chat: ChatRequest) -> set[str]:
    present = {name for name in _SAID if getattr(chat, name) is not None}
    if chat.tool_choice == "auto":
        present.discard("tool_choice")
    if chat.thinking is not None and chat.thinking.type == "disabled":
        present.discard("thinking")
    return present


_SAID: Final = tuple(ChatRequest.__struct_fields__)


def _find_unknown(body: _Body, raw: RequestBody) -> set[str]:
    """The caller's own names of what the hub does not know."""
    unknown: set[str] = set()
    for name, value in raw.members.items():
        if name in _KNOWN or bytes(value) in _NOTHING or bytes(value) == _SAID_BY_DEFAULT.get(name):
            continue
        if name in _FOREIGN:
            raise GatewayError(
                ErrorCode.MALFORMED_BODY,
                f"`{name}` is no part of Anthropic's Messages API. Leave it out, or send the request in "
                "OpenAI's form to /v1/chat/completions.",
            )
        if name != "context_management" or _edits_context(value):
            unknown.add(name)
    if body.output_config is not None:
        unknown.update(find_unknown(raw.members["output_config"]))
    if body.thinking is not None and _build_thinking(body.thinking) is None:
        unknown.add("thinking.type")
    return unknown


def _edits_context(value: msgspec.Raw) -> bool:
    """Claude Code asks in each request that all thinking be kept, which it is. Format:
    https://docs.anthropic.com/en/docs/build-with-claude/context-editing.
    """
    try:
        _no_edits_decoder.decode(value)
    except msgspec.DecodeError:
        return True
    return False
