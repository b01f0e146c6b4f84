"""Golden pairs of the dialects: `testdata/<dialect>/<kind>-<situation>.in.*` against `.out.json` or, for
streams, `.out.sse`.

    request-*.in.json   the caller's body -> the hub's request and what is present, or the error that refuses
                        it
    count-*.in.json     the same, of a request whose tokens are to be counted
    answer-*.in.json    {"asked"?, "answer": {"choices", "usage"?, "id"?, "model"?}} -> the caller's body
    stream-*.in.json    {"asked"?, "chunks": [...], "usage"?} -> the caller's events; the same however the
                        chunks come together
    error-*.in.json     {"error": {...}, "cause"} or {"code", "message"} -> the caller's body and last event
    passing-*.in.sse    a stream of a provider that speaks the same -> what is learnt of it, and what of it is
                        passed on; the same for every way to split the bytes
    message-*.in.json   the body of a whole answer of such a provider -> what is learnt of it

A dialect's test module names its dialect and calls `check_golden` for each of `find_situations(name)`.
"""

import json
import random
from collections.abc import Callable, Iterable
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from gateway_runtime.contract.errors import ErrorCode, GatewayError
from gateway_runtime.providers.answer import Answer, Fault
from gateway_runtime.providers.cause import Cause
from gateway_runtime.providers.chat.answer import (
    Annotation,
    AnswerMessage,
    ChatAnswer,
    ChatChoice,
    ChatChunk,
    ToolCallDelta,
)
from gateway_runtime.providers.chat.request import AnyThinkingBlock, ToolCall
from gateway_runtime.providers.dialect import Asked, Dialect, Stamp
from gateway_runtime.providers.error import ProviderError
from gateway_runtime.providers.request_body import RequestBody, read_body
from gateway_runtime.providers.usage import Usage
from gateway_runtime.providers.wire import CallerStream

TESTDATA = Path(__file__).parent / "testdata"
KINDS = ("request-", "count-", "answer-", "stream-", "error-", "passing-", "message-")
STAMP = Stamp("req-7", 1_700_000_000, "the-model")


class Speaker(NamedTuple):
    """A dialect, and what belongs to it beside."""

    dialect: Dialect
    asked: dict[str, Any]
    """A request, for situations that do not say theirs."""
    read_count: Callable[[RequestBody], Asked] | None = None
    open_stream: Callable[[], CallerStream] | None = None
    read_message: Callable[[bytes], Answer] | None = None


def find_situations(name: str) -> list[Path]:
    return sorted(path for path in (TESTDATA / name).iterdir() if ".in." in path.name)


def find_orphans(name: str) -> list[str]:
    """Files that belong to no pair, or to no kind."""
    names = {path.name for path in (TESTDATA / name).iterdir()}
    inputs = {path.name for path in find_situations(name)}
    pairs = {_find_output(path).name for path in find_situations(name)}
    return sorted((names - inputs - pairs) | {name for name in inputs if not name.startswith(KINDS)})


def check_golden(speaker: Speaker, path: Path, *, update: bool) -> None:
    shown = show(speaker, path)
    expected = _find_output(path)
    if update:
        expected.write_text(shown)

    assert shown == expected.read_text()


def show(speaker: Speaker, path: Path) -> str:
    kind = path.name.partition("-")[0]
    if kind == "passing":
        assert speaker.open_stream is not None
        return _dump(show_passing(speaker.open_stream, path.read_bytes()))
    raw = json.loads(path.read_text())
    match kind:
        case "request":
            return _dump(show_request(speaker.dialect.read_chat, raw))
        case "count":
            assert speaker.read_count is not None
            return _dump(show_request(speaker.read_count, raw))
        case "answer":
            built = speaker.dialect.build_answer(build_answer(raw["answer"]), read_asked(speaker, raw), STAMP)
            return _dump(json.loads(built))
        case "stream":
            return show_stream(speaker, raw)
        case "error":
            return _dump(show_error(speaker.dialect, raw))
        case "message":
            assert speaker.read_message is not None
            answer = speaker.read_message(encode(raw))
            return _dump(
                {"usage": _strip(msgspec.to_builtins(answer.usage)), "fault": show_fault(answer.fault)}
            )
    raise ValueError(path.name)


def show_request(read: Callable[[RequestBody], Asked], raw: Any) -> Any:
    try:
        asked = read(read_body(encode(raw)))
    except GatewayError as error:
        return {"refused": str(error)}
    chat = msgspec.to_builtins(asked.chat, enc_hook=_show_raw)
    return {"chat": _strip(chat), "present": sorted(asked.present)}


def show_stream(speaker: Speaker, raw: dict[str, Any]) -> str:
    chunks = [build_chunk(chunk) for chunk in raw["chunks"]]
    usage = build_usage(raw.get("usage"))
    asked = read_asked(speaker, raw)

    def write(groups: Iterable[list[ChatChunk]]) -> bytes:
        writer = speaker.dialect.open_writer(asked, STAMP)
        return b"".join([writer.write(group) for group in groups]) + writer.end(usage)

    one_by_one = write([chunk] for chunk in chunks)
    assert write([chunks]) == one_by_one, "how the chunks come together changes the events"
    return one_by_one.decode()


