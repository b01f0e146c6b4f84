"""The `usage` of OpenAI's newer APIs (responses, images, transcriptions): `input_tokens` and `output_tokens`
where chat completions have `prompt_tokens` and `completion_tokens`.

Format: https://platform.openai.com/docs/api-reference/responses/object#responses-object-usage. The subtle
rule is that of `usage`: details that cannot be read are 0, and never cost the counts.
"""

from typing import Annotated

import msgspec

from gateway_runtime.providers.answer import Answer, Fault, is_error, read_facts, read_fault
from gateway_runtime.providers.usage import Usage, read_usage

_Count = Annotated[int, msgspec.Meta(ge=0, le=2**53 - 1)]


class _Counts(msgspec.Struct):
    input_tokens: _Count
    output_tokens: _Count | None = None


class _Details(msgspec.Struct):
    cached_tokens: _Count | None = None
    cache_write_tokens: _Count | None = None
    reasoning_tokens: _Count | None = None


class _Detailed(msgspec.Struct):
    input_tokens_details: _Details | None = None
    output_tokens_details: _Details | None = None


_counts_decoder = msgspec.json.Decoder(_Counts)
_detailed_decoder = msgspec.json.Decoder(_Detailed)
_NOTHING = _Details()


def read_token_usage(usage: msgspec.Raw) -> Usage | None:
    """usage: the JSON value of the member, in either shape. None when it is neither."""
    try:
        counts = _counts_decoder.decode(usage)
    except (msgspec.DecodeError, RecursionError):
        return read_usage(usage)
    try:
        detailed = _detailed_decoder.decode(usage)
    except (msgspec.DecodeError, RecursionError):
        detailed = _Detailed()
    asked = detailed.input_tokens_details or _NOTHING
    said = detailed.output_tokens_details or _NOTHING
    output = counts.output_tokens or 0
    # A part above its whole cannot be; the price of the rest would be negative.
    cached = min(asked.cached_tokens or 0, counts.input_tokens)
    written = min(asked.cache_write_tokens or 0, counts.input_tokens - cached)
    return Usage(counts.input_tokens, output, cached, min(said.reasoning_tokens or 0, output), written)


def read_typed_answer(body: bytes) -> Answer:
    """As `answer.read_answer`, with a usage in either shape."""
    found = read_facts(body)
    if found is None:
        return Answer(None, Fault("malformed", "its body is not a JSON object"))
    fault = read_fault(body) if is_error(found) else None
    return Answer(read_token_usage(found.usage), fault)
