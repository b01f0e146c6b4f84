"""Thinking blocks with their signatures, within a Response's reasoning item: out to the caller and back.

OpenAI's own answer to a conversation that nobody stores is `encrypted_content`: an opaque text in the
reasoning item, which the caller sends back as it is, and every client of the API does so.
https://platform.openai.com/docs/guides/reasoning#encrypted-reasoning-items. It takes the blocks along, so
that a model of Anthropic's gets its signatures back without anything being kept here.

The subtle rule: what comes back is the caller's word. A text that is not ours, or not whole, is no error:
OpenAI's own means nothing to another provider, and the signatures are judged by who made them.
"""

import base64
from collections.abc import Sequence
from typing import Final

import msgspec

from gateway_runtime.providers.chat.request import AnyThinkingBlock, RedactedThinkingBlock

_MARK: Final = "headgate1."
"""Not the beginning of any of OpenAI's."""

_decoder = msgspec.json.Decoder(list[AnyThinkingBlock])
_encoder = msgspec.json.Encoder()


def seal_blocks(blocks: Sequence[AnyThinkingBlock]) -> str | None:
    """None where nothing has to come back: words alone stand in the summary."""
    if not any(isinstance(block, RedactedThinkingBlock) or block.signature for block in blocks):
        return None
    return _MARK + base64.urlsafe_b64encode(_encoder.encode(blocks)).decode()


def open_blocks(sealed: str | None) -> list[AnyThinkingBlock]:
    if sealed is None or not sealed.startswith(_MARK):
        return []
    try:
        return _decoder.decode(base64.urlsafe_b64decode(sealed[len(_MARK) :].encode()))
    except (ValueError, RecursionError):  # msgspec's and base64's errors are ValueErrors
        return []
