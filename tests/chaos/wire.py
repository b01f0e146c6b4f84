"""What a good provider says, as bytes: a Scenario and a leg in, the whole answer out.

`upstream` sends it, or what a fault leaves of it; `judge` needs to know where its first event ends.
"""

import json
from typing import Final

from tests.chaos.scenario import Scenario

_HEAD: Final = "HTTP/1.1 200 OK\r\ncontent-type: {}\r\nx-request-id: req-{}\r\n{}\r\n"
_PIECES: Final = 20
"""Events of a stream, at most."""
DONE: Final = b"data: [DONE]\n\n"


def build_body(scenario: Scenario, leg: str) -> list[bytes]:
    """In the pieces that a provider would write."""
    text = scenario.text(leg)
    if scenario.kind == "embeddings":
        vector = {"object": "embedding", "index": 0, "embedding": [0.5, -0.25]}
        usage = {"prompt_tokens": 1, "total_tokens": 1}
        return [_dump({"object": "list", "model": text, "data": [vector], "usage": usage})]
    if scenario.kind == "chat":
        message = {"role": "assistant", "content": text}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
        return [_dump({"id": "c", "object": "chat.completion", "choices": [choice], "usage": usage})]
    size = max(8, -(-len(text) // _PIECES))
    pieces = [text[at : at + size] for at in range(0, len(text), size)]
    return [*map(build_event, pieces), DONE]


def build_event(text: str) -> bytes:
    choice = {"index": 0, "delta": {"content": text}, "finish_reason": None}
    return b"data: %b\n\n" % _dump({"id": "c", "object": "chat.completion.chunk", "choices": [choice]})


def build_error() -> bytes:
    return _dump({"error": {"message": "It broke.", "type": "server_error", "param": None, "code": None}})


def build_head(scenario: Scenario, length: int | None) -> bytes:
    """length: None for chunks."""
    kind = "text/event-stream" if scenario.kind == "stream" else "application/json"
    framing = "transfer-encoding: chunked\r\n" if length is None else f"content-length: {length}\r\n"
    return _HEAD.format(kind, scenario.seed, framing).encode()


def frame(scenario: Scenario, pieces: list[bytes], *, whole: bool = True) -> bytes:
    """Head and body. whole: with its last chunk; else a length that is never reached."""
    if scenario.chunked_answer:
        chunks = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces)
        return build_head(scenario, None) + chunks + (b"0\r\n\r\n" if whole else b"")
    body = b"".join(pieces)
    return build_head(scenario, len(body) + (0 if whole else 1000)) + body


def find_first_event(scenario: Scenario, answer: bytes) -> int:
    """Behind how many bytes of a good stream its first event is whole, and so may have gone out."""
    return answer.index(b"\n\n", answer.index(b"data: ")) + 2


def _dump(value: object) -> bytes:
    return json.dumps(value).encode()
