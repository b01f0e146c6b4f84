"""The messages of a chat, as OpenAI's API takes them: the hub's in, those for the provider's JSON out.

Format: https://platform.openai.com/docs/api-reference/chat/create#chat_create-messages. What has no place in
it, and what is done:

    cache_control        left out and told: OpenAI's cache finds the beginning of a prompt by itself
    is_error             the result's text says so, with `Error: ` before it
    reasoning_content,   left out and told: OpenAI, Groq and Mistral refuse a message with a member that they
    thinking_blocks      do not know, and their models see no earlier reasoning. For the others, see `manner`
    media in a result    moved into a message of the user behind the results: a tool's message is text alone
    developer            system. OpenAI gives its newer models a system message as a developer's, wants no two
                         kinds in one request, and older servers know `system` alone

The subtle rule: several pieces of text become one, with a line end between them, as vLLM does it. A list of
pieces is the vocabulary, too, but DeepSeek and many a chat template take strings only.
"""

import hashlib
from typing import Final

from gateway_runtime.providers.chat.losses import Losses
from gateway_runtime.providers.chat.request import (
    AudioPart,
    File,
    FilePart,
    ImagePart,
    Message,
    Part,
    RefusalPart,
    TextPart,
    ThinkingBlock,
    ToolCall,
)
from gateway_runtime.providers.wires.openai.manner import Manner

_LONGEST_CALL_ID: Final = 40
"""OpenAI refuses a longer one with a 400, and other providers give such."""

_FILE_NAMES: Final = {"application/pdf": "document.pdf", "text/plain": "document.txt"}


def build_messages(messages: list[Message], manner: Manner, losses: Losses) -> list[object]:
    built: list[object] = []
    moved: list[Part] = []
    """Media of tool results, which wait for the run of them to end."""
    for place, message in enumerate(messages):
        role = message.role
        if role == "tool":
            built.append(_build_result(message, place, moved, losses))
            continue
        if moved and role != "user":
            built.append({"role": "user", "content": moved})
            moved = []
        if role == "assistant":
            built.append(_build_assistant(message, place, manner, losses))
        elif (
            isinstance(message.content, str)
            and role != "developer"
            and message.cache_control is None
            and not moved
        ):
            built.append(message)
        else:
            built.append(_build_heard(message, place, moved, losses))
            moved = []
    if moved:
        built.append({"role": "user", "content": moved})
    return built


def shorten_call_id(call_id: str) -> str:
    """The same for a call and its result."""
    if len(call_id) <= _LONGEST_CALL_ID:
        return call_id
    return f"call_{hashlib.sha256(call_id.encode()).hexdigest()[:32]}"


def _build_heard(message: Message, place: int, moved: list[Part], losses: Losses) -> dict[str, object]:
    """A message to the model. moved: what stands before it."""
    role = "user" if message.role == "user" else "system"
    allowed = (TextPart, ImagePart, FilePart, AudioPart) if role == "user" else (TextPart,)
    parts = _choose_parts(message, place, allowed, losses)
    built: dict[str, object] = {"role": role, "content": _build_content([*moved, *parts])}
    if message.name is not None:
        built["name"] = message.name
    return built


def _build_assistant(message: Message, place: int, manner: Manner, losses: Losses) -> dict[str, object]:
    content = message.content
    if isinstance(content, list) or message.cache_control is not None:
        content = _build_content(_choose_parts(message, place, (TextPart, RefusalPart), losses))
    calls = message.tool_calls
    built: dict[str, object] = {
        "role": "assistant",
        # A turn of nothing but thinking has no content left; null is allowed beside tool calls alone.
        "content": (content or None) if calls or message.refusal else (content or ""),
    }
    if message.name is not None:
        built["name"] = message.name
    if message.refusal is not None:
        built["refusal"] = message.refusal
    if calls:
        built["tool_calls"] = [_build_call(call, manner, losses) for call in calls]
    if message.reasoning_content is not None or message.thinking_blocks:
        _add_reasoning(built, message, manner, losses)
    return built


def _build_call(call: ToolCall, manner: Manner, losses: Losses) -> dict[str, object]:
    built: dict[str, object] = {
        "id": shorten_call_id(call.id),
        "type": "function",
        # Chat templates parse it as JSON.
        "function": {"name": call.function.name, "arguments": call.function.arguments or "{}"},
    }
    if call.extra_content is not None:
        if manner.keeps_signatures:
            built["extra_content"] = call.extra_content
        else:
            losses.tell("extra_content")
    return built


def _build_result(message: Message, place: int, moved: list[Part], losses: Losses) -> dict[str, object]:
    """moved: gets what is no text."""
    parts = _choose_parts(message, place, (TextPart, ImagePart, FilePart, AudioPart), losses)
    text = "\n".join(part.text for part in parts if isinstance(part, TextPart))
    media = [part for part in parts if not isinstance(part, TextPart)]
    call_id = shorten_call_id(message.tool_call_id or "")
    if media:
        moved += [TextPart(f"This belongs to the result of tool call {call_id}:"), *media]
        text = text or "The result is in the user's next message."
    if message.is_error and not text.lower().startswith("error"):
        text = f"Error: {text or 'the tool failed.'}"
    return {"role": "tool", "tool_call_id": call_id, "content": text}


def _choose_parts(
    message: Message, place: int, allowed: tuple[type[Part], ...], losses: Losses
) -> list[Part]:
    """Those that a message of this role may have, without marks."""
    if message.cache_control is not None:
        losses.tell("cache_control")
    content = message.content
    if not isinstance(content, list):
        return [TextPart(content)] if content else []
    chosen: list[Part] = []
    for number, part in enumerate(content):
        where = f"messages[{place}].content[{number}]"
        if not isinstance(part, AudioPart | RefusalPart) and part.cache_control is not None:
            losses.tell("cache_control")
        if not isinstance(part, allowed):
            kind = type(part).__struct_config__.tag
            losses.add(where, f"a message of role `{message.role}` has no `{kind}`")
        elif isinstance(part, FilePart):
            if (part.file.file_data or "").startswith(("https://", "http://")):
                losses.add(where, "a file is given with its data or by the id of an upload, not by URL")
            else:
                chosen.append(FilePart(_name_file(part.file)))
        elif isinstance(part, TextPart | ImagePart) and part.cache_control is not None:
            chosen.append(TextPart(part.text) if isinstance(part, TextPart) else ImagePart(part.image_url))
        else:
            chosen.append(part)
    return chosen


def _build_content(parts: list[Part]) -> str | list[Part]:
    texts = [part.text for part in parts if isinstance(part, TextPart)]
    return "\n".join(texts) if len(texts) == len(parts) else parts


def _name_file(file: File) -> File:
    """OpenAI refuses data without a name."""
    if file.file_data is None or file.filename:
        return file
    kind = file.file_data.partition(";")[0].removeprefix("data:")
    return File(file_data=file.file_data, filename=_FILE_NAMES.get(kind, "document"))


def _add_reasoning(built: dict[str, object], message: Message, manner: Manner, losses: Losses) -> None:
    blocks = message.thinking_blocks or ()
    if not manner.recalls_reasoning:
        losses.tell("thinking_blocks" if blocks else "reasoning_content")
        return
    texts = [block.thinking for block in blocks if isinstance(block, ThinkingBlock)]
    reasoning = "\n".join(texts) or message.reasoning_content
    if reasoning is not None:
        built["reasoning_content"] = reasoning
