"""What callers send: the chat of `bench.speed`, 1 KB, to a model, in OpenAI's words or in Anthropic's."""

import json

from bench.speed.bodies import build_body
from bench.speed.loads import KILOBYTE


def build_chat(model: str, *, chunks: int = 0) -> bytes:
    """chunks: of the stream that is asked for; 0 asks for none."""
    return _fill(json.loads(build_body(KILOBYTE, chunks=chunks)), model)


def build_messages(model: str, *, chunks: int = 0) -> bytes:
    """The same for Anthropic's API, where a system prompt stands beside the messages."""
    request = json.loads(build_body(KILOBYTE, chunks=chunks))
    request.pop("stream_options", None)
    system, *messages = request["messages"]
    return _fill({**request, "system": system["content"], "messages": messages}, model)


def _fill(request: dict[str, object], model: str) -> bytes:
    """To a kilobyte exactly, with blanks behind the last message's text."""
    request["model"] = model
    messages = request["messages"]
    assert isinstance(messages, list)
    messages[-1]["content"] = messages[-1]["content"].rstrip()
    messages[-1]["content"] += " " * (KILOBYTE - len(json.dumps(request)))
    return json.dumps(request).encode()
