"""The content blocks of Anthropic's messages, as they are decoded, and how they are refused.

`request` decodes them, `turns` and `parts` read them. The subtle rule: one structure takes all kinds. A block
that the hub does not know is to be told by its place, and must not be refused as malformed.

Format: https://docs.anthropic.com/en/api/messages.
"""

from typing import Literal, TypeVar, Union

import msgspec

from gateway_runtime.contract.errors import ErrorCode, GatewayError
from gateway_runtime.providers.chat.request import ABSENT, CacheControl

_Value = TypeVar("_Value")


class Source(msgspec.Struct):
    type: str
    media_type: str | None = None
    data: str | None = None
    url: str | None = None
    file_id: str | None = None
    content: Union[str, list["Block"], None] = None  # noqa: UP007 (a quoted name knows no |)


class Block(msgspec.Struct):
    type: str
    text: str | None = None
    source: Source | str | None = None
    """A search result's is a text."""
    title: str | None = None
    context: str | None = None
    citations: msgspec.Raw = ABSENT
    content: Union[str, list["Block"], "Block", None] = None
    id: str | None = None
    name: str | None = None
    input: msgspec.Raw = ABSENT
    tool_use_id: str | None = None
    is_error: bool | None = None
    thinking: str | None = None
    signature: str | None = None
    data: str | None = None
    cache_control: CacheControl | None = None


class Turn(msgspec.Struct):
    role: Literal["user", "assistant", "system"]
    """`system` in the midst of a conversation, where a model takes it."""
    content: str | list[Block]


def need(value: _Value | None, where: str, name: str) -> _Value:
    if value is None:
        raise refuse_block(where, f"its `{name}` is missing")
    return value


def refuse_block(where: str, what: str) -> GatewayError:
    return GatewayError(ErrorCode.MALFORMED_BODY, f"`{where}` does not fit: {what}.")
