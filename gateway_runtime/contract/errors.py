"""The errors that a caller can get from the gateway itself, one code each. What a provider answered is passed
on as it came.

A code, its HTTP status and its OpenAI `type` and `code` are fixed here; the message is written where the
error is found, and names the thing and the remedy. `docs/messages.md` has an anchor for each.
"""

from enum import Enum
from typing import NamedTuple


class _Facts(NamedTuple):
    id: str
    status: int
    type: str
    code: str
    retry: bool
    """Whether the same request may succeed a little later; False sends `x-should-retry: false`, which the
    official SDKs obey.
    """


class ErrorCode(Enum):
    MISSING_KEY = _Facts("HG1001", 401, "invalid_request_error", "missing_api_key", False)
    UNKNOWN_KEY = _Facts("HG1002", 401, "invalid_request_error", "invalid_api_key", False)
    UNKNOWN_MODEL = _Facts("HG1003", 404, "invalid_request_error", "model_not_found", False)
    MALFORMED_BODY = _Facts("HG1004", 400, "invalid_request_error", "malformed_body", False)
    MISSING_MODEL = _Facts("HG1005", 400, "invalid_request_error", "missing_model", False)
    BODY_TOO_LARGE = _Facts("HG1006", 413, "invalid_request_error", "body_too_large", False)
    RATE_LIMITED = _Facts("HG1007", 429, "rate_limit_error", "rate_limit_exceeded", True)
    UNKNOWN_PATH = _Facts("HG1008", 404, "invalid_request_error", "unknown_path", False)
    METHOD_NOT_ALLOWED = _Facts("HG1009", 405, "invalid_request_error", "method_not_allowed", False)
    NO_TARGET = _Facts("HG1010", 503, "api_error", "no_target", True)
    NO_TABLE = _Facts("HG1011", 503, "api_error", "no_routing_table", True)
    DRAINING = _Facts("HG1012", 503, "api_error", "shutting_down", True)
    UPSTREAM_UNREACHABLE = _Facts("HG1013", 502, "api_error", "upstream_unreachable", True)
    UPSTREAM_TIMEOUT = _Facts("HG1014", 504, "api_error", "upstream_timeout", True)
    UPSTREAM_MALFORMED = _Facts("HG1015", 502, "api_error", "upstream_malformed", True)
    STREAM_INTERRUPTED = _Facts("HG1016", 502, "api_error", "stream_interrupted", True)
    INTERNAL = _Facts("HG1017", 500, "api_error", "internal_error", True)
    CREDENTIAL_REFUSED = _Facts("HG1018", 502, "api_error", "provider_credential_refused", False)
    OVERLOADED = _Facts("HG1019", 503, "api_error", "gateway_overloaded", True)
    HEAD_TOO_LARGE = _Facts("HG1020", 431, "invalid_request_error", "headers_too_large", False)
    UNSUPPORTED = _Facts("HG1021", 400, "invalid_request_error", "unsupported_parameter", False)
    UNKNOWN_ID = _Facts("HG1022", 404, "invalid_request_error", "not_found", False)
    PROVIDER_NEEDED = _Facts("HG1023", 400, "invalid_request_error", "provider_needed", False)
    NOT_PERMITTED = _Facts("HG1024", 403, "invalid_request_error", "not_permitted", False)
    UNKNOWN_PROVIDER = _Facts("HG1025", 404, "invalid_request_error", "provider_not_found", False)
    PROVIDER_CONFLICT = _Facts("HG1026", 409, "invalid_request_error", "provider_conflict", False)
    INVALID_PROVIDER = _Facts("HG1027", 422, "invalid_request_error", "invalid_provider", False)
    MISSING_NAMESPACE = _Facts("HG1028", 400, "invalid_request_error", "missing_namespace", False)
    PROVIDERS_UNAVAILABLE = _Facts("HG1029", 503, "api_error", "providers_unavailable", True)
    LEDGER_UNAVAILABLE = _Facts("HG1030", 503, "api_error", "ledger_unavailable", True)
    OVER_LIMIT = _Facts("HG1031", 400, "invalid_request_error", "request_over_limit", False)
    UNPRICED = _Facts("HG1032", 400, "invalid_request_error", "unpriced_model", False)
    KEY_OUT_OF_TERM = _Facts("HG1033", 401, "invalid_request_error", "api_key_out_of_term", False)
    INVALID_TOKEN = _Facts("HG1034", 401, "invalid_request_error", "invalid_token", False)
    ISSUER_UNAVAILABLE = _Facts("HG1035", 503, "api_error", "issuer_unavailable", True)
    LIMIT_STORE_AWAY = _Facts("HG1036", 503, "api_error", "limit_store_unavailable", True)

    @property
    def id(self) -> str:
        """`HGnnnn`, what users search for."""
        return self.value.id

    @property
    def status(self) -> int:
        return self.value.status


class GatewayError(Exception):
    """An answer that the gateway gives by itself. `message` is a sentence for the caller; it never holds a
    secret.
    """

    def __init__(self, code: ErrorCode, message: str, *, retry_after_s: float | None = None) -> None:
        super().__init__(f"{code.id} {message}")
        self.code = code
        self.message = message
        self.retry_after_s = retry_after_s
