"""What one candidate says in one response: a Candidate in, ChatChunks out, and why it finished.

A whole answer is one such response, a stream many; `answer` puts the chunks together, `stream` passes them
on.

    text                 -> content; of a thought: reasoning_content
    functionCall         -> a tool call, whole: Google does not cut them unless it is asked to
    inlineData           -> an image, in Markdown: the hub's answers are text
    thoughtSignature     -> of a call: its `extra_content`. Of a text it is left out: without it Google's
                            models remember less of what they thought, but refuse nothing
    executableCode, ...  -> of tools that run at Google's, which no request of ours turns on

Format: https://ai.google.dev/api/caching#Part.
"""

from typing import Final

import msgspec

from gateway_runtime.providers.answer import Fault, build_fault
from gateway_runtime.providers.chat.answer import ChatChunk, FinishReason, ToolCallDelta
from gateway_runtime.providers.chat.request import ABSENT, ExtraContent, GoogleExtra, is_there
from gateway_runtime.providers.error import ProviderError
from gateway_runtime.providers.wires.google.logprobs import build_logprobs
from gateway_runtime.providers.wires.google.shapes import Blob, Candidate, FunctionCall, PromptFeedback

MALFORMED: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""What reading raises when a response is not in Google's shape."""

_FINISHES: Final[dict[str, FinishReason]] = {
    "STOP": "stop",
    "FINISH_REASON_UNSPECIFIED": "stop",
    "MAX_TOKENS": "length",
    "SAFETY": "content_filter",
    "RECITATION": "content_filter",
    "LANGUAGE": "content_filter",
    "OTHER": "content_filter",
    "BLOCKLIST": "content_filter",
    "PROHIBITED_CONTENT": "content_filter",
    "SPII": "content_filter",
    "IMAGE_SAFETY": "content_filter",
    "IMAGE_PROHIBITED_CONTENT": "content_filter",
    "IMAGE_RECITATION": "content_filter",
    "IMAGE_OTHER": "content_filter",
    "NO_IMAGE": "content_filter",
}
"""https://ai.google.dev/api/generate-content#FinishReason. `OTHER`: Google ended it and does not say why."""

_BROKEN: Final = {
    "MALFORMED_FUNCTION_CALL": "the model wrote a tool call that cannot be read",
    "MALFORMED_RESPONSE": "the model wrote an answer that cannot be read",
    "UNEXPECTED_TOOL_CALL": "the model called a tool that it was not given",
    "TOO_MANY_TOOL_CALLS": "the model called too many tools in a row",
}
"""What another attempt may well get right."""

_UNSIGNED: Final = "MISSING_THOUGHT_SIGNATURE"


def read_pieces(candidate: Candidate, calls: int) -> list[ChatChunk]:
    """calls: how many tool calls of this candidate came before. Raises what `MALFORMED` lists."""
    index = candidate.index
    chunks: list[ChatChunk] = []
    if candidate.content is not None:
        for part in candidate.content.parts:
            text = part.text
            if text is None and part.inline_data is not None:
                text = _build_markdown(part.inline_data)
            if text:
                if part.thought:
                    chunks.append(ChatChunk(reasoning_content=text, index=index))
                else:
                    chunks.append(ChatChunk(content=text, index=index))
            if part.function_call is not None:
                delta = _build_call(part.function_call, part.thought_signature, calls)
                chunks.append(ChatChunk(tool_call=delta, index=index))
                calls += 1
    if candidate.logprobs_result is not ABSENT and is_there(candidate.logprobs_result):
        chunks.append(ChatChunk(logprobs=build_logprobs(candidate.logprobs_result), index=index))
    return chunks


def read_finish(candidate: Candidate) -> FinishReason | Fault | None:
    """None: it has not finished. A `stop` with tool calls is for the caller to tell."""
    reason = candidate.finish_reason
    if reason is None:
        return None
    broken = _BROKEN.get(reason)
    if broken is not None:
        return Fault("malformed", broken)
    if reason == _UNSIGNED:
        message = candidate.finish_message or "A tool call of an earlier turn lacks its thought signature."
        return build_fault(ProviderError(message, type=reason, status=400))
    return _FINISHES.get(reason, "stop")


def read_block(feedback: PromptFeedback | None) -> str | None:
    """Why the prompt was not answered at all, in words for the caller."""
    if feedback is None or feedback.block_reason is None:
        return None
    return feedback.block_reason_message or f"Google blocked the prompt: {feedback.block_reason}."


def _build_call(call: FunctionCall, signature: str | None, index: int) -> ToolCallDelta:
    arguments = "{}"
    if is_there(call.args):
        # Whole answers come with blanks and line ends.
        arguments = msgspec.json.format(bytes(call.args), indent=-1).decode()
    extra = None if signature is None else ExtraContent(GoogleExtra(signature))
    return ToolCallDelta(index, call.id or f"call_{index}", call.name, arguments, extra)


def _build_markdown(blob: Blob) -> str:
    url = f"data:{blob.mime_type};base64,{blob.data}"
    return f"![image]({url})" if blob.mime_type.startswith("image/") else f"[{blob.mime_type}]({url})"
