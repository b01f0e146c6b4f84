"""A whole answer: the body of generateContent in, a ChatAnswer or a Fault out.

The subtle rule: a body with status 200 need not hold an answer. A blocked prompt gives no candidates, and a
call that the model wrote badly gives one without content.
"""

import msgspec

from gateway_runtime.providers.answer import Fault, build_fault
from gateway_runtime.providers.chat.answer import (
    AnswerMessage,
    ChatAnswer,
    ChatChoice,
    ChatChunk,
    FinishReason,
)
from gateway_runtime.providers.chat.request import FunctionCall, ToolCall, is_there
from gateway_runtime.providers.wires.google.error import read_error
from gateway_runtime.providers.wires.google.pieces import MALFORMED, read_block, read_finish, read_pieces
from gateway_runtime.providers.wires.google.shapes import Candidate, Response, decode_response, read_usage
from gateway_runtime.providers.wires.google.sources import read_sources


def read_chat(body: bytes) -> ChatAnswer | Fault:
    try:
        response = decode_response(body)
        if is_there(response.error):
            return build_fault(read_error(body))
        choices = _read_choices(response)
    except MALFORMED:
        return Fault("malformed", "its body is not a response of generateContent")
    if isinstance(choices, Fault):
        return choices
    return ChatAnswer(
        choices, read_usage(response.usage_metadata), response.response_id, response.model_version
    )


def _read_choices(response: Response) -> tuple[ChatChoice, ...] | Fault:
    choices: list[ChatChoice] = []
    for candidate in response.candidates:
        chunks = read_pieces(candidate, 0)
        finish = read_finish(candidate)
        if isinstance(finish, Fault):
            return finish
        if finish is None:
            return Fault("malformed", "a candidate does not say why it finished")
        choices.append(
            _build_choice(candidate, chunks + read_sources(candidate, _list_texts(candidate)), finish)
        )
    if choices:
        return tuple(sorted(choices, key=lambda choice: choice.index))
    refusal = read_block(response.prompt_feedback)
    if refusal is None:
        return Fault("malformed", "it has no candidates")
    return (ChatChoice(AnswerMessage(refusal=refusal), "content_filter"),)


def _build_choice(candidate: Candidate, chunks: list[ChatChunk], finish: FinishReason) -> ChatChoice:
    contents: list[str] = []
    thoughts: list[str] = []
    calls: list[ToolCall] = []
    logprobs: msgspec.Raw | None = None
    for chunk in chunks:
        if chunk.content is not None:
            contents.append(chunk.content)
        elif chunk.reasoning_content is not None:
            thoughts.append(chunk.reasoning_content)
        elif chunk.tool_call is not None:
            call = chunk.tool_call
            function = FunctionCall(call.name or "", call.arguments)
            calls.append(ToolCall(call.id or "", function, call.extra_content))
        elif chunk.logprobs is not None:
            logprobs = chunk.logprobs
    if finish == "stop" and calls:
        finish = "tool_calls"
    refusal = candidate.finish_message if finish == "content_filter" and not contents else ""
    message = AnswerMessage(
        "".join(contents) if contents else None,
        refusal or None,
        tuple(calls),
        "".join(thoughts) if thoughts else None,
        annotations=tuple(chunk.annotation for chunk in chunks if chunk.annotation is not None),
        citations=tuple(chunk.citation for chunk in chunks if chunk.citation is not None),
    )
    return ChatChoice(message, finish, candidate.index, logprobs)


def _list_texts(candidate: Candidate) -> list[str]:
    parts = [] if candidate.content is None else candidate.content.parts
    return ["" if part.thought else part.text or "" for part in parts]
