"""Turns of a conversation, made of Anthropic's content blocks: in. The hub's messages: out.

`request` decodes a body into Turns and asks for their messages. One turn may become several: each result of a
tool is a message of its own in the hub, and they come first, where OpenAI's API insists on them.

    block                          becomes
    thinking, redacted_thinking    `thinking_blocks`, and in words `reasoning_content`
    tool_use                       a tool call
    tool_result                    a tool's message
    all others                     see `parts`

The subtle rule: thinking without a signature is no thinking block. It is what another provider thought, told
to the caller in Anthropic's words; Anthropic would refuse it, others want it back as `reasoning_content`.
"""

from collections.abc import Iterator, Sequence
from typing import Final, Literal

from gateway_runtime.providers.chat.request import (
    AnyThinkingBlock,
    CacheControl,
    FunctionCall,
    Message,
    Part,
    RedactedThinkingBlock,
    TextPart,
    ThinkingBlock,
    ToolCall,
    is_there,
)
from gateway_runtime.providers.dialects.anthropic.block import Block, Turn, need
from gateway_runtime.providers.dialects.anthropic.call_id import split_id
from gateway_runtime.providers.dialects.anthropic.parts import read_content, read_part, simplify

_NO_INPUT: Final = "{}"


def build_system(system: str | list[Block], lost: set[str]) -> Message:
    return Message(role="system", content=read_content(system, "system", lost))


def build_messages(turns: Sequence[Turn], lost: set[str]) -> list[Message]:
    """lost: gets the places of what the hub does not know. Raises GatewayError MALFORMED_BODY."""
    messages: list[Message] = []
    for place, turn in enumerate(turns):
        content = turn.content
        if isinstance(content, str):
            messages.append(Message(role=turn.role, content=content))
        elif turn.role == "assistant":
            messages += _build_assistant(content, f"messages[{place}].content", lost)
        else:
            messages += _build_turn(turn.role, content, f"messages[{place}].content", lost)
    return messages


def _build_turn(
    role: Literal["user", "system"], blocks: list[Block], where: str, lost: set[str]
) -> Iterator[Message]:
    parts: list[Part] = []
    for place, block in enumerate(blocks):
        if block.type == "tool_result" and role == "user":
            yield _build_result(block, f"{where}[{place}]", lost)
        else:
            parts += read_part(block, f"{where}[{place}]", lost)
    if parts or not blocks:
        yield Message(role=role, content=simplify(parts))


def _build_result(block: Block, where: str, lost: set[str]) -> Message:
    call_id, _ = split_id(need(block.tool_use_id, where, "tool_use_id"))
    content = [block.content] if isinstance(block.content, Block) else block.content
    return Message(
        role="tool",
        content=read_content(content or "", f"{where}.content", lost),
        tool_call_id=call_id,
        cache_control=block.cache_control,
        is_error=block.is_error is True,
    )


def _build_assistant(blocks: list[Block], where: str, lost: set[str]) -> Iterator[Message]:
    """One message, its thinking first and its tool calls last, as the hub has it and as models write it. A
    mark for the cache at a tool call, which has no place of its own there, counts for the whole message.
    """
    parts: list[Part] = []
    thinking: list[AnyThinkingBlock] = []
    thoughts: list[str] = []
    calls: list[ToolCall] = []
    mark: CacheControl | None = None
    for place, block in enumerate(blocks):
        match block.type:
            case "text":
                parts.append(TextPart(need(block.text, f"{where}[{place}]", "text"), block.cache_control))
            case "thinking":
                thought = need(block.thinking, f"{where}[{place}]", "thinking")
                if block.signature:
                    thinking.append(ThinkingBlock(thought, block.signature))
                if thought:
                    thoughts.append(thought)
            case "redacted_thinking":
                thinking.append(RedactedThinkingBlock(need(block.data, f"{where}[{place}]", "data")))
            case "tool_use":
                calls.append(_build_call(block, f"{where}[{place}]"))
                mark = block.cache_control or mark
            case _:
                lost.add(f"{where}[{place}]")
    if blocks and not (parts or thinking or thoughts or calls):
        return
    yield Message(
        role="assistant",
        content=simplify(parts) if parts or not calls else None,
        tool_calls=calls or None,
        reasoning_content="\n\n".join(thoughts) or None,
        thinking_blocks=thinking or None,
        cache_control=mark,
    )


def _build_call(block: Block, where: str) -> ToolCall:
    call_id, extra = split_id(need(block.id, where, "id"))
    arguments = bytes(block.input).decode() if is_there(block.input) else _NO_INPUT
    return ToolCall(call_id, FunctionCall(need(block.name, where, "name"), arguments), extra)
