"""A request through litellm: the hub's chat in, the provider's path, body and headers out.

    chat -> OpenAI's JSON -> map_openai_params (the top level) -> transform_request (all of it) -> body

What litellm does to it is looked at afterwards: what was there before and is not any more was lost, and is
refused or told. It says neither by itself.

The one subtle rule: litellm has no word in where a request goes. It is given the endpoint's URL, and what it
makes of it has to begin with that, up to a `/` or `?`; a request that would go elsewhere is refused.
"""

from collections.abc import Set as AbstractSet
from typing import Final, NamedTuple

import msgspec

from gateway_runtime.contract.errors import ErrorCode, GatewayError
from gateway_runtime.providers.chat.losses import Losses
from gateway_runtime.providers.chat.request import ChatRequest, FilePart, ImagePart, Message, ResponseFormat
from gateway_runtime.providers.wire import Outgoing, Target
from gateway_runtime.providers.wires.litellm.load import Config, Json
from gateway_runtime.providers.wires.litellm.providers import KEEPS_REASONING, TAKES_TOP_K

_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(dict[str, object])
_messages_decoder = msgspec.json.Decoder(list[dict[str, object]])

_NOT_PARAMETERS: Final = frozenset(
    {"model", "messages", "stream", "stream_options", "max_tokens", "max_completion_tokens"}
)
_HUBS: Final = frozenset(ChatRequest.__struct_fields__) - _NOT_PARAMETERS
_RENAMED: Final = {
    "max_completion_tokens": ("max_tokens",),
    "max_tokens": ("max_completion_tokens",),
    "reasoning_effort": ("thinking", "reasoning", "output_config", "enable_thinking", "chat_template_kwargs"),
    "seed": ("random_seed",),
    "stop": ("stop_sequences",),
    "thinking": ("reasoning", "enable_thinking", "chat_template_kwargs"),
    "tool_choice": ("tool_choice_option",),
}
"""What providers call a member, where it is not OpenAI's name."""
_HINTS: Final = frozenset(
    {"cache_control", "detail", "is_error", "reasoning_content", "strict", "thinking_blocks"}
)
"""Members of messages, their parts and tools that may get lost without a refusal: see `losses`."""


class Destination(NamedTuple):
    provider: str
    base_url: str
    """Without a trailing slash."""
    config: Config
    """For the model."""
    model: str
    supported: AbstractSet[str]
    """OpenAI's parameters that litellm knows how to say there."""


def build_chat(
    to: Destination, chat: ChatRequest, present: AbstractSet[str], target: Target, headers: dict[str, str]
) -> Outgoing:
    """headers: all that need no key. Raises GatewayError."""
    _refuse_media(to, chat.messages)
    losses = Losses(to.provider, drop=target.drop)
    given = _encoder.encode(chat)
    parameters = _choose_parameters(to, chat, _decoder.decode(given), present, losses)
    given_messages, hints = _build_messages(to, chat)
    try:
        body, json_mode = _transform(to, parameters, _messages_decoder.decode(given_messages))
        if json_mode and chat.tools:
            losses.add("response_format", "its models have tools or a schema, not both")
            del parameters["response_format"]
            body, json_mode = _transform(to, parameters, _messages_decoder.decode(given_messages))
        path = find_path(to, stream=chat.stream is True)
    except GatewayError:
        raise
    except Exception as error:
        raise _refuse(to, error) from error
    for name in parameters:
        said = name in body or any(other in body for other in _RENAMED.get(name, ()))
        if not said and not _says_nothing(chat, name) and not (json_mode and name == "response_format"):
            losses.add(name)
    hints += _compare_messages(_messages_decoder.decode(given_messages), body.get("messages"), losses)
    hints += _compare_tools(parameters.get("tools"), body.get("tools"), losses)
    if chat.stream is True and to.config.supports_stream_param_in_request_body:
        body["stream"] = True
        if "stream_options" in to.supported:
            body["stream_options"] = {"include_usage": True}
    dropped = tuple(dict.fromkeys((*losses.dropped, *hints)))
    return Outgoing(path, _encoder.encode(body), headers, dropped)


