"""Callers with the official SDKs' types: what they ask, and what they hear in an answer.

In: the bytes that a caller of one path gets. Out: the text and the calls of tools, as a program finds them.
OpenAI's SDK checks nothing of what it reads, and so nothing is checked here; Anthropic's types are checked.
"""

import json
from collections.abc import Callable, Iterable
from typing import Any, Final, NamedTuple, TypeAlias

import anthropic.types
import openai.types.chat
import openai.types.responses
from pydantic import TypeAdapter

Call: TypeAlias = tuple[str, Any]
"""Its name and arguments."""


class Heard(NamedTuple):
    text: str
    calls: list[Call]


class Caller(NamedTuple):
    asked: dict[str, Any]
    streamed: dict[str, Any]
    """What else it says to get a stream."""
    tools: list[Any]
    read_answer: Callable[[bytes], Heard]
    read_stream: Callable[[list[Any]], Heard]
    """Of the events' JSON."""
    has_pairs: bool = True
    """Wires that speak the same have golden pairs in this API."""


def _read_completion(body: bytes) -> Heard:
    message = openai.types.chat.ChatCompletion.construct(**json.loads(body)).choices[0].message
    calls = [call.function for call in message.tool_calls or () if call.type == "function"]
    return Heard(message.content or "", parse_calls((call.name, call.arguments) for call in calls))


def _read_completion_events(events: list[Any]) -> Heard:
    """construct: as the SDK itself does it. Some providers leave out members of log probabilities."""
    text = ""
    names: dict[int, str | None] = {}
    arguments: dict[int, str] = {}
    for chunk in (openai.types.chat.ChatCompletionChunk.construct(**event) for event in events):
        for choice in chunk.choices:
            if choice.index > 0:
                continue
            text += choice.delta.content or ""
            for call in choice.delta.tool_calls or ():
                assert call.function is not None
                names.setdefault(call.index, call.function.name)
                arguments[call.index] = arguments.get(call.index, "") + (call.function.arguments or "")
    return Heard(text, parse_calls((names[place], arguments[place]) for place in sorted(names)))


def _read_message(body: bytes) -> Heard:
    content = anthropic.types.Message.model_validate_json(body).content
    return Heard(
        "".join(block.text for block in content if block.type == "text"),
        [(block.name, block.input) for block in content if block.type == "tool_use"],
    )


_message_event: Final = TypeAdapter[Any](anthropic.types.RawMessageStreamEvent)


def _read_message_events(events: list[Any]) -> Heard:
    text = ""
    names: dict[int, str] = {}
    arguments: dict[int, str] = {}
    for event in map(_message_event.validate_python, events):
        if event.type == "content_block_start" and event.content_block.type == "tool_use":
            names[event.index] = event.content_block.name
        if event.type == "content_block_delta":
            text += event.delta.text if event.delta.type == "text_delta" else ""
            if event.delta.type == "input_json_delta":
                arguments[event.index] = arguments.get(event.index, "") + event.delta.partial_json
    return Heard(text, parse_calls((name, arguments.get(place, "")) for place, name in names.items()))


def _read_response(body: bytes) -> Heard:
    return _hear_response(json.loads(body))


def _hear_response(body: dict[str, Any]) -> Heard:
    response = openai.types.responses.Response.construct(**body)
    calls = [item for item in response.output if item.type == "function_call"]
    return Heard(response.output_text, parse_calls((call.name, call.arguments) for call in calls))


def _read_response_events(events: list[Any]) -> Heard:
    """The last has all of it, and the SDK's own helpers for streams give that back."""
    assert events[-1]["type"] in ("response.completed", "response.incomplete")
    heard = _hear_response(events[-1]["response"])
    pieces = [event["delta"] for event in events if event["type"] == "response.output_text.delta"]
    assert heard.text == "".join(pieces)
    return heard


_HELLO: Final = [{"role": "user", "content": "Hello"}]
_SCHEMA: Final = {"type": "object", "properties": {"city": {"type": "string"}}}
CALLERS: Final = {
    "/v1/chat/completions": Caller(
        {"model": "m", "messages": _HELLO},
        {"stream": True, "stream_options": {"include_usage": True}},
        [{"type": "function", "function": {"name": "get_weather", "parameters": _SCHEMA}}],
        _read_completion,
        _read_completion_events,
    ),
    "/v1/messages": Caller(
        {"model": "m", "messages": _HELLO, "max_tokens": 100},
        {"stream": True},
        [{"name": "get_weather", "input_schema": _SCHEMA}],
        _read_message,
        _read_message_events,
    ),
    "/v1/responses": Caller(
        {"model": "m", "input": "Hello"},
        {"stream": True},
        [{"type": "function", "name": "get_weather", "parameters": _SCHEMA, "strict": False}],
        _read_response,
        _read_response_events,
        has_pairs=False,
    ),
}
"""By the path that they ask at. One whose path the gateway does not have has no rows."""


def parse_calls(calls: Iterable[tuple[str | None, str]]) -> list[Call]:
    """Empty when one was cut short."""
    try:
        return [(name or "", json.loads(arguments or "{}")) for name, arguments in calls]
    except ValueError:
        return []
