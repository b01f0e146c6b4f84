"""Tokens, as a provider counted them: the `usage` member of an answer in, a Usage out.

`answer` reads it from a whole answer, `stream` from the event that carries it; metrics, limits and prices
count what comes out.

The subtle rule: the two counts are what everything rests on. Providers differ in the details beside them;
details that cannot be read are 0, and never cost the counts.
"""

from typing import Annotated

import msgspec


class Usage(msgspec.Struct, frozen=True):
    input_tokens: int
    """All of the prompt, what came from the provider's cache included."""
    output_tokens: int
    """All that was generated, reasoning included. 0 for embeddings."""
    cached_tokens: int = 0
    """How many of the input the provider read from its cache."""
    reasoning_tokens: int = 0
    """How many of the output the caller does not see."""
    cache_write_tokens: int = 0
    """How many of the input the provider put into its cache, where it says so; some bill them higher."""


NO_USAGE = msgspec.Raw(b"null")
"""What providers write into each event while the usage is still to come."""

_Count = Annotated[int, msgspec.Meta(ge=0, le=2**53 - 1)]  # the largest that every JSON reader takes whole


class _InputDetails(msgspec.Struct):
    cached_tokens: _Count | None = None
    cache_write_tokens: _Count | None = None
    """OpenRouter's, for models that bill it."""


class _OutputDetails(msgspec.Struct):
    reasoning_tokens: _Count | None = None


class _Counts(msgspec.Struct, gc=False):
    prompt_tokens: _Count
    completion_tokens: _Count | None = None


class Counts(_Counts, gc=False):
    """The member as providers write it."""

    prompt_tokens_details: _InputDetails | None = None
    completion_tokens_details: _OutputDetails | None = None
    prompt_cache_hit_tokens: _Count | None = None
    """DeepSeek's word for cached tokens."""


_detailed_decoder = msgspec.json.Decoder(Counts)
_counts_decoder = msgspec.json.Decoder(_Counts)


def read_usage(usage: msgspec.Raw) -> Usage | None:
    """usage: the JSON value of the member. None when it is `null`, or not in OpenAI's shape."""
    if usage == NO_USAGE:
        return None
    try:
        counts = _detailed_decoder.decode(usage)
    except (msgspec.DecodeError, RecursionError):
        return _read_counts(usage)
    return build_usage(counts)


def build_usage(counts: Counts) -> Usage:
    details = counts.prompt_tokens_details
    cached = 0 if details is None else details.cached_tokens
    written = 0 if details is None else details.cache_write_tokens
    reasoning = (
        0 if counts.completion_tokens_details is None else counts.completion_tokens_details.reasoning_tokens
    )
    output = counts.completion_tokens or 0
    # A part above its whole cannot be; the price of the rest would be negative.
    cached = min(cached or counts.prompt_cache_hit_tokens or 0, counts.prompt_tokens)
    written = min(written or 0, counts.prompt_tokens - cached)
    return Usage(counts.prompt_tokens, output, cached, min(reasoning or 0, output), written)


def _read_counts(usage: msgspec.Raw) -> Usage | None:
    try:
        counts = _counts_decoder.decode(usage)
    except (msgspec.DecodeError, RecursionError):
        return None
    return Usage(counts.prompt_tokens, counts.completion_tokens or 0)
