"""A provider's answer with status 200: a whole body in, its usage and its fault out.

`server` calls `read_answer` for a whole answer before a byte of it goes out. `stream` judges each event of a
stream by the same rule, through `read_facts`.

    must be so before bytes are passed on      need not be looked at
    it is one JSON object, in UTF-8            names and types of its members, a choice's content
    it is no error                             whether `model` and `id` are those that were asked for
    a usage was counted, where there is one    members that nobody has heard of

The subtle rule: JSON is judged by msgspec, which is fast and strict, and what it refuses by Python's reader,
which is slow and lenient. Some servers write `-Infinity` for a log probability, and half a surrogate pair
where a chunk cuts a character; callers' SDKs read both, so both are good answers.
"""

import json
from typing import Final, Literal, NamedTuple

import msgspec

from gateway_runtime.providers.cause import Cause, judge_error
from gateway_runtime.providers.error import ProviderError, build_openai_error, read_error
from gateway_runtime.providers.usage import NO_USAGE, Counts, Usage, build_usage, read_usage

_ABSENT: Final = msgspec.Raw(b"null")
_NO_ERRORS: Final = frozenset({b"false", b'""', b"{}", b"[]"})
"""SDKs ask whether `error` is truthy; some servers send an empty one with every chunk."""


class Fault(NamedTuple):
    """Why an answer is not a good one. Everything in it but `body` may be logged."""

    kind: Literal["malformed", "torn", "error"]
    """`malformed`: it is not what was asked for. `torn`: it ended too early. `error`: the provider says that
    it failed.
    """
    reason: str
    """One clause for a person, without the provider's words."""
    cause: Cause | None = None
    """Of an error: whether another attempt can help."""
    status: int = 502
    """What the caller gets when nothing else has gone out yet."""
    body: bytes = b""
    """Of an error: the JSON for the caller, in OpenAI's shape, with the provider's own words. They may quote
    the key that was refused.
    """
    error: ProviderError | None = None
    """The same before it was put into a caller's shape: from wires that are not OpenAI's, without `body`."""


class Answer(NamedTuple):
    usage: Usage | None
    fault: Fault | None


class Facts(msgspec.Struct, gc=False):
    """The members of an answer or event that are looked at, as they came."""

    usage: msgspec.Raw = NO_USAGE
    error: msgspec.Raw = _ABSENT
    choices: msgspec.Raw = _ABSENT


_facts_decoder = msgspec.json.Decoder(Facts)


class _Ordinary(msgspec.Struct, gc=False):
    """A good answer: one decoding tells all."""

    usage: Counts | None = None
    error: None = None


_ordinary_decoder = msgspec.json.Decoder(_Ordinary)


class _WordedError(msgspec.Struct):
    class _Error(msgspec.Struct):
        message: str

    error: _Error


_worded_decoder = msgspec.json.Decoder(_WordedError)


def read_answer(body: bytes) -> Answer:
    """body: of a whole answer with status 200."""
    try:
        if body.isascii():
            usage = _ordinary_decoder.decode(body).usage
            return Answer(None if usage is None else build_usage(usage), None)
    except (msgspec.DecodeError, RecursionError):
        pass  # a closer look follows
    found = read_facts(body)
    if found is None:
        return Answer(None, Fault("malformed", "its body is not a JSON object"))
    if is_error(found):
        return Answer(read_usage(found.usage), read_fault(body))
    return Answer(read_usage(found.usage), None)


def build_fault(error: ProviderError) -> Fault:
    """Of an error that a provider reports in an answer which began well."""
    cause = judge_error(error.status or 500, error)
    words = cause.value.replace("_", " ")
    reason = f"the provider reported an error: {words}"
    return Fault("error", reason, cause, error.status or cause.status, error=error)


def read_facts(data: bytes) -> Facts | None:
    """None when it is not a JSON object, in UTF-8."""
    try:
        if not data.isascii():
            data.decode()  # the decoder lets other encodings through in what it skips
        return _facts_decoder.decode(data)
    except UnicodeDecodeError:
        return None
    except (msgspec.DecodeError, RecursionError):
        return _read_leniently(data)


def is_error(found: Facts) -> bool:
    return found.error != _ABSENT and bytes(found.error) not in _NO_ERRORS


def read_fault(data: bytes) -> Fault:
    """data: of an answer or event that is an error. It is passed on as it came, when SDKs find its words."""
    error = read_error(data)
    cause = judge_error(error.status or 500, error)
    try:
        data.decode()
        _worded_decoder.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        data = build_openai_error(error)
    words = cause.value.replace("_", " ")
    return Fault(
        "error", f"the provider reported an error: {words}", cause, error.status or cause.status, data
    )


def _read_leniently(data: bytes) -> Facts | None:
    try:
        value = json.loads(data.decode())
    except (ValueError, RecursionError):
        return None
    if not isinstance(value, dict):
        return None
    found = {name: msgspec.Raw(json.dumps(value[name])) for name in Facts.__struct_fields__ if name in value}
    return Facts(**found)
