"""GenerateContentResponse, whole or a piece of a stream, as far as it is looked at.

Format: https://ai.google.dev/api/generate-content#generatecontentresponse. Members that few answers have stay
raw until they are needed.
"""

from typing import Annotated

import msgspec

from gateway_runtime.providers.chat.request import ABSENT
from gateway_runtime.providers.usage import Usage

_Count = Annotated[int, msgspec.Meta(ge=0, le=2**53 - 1)]


class FunctionCall(msgspec.Struct, rename="camel", gc=False):
    name: str
    args: msgspec.Raw = ABSENT
    id: str | None = None


class Blob(msgspec.Struct, rename="camel", gc=False):
    mime_type: str
    data: str = ""


class Part(msgspec.Struct, rename="camel", gc=False):
    text: str | None = None
    thought: bool = False
    thought_signature: str | None = None
    function_call: FunctionCall | None = None
    inline_data: Blob | None = None


class Content(msgspec.Struct, gc=False):
    parts: list[Part] = []


class Candidate(msgspec.Struct, rename="camel", gc=False):
    content: Content | None = None
    finish_reason: str | None = None
    finish_message: str = ""
    index: int = 0
    logprobs_result: msgspec.Raw = ABSENT
    grounding_metadata: msgspec.Raw = ABSENT
    citation_metadata: msgspec.Raw = ABSENT


class PromptFeedback(msgspec.Struct, rename="camel", gc=False):
    block_reason: str | None = None
    block_reason_message: str = ""


class Response(msgspec.Struct, rename="camel", gc=False):
    candidates: list[Candidate] = []
    prompt_feedback: PromptFeedback | None = None
    usage_metadata: msgspec.Raw = ABSENT
    model_version: str = ""
    response_id: str = ""
    error: msgspec.Raw = ABSENT


class _UsageMetadata(msgspec.Struct, rename="camel", gc=False):
    prompt_token_count: _Count | None = None
    tool_use_prompt_token_count: _Count = 0
    cached_content_token_count: _Count = 0
    candidates_token_count: _Count = 0
    thoughts_token_count: _Count = 0
    total_token_count: _Count = 0


decode_response = msgspec.json.Decoder(Response).decode
_usage_decoder = msgspec.json.Decoder(_UsageMetadata)


def read_usage(raw: msgspec.Raw) -> Usage | None:
    """https://ai.google.dev/api/generate-content#UsageMetadata: the prompt's count holds what was cached, the
    candidates' does not hold the thoughts, unless the total says that it does, as with some models of Vertex
    AI. None also for one without counts, with which Vertex AI begins its streams.
    """
    try:
        counts = _usage_decoder.decode(raw)
    except (msgspec.DecodeError, RecursionError):
        return None
    if counts.prompt_token_count is None:
        return None
    input_tokens = counts.prompt_token_count + counts.tool_use_prompt_token_count
    output_tokens = counts.candidates_token_count
    if input_tokens + output_tokens != counts.total_token_count:
        output_tokens += counts.thoughts_token_count
    return Usage(
        input_tokens,
        output_tokens,
        # A part above its whole cannot be; the price of the rest would be negative.
        min(counts.cached_content_token_count, input_tokens),
        min(counts.thoughts_token_count, output_tokens),
    )
