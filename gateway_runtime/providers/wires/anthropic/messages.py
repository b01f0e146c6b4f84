"""The conversation: the hub's messages in, Anthropic's system blocks and turns out.

    system, developer   to the system blocks, wherever they stood
    user, tool          neighbours are one user turn; results of tools stand first in it
    assistant           thinking, then text, then calls

https://platform.claude.com/docs/en/api/messages/create,
https://platform.claude.com/docs/en/agents-and-tools/tool-use/handle-tool-calls,
https://platform.claude.com/docs/en/build-with-claude/vision, .../pdf-support, .../prompt-caching.

The subtle rule: Anthropic refuses text blocks that are empty or blank, which OpenAI's clients send all the
time, beside tool calls for one. They say nothing, and so they are left out, and with them messages that have
nothing else.
"""

import re
from collections.abc import Sequence
from typing import Final, NamedTuple

import msgspec

from gateway_runtime.contract.errors import ErrorCode, GatewayError
from gateway_runtime.providers.chat.losses import Losses
from gateway_runtime.providers.chat.request import (
    AnyThinkingBlock,
    AudioPart,
    CacheControl,
    FilePart,
    ImagePart,
    Message,
    Part,
    RedactedThinkingBlock,
    RefusalPart,
    TextPart,
    ToolCall,
)
from gateway_runtime.providers.wires.anthropic.media import build_file, build_image

_OPENING: Final[dict[str, object]] = {"role": "user", "content": [{"type": "text", "text": "."}]}
"""Conversations begin with the user; chats that greet begin with the assistant. LangChain4j's and LiteLLM's
way out.
"""
_STRANGE_IN_IDS: Final = re.compile(r"[^a-zA-Z0-9_-]")
"""Other providers' ids have dots, colons and more, and come along when a conversation changes its model."""

_object_decoder = msgspec.json.Decoder(dict[str, msgspec.Raw])

Block = dict[str, object]


class Conversation(NamedTuple):
    system: str | list[Block]
    turns: list[dict[str, object]]


def build_plain_conversation(messages: Sequence[Message]) -> Conversation | None:
    """What most conversations are: a system message perhaps, then user and assistant in turn, text each time.
    1 µs instead of 4. None: it is another one.
    """
    turns: list[dict[str, object]] = []
    system = ""
    role = "assistant"
    for message in messages:
        text = message.content
        speaker = message.role
        if (
            not isinstance(text, str)
            or not text
            or text.isspace()
            or speaker == role
            or message.name is not None
            or message.refusal is not None
            or message.tool_calls is not None
            or message.thinking_blocks is not None
            or message.cache_control is not None
        ):
            return None
        if speaker == "user" or speaker == "assistant":
            role = speaker
            turns.append({"role": speaker, "content": text})
        elif speaker == "system" and not system and not turns:
            system = text
        else:
            return None
    return Conversation(system, turns) if role == "user" and turns else None


def build_conversation(messages: Sequence[Message], losses: Losses) -> Conversation:
    """Raises GatewayError: MALFORMED_BODY, UNSUPPORTED."""
    system: list[Block] = []
    turns: list[dict[str, object]] = []
    results: list[object] = []
    said: list[object] = []
    role = "user"
    for place, message in enumerate(messages):
        if message.name is not None and message.role != "tool":  # a tool's name is in its call already
            losses.add(f"messages[{place}].name", "who takes part has no name there")
        if message.role in ("system", "developer"):
            system += _build_system(message, place, losses)
            continue
        speaker = "assistant" if message.role == "assistant" else "user"
        if speaker != role:
            _end_turn(turns, role, results + said)
            results, said, role = [], [], speaker
        if message.role == "assistant":
            said += _build_assistant(message, place, losses)
        elif message.role == "tool":
            results.append(_build_result(message, place, losses))
        else:
            said += _mark(_build_content(message.content, place, losses), message.cache_control)
    _end_turn(turns, role, results + said)
    if not turns:
        raise GatewayError(
            ErrorCode.UNSUPPORTED,
            "`messages` has nothing but system messages or blank ones, and Anthropic's API answers to none "
            "of them. Add a message with the role `user`.",
        )
    if turns[0]["role"] == "assistant":
        turns.insert(0, _OPENING)
    if role == "assistant" and said:
        _trim(said[-1])
    return Conversation(system, turns)


def _trim(last: object) -> None:
    """An answer that is to be continued may not end with a blank."""
    if isinstance(last, dict) and last["type"] == "text":
        last["text"] = last["text"].rstrip()


