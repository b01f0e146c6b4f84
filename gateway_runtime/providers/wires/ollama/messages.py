"""A chat's messages, from the hub's to Ollama's. `request` is the only caller.

    system, developer   system      text
    user                user        text, images beside it
    assistant           assistant   text, thoughts, calls
    tool                tool        text, images beside it, and the tool's name

Format: https://github.com/ollama/ollama/blob/main/docs/api.md#generate-a-chat-completion.

The subtle rule: what the hub keeps as a text Ollama wants taken apart. A call's arguments are an object, an
image is its base64 alone, and a tool's result is found by the tool's name, so the name is looked up among
the calls; the ids, which newer servers read, come along.
"""

from typing import Final

import msgspec

from gateway_runtime.contract.errors import ErrorCode, GatewayError
from gateway_runtime.providers.chat.losses import Losses
from gateway_runtime.providers.chat.request import (
    ImagePart,
    Message,
    RefusalPart,
    TextPart,
    ThinkingBlock,
    ToolCall,
)

_BETWEEN_TEXTS: Final = "\n"
"""Ollama has one text for each message. The parts that a caller makes are apart; a guess."""

_object_decoder = msgspec.json.Decoder(dict[str, msgspec.Raw])


def build_messages(messages: list[Message], losses: Losses, hints: list[str]) -> list[dict[str, object]]:
    """hints: gets the names of what is left out without harm. Raises GatewayError (UNSUPPORTED,
    MALFORMED_BODY).
    """
    built = []
    names: dict[str, str] = {}
    for place, message in enumerate(messages):
        where = f"messages[{place}]"
        role = "system" if message.role == "developer" else message.role
        if message.cache_control is not None:
            hints.append("cache_control")
        if message.name is not None and role != "tool":
            losses.add(f"{where}.name")
        made: dict[str, object] = {"role": role}
        if isinstance(message.content, str):
            made["content"] = message.content
        else:
            _add_content(made, message, where, losses, hints)
        if role == "assistant":
            _add_thought_and_calls(made, message, where, hints)
            for call in message.tool_calls or ():
                names[call.id] = call.function.name
        elif role == "tool":
            _add_tool(made, message, names, where, hints)
        built.append(made)
    return built


def _add_content(
    made: dict[str, object], message: Message, where: str, losses: Losses, hints: list[str]
) -> None:
    texts = [] if message.refusal is None or message.content else [message.refusal]
    images = []
    for place, part in enumerate(message.content or ()):
        here = f"{where}.content[{place}]"
        if isinstance(part, TextPart):
            texts.append(part.text)
        elif isinstance(part, RefusalPart):
            texts.append(part.refusal)
            continue
        elif isinstance(part, ImagePart) and message.role in ("user", "tool"):
            images.append(_read_image(part, here, hints))
        else:
            losses.add(here, "it takes text, and images of users and tools")
            continue
        if part.cache_control is not None:
            hints.append("cache_control")
    made["content"] = _BETWEEN_TEXTS.join(texts)
    if images:
        made["images"] = images


def _read_image(part: ImagePart, where: str, hints: list[str]) -> str:
    if part.image_url.detail not in (None, "auto"):
        hints.append(f"{where}.image_url.detail")
    head, comma, data = part.image_url.url.partition(",")
    if not comma or not head.startswith("data:") or not head.endswith(";base64"):
        raise GatewayError(
            ErrorCode.UNSUPPORTED,
            f"`{where}.image_url.url` cannot be said in Ollama's API: it takes images in the request alone. "
            "Send the image as `data:image/png;base64,...`.",
        )
    return data


def _add_thought_and_calls(made: dict[str, object], message: Message, where: str, hints: list[str]) -> None:
    thought = _read_thought(message, where, hints)
    if thought:
        made["thinking"] = thought
    if message.tool_calls:
        made["tool_calls"] = [
            _build_call(call, f"{where}.tool_calls[{place}]", hints)
            for place, call in enumerate(message.tool_calls)
        ]


def _read_thought(message: Message, where: str, hints: list[str]) -> str:
    blocks = message.thinking_blocks
    if not blocks:
        return message.reasoning_content or ""
    thoughts = [block.thinking for block in blocks if isinstance(block, ThinkingBlock)]
    if len(thoughts) < len(blocks):
        hints.append(f"{where}.thinking_blocks")  # what only their own provider can read
    return _BETWEEN_TEXTS.join(thoughts)


def _build_call(call: ToolCall, where: str, hints: list[str]) -> dict[str, object]:
    if call.extra_content is not None:
        hints.append(f"{where}.extra_content")
    arguments = call.function.arguments or "{}"  # some models write nothing for no arguments
    try:
        _object_decoder.decode(arguments)
    except (msgspec.DecodeError, RecursionError) as error:
        raise GatewayError(
            ErrorCode.MALFORMED_BODY,
            f"`{where}.function.arguments` must be the text of a JSON object, which Ollama's API wants as an "
            f"object: {error}.",
        ) from error
    return {"id": call.id, "function": {"name": call.function.name, "arguments": msgspec.Raw(arguments)}}


def _add_tool(
    made: dict[str, object], message: Message, names: dict[str, str], where: str, hints: list[str]
) -> None:
    if message.is_error:
        hints.append(f"{where}.is_error")
    name = message.name or names.get(message.tool_call_id or "")
    if name:
        made["tool_name"] = name
    if message.tool_call_id is not None:
        made["tool_call_id"] = message.tool_call_id
