"""A refusal: Google's error in, a ProviderError out whose words `cause` knows.

    {"error": {"code": 429, "message": "...", "status": "RESOURCE_EXHAUSTED", "details": [...]}}

bare, or as the only one of a list. Formats: https://cloud.google.com/apis/design/errors and
https://ai.google.dev/gemini-api/docs/troubleshooting.

The subtle rule: what `cause` judges by is said in words that it knows from others, since Google's own say
less than its status. `RESOURCE_EXHAUSTED`, with the same message, is a minute's rate and a day's quota; only
the quota's name tells them apart.
"""

import re
from typing import Final

import msgspec

from gateway_runtime.providers import error as any_error
from gateway_runtime.providers.error import ProviderError

_BY_REASON: Final = {
    "API_KEY_INVALID": "invalid_api_key",  # with a 400; also for a key that has expired
    "BILLING_DISABLED": "billing_not_active",  # with a 403
    "CONSUMER_SUSPENDED": "account_deactivated",
}
"""https://cloud.google.com/service-usage/docs/reference/rpc/google.api#errorreason."""

_BY_PHRASE: Final = (
    ("exceeds the maximum number of tokens", "context_length_exceeded"),
    ("model only supports up to", "context_length_exceeded"),  # Vertex AI
    ("prepayment credits are depleted", "insufficient_quota"),
    ("user location is not supported", "organization_restricted"),  # this door is closed, others may be open
    ("responsible ai practices", "content_policy_violation"),  # Vertex AI
)


_DELAY: Final = re.compile(r"[0-9]{1,9}(\.[0-9]{1,9})?s")


class _Violation(msgspec.Struct, rename="camel"):
    quota_id: str = ""


class _Detail(msgspec.Struct, rename="camel"):
    reason: str = ""
    """Of an ErrorInfo."""
    violations: list[_Violation] = []
    """Of a QuotaFailure."""
    retry_delay: str = ""
    """Of a RetryInfo: `34s`, `0.25s`, as protobuf writes a Duration."""


class _Error(msgspec.Struct):
    code: int | None = None
    message: str = ""
    status: str = ""
    details: list[msgspec.Raw] = []


class _Body(msgspec.Struct):
    error: _Error


_decoder = msgspec.json.Decoder(_Body | list[_Body])
_detail_decoder = msgspec.json.Decoder(_Detail)


def read_error(body: bytes) -> ProviderError:
    """Without words when the body says nothing readable."""
    try:
        read = _decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return any_error.read_error(body)
    if isinstance(read, list):
        if not read:
            return ProviderError()
        read = read[0]
    error = read.error
    details = _read_details(error.details)
    reasons = [detail.reason for detail in details if detail.reason]
    known = _find_word(error, details)
    words = ([] if known is None else [known]) + [word.lower() for word in (error.status, *reasons) if word]
    status = error.code if error.code is not None and 400 <= error.code <= 599 else None
    return ProviderError(
        error.message,
        type=error.status,
        words=tuple(words),
        status=status,
        retry_after_s=_read_delay(details),
    )


def _find_word(error: _Error, details: list[_Detail]) -> str | None:
    for detail in details:
        if detail.reason in _BY_REASON:
            return _BY_REASON[detail.reason]
    message = error.message.lower()
    for phrase, word in _BY_PHRASE:
        if phrase in message:
            return word
    if error.status != "RESOURCE_EXHAUSTED":
        return None
    quotas = [violation.quota_id for detail in details for violation in detail.violations]
    return "insufficient_quota" if any("PerDay" in quota for quota in quotas) else "rate_limit_exceeded"


def _read_delay(details: list[_Detail]) -> float | None:
    """Seconds."""
    for detail in details:
        if _DELAY.fullmatch(detail.retry_delay):
            return float(detail.retry_delay[:-1])
    return None


def _read_details(written: list[msgspec.Raw]) -> list[_Detail]:
    """Those that can be read; each has a type of its own."""
    details: list[_Detail] = []
    for raw in written:
        try:
            details.append(_detail_decoder.decode(raw))
        except msgspec.DecodeError:
            continue
    return details