def show_error(dialect: Dialect, raw: dict[str, Any]) -> Any:
    if "code" in raw:
        error = GatewayError(ErrorCode[raw["code"]], raw["message"])
        body, event = dialect.build_error(error), dialect.build_error_event(error)
    else:
        told = msgspec.convert(raw["error"], ProviderError)
        body = dialect.build_provider_error(told, Cause(raw["cause"]))
        event = dialect.build_last_event(body)
    return {"body": json.loads(body), "event": event.decode()}


def show_passing(open_stream: Callable[[], CallerStream], data: bytes) -> Any:
    whole = _pass(open_stream(), [data])
    rng = random.Random(len(data))
    for pieces in (_cut(data, range(1, len(data))), *(_cut_anywhere(data, rng) for _ in range(40))):
        assert _pass(open_stream(), pieces) == whole, "a split of the bytes changes what is passed on"
    passed = whole.pop("passed")
    return {**whole, "passed": "everything" if passed == data else passed.decode(errors="replace")}


def show_fault(fault: Fault | None) -> Any:
    if fault is None:
        return None
    shown = fault._asdict()
    shown["error"] = None if fault.error is None else _strip(msgspec.to_builtins(fault.error))
    shown["cause"] = fault.cause and fault.cause.value
    shown["body"] = json.loads(fault.body) if fault.body else None
    return {name: item for name, item in shown.items() if item}


def read_asked(speaker: Speaker, raw: dict[str, Any]) -> Asked:
    return speaker.dialect.read_chat(read_body(encode(raw.get("asked", speaker.asked))))


def encode(body: Any) -> bytes:
    """A text stands for itself: what is no JSON."""
    return body.encode() if isinstance(body, str) else json.dumps(body, ensure_ascii=False).encode()


def build_answer(raw: dict[str, Any]) -> ChatAnswer:
    choices = tuple(_build_choice(choice) for choice in raw["choices"])
    return ChatAnswer(choices, build_usage(raw.get("usage")), raw.get("id", ""), raw.get("model", ""))


def build_chunk(raw: dict[str, Any]) -> ChatChunk:
    types: dict[str, Any] = {
        "thinking_block": AnyThinkingBlock,
        "tool_call": ToolCallDelta,
        "annotation": Annotation,
    }
    built = {
        name: msgspec.convert(value, types[name]) if name in types else value for name, value in raw.items()
    }
    for name in ("citation", "logprobs"):
        if name in raw:
            built[name] = msgspec.Raw(json.dumps(raw[name], indent=1))  # some providers' JSON spans lines
    return ChatChunk(**built)


def build_usage(raw: dict[str, int] | None) -> Usage | None:
    return None if raw is None else Usage(**raw)


def _build_choice(raw: dict[str, Any]) -> ChatChoice:
    said = raw["message"]
    message = AnswerMessage(
        said.get("content"),
        said.get("refusal"),
        msgspec.convert(said.get("tool_calls", []), tuple[ToolCall, ...]),
        said.get("reasoning_content"),
        msgspec.convert(said.get("thinking_blocks", []), tuple[AnyThinkingBlock, ...]),
        msgspec.convert(said.get("annotations", []), tuple[Annotation, ...]),
        tuple(msgspec.Raw(json.dumps(citation)) for citation in said.get("citations", [])),
    )
    logprobs = msgspec.Raw(json.dumps(raw["logprobs"])) if "logprobs" in raw else None
    return ChatChoice(message, raw["finish_reason"], raw.get("index", 0), logprobs, raw.get("stop_sequence"))


def _pass(stream: CallerStream, pieces: Iterable[bytes]) -> dict[str, Any]:
    passed = b"".join([stream.feed(piece) for piece in pieces]) + stream.finish()
    return {
        "passed": passed,
        "events": stream.events,
        "usage": _strip(msgspec.to_builtins(stream.usage)),
        "done": stream.done,
        "ended": stream.ended,
        "fault": show_fault(stream.fault),
    }


def _dump(shown: Any) -> str:
    return json.dumps(shown, indent=1, ensure_ascii=False) + "\n"


def _show_raw(value: Any) -> Any:
    return json.loads(bytes(value)) if isinstance(value, msgspec.Raw) else repr(value)


def _strip(value: Any) -> Any:
    """Without what is not set."""
    if isinstance(value, dict):
        return {name: _strip(item) for name, item in value.items() if item is not None}
    return [_strip(item) for item in value] if isinstance(value, list | tuple) else value


def _cut(data: bytes, at: Iterable[int]) -> list[bytes]:
    return [data[start:end] for start, end in pairwise([0, *at, len(data)])]


def _cut_anywhere(data: bytes, rng: random.Random) -> list[bytes]:
    return _cut(data, sorted(rng.sample(range(len(data) + 1), min(6, len(data)))))


def _find_output(path: Path) -> Path:
    ending = ".out.sse" if path.name.startswith("stream-") else ".out.json"
    return path.with_name(path.name.partition(".in.")[0] + ending)
