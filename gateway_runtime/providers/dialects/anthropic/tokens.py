"""How many tokens a request has, for `POST /v1/messages/count_tokens` towards providers that do not count:
Anthropic's answer out, and an estimate to put into it.

Format: https://docs.anthropic.com/en/api/messages-count-tokens.
"""

from typing import Final

import msgspec

from gateway_runtime.providers.chat.request import (
    AudioPart,
    ChatRequest,
    FilePart,
    ImagePart,
    Message,
    Part,
    RefusalPart,
    TextPart,
    Tool,
)

_BYTES_PER_TOKEN: Final = 4
_MESSAGE_TOKENS: Final = 4
"""Role and ends of a message; OpenAI's cookbook counts 3, and 1 where it has a name."""
_IMAGE_TOKENS: Final = 1_600
"""The most that Anthropic counts for an image which it does not scale down:
https://docs.anthropic.com/en/docs/build-with-claude/vision.
"""
_TOOL_TOKENS: Final = 12
"""What stands around a tool's own text. A guess."""
_TOOLS_TOKENS: Final = 346
"""Anthropic's own prompt for the use of tools, once:
https://docs.anthropic.com/en/docs/agents-and-tools/tool-use/overview#pricing.
"""
_FILE_TOKENS: Final = 3_000
"""A page of a PDF at most: https://docs.anthropic.com/en/docs/build-with-claude/pdf-support."""
_FILE_BYTES_PER_TOKEN: Final = 16
"""Of a file, in base64: a page has seldom less than 48 KB. A guess."""

_encoder = msgspec.json.Encoder()


def build_token_count(tokens: int) -> bytes:
    return _encoder.encode({"input_tokens": tokens})


def estimate_tokens(chat: ChatRequest) -> int:
    """A quarter of the UTF-8 bytes of all texts, tool calls and tools, rounded up, and constants for each
    message, image, file and tool. High for English and for most code, near for other languages in Latin
    letters; Chinese and Japanese may have up to half as many again. It is no provider's count, and nothing is
    billed by it.
    """
    text_bytes = 0
    tokens = 0
    for message in chat.messages:
        text_bytes += _measure_message(message)
        tokens += _MESSAGE_TOKENS + _count_media(message)
    for tool in chat.tools or ():
        text_bytes += _measure_tool(tool)
        tokens += _TOOL_TOKENS
    if chat.tools:
        tokens += _TOOLS_TOKENS
    if chat.response_format is not None and chat.response_format.json_schema is not None:
        text_bytes += len(bytes(chat.response_format.json_schema.schema))
    return tokens - (-text_bytes // _BYTES_PER_TOKEN)


def _measure_message(message: Message) -> int:
    """In bytes, what is text."""
    content = message.content
    parts: list[Part] = [TextPart(content)] if isinstance(content, str) else content or []
    size = sum(_measure(part.text) for part in parts if isinstance(part, TextPart))
    size += sum(_measure(part.refusal) for part in parts if isinstance(part, RefusalPart))
    for call in message.tool_calls or ():
        size += _measure(call.function.name) + _measure(call.function.arguments)
    return size + _measure(message.reasoning_content or "")


def _measure_tool(tool: Tool) -> int:
    function = tool.function
    if function is None:
        return _measure(tool.type)
    return _measure(function.name) + _measure(function.description or "") + len(bytes(function.parameters))


def _count_media(message: Message) -> int:
    if message.content is None or isinstance(message.content, str):
        return 0
    return sum(map(_count_part, message.content))


def _count_part(part: Part) -> int:
    match part:
        case ImagePart():
            return _IMAGE_TOKENS
        case FilePart(file=file):
            return max(_FILE_TOKENS, len(file.file_data or "") // _FILE_BYTES_PER_TOKEN)
        case AudioPart(input_audio=audio):
            return len(audio.data) // _FILE_BYTES_PER_TOKEN
        case _:
            return 0


def _measure(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode())
