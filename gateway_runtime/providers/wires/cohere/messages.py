"""A chat's messages, from the hub's to Cohere's. `request` is the only caller.

    system, developer   system      text
    user                user        text and images
    assistant           assistant   text, thoughts, calls
    tool                tool        text

Format: https://docs.cohere.com/reference/chat, `messages`.

The subtle rule: thoughts that lead to tool calls are the `tool_plan`, all others are a block of the content.
Both stand in the same place of the prompt (https://github.com/cohere-ai/melody, its templates), but models
that think in no blocks have written the plan and know only that.
"""

from typing import Final

import msgspec

from gateway_runtime.contract.errors import ErrorCode, GatewayError
from gateway_runtime.providers.chat.losses import Losses
from gateway_runtime.providers.chat.request import (
    ImagePart,
    Message,
    Part,
    RefusalPart,
    TextPart,
    ThinkingBlock,
    ToolCall,
)

_ONLY_TEXT: Final = "only text can stand there"
_NOT_EVEN_FILES: Final = "only text and images can stand there"


def build_messages(messages: list[Message], losses: Losses, hints: list[str]) -> list[dict[str, object]]:
    """hints: gets the names of what is left out without harm. Raises GatewayError (UNSUPPORTED,
    MALFORMED_BODY).
    """
    built = []
    for place, message in enumerate(messages):
        where = f"messages[{place}]"
        if message.cache_control is not None:
            hints.append("cache_control")
        if message.name is not None and message.role != "tool":  # a tool's result is found by its call's id
            losses.add(f"{where}.name")
        match message.role:
            case "assistant":
                made = _build_assistant(message, where, losses, hints)
            case "tool":
                made = _build_result(message, where, losses, hints)
            case "user":
                made = {"role": "user", "content": _build_content(message, where, losses, hints)}
            case _:
                made = {"role": "system", "content": _build_content(message, where, losses, hints)}
        if made.get("content") == [] and message.content:
            continue  # nothing of it could be said, and Cohere refuses an empty turn
        built.append(made)
    return built


def _build_assistant(message: Message, where: str, losses: Losses, hints: list[str]) -> dict[str, object]:
    content = _build_content(message, where, losses, hints)
    built: dict[str, object] = {"role": "assistant", "content": content}
    thought = _read_thought(message, where, hints)
    if message.tool_calls:
        if thought:
            built["tool_plan"] = thought
        if not content:
            del built["content"]
        built["tool_calls"] = [
            _build_call(call, f"{where}.tool_calls[{place}]", hints)
            for place, call in enumerate(message.tool_calls)
        ]
    elif thought:
        blocks: list[object] = [{"type": "thinking", "thinking": thought}]
        if isinstance(content, list):
            blocks += content
        elif content:
            blocks.append({"type": "text", "text": content})
        built["content"] = blocks
    return built


def _read_thought(message: Message, where: str, hints: list[str]) -> str:
    blocks = message.thinking_blocks
    if not blocks:
        return message.reasoning_content or ""
    thoughts = [block.thinking for block in blocks if isinstance(block, ThinkingBlock)]
    if len(thoughts) < len(blocks):
        hints.append(f"{where}.thinking_blocks")  # what only their own provider can read
    return "\n".join(thoughts)


def _build_call(call: ToolCall, where: str, hints: list[str]) -> ToolCall:
    """Cohere's shape is the hub's: the arguments are a text."""
    if call.extra_content is None:
        return call
    hints.append(f"{where}.extra_content")
    return msgspec.structs.replace(call, extra_content=None)


def _build_result(message: Message, where: str, losses: Losses, hints: list[str]) -> dict[str, object]:
    if message.tool_call_id is None:
        raise GatewayError(
            ErrorCode.MALFORMED_BODY,
            f"`{where}.tool_call_id` is missing: say to which of the tool calls the result belongs.",
        )
    if message.is_error:
        hints.append(f"{where}.is_error")
    return {
        "role": "tool",
        "tool_call_id": message.tool_call_id,
        "content": _build_content(message, where, losses, hints) or "",  # a call without a result is refused
    }


def _build_content(
    message: Message, where: str, losses: Losses, hints: list[str]
) -> str | list[dict[str, object]]:
    content = message.content
    if content is None:
        return message.refusal or ""
    if isinstance(content, str):
        return content
    built = []
    for place, part in enumerate(content):
        block = _build_block(part, message.role == "user", hints)
        if block is None:
            why = _NOT_EVEN_FILES if message.role == "user" else _ONLY_TEXT
            losses.add(f"{where}.content[{place}]", why)
        else:
            built.append(block)
    return built


def _build_block(part: Part, images: bool, hints: list[str]) -> dict[str, object] | None:
    if isinstance(part, RefusalPart):
        return {"type": "text", "text": part.refusal}
    if isinstance(part, TextPart):
        if part.cache_control is not None:
            hints.append("cache_control")
        return {"type": "text", "text": part.text}
    if isinstance(part, ImagePart) and images:
        if part.cache_control is not None:
            hints.append("cache_control")
        return {"type": "image_url", "image_url": part.image_url}
    return None
