"""A request body in OpenAI's wire format: the caller's bytes in, what routing needs and the provider's bytes
out.

`server` calls `read_body` once for each request and `build` once for each attempt.

Only the top level is decoded, into raw slices of the caller's bytes; `build` puts them together again with
another `model`, and with `stream_options.include_usage` for a stream. Numbers, escapes and members that this
module has never heard of arrive exactly as the caller wrote them; what changes is the blanks between members.
Measured with 1, 10 and 100 KB: 1.0, 3.4 and 30 µs to read, 0.4, 0.5 and 2.4 µs to build. Splicing in place
would have to search the text for the members' positions, and the search alone takes 45 µs for 100 KB.

The subtle rule: each member comes out once. JSON parsers differ in which of two `model` they take, one of
them perhaps written `\\u006dodel`, and the allow-list must hold for all of them; the last one is judged, and
it is the only one that is sent.
"""

import json
from typing import Final

import msgspec

from gateway_runtime.contract.errors import ErrorCode, GatewayError

_LONGEST_MODEL_NAME: Final = 256
"""Model names go into headers, logs and metrics. Longer than any provider's; a guess."""

_EXAMPLE: Final = '{"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Hello"}]}'
_BOM: Final = b"\xef\xbb\xbf"
_NULL: Final = msgspec.Raw(b"null")
_TRUE: Final = msgspec.Raw(b"true")
_ONLY_USAGE: Final = msgspec.Raw(b'{"include_usage":true}')


class RequestBody(msgspec.Struct, frozen=True):
    model: str
    stream: bool
    wants_usage: bool
    """The caller asked for the usage of a stream: its event is passed on."""
    members: dict[str, msgspec.Raw]
    """All of the top level, as the caller wrote it."""

    @property
    def present(self) -> set[str]:
        """The names of those members that are not null."""
        return {name for name, value in self.members.items() if value != _NULL}

    def build(self, upstream_model: str, *, ask_usage: bool = True) -> bytes:
        """The body for a provider that calls the model `upstream_model`. ask_usage: of a stream, also where
        the caller did not; False leaves the caller's options as they are.
        """
        members = self.members
        if upstream_model != self.model:
            members = {**members, "model": msgspec.Raw(_encoder.encode(upstream_model))}
        if ask_usage and self.stream and not self.wants_usage:
            members = {**members, "stream_options": _ask_for_usage(members.get("stream_options"))}
        return _encoder.encode(members)


class _StreamOptions(msgspec.Struct):
    include_usage: bool | None = None


_members_decoder = msgspec.json.Decoder(dict[str, msgspec.Raw])
_name_decoder = msgspec.json.Decoder(str)
_stream_decoder = msgspec.json.Decoder(bool | None)
_options_decoder = msgspec.json.Decoder(_StreamOptions | None)
_encoder = msgspec.json.Encoder()


def read_body(body: bytes, default_model: str | None = None) -> RequestBody:
    """default_model: what the API means by a body without a model; None where it insists on one. Raises
    GatewayError: MALFORMED_BODY when it is no JSON object, MISSING_MODEL without a usable name.
    """
    try:
        if not body.isascii():
            body.decode()  # the decoder lets other encodings through in what it skips
        members = _members_decoder.decode(body)
    except UnicodeDecodeError as error:
        raise _refuse(
            f"The request body is not UTF-8: byte {error.start} does not fit. Encode the JSON as UTF-8."
        ) from error
    except msgspec.ValidationError as error:
        raise _refuse(f"The request body must be one JSON object, for example {_EXAMPLE}.") from error
    except msgspec.DecodeError as error:
        raise _refuse(_explain_syntax(body, str(error))) from error
    except RecursionError as error:
        raise _refuse(
            "The request body nests its arrays and objects too deeply. Send a flatter JSON object."
        ) from error
    stream = _read_stream(members.get("stream"))
    wants_usage = stream and _read_wants_usage(members.get("stream_options"))
    named = members.get("model")
    if named is None and default_model is not None:
        return RequestBody(default_model, stream, wants_usage, members)
    return RequestBody(_read_model(named), stream, wants_usage, members)


def _read_stream(raw: msgspec.Raw | None) -> bool:
    try:
        return raw is not None and _stream_decoder.decode(raw) is True
    except msgspec.DecodeError as error:
        raise _refuse("`stream` must be true or false.") from error


def _read_wants_usage(raw: msgspec.Raw | None) -> bool:
    try:
        options = None if raw is None else _options_decoder.decode(raw)
    except msgspec.DecodeError as error:
        raise _refuse('`stream_options` must be an object such as {"include_usage": true}.') from error
    return options is not None and options.include_usage is True


def _ask_for_usage(raw: msgspec.Raw | None) -> msgspec.Raw:
    """The caller's other options are kept."""
    if raw is None or bytes(raw) == b"null":
        return _ONLY_USAGE
    return msgspec.Raw(_encoder.encode({**_members_decoder.decode(raw), "include_usage": _TRUE}))


def _read_model(raw: msgspec.Raw | None) -> str:
    if raw is None:
        raise GatewayError(
            ErrorCode.MISSING_MODEL,
            f"The request body has no `model`. Name one, for example {_EXAMPLE}; GET /v1/models lists yours.",
        )
    try:
        model = _name_decoder.decode(raw)
    except msgspec.DecodeError:
        model = ""
    return check_model(model)


def check_model(model: str) -> str:
    """The same, when it is fit to be looked up. Raises GatewayError MISSING_MODEL."""
    if not model or not model.isprintable():
        raise GatewayError(
            ErrorCode.MISSING_MODEL,
            "`model` must be a model's name: a JSON string of printable characters, not empty. "
            "GET /v1/models lists yours.",
        )
    if len(model) > _LONGEST_MODEL_NAME:
        raise GatewayError(
            ErrorCode.MISSING_MODEL,
            f"`model` has {len(model)} characters; a name has at most {_LONGEST_MODEL_NAME}. "
            "GET /v1/models lists yours.",
        )
    return model


def _refuse(message: str) -> GatewayError:
    return GatewayError(ErrorCode.MALFORMED_BODY, message)


def _explain_syntax(body: bytes, problem: str) -> str:
    if not body.strip():
        return f"The request body is empty. Send a JSON object, for example {_EXAMPLE}."
    if body.startswith(_BOM):
        return "The request body begins with a byte order mark (EF BB BF). Send the JSON without it."
    if "surrogate" in problem or "hex escape" in problem or ("truncated" in problem and _is_whole(body)):
        return (
            "The request body is not valid JSON: an escape stands for half a character, such as \\ud83d "
            "without its other half. Text was probably cut in the middle of an emoji; cut it elsewhere."
        )
    if "truncated" in problem:
        return (
            f"The request body is not valid JSON: it ends in the middle of a value, after byte {len(body)}."
        )
    if "trailing characters" in problem:
        return "The request body is not valid JSON: more follows after the end of the object."
    return f"The request body is not valid JSON: {problem.removeprefix('JSON is malformed: ')}."


def _is_whole(body: bytes) -> bool:
    """Whether a lenient reader finds its end, where the strict one missed the other half of a character."""
    try:
        json.loads(body)
    except ValueError:
        return False
    return True
