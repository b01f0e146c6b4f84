"""The id of a tool call, with Google's signature in it: what the hub has two members for, and Anthropic one.

Gemini signs its tool calls, and refuses the next turn where the signature does not come back:
https://ai.google.dev/gemini-api/docs/thought-signatures. Of what a caller sends back unchanged, the id of
the call is all that belongs to the call; so the signature travels behind the id, as LiteLLM does it, too.

The subtle rule: Anthropic takes letters, digits, `_` and `-` in an id, and the conversation may go on there.
So the signature, which is base64, is written in base64's alphabet for URLs, without padding.
"""

import re
from typing import Final

from gateway_runtime.providers.chat.request import ExtraContent, GoogleExtra

_MARK: Final = "__thought__"
_BASE64: Final = re.compile(r"[A-Za-z0-9+/_-]+={0,2}")
_TO_URL: Final = str.maketrans("+/", "-_")
_FROM_URL: Final = str.maketrans("-_", "+/")


def sign_id(call_id: str, extra: ExtraContent | None) -> str:
    """The id for the caller."""
    signature = None if extra is None or extra.google is None else extra.google.thought_signature
    if signature is None or _BASE64.fullmatch(signature) is None:
        return call_id
    return f"{call_id}{_MARK}{signature.rstrip('=').translate(_TO_URL)}"


def split_id(call_id: str) -> tuple[str, ExtraContent | None]:
    """The provider's id, and what it has to get back with it."""
    provider_id, mark, signature = call_id.partition(_MARK)
    if not mark:
        return call_id, None
    padding = "=" * (-len(signature) % 4)
    return provider_id, ExtraContent(GoogleExtra(signature.translate(_FROM_URL) + padding))
