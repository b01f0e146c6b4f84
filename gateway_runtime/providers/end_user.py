"""Whom a caller acts for, as the body of its request names them: raw members in, a name out.

OpenAI's APIs have `safety_identifier`, and `user` before it; Anthropic's has `metadata.user_id`:
https://platform.openai.com/docs/api-reference/chat/create#chat-create-safety_identifier,
https://docs.anthropic.com/en/api/messages#body-metadata. `server` asks once for each request.

The one subtle rule: the name ends up in tables that people print. One that is very long, or not printable, is
no name.
"""

from collections.abc import Mapping
from typing import Final

import msgspec

LONGEST: Final = 256
"""Anthropic's own bound; OpenAI's is 64."""


class _Metadata(msgspec.Struct):
    user_id: str | None = None


_name_decoder = msgspec.json.Decoder(str)
_metadata_decoder = msgspec.json.Decoder(_Metadata)


def find_user(members: Mapping[str, msgspec.Raw]) -> str | None:
    """In OpenAI's APIs. members: of the body's top level."""
    raw = members.get("safety_identifier") or members.get("user")
    if raw is None:
        return None
    try:
        return _check(_name_decoder.decode(raw))
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


def find_user_of_messages(members: Mapping[str, msgspec.Raw]) -> str | None:
    """In Anthropic's."""
    raw = members.get("metadata")
    if raw is None:
        return None
    try:
        return _check(_metadata_decoder.decode(raw).user_id)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def _check(name: str | None) -> str | None:
    return name if name and len(name) <= LONGEST and name.isprintable() else None