def check_url(base_url: str, url: str) -> str:
    """The part of `url` behind `base_url`. Raises GatewayError when there is none: it leads elsewhere."""
    path = url.removeprefix(base_url)
    if not url.startswith(base_url) or path[:1] not in ("/", "?", ""):
        raise GatewayError(
            ErrorCode.UNSUPPORTED,
            "litellm would send this request elsewhere than to the provider's `baseUrl`, so it is not sent. "
            "Ask for a model of another provider.",
        )
    return path


def _choose_parameters(
    to: Destination, chat: ChatRequest, given: Json, present: AbstractSet[str], losses: Losses
) -> Json:
    """The top level, as far as litellm can say it there."""
    takes = (to.supported & _HUBS) | ({"top_k"} if to.provider in TAKES_TOP_K else set())
    idle = {name for name in present - takes if _says_nothing(chat, name)}
    losses.check(present - idle, takes)
    chosen = {name: given[name] for name in sorted(takes & present) if name in given}
    if chat.output_limit is not None:
        older, newer = "max_tokens", "max_completion_tokens"
        wanted = older if newer not in to.supported or chat.max_completion_tokens is None else newer
        chosen[wanted if wanted in to.supported else newer] = chat.output_limit
    return chosen


def _says_nothing(chat: ChatRequest, name: str) -> bool:
    """It asks for what happens anyhow."""
    match name:
        case "n":
            return chat.n == 1
        case "logprobs":
            return chat.logprobs is False
        case "top_logprobs":
            return chat.top_logprobs == 0
        case "frequency_penalty":
            return chat.frequency_penalty == 0
        case "presence_penalty":
            return chat.presence_penalty == 0
        case "logit_bias":
            return chat.logit_bias == {}
        case "parallel_tool_calls":
            return chat.parallel_tool_calls is True or not chat.tools
        case "tool_choice":
            return chat.tool_choice == "auto" or not chat.tools
        case "tools":
            return chat.tools == []
        case "stop":
            return chat.stop == []
        case "response_format":
            return chat.response_format == ResponseFormat("text")
        case "thinking":
            return chat.thinking is not None and chat.thinking.type == "disabled"
    return False


def _build_messages(to: Destination, chat: ChatRequest) -> tuple[bytes, list[str]]:
    """No developers, no members that somebody else made up; and what that cost."""
    hints: list[str] = []
    messages = []
    for place, message in enumerate(chat.messages):
        changed: dict[str, object] = {}
        if message.role == "developer":
            changed["role"] = "system"
        if message.reasoning_content is not None and to.provider not in KEEPS_REASONING:
            changed["reasoning_content"] = None
            hints.append(f"messages[{place}].reasoning_content")
        if message.thinking_blocks is not None:
            changed["thinking_blocks"] = None
            hints.append(f"messages[{place}].thinking_blocks")
        if message.is_error:
            changed["is_error"] = False
            hints.append(f"messages[{place}].is_error")
        if any(call.extra_content is not None for call in message.tool_calls or ()):
            hints.append(f"messages[{place}].tool_calls.extra_content")
            # Google's signatures, which nobody else can read.
            changed["tool_calls"] = [
                msgspec.structs.replace(call, extra_content=None) for call in message.tool_calls or ()
            ]
        messages.append(msgspec.structs.replace(message, **changed) if changed else message)
    return _encoder.encode(messages), hints


def _transform(to: Destination, parameters: Json, messages: list[Json]) -> tuple[Json, bool]:
    """The body, and whether a tool stands for the JSON schema in it. litellm may change what it is given."""
    settings: Json = {"api_base": to.base_url, "custom_llm_provider": to.provider, "drop_params": True}
    plain = {name: value for name, value in parameters.items() if name != "top_k"}
    optional = to.config.map_openai_params(
        non_default_params=_decoder.decode(_encoder.encode(plain)),
        optional_params={},
        model=to.model,
        drop_params=True,
    )
    if "top_k" in parameters:
        optional["top_k"] = parameters["top_k"]
    json_mode = optional.pop("json_mode", None) is True
    optional.pop("fake_stream", None)
    extra = optional.pop("extra_body", None)
    body = to.config.transform_request(
        model=to.model, messages=messages, optional_params=optional, litellm_params=settings, headers={}
    )
    if isinstance(extra, dict):
        body.update(extra)
    return body, json_mode


