"""Errors, ours and providers', in Anthropic's shape; and Anthropic's own, read in a stream or a whole answer.

The subtle rule: the SDKs choose the exception by the HTTP status, and what they raise for an `error` event
of a stream, which comes with status 200, is told apart by `error.type` alone. So the type says what happened,
whatever the status was.

Format: https://docs.anthropic.com/en/api/errors. `details.error_code` is where the SDKs look for a stable
code; one that they do not know counts as the bare type.
"""

from typing import Final, Literal

import msgspec

from gateway_runtime.contract.errors import GatewayError
from gateway_runtime.providers import openai
from gateway_runtime.providers.answer import Fault, build_fault
from gateway_runtime.providers.cause import Cause
from gateway_runtime.providers.error import ProviderError, read_error

_TYPES_BY_STATUS: Final = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    500: "api_error",
    503: "overloaded_error",
    504: "timeout_error",
    529: "overloaded_error",
}
_STATUSES_BY_TYPE: Final = {
    **{error_type: status for status, error_type in _TYPES_BY_STATUS.items()},
    "overloaded_error": 529,
}
_TYPES_BY_CAUSE: Final = {
    Cause.BAD_REQUEST: "invalid_request_error",
    Cause.CONTEXT_TOO_LONG: "invalid_request_error",
    Cause.CONTENT_FILTERED: "invalid_request_error",
    Cause.REQUEST_TOO_LARGE: "request_too_large",
    Cause.CREDENTIAL_REFUSED: "authentication_error",
    Cause.QUOTA_SPENT: "billing_error",
    Cause.NOT_FOUND: "not_found_error",
    Cause.RATE_LIMITED: "rate_limit_error",
    Cause.OVERLOADED: "overloaded_error",
    Cause.TIMED_OUT: "timeout_error",
    Cause.SERVER_ERROR: "api_error",
}
_FORBIDDEN: Final = frozenset({"permission_error", "permission_denied", "accessdeniedexception"})
"""What Anthropic, Google and Bedrock call a key that is known and may not."""
_TOO_LONG: Final = "prompt is too long"
"""Anthropic's own words, which Claude Code looks for when it decides to shorten the conversation."""

_encoder = msgspec.json.Encoder()


class _Worded(msgspec.Struct):
    type: str
    message: str


class _Shaped(msgspec.Struct):
    type: Literal["error"]
    error: _Worded


_shaped_decoder = msgspec.json.Decoder(_Shaped)


def build_error(error: GatewayError) -> bytes:
    """The JSON body of an answer that the gateway gives by itself. `headgate` is ours: the code that users
    search for.
    """
    code = error.code
    status = code.status
    fallback = "invalid_request_error" if status < 500 else "api_error"
    return _encoder.encode(
        {
            "type": "error",
            "error": {
                "type": _TYPES_BY_STATUS.get(status, fallback),
                "message": error.message,
                "details": {"error_code": code.value.code},
                "headgate": code.id,
            },
        }
    )


def build_provider_error(error: ProviderError, cause: Cause) -> bytes:
    """The JSON body that passes a provider's refusal on."""
    message = error.message or "The provider reported an error and gave no words for it."
    if cause is Cause.CONTEXT_TOO_LONG and _TOO_LONG not in message.lower():
        message = f"{_TOO_LONG}: {message}"
    told: dict[str, object] = {"type": _find_type(error, cause), "message": message}
    if error.code:
        told["details"] = {"error_code": error.code}
    return _encoder.encode({"type": "error", "error": told})


def build_event(data: bytes) -> bytes:
    """data: an error's JSON, which may have been a provider's and span lines."""
    return b"event: error\n" + openai.build_event(data)


def read_fault(data: bytes) -> Fault:
    """data: the JSON of an error that Anthropic reports in an answer which began well. It is passed on as it
    came, in one line, when it has Anthropic's shape.
    """
    error = read_error(data)
    if error.status is None:
        error = msgspec.structs.replace(error, status=_STATUSES_BY_TYPE.get(error.type))
    fault = build_fault(error)
    try:
        data.decode()
        _shaped_decoder.decode(data)
        return fault._replace(body=msgspec.json.format(data, indent=-1))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return fault._replace(body=build_provider_error(error, fault.cause or Cause.SERVER_ERROR))


def _find_type(error: ProviderError, cause: Cause) -> str:
    if cause is Cause.CREDENTIAL_REFUSED and (error.status == 403 or not _FORBIDDEN.isdisjoint(error.words)):
        return "permission_error"
    return _TYPES_BY_CAUSE[cause]
