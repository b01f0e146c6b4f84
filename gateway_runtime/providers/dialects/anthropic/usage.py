"""Tokens, as Anthropic counts them: its `usage` member in, a Usage out, and the other way round.

The subtle rule: Anthropic's `input_tokens` are the prompt without what was read from the cache or written to
it; the hub's are all of it. In a stream the counts are cumulative, and each event tells those that it has:
a later one replaces an earlier one, one that is absent leaves it (Anthropic's SDKs read it the same way).

Format: https://docs.anthropic.com/en/api/messages and .../build-with-claude/streaming.
"""

from typing import Annotated

import msgspec

from gateway_runtime.providers.usage import Usage

_Count = Annotated[int, msgspec.Meta(ge=0, le=2**53 - 1)]  # the largest that every JSON reader takes whole


class _OutputDetails(msgspec.Struct, gc=False):
    thinking_tokens: _Count | None = None


class _PlainCounts(msgspec.Struct, gc=False):
    input_tokens: _Count | None = None
    output_tokens: _Count | None = None


class Counts(_PlainCounts, gc=False):
    """The member as Anthropic writes it."""

    cache_creation_input_tokens: _Count | None = None
    cache_read_input_tokens: _Count | None = None
    output_tokens_details: _OutputDetails | None = None


NO_COUNTS = Counts()

_detailed_decoder = msgspec.json.Decoder(Counts)
_plain_decoder = msgspec.json.Decoder(_PlainCounts)


def read_counts(usage: msgspec.Raw) -> Counts:
    """usage: the JSON value of the member. Details that cannot be read never cost the counts."""
    try:
        return _detailed_decoder.decode(usage)
    except (msgspec.DecodeError, RecursionError):
        pass
    try:
        plain = _plain_decoder.decode(usage)
    except (msgspec.DecodeError, RecursionError):
        return NO_COUNTS
    return Counts(plain.input_tokens, plain.output_tokens)


def merge_counts(earlier: Counts, later: Counts) -> Counts:
    return Counts(
        earlier.input_tokens if later.input_tokens is None else later.input_tokens,
        earlier.output_tokens if later.output_tokens is None else later.output_tokens,
        earlier.cache_creation_input_tokens
        if later.cache_creation_input_tokens is None
        else later.cache_creation_input_tokens,
        earlier.cache_read_input_tokens
        if later.cache_read_input_tokens is None
        else later.cache_read_input_tokens,
        later.output_tokens_details or earlier.output_tokens_details,
    )


def sum_counts(counts: Counts) -> Usage | None:
    """None: it does not tell the input, which every count of Anthropic's has from its first event on."""
    if counts.input_tokens is None:
        return None
    written = counts.cache_creation_input_tokens or 0
    cached = counts.cache_read_input_tokens or 0
    output = counts.output_tokens or 0
    details = counts.output_tokens_details
    return Usage(
        counts.input_tokens + written + cached,
        output,
        cached,
        min((details and details.thinking_tokens) or 0, output),
        written,
    )


def build_usage(usage: Usage | None) -> dict[str, object]:
    """usage: None where the provider tells none; the member has to be there, and says 0."""
    if usage is None:
        usage = _UNKNOWN
    fresh = usage.input_tokens - usage.cached_tokens - usage.cache_write_tokens
    built: dict[str, object] = {
        "input_tokens": max(fresh, 0),
        "cache_creation_input_tokens": usage.cache_write_tokens,
        "cache_read_input_tokens": usage.cached_tokens,
        "output_tokens": usage.output_tokens,
    }
    if usage.reasoning_tokens:
        built["output_tokens_details"] = {"thinking_tokens": usage.reasoning_tokens}
    return built


_UNKNOWN = Usage(0, 0)