def find_path(to: Destination, *, stream: bool) -> str:
    """Behind the endpoint's URL. Raises GatewayError when litellm would send elsewhere."""
    url = to.config.get_complete_url(
        api_base=to.base_url,
        api_key="",
        model=to.model,
        optional_params={},
        litellm_params={"api_base": to.base_url},
        stream=stream,
    )
    return check_url(to.base_url, url)


def _compare_messages(before: list[Json], after: object, losses: Losses) -> list[str]:
    """What of them got lost, where they still are the same messages. Losses that are hints come back."""
    hints: list[str] = []
    if not isinstance(after, list) or before == after:
        return hints
    if len(before) != len(after):
        # Databricks has one result of a tool a turn: messages were split, and only names can be looked for.
        names = {now.get("name") for now in after if isinstance(now, dict)}
        for place, was in enumerate(before):
            name = was.get("name")
            if name is not None and name not in names and was["role"] != "tool":
                losses.add(f"messages[{place}].name")
        return hints
    for place, (was, now) in enumerate(zip(before, after, strict=True)):
        if not isinstance(now, dict) or was["role"] != now.get("role"):
            continue
        where = f"messages[{place}]"
        _compare(was, now, where, losses, hints)
        parts, there = was.get("content"), now.get("content")
        if not isinstance(parts, list):
            continue
        if not isinstance(there, list):
            # Made a text of, for models that take texts alone; what is none is gone.
            for index, part in enumerate(parts):
                if part["type"] != "text":
                    losses.add(f"{where}.content[{index}]", "its models take text alone")
                elif part.get("cache_control") is not None:
                    hints.append(f"{where}.content[{index}].cache_control")
        elif len(parts) == len(there):
            for index, (part, other) in enumerate(zip(parts, there, strict=True)):
                _compare(part, other, f"{where}.content[{index}]", losses, hints)
    return hints


def _compare_tools(before: object, after: object, losses: Losses) -> list[str]:
    hints: list[str] = []
    if isinstance(before, list) and isinstance(after, list) and before != after and len(before) == len(after):
        for place, (was, now) in enumerate(zip(before, after, strict=True)):
            _compare(was, now, f"tools[{place}]", losses, hints)
            if "function" in was and "function" in now:
                _compare(was["function"], now["function"], f"tools[{place}].function", losses, hints)
    return hints


def _compare(was: Json, now: Json, where: str, losses: Losses, hints: list[str]) -> None:
    for name, value in was.items():
        if name in now or value in (None, "", []):
            continue
        if name == "name" and was.get("role") == "tool":
            continue  # it is in the call already
        if name == "cache_control" and _is_marked(now.get("content")):
            continue  # the mark of the message has become one of its content
        if name in _HINTS:
            hints.append(name if name == "cache_control" else f"{where}.{name}")
        else:
            losses.add(f"{where}.{name}")


def _is_marked(content: object) -> bool:
    return isinstance(content, list) and any("cache_control" in part for part in content)


def _refuse_media(to: Destination, messages: list[Message]) -> None:
    """litellm fetches some by itself, where and when nobody expects it."""
    for place, message in enumerate(messages):
        for index, part in enumerate(message.content if isinstance(message.content, list) else ()):
            url = ""
            if isinstance(part, ImagePart):
                url = part.image_url.url
            elif isinstance(part, FilePart):
                url = part.file.file_data or ""
            if url.startswith(("http://", "https://")):
                raise GatewayError(
                    ErrorCode.UNSUPPORTED,
                    f"`messages[{place}].content[{index}]` has to bring its data along for {to.provider}: "
                    "write a `data:` URL.",
                )


def _refuse(to: Destination, error: Exception) -> GatewayError:
    """litellm's words without its name for them; no key was given to it."""
    words = str(error).partition("\n")[0].rpartition("Error: ")[2] or type(error).__name__
    return GatewayError(
        ErrorCode.UNSUPPORTED,
        f"litellm cannot say this request in {to.provider}'s API: {words[:300].rstrip('.')}. Change it, or "
        "ask for a model of another provider.",
    )
