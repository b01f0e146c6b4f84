"""A provider's error, in whatever shape: the body of an error answer or event in, a ProviderError out, and
OpenAI's shape out of that.

Shapes that are read: OpenAI's and Azure's `{"error": {...}}`, the bare `{"message", "type", "code"}` of
Mistral and of older vLLM, `{"error": "text"}` of TGI and Ollama, `{"detail": ...}` of FastAPI, and Google's
list around one of them. `cause` judges what was read, `answer` passes it on.

The subtle rule: nothing in here fails. A body that says nothing readable gives an error without words.
"""

from typing import TypeAlias

import msgspec

_Json: TypeAlias = "dict[str, _Json] | list[_Json] | str | int | float | bool | None"

_decoder = msgspec.json.Decoder()
_encoder = msgspec.json.Encoder()


class ProviderError(msgspec.Struct, frozen=True):
    message: str = ""
    """The provider's own words, for the caller; they may quote the prompt, or the key that was refused."""
    code: str = ""
    type: str = ""
    words: tuple[str, ...] = ()
    """Code, inner code and type, in lower case: what `cause` looks up."""
    status: int | None = None
    """The HTTP status that the body itself names: all that an error in a stream has."""
    retry_after_s: float | None = None
    """When to try again, where the body says it: Google's does."""


def read_error(body: bytes | msgspec.Raw) -> ProviderError:
    try:
        value: _Json = _decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return ProviderError()
    if isinstance(value, list) and value:
        value = value[0]
    if not isinstance(value, dict):
        return ProviderError()
    error = value.get("error") or value
    if isinstance(error, str):
        return ProviderError(message=error)
    if not isinstance(error, dict):
        return ProviderError()
    inner = error.get("innererror")
    words = (error.get("code"), inner.get("code") if isinstance(inner, dict) else None, error.get("type"))
    return ProviderError(
        message=_read_message(error),
        code=_read_word(error.get("code")),
        type=_read_word(error.get("type")),
        words=tuple(word.lower() for word in map(_read_word, words) if word),
        status=_read_status(error),
    )


def build_openai_error(error: ProviderError) -> bytes:
    """The same in OpenAI's shape, which is what callers' SDKs read a message from."""
    return _encoder.encode(
        {
            "error": {
                "message": error.message or "The provider reported an error and gave no words for it.",
                "type": error.type or "api_error",
                "param": None,
                "code": error.code or None,
            }
        }
    )


def _read_message(error: dict[str, _Json]) -> str:
    for name in ("message", "detail", "details"):
        text = error.get(name)
        if isinstance(text, str):
            return text
        if text:
            # FastAPI lists what it found; Mistral puts that list under `message`.
            return _encoder.encode(text).decode()
    return ""


def _read_word(value: _Json) -> str:
    if isinstance(value, bool):
        return ""
    return str(value) if isinstance(value, str | int) else ""


def _read_status(error: dict[str, _Json]) -> int | None:
    for name in ("status", "code", "raw_status_code", "statusCode"):
        word = _read_word(error.get(name))
        if len(word) == 3 and word.isdecimal() and 400 <= int(word) <= 599:
            return int(word)
    return None
