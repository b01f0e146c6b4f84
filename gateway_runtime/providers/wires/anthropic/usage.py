"""Tokens, as Anthropic counts them: `usage` in, the hub's Usage out.

https://platform.claude.com/docs/en/build-with-claude/prompt-caching (tracking cache performance),
https://platform.claude.com/docs/en/build-with-claude/streaming.

The subtle rules: `input_tokens` is what the cache had nothing to do with, so the prompt is the sum of three
counts. And a stream counts from its beginning: each count that comes later replaces the one before.
"""

from typing import Annotated

import msgspec

from gateway_runtime.providers.usage import Usage

_Count = Annotated[int, msgspec.Meta(ge=0, le=2**53 - 1)]  # the largest that every JSON reader takes whole


class _OutputDetails(msgspec.Struct):
    thinking_tokens: _Count | None = None


class _PlainCounts(msgspec.Struct, gc=False):
    input_tokens: _Count | None = None
    output_tokens: _Count | None = None


class Counts(_PlainCounts, gc=False):
    """The member as Anthropic writes it."""

    cache_read_input_tokens: _Count | None = None
    cache_creation_input_tokens: _Count | None = None
    output_tokens_details: _OutputDetails | None = None


_decoder = msgspec.json.Decoder(Counts)
_plain_decoder = msgspec.json.Decoder(_PlainCounts)


def read_counts(usage: msgspec.Raw) -> Counts:
    """usage: the JSON value of the member. Empty where it is none; details that cannot be read never cost
    the counts.
    """
    try:
        return _decoder.decode(usage)
    except (msgspec.DecodeError, RecursionError):
        pass
    try:
        plain = _plain_decoder.decode(usage)
    except (msgspec.DecodeError, RecursionError):
        return Counts()
    return Counts(plain.input_tokens, plain.output_tokens)


def merge_counts(earlier: Counts, later: Counts) -> Counts:
    told = {name: value for name, value in msgspec.structs.asdict(later).items() if value is not None}
    return msgspec.structs.replace(earlier, **told)


def build_usage(counts: Counts) -> Usage | None:
    """None: the prompt was not counted."""
    if counts.input_tokens is None:
        return None
    cached = counts.cache_read_input_tokens or 0
    written = counts.cache_creation_input_tokens or 0
    details = counts.output_tokens_details
    output = counts.output_tokens or 0
    return Usage(
        counts.input_tokens + cached + written,
        output,
        cached,
        # A part above its whole cannot be; it is counted anew and may be a few tokens off.
        min(output, 0 if details is None else details.thinking_tokens or 0),
        written,
    )
