"""What Cohere says when it refuses: the body of an error in, a ProviderError out.

Cohere gives a sentence and a status, `{"message": "..."}`, and no code: the statuses and sentences are
listed at https://docs.cohere.com/reference/errors. `providers.cause` looks for codes first, so the
sentences that tell more than their status are given the code that other providers have for them.

The subtle rule: 498 is Cohere's "unsafe request", blocked for its usage guidelines
(https://github.com/cohere-ai/cohere-developer-experience/pull/189), and Groq's busy tier elsewhere.
"""

import msgspec

from gateway_runtime.providers import error as errors
from gateway_runtime.providers.error import ProviderError


def read_error(status: int, body: bytes) -> ProviderError:
    return add_word(status, errors.read_error(body))


def add_word(status: int, error: ProviderError) -> ProviderError:
    """status: that of the answer, or the one that stands for an error in a stream."""
    word = _find_word(status, error.message.lower())
    return msgspec.structs.replace(error, words=(word, *error.words)) if word else error


def _find_word(status: int, message: str) -> str:
    if status == 498:
        return "content_policy_violation"
    if status == 429 and "/ month" in message:
        # "You are using a Trial key, which is limited to 1000 API calls / month": no pause of ours helps.
        return "insufficient_quota"
    if message.startswith("too many tokens") and "max tokens must be" not in message:
        # The exception is an answer that may not become as long as was asked; the prompt is no matter there.
        return "context_length_exceeded"
    return ""
