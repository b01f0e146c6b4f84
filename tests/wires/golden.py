"""Golden pairs of the wires: `testdata/<wire>/<kind>-<situation>.in.*` against `.out.json`.

    chat-*.in.json          {"target": {"model", "max_output_tokens"?, "drop"?}, "body": the caller's}
                            -> path, headers, body and what was dropped, or the error that refuses it
    embeddings-*.in.json    the same
    answer-*.in.json        {"asked"?: the caller's body, "body": what the provider answers with status 200}
                            -> the hub's answer, or the fault
    stream-*.in.sse|.jsonl  what the provider streams, as it comes;  stream-*.in.json for binary framings:
                            {"asked"?, "events": [...]}, which the wire's test turns into bytes
                            -> chunks, usage and end; the same for every way to split the bytes
    error-*.in.json         {"status", "body"} -> what was read of it, and the cause

A wire's test module names its wire and calls `check_golden` for each of `find_situations(name)`.
"""

import json
import random
from collections.abc import Callable, Iterable
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec

from gateway_runtime.contract.errors import GatewayError
from gateway_runtime.providers.answer import Fault
from gateway_runtime.providers.cause import judge_error
from gateway_runtime.providers.chat.answer import ChatChunk
from gateway_runtime.providers.chat.request import ChatRequest, read_chat
from gateway_runtime.providers.wire import ChatStream, EmbeddingsRequest, Outgoing, Target, Wire

TESTDATA = Path(__file__).parent / "testdata"
KINDS = ("chat-", "embeddings-", "answer-", "vectors-", "stream-", "error-")
_ASKED = {"model": "m", "messages": [{"role": "user", "content": "Hello"}]}


def find_situations(wire: str) -> list[Path]:
    return sorted(path for path in (TESTDATA / wire).iterdir() if ".in." in path.name)


def find_orphans(wire: str) -> list[str]:
    """Files that belong to no pair, or to no kind."""
    names = {path.name for path in (TESTDATA / wire).iterdir()}
    pairs = {_find_output(path).name for path in find_situations(wire)}
    inputs = {path.name for path in find_situations(wire)}
    return sorted((names - inputs - pairs) | {name for name in inputs if not name.startswith(KINDS)})


def check_golden(
    wire: Wire, path: Path, *, update: bool, frame: Callable[[list[Any]], bytes] = lambda events: b""
) -> None:
    """frame: a binary framing's events to bytes."""
    shown = json.dumps(show(wire, path, frame), indent=1, ensure_ascii=False, sort_keys=True) + "\n"
    expected = _find_output(path)
    if update:
        expected.write_text(shown)

    assert shown == expected.read_text()


def show(wire: Wire, path: Path, frame: Callable[[list[Any]], bytes]) -> Any:
    kind = path.name.partition("-")[0]
    if kind == "stream":
        if path.suffix == ".json":
            raw = json.loads(path.read_text())
            return show_stream(wire, frame(raw["events"]), read_asked(raw))
        return show_stream(wire, path.read_bytes(), read_asked({}))
    raw = json.loads(path.read_text())
    match kind:
        case "chat":
            return show_outgoing(wire, raw)
        case "embeddings":
            return show_embeddings(wire, raw)
        case "answer":
            return show_value(wire.read_chat(encode(raw["body"]), read_asked(raw)))
        case "vectors":
            return show_value(wire.read_embeddings(encode(raw["body"]), read_embeddings(raw["asked"])))
        case "error":
            error = wire.read_error(raw["status"], encode(raw["body"]))
            return {"error": show_value(error), "cause": judge_error(raw["status"], error).value}
    raise ValueError(path.name)


def show_outgoing(wire: Wire, raw: dict[str, Any]) -> Any:
    body = raw["body"]
    present = {name for name, value in body.items() if value is not None}
    try:
        chat = read_chat(encode(body))
        before = msgspec.json.encode(chat)
        outgoing = wire.build_chat(chat, present, Target(**raw["target"]))
    except GatewayError as error:
        return {"refused": str(error)}
    assert msgspec.json.encode(chat) == before, "the request was changed"
    return _show_request(outgoing)


def show_embeddings(wire: Wire, raw: dict[str, Any]) -> Any:
    try:
        return _show_request(wire.build_embeddings(read_embeddings(raw["body"]), Target(**raw["target"])))
    except GatewayError as error:
        return {"refused": str(error)}


def show_stream(wire: Wire, data: bytes, chat: ChatRequest) -> Any:
    whole = _run(wire.open_chat(chat), [data])
    rng = random.Random(len(data))
    for pieces in (_cut(data, range(1, len(data))), *(_cut_anywhere(data, rng) for _ in range(20))):
        assert _run(wire.open_chat(chat), pieces) == whole, "a split of the bytes changes the answer"
    return whole


def read_asked(raw: dict[str, Any]) -> ChatRequest:
    return read_chat(encode(raw.get("asked", _ASKED)))


def read_embeddings(body: dict[str, Any]) -> EmbeddingsRequest:
    given = body["input"]
    present = frozenset(name for name, value in body.items() if value is not None)
    return EmbeddingsRequest(
        tuple([given] if isinstance(given, str) else given), body.get("dimensions"), present
    )


def encode(body: Any) -> bytes:
    """A text stands for itself: what is no JSON."""
    return body.encode() if isinstance(body, str) else json.dumps(body, ensure_ascii=False).encode()


def show_value(value: Any) -> Any:
    """Without what is not set."""
    if isinstance(value, Fault):
        shown = value._asdict()
        shown["error"] = show_value(value.error)
        shown["cause"] = value.cause and value.cause.value
        shown["body"] = value.body.decode()
        return {"fault": {name: item for name, item in shown.items() if item}}
    return _strip(msgspec.to_builtins(value, enc_hook=_show_raw))


def _run(stream: ChatStream, pieces: Iterable[bytes]) -> Any:
    chunks: list[ChatChunk] = []
    for piece in pieces:
        chunks += stream.feed(piece)
    chunks += stream.finish()
    return {
        "chunks": [_strip(msgspec.to_builtins(chunk, enc_hook=_show_raw)) for chunk in chunks],
        "id": stream.id,
        "model": stream.model,
        "usage": _strip(msgspec.to_builtins(stream.usage)),
        "done": stream.done,
        "fault": None if stream.fault is None else show_value(stream.fault)["fault"],
    }


def _show_request(outgoing: Outgoing) -> Any:
    return {
        "path": outgoing.path,
        "headers": dict(outgoing.headers),
        "body": json.loads(outgoing.body),
        "dropped": list(outgoing.dropped),
    }


def _show_raw(value: Any) -> Any:
    return json.loads(bytes(value)) if isinstance(value, msgspec.Raw) else repr(value)


def _strip(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _strip(item) for name, item in value.items() if item is not None and item != []}
    return [_strip(item) for item in value] if isinstance(value, list | tuple) else value


def _cut(data: bytes, at: Iterable[int]) -> list[bytes]:
    places = [0, *at, len(data)]
    return [data[start:end] for start, end in pairwise(places)]


def _cut_anywhere(data: bytes, rng: random.Random) -> list[bytes]:
    return _cut(data, sorted(rng.sample(range(len(data) + 1), min(6, len(data)))))


def _find_output(path: Path) -> Path:
    return path.with_name(path.name.partition(".in.")[0] + ".out.json")
