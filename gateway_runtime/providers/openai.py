"""OpenAI's wire format: a caller's body in, a provider's body out, and the other way round.

Callers speak it, and so do providers of the types `openai` and `openai-compatible`: requests pass through as
the bytes they came in, and only the fields that routing needs are decoded. `server` calls this for every
request.

The subtle rule: nothing is parsed into objects and written again. When the model's name must change, the
other fields are carried as raw slices, so numbers, escapes and fields that this module has never heard of
arrive exactly as the caller wrote them.
"""

from collections.abc import Iterable
from typing import Final

import msgspec

from gateway_runtime.contract.errors import ErrorCode, GatewayError
from gateway_runtime.contract.secret import Secret

DONE: Final = b"[DONE]"
"""The data of the event that ends a whole stream. A stream that ends without it was cut."""

_LONGEST_MODEL_NAME: Final = 256
"""Model names go into headers, logs and metrics. Longer than any provider's; a guess."""

_EXAMPLE: Final = '{"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Hello"}]}'


class RequestFacts(msgspec.Struct, frozen=True):
    """What routing needs to know of a request body."""

    model: str
    stream: bool


class Usage(msgspec.Struct, frozen=True):
    """Tokens, as the provider counted them."""

    input_tokens: int
    output_tokens: int
    """0 for embeddings."""


class _Request(msgspec.Struct):
    model: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    stream: bool | None = None


class _WireUsage(msgspec.Struct):
    prompt_tokens: int
    completion_tokens: int = 0


class _Answer(msgspec.Struct):
    usage: _WireUsage | None = None


class _AnyObject(msgspec.Struct):
    """Decodes any JSON object, checks its syntax and keeps nothing of it."""


_request_decoder = msgspec.json.Decoder(_Request)
_name_decoder = msgspec.json.Decoder(str)
_fields_decoder = msgspec.json.Decoder(dict[str, msgspec.Raw])
_answer_decoder = msgspec.json.Decoder(_Answer)
_object_decoder = msgspec.json.Decoder(_AnyObject)
_encoder = msgspec.json.Encoder()


def read_request(body: bytes) -> RequestFacts:
    """Raises GatewayError: MALFORMED_BODY when it is no JSON object, MISSING_MODEL without a usable name."""
    try:
        if not body.isascii():
            body.decode()  # the decoder skips what it does not need, and would let other encodings through
        request = _request_decoder.decode(body)
    except UnicodeDecodeError as error:
        raise GatewayError(
            ErrorCode.MALFORMED_BODY,
            f"The request body is not UTF-8: byte {error.start} does not fit. Encode the JSON as UTF-8.",
        ) from error
    except msgspec.ValidationError as error:
        raise GatewayError(ErrorCode.MALFORMED_BODY, _explain_shape(str(error))) from error
    except msgspec.DecodeError as error:
        raise GatewayError(ErrorCode.MALFORMED_BODY, _explain_syntax(body, str(error))) from error
    except RecursionError as error:
        raise GatewayError(
            ErrorCode.MALFORMED_BODY,
            "The request body nests its arrays and objects too deeply. Send a flatter JSON object.",
        ) from error
    return RequestFacts(_read_model(request.model), request.stream is True)


def build_body(body: bytes, facts: RequestFacts, upstream_model: str) -> bytes:
    """The body for the provider. `body` is what `facts` were read from; the same object comes back when the
    provider calls the model what the caller called it.

    A body that may name `model` twice is written anew with the one that was judged: JSON parsers differ in
    which of two they take, and the allow-list must hold for all of them. `\\u006` begins every escaped letter
    of the word.
    """
    if upstream_model == facts.model and body.count(b'"model"') == 1 and b"\\u006" not in body:
        return body
    fields = _fields_decoder.decode(body)
    fields["model"] = msgspec.Raw(_encoder.encode(upstream_model))
    return _encoder.encode(fields)


def build_headers(credential: Secret | None, request_id: str) -> dict[str, str]:
    """Headers towards the provider. None of the caller's own is passed on, its key least of all."""
    headers = {
        "content-type": "application/json",
        "accept-encoding": "identity",  # answers are read on their way through
        "user-agent": "headgate",
        "x-request-id": request_id,
    }
    if credential is not None:
        headers["authorization"] = f"Bearer {credential.reveal()}"
    return headers


def check_answer(body: bytes) -> bool:
    """Whether the body of a 2xx answer, or the data of a stream event, is a JSON object."""
    try:
        _object_decoder.decode(body)
    except (msgspec.DecodeError, RecursionError):
        return False
    return True


def parse_usage(body: bytes) -> Usage | None:
    """From a whole answer or from the data of a stream event; None when it has no usage in OpenAI's shape."""
    try:
        usage = _answer_decoder.decode(body).usage
    except (msgspec.DecodeError, RecursionError):
        return None
    return None if usage is None else Usage(usage.prompt_tokens, usage.completion_tokens)


def build_error(error: GatewayError) -> bytes:
    """The JSON body of an answer that the gateway gives by itself."""
    code = error.code
    about_model = code in (ErrorCode.UNKNOWN_MODEL, ErrorCode.MISSING_MODEL)
    return _encoder.encode(
        {
            "error": {
                "message": error.message,
                "type": code.value.type,
                "code": code.value.code,
                "param": "model" if about_model else None,
                "headgate": code.id,
            }
        }
    )


def build_error_event(error: GatewayError) -> bytes:
    """The same as a stream event. The official SDKs raise when an event's data has an `error`; no `[DONE]`
    follows, since the answer is not whole.
    """
    return b"data: " + build_error(error) + b"\n\n"


def build_model_list(names: Iterable[str]) -> bytes:
    """The body of `GET /v1/models`. The SDKs want a `created`; the gateway knows none and says 0."""
    data = [{"id": name, "object": "model", "created": 0, "owned_by": "headgate"} for name in names]
    return _encoder.encode({"object": "list", "data": data})


def _read_model(raw: msgspec.Raw | msgspec.UnsetType) -> str:
    if isinstance(raw, msgspec.UnsetType):
        raise GatewayError(
            ErrorCode.MISSING_MODEL,
            f"The request body has no `model`. Name one, for example {_EXAMPLE}; GET /v1/models lists yours.",
        )
    try:
        model = _name_decoder.decode(raw)
    except msgspec.DecodeError:
        model = ""
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


def _explain_shape(problem: str) -> str:
    if "$.stream" in problem:
        return "`stream` must be true or false."
    return f"The request body must be one JSON object, for example {_EXAMPLE}."


def _explain_syntax(body: bytes, problem: str) -> str:
    if not body.strip():
        return f"The request body is empty. Send a JSON object, for example {_EXAMPLE}."
    if "truncated" in problem:
        return (
            f"The request body is not valid JSON: it ends in the middle of a value, after byte {len(body)}."
        )
    if "trailing characters" in problem:
        return "The request body is not valid JSON: more follows after the end of the object."
    return f"The request body is not valid JSON: {problem.removeprefix('JSON is malformed: ')}."