def _end_turn(turns: list[dict[str, object]], role: str, content: list[object]) -> None:
    if not content:
        return
    if turns and turns[-1]["role"] == role:  # what stood between was blank
        before = turns[-1]["content"]
        assert isinstance(before, list)
        turns[-1] = {"role": role, "content": before + content}
    else:
        turns.append({"role": role, "content": content})


def _build_system(message: Message, place: int, losses: Losses) -> list[Block]:
    blocks = _build_content(message.content, place, losses)
    for block in blocks:
        if block["type"] != "text":
            losses.add(f"messages[{place}].content", "a system message is text alone")
    return _mark([block for block in blocks if block["type"] == "text"], message.cache_control)


def _build_assistant(message: Message, place: int, losses: Losses) -> list[object]:
    # `reasoning_content` has no signature, and without one nothing that was thought comes back: Anthropic
    # refuses it. OpenAI's clients send it because they were given it; leaving it out is what Anthropic does
    # itself with the thoughts of earlier turns, so nothing is lost that would have been heard.
    blocks: list[object] = [block for block in message.thinking_blocks or () if is_signed(block)]
    spoken = _build_content(message.content, place, losses)
    if message.refusal:
        spoken += _build_text(message.refusal, None)
    for index, call in enumerate(message.tool_calls or ()):
        spoken.append(_build_call(call, place, index))
        if call.extra_content is not None:
            losses.tell(f"messages[{place}].tool_calls[{index}].extra_content")
    blocks += _mark(spoken, message.cache_control)
    return blocks


def is_signed(block: AnyThinkingBlock) -> bool:
    """It is Anthropic's own, and may come back."""
    return isinstance(block, RedactedThinkingBlock) or bool(block.signature)


def _build_call(call: ToolCall, place: int, index: int) -> Block:
    arguments = call.function.arguments
    if not arguments or arguments.isspace():
        given: object = {}
    else:
        try:
            _object_decoder.decode(arguments)
        except (msgspec.DecodeError, RecursionError) as error:
            where = f"messages[{place}].tool_calls[{index}].function.arguments"
            raise GatewayError(
                ErrorCode.MALFORMED_BODY,
                f"`{where}` must be a JSON object, in a string: Anthropic's API takes no other arguments.",
            ) from error
        given = msgspec.Raw(arguments.encode())
    return {"type": "tool_use", "id": _clean_id(call.id), "name": call.function.name, "input": given}


def _build_result(message: Message, place: int, losses: Losses) -> Block:
    if not message.tool_call_id:
        raise GatewayError(
            ErrorCode.MALFORMED_BODY,
            f"`messages[{place}].tool_call_id` is missing: it says which call this is the result of.",
        )
    built: Block = {"type": "tool_result", "tool_use_id": _clean_id(message.tool_call_id)}
    content = _build_content(message.content, place, losses)
    mark: object = message.cache_control
    for block in content:
        # Blocks within blocks cannot be marked; the whole result can.
        mark = block.pop("cache_control", mark)
    if content:
        built["content"] = content
    if message.is_error:
        built["is_error"] = True
    if mark is not None:
        built["cache_control"] = mark
    return built


def _build_content(content: str | list[Part] | None, place: int, losses: Losses) -> list[Block]:
    if content is None:
        return []
    if isinstance(content, str):
        return _build_text(content, None)
    blocks: list[Block] = []
    for index, part in enumerate(content):
        if isinstance(part, TextPart):
            blocks += _build_text(part.text, part.cache_control)
            continue
        if isinstance(part, RefusalPart):
            blocks += _build_text(part.refusal, None)  # it was all that the assistant said
            continue
        where = f"messages[{place}].content[{index}]"
        if isinstance(part, AudioPart):
            losses.add(where, "it takes no audio")
            continue
        block = build_image(part, where) if isinstance(part, ImagePart) else _build_file(part, where, losses)
        if block is not None:
            blocks += _mark([block], part.cache_control)
    return blocks


def _build_file(part: FilePart, where: str, losses: Losses) -> Block | None:
    if part.file.file_data is None:
        losses.add(f"{where}.file.file_id", "it does not have the files that another provider keeps")
        return None
    return build_file(part.file.file_data, part.file.filename, where)


def _build_text(text: str, mark: CacheControl | None) -> list[Block]:
    if not text or text.isspace():
        return []
    if mark is None:
        return [{"type": "text", "text": text}]
    return [{"type": "text", "text": text, "cache_control": mark}]


def _mark(blocks: list[Block], mark: CacheControl | None) -> list[Block]:
    """mark: for the whole message, which is to say for its last block."""
    if mark is not None and blocks:
        blocks[-1]["cache_control"] = mark
    return blocks


def _clean_id(text: str) -> str:
    return _STRANGE_IN_IDS.sub("_", text)
