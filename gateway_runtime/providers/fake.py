"""A provider that does what its script says: a script and a request in, the whole answer with its timing out.

For tests, demos and benches. `server.fake_provider` puts it behind a socket, waits where the answer says so
and drops the connection where it says so. The same script and request give the same bytes.

It speaks OpenAI's wire format as a provider does: chat completions (JSON and SSE, usage, `max_tokens`,
`stream_options.include_usage`), embeddings (floats and base64), the model list, and errors. A token is a
word.
"""

import base64
import hashlib
import struct
from collections.abc import Iterator, Mapping
from typing import Final

import msgspec

_VECTOR_LENGTH: Final = 8


class FakeScript(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How the provider behaves from now on. Of several faults the first in this order happens."""

    latency_s: float = 0.0
    """Before the first byte of any answer but the model list."""
    failing: bool = False
    """Everything is 503, the model list (which probes ask for) too."""
    keys: tuple[str, ...] = ()
    """The API keys that are accepted; others get 401. Empty: all are, and so is none."""
    status: int = 200
    """From 400: completions and embeddings are this error."""
    error_body: str | None = None
    """Instead of an error in OpenAI's shape."""
    retry_after_s: float | None = None
    """The Retry-After of errors."""
    garbage: bool = False
    """Status 200, and a body or an event that is not JSON."""
    cut_after_chunks: int | None = None
    """Drops the connection: after so many events of a stream, or in the middle of a JSON body."""
    tokens_per_s: float | None = None
    """The pace of a stream; None is as fast as can be."""
    answer: str = "This is the fake provider. It was asked for {model}, and it heard: {prompt}"
    """The text of completions. `{model}` and `{prompt}` (the last message) are filled in."""
    models: tuple[str, ...] = ("fake-large", "fake-small")
    """What the model list says. Any other model is answered too."""


class FakeAnswer(msgspec.Struct, frozen=True, kw_only=True):
    status: int
    headers: Mapping[str, str]
    delay_s: float
    """Before the headers."""
    parts: tuple[bytes, ...]
    """The body; each part of a stream is one event."""
    part_delay_s: float
    """Before each part but the first."""
    cut: bool
    """Drop the connection after the last part, with the answer unfinished."""


class _Message(msgspec.Struct):
    content: msgspec.Raw = msgspec.Raw(b'""')


class _StreamOptions(msgspec.Struct):
    include_usage: bool = False


class _Request(msgspec.Struct):
    model: str
    messages: tuple[_Message, ...] = ()
    input: str | tuple[str, ...] = ""
    encoding_format: str = "float"
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    stream: bool | None = None
    stream_options: _StreamOptions | None = None


_request_decoder = msgspec.json.Decoder(_Request)
_script_decoder = msgspec.json.Decoder(FakeScript)
_text_decoder = msgspec.json.Decoder(str)
_encode = msgspec.json.Encoder().encode


def parse_script(data: bytes) -> FakeScript:
    """Fields that are not named keep their defaults. Raises ValueError that names the field at fault."""
    try:
        return _script_decoder.decode(data)
    except msgspec.DecodeError as error:
        fields = ", ".join(FakeScript.__struct_fields__)
        raise ValueError(f"not a script of the fake provider: {error}. Fields: {fields}.") from error


def answer_models(script: FakeScript, authorization: str | None) -> FakeAnswer:
    """GET /models."""
    refusal = _refuse(script, authorization)
    if refusal is not None:
        return refusal
    data = [{"id": name, "object": "model", "created": 0, "owned_by": "fake"} for name in script.models]
    return _whole(200, _encode({"object": "list", "data": data}))


def answer_chat(
    script: FakeScript, body: bytes, authorization: str | None, number: int, now_s: int
) -> FakeAnswer:
    """POST /chat/completions. number: counts requests, and makes the answer's id. now_s: Unix time."""
    request = _accept(script, body, authorization)
    if isinstance(request, FakeAnswer):
        return request
    prompt = _read_text(request.messages[-1].content) if request.messages else ""
    words = script.answer.replace("{model}", request.model).replace("{prompt}", prompt).split()
    most = request.max_completion_tokens or request.max_tokens
    finish = "stop" if most is None or most >= len(words) else "length"
    words = words[:most]
    heard = sum(len(_read_text(message.content).split()) for message in request.messages)
    usage = _count_usage(heard, len(words))
    head: dict[str, object] = {"id": f"chatcmpl-fake-{number}", "created": now_s, "model": request.model}
    if not request.stream:
        message = {"role": "assistant", "content": " ".join(words)}
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": finish}
        answer = {**head, "object": "chat.completion", "choices": [choice], "usage": usage}
        return _finish(script, _whole(200, _encode(answer)))
    include_usage = request.stream_options is not None and request.stream_options.include_usage
    events = _build_events(head, words, finish, usage if include_usage else None)
    stream = FakeAnswer(
        status=200,
        headers={"content-type": "text/event-stream; charset=utf-8"},
        delay_s=0.0,
        parts=tuple(events),
        part_delay_s=1 / script.tokens_per_s if script.tokens_per_s else 0.0,
        cut=False,
    )
    return _finish(script, stream)


def answer_embeddings(script: FakeScript, body: bytes, authorization: str | None) -> FakeAnswer:
    """POST /embeddings. Equal texts get equal vectors."""
    request = _accept(script, body, authorization)
    if isinstance(request, FakeAnswer):
        return request
    texts = (request.input,) if isinstance(request.input, str) else request.input
    data = [
        {"object": "embedding", "index": index, "embedding": _embed(text, request.encoding_format)}
        for index, text in enumerate(texts)
    ]
    heard = sum(len(text.split()) for text in texts)
    usage = {"prompt_tokens": heard, "total_tokens": heard}
    answer = {"object": "list", "data": data, "model": request.model, "usage": usage}
    return _finish(script, _whole(200, _encode(answer)))


def answer_unknown_path(path: str) -> FakeAnswer:
    return _fail(404, f"the fake provider has no {path}", "not_found")


def _refuse(script: FakeScript, authorization: str | None) -> FakeAnswer | None:
    if script.failing:
        return _scripted_error(script, 503)
    if script.keys and (authorization or "").removeprefix("Bearer ") not in script.keys:
        return _fail(401, "the fake provider does not know this API key", "invalid_api_key")
    return None


def _accept(script: FakeScript, body: bytes, authorization: str | None) -> _Request | FakeAnswer:
    refusal = _refuse(script, authorization)
    if refusal is None and script.status >= 400:
        refusal = _scripted_error(script, script.status)
    if refusal is not None:
        return msgspec.structs.replace(refusal, delay_s=script.latency_s)
    try:
        return _request_decoder.decode(body)
    except msgspec.DecodeError as error:
        return _fail(400, f"the fake provider cannot read the request: {error}", "malformed_body")


def _finish(script: FakeScript, answer: FakeAnswer) -> FakeAnswer:
    """Applies the latency and the faults that spoil a good answer."""
    parts, cut = answer.parts, False
    streamed = len(parts) > 1
    if script.garbage:
        parts = (b"data: {not json\n\n",) if streamed else (b"<html>not json</html>",)
    elif script.cut_after_chunks is not None:
        parts = parts[: script.cut_after_chunks] if streamed else (parts[0][: len(parts[0]) // 2],)
        cut = True
    return msgspec.structs.replace(answer, parts=parts, cut=cut, delay_s=script.latency_s)


def _scripted_error(script: FakeScript, status: int) -> FakeAnswer:
    retry_after = {} if script.retry_after_s is None else {"retry-after": f"{script.retry_after_s:g}"}
    if script.error_body is not None:
        return _whole(status, script.error_body.encode(), retry_after)
    return _fail(status, f"the fake provider was told to answer {status}", "scripted", retry_after)


def _fail(status: int, message: str, code: str, headers: Mapping[str, str] | None = None) -> FakeAnswer:
    kind = "invalid_request_error" if status < 500 else "server_error"
    error = {"message": message, "type": kind, "code": code, "param": None}
    return _whole(status, _encode({"error": error}), headers)


def _whole(status: int, body: bytes, headers: Mapping[str, str] | None = None) -> FakeAnswer:
    return FakeAnswer(
        status=status,
        headers={"content-type": "application/json", **(headers or {})},
        delay_s=0.0,
        parts=(body,),
        part_delay_s=0.0,
        cut=False,
    )


def _build_events(
    head: Mapping[str, object], words: list[str], finish: str, usage: Mapping[str, int] | None
) -> Iterator[bytes]:
    yield _build_event(head, {"role": "assistant", "content": ""}, None)
    for index, word in enumerate(words):
        yield _build_event(head, {"content": word if index == 0 else f" {word}"}, None)
    yield _build_event(head, {}, finish)
    if usage is not None:
        yield _frame({**head, "object": "chat.completion.chunk", "choices": [], "usage": usage})
    yield b"data: [DONE]\n\n"


def _build_event(head: Mapping[str, object], delta: Mapping[str, str], finish: str | None) -> bytes:
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
    return _frame({**head, "object": "chat.completion.chunk", "choices": [choice]})


def _frame(data: Mapping[str, object]) -> bytes:
    return b"data: " + _encode(data) + b"\n\n"


def _count_usage(heard: int, said: int) -> dict[str, int]:
    return {"prompt_tokens": heard, "completion_tokens": said, "total_tokens": heard + said}


def _read_text(content: msgspec.Raw) -> str:
    """A message's text; a list of parts (text, images) counts as the JSON it is."""
    try:
        return _text_decoder.decode(content)
    except msgspec.DecodeError:
        return bytes(content).decode(errors="replace")


def _embed(text: str, encoding_format: str) -> str | list[float]:
    digest = hashlib.sha256(text.encode()).digest()
    vector = [byte / 255 for byte in digest[:_VECTOR_LENGTH]]
    if encoding_format == "base64":  # what the official SDKs ask for
        return base64.b64encode(struct.pack(f"<{_VECTOR_LENGTH}f", *vector)).decode()
    return vector
