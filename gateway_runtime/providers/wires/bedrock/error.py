"""A refusal of Bedrock's: status and body, or the exception in a stream, in; a ProviderError out.

Of an answer only a header says which exception it is, and the body no more than {"message": "..."}. So the
cause is found from the status, and where one status stands for several causes, from phrases of the message.
`cause` knows the words that are put into `words`; they are other providers' for the same thing.

Exceptions: https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html#API_runtime_Converse_Errors
and https://docs.aws.amazon.com/bedrock/latest/userguide/troubleshooting-api-error-codes.html

The subtle rule: "too many tokens" is two things. With a 400 the prompt is too long, with a 429 the account
is too fast: https://docs.aws.amazon.com/bedrock/latest/userguide/quotas-token-burndown.html
"""

from typing import Final

import msgspec

from gateway_runtime.providers.error import ProviderError
from gateway_runtime.providers.error import read_error as read_any_error

_CONTEXT: Final = ("context_length_exceeded",)
_CREDENTIAL: Final = ("invalid_api_key",)
_FAILED: Final = ("server_error", "overloaded_error")
"""424: the model failed, not the request. `cause` has no word for that but the second, whose outcome is the
same.
"""
_FILTERED: Final = ("content_filter",)
_NO_MODEL: Final = ("model_not_found",)
_NOT_READY: Final = ("overloaded_error",)
_QUOTA: Final = ("insufficient_quota",)

_BY_PHRASE: Final = {
    400: (
        ("input is too long", _CONTEXT),
        ("prompt is too long", _CONTEXT),
        ("too many tokens", _CONTEXT),
        ("too many input tokens", _CONTEXT),  # Titan's and Cohere's embeddings
        ("input tokens exceeded", _CONTEXT),  # Nova
        ("exceed context limit", _CONTEXT),  # Claude: the prompt and `maxTokens` together
        ("content filter", _FILTERED),
        ("model identifier is invalid", _NO_MODEL),
        ("on-demand throughput isn", _NO_MODEL),  # it is there as an inference profile alone
        ("service quota", _QUOTA),
        ("security token", _CREDENTIAL),
        ("request signature", _CREDENTIAL),  # not that of a thinking block, which is the caller's
    ),
    403: (("access to the model", _NO_MODEL),),
    429: (
        ("per day", _QUOTA),  # "Too many tokens per day": no pause of seconds helps
        ("not ready", _NOT_READY),
    ),
}
_BY_NAME: Final = {
    "expiredtokenexception": _CREDENTIAL,
    "incompletesignature": _CREDENTIAL,
    "invalidclienttokenid": _CREDENTIAL,
    "invalidsignatureexception": _CREDENTIAL,
    "missingauthenticationtoken": _CREDENTIAL,
    "modelerrorexception": _FAILED,
    "modelnotreadyexception": _NOT_READY,
    "modelstreamerrorexception": _FAILED,
    "servicequotaexceededexception": _QUOTA,
    "throttlingexception": ("rate_limited",),
    "unrecognizedclientexception": _CREDENTIAL,
}
_STATUSES: Final = {
    "accessdeniedexception": 403,
    "internalserverexception": 500,
    "modelnotreadyexception": 429,
    "modeltimeoutexception": 408,
    "resourcenotfoundexception": 404,
    "serviceunavailableexception": 503,
    "throttlingexception": 429,
    "validationexception": 400,
}
"""Of the exceptions that come in a stream, as they would come before one."""


class _Body(msgspec.Struct):
    message: str = ""
    capital: str = msgspec.field(default="", name="Message")
    """So before a request reaches the service: from the gateways that check credentials."""
    type: str = msgspec.field(default="", name="__type")


_decoder = msgspec.json.Decoder(_Body)


def read_error(status: int, body: bytes) -> ProviderError:
    try:
        read = _decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return read_any_error(body)  # a proxy's before Bedrock
    # `com.amazon.coral.service#UnknownOperationException`
    name = read.type.rpartition("#")[2]
    return _build_error(status, name, read.message or read.capital)


def read_exception(name: str, payload: bytes, message: str = "") -> ProviderError:
    """Of a stream. name: `throttlingException`. message: where the frame itself has it."""
    status = _STATUSES.get(name.lower(), 500)
    error = _build_error(status, name, message or read_error(status, payload).message)
    return msgspec.structs.replace(error, status=status)


def _build_error(status: int, name: str, message: str) -> ProviderError:
    """name: of the exception, where it is known."""
    words = (name.lower(),) if name else ()
    return ProviderError(message, type=name, words=words + _find_words(status, name.lower(), message.lower()))


def _find_words(status: int, name: str, message: str) -> tuple[str, ...]:
    for phrase, words in _BY_PHRASE.get(status, ()):
        if phrase in message:
            return words
    return _BY_NAME.get(name) or (_FAILED if status == 424 else ())
