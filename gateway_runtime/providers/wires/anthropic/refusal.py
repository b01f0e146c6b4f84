"""Anthropic's errors: `{"type": "error", "error": {"type", "message"}}` in, a ProviderError out.

They come with a status, or in a stream that began well, where nothing but the type tells what it is; the
status that belongs to the type is added, and decides then. https://platform.claude.com/docs/en/api/errors.

The subtle rule: `invalid_request_error` is also the word for an account that is spent, a key that is dead and
a filter that struck. Those differ by the message alone; a word that `cause` knows is put beside the type.
"""

from typing import Final

import msgspec

from gateway_runtime.providers.error import ProviderError
from gateway_runtime.providers.error import read_error as read_any_error

_STATUSES: Final = {
    "invalid_request_error": 400,
    "authentication_error": 401,
    "billing_error": 402,
    "permission_error": 403,
    "not_found_error": 404,
    "request_too_large": 413,
    "rate_limit_error": 429,
    "api_error": 500,
    "timeout_error": 504,
    "overloaded_error": 529,
}
_WORDS: Final = (
    ("exceed context limit", "context_length_exceeded"),  # input length and `max_tokens` exceed ...
    ("credit balance is too low", "insufficient_quota"),
    ("api usage limits", "insufficient_quota"),  # You have reached your specified API usage limits
    ("organization has been disabled", "account_deactivated"),
    ("content filtering policy", "content_filter"),  # Output blocked by ...
)


def read_error(body: bytes | msgspec.Raw) -> ProviderError:
    """body: of an error answer, or the data of an error event."""
    error = read_any_error(body)
    message = error.message.lower()
    words = tuple(word for phrase, word in _WORDS if phrase in message)
    return msgspec.structs.replace(
        error,
        words=words + error.words,
        status=_STATUSES.get(error.type) if error.status is None else error.status,
    )
