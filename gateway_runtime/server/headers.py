"""The headers of answers: what we say of a request in `x-headgate-*` and `x-ratelimit-*`, and which of a
provider's headers pass.

Pure; `request` and `front` call it for every answer, errors too. What is not known of a request (the route of
an unknown model) has no header. A provider's own rate limits do not pass: they are between it and the
gateway.
"""

import math
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import lru_cache
from typing import Final

from gateway_runtime.contract.errors import GatewayError
from gateway_runtime.engine.limits import Standing
from gateway_runtime.ledger.usd import format_usd
from gateway_runtime.server.record import Record

JSON: Final = "application/json"
EVENTS: Final = "text/event-stream; charset=utf-8"

_COST: Final = "x-headgate-cost-usd"
_PASSED: Final = ("x-request-id", "request-id", "openai-processing-ms", "openai-version", "x-should-retry")
_SAID: Final = "x-headgate-max-tokens"
_LIMIT_PREFIXES: Final = ("x-ratelimit-", "anthropic-ratelimit-")
_PASSED_ON_ERROR: Final = (*_PASSED, "retry-after", "retry-after-ms")


def build_headers(record: Record, now_s: float, content_type: str) -> dict[str, str]:
    overhead_s = max(0.0, now_s - record.started_s - record.waited_s)
    headers = {
        "content-type": content_type,
        "server": "headgate",
        "x-headgate-request-id": record.request_id,
        "x-headgate-attempts": str(record.attempts),
        "x-headgate-overhead-ms": f"{overhead_s * 1000:.2f}",
    }
    if record.route is not None:
        headers["x-headgate-route"] = record.route.id
    if record.model is not None:
        headers["x-headgate-model"] = record.model
    if record.provider is not None:
        headers["x-headgate-provider"] = record.provider.id
    if record.fallback is not None:
        headers["x-headgate-fallback"] = f"{record.fallback.model}; {record.fallback.reason}"
    if record.cost_usd_picos is not None and not record.unpriced:
        headers[_COST] = format_usd(record.cost_usd_picos)
    if record.dropped:
        headers["x-headgate-dropped"] = ", ".join(record.dropped)
    if record.trace is not None and record.trace.is_shown:
        headers["x-headgate-decisions"] = str(record.trace)
    if record.reservation is not None and record.reservation.said is not None:
        headers[_SAID] = str(record.reservation.said)
    is_anthropic = record.operation is not None and record.operation.manner == "anthropic"
    if is_anthropic:
        headers["request-id"] = record.request_id
    for what, standing in (("requests", record.standing), ("tokens", record.tokens)):
        if standing is not None and is_anthropic:
            headers.update(build_anthropic_limit_headers(standing, record.started_unix_s, what))
        elif standing is not None:
            headers.update(build_limit_headers(standing, what))
    return headers


def build_fixed_lines(record: Record) -> str:
    """Those lines of `build_headers` which are the same for all answers like this one: good JSON from this
    provider, for this model, at the first attempt.
    """
    headers = build_headers(record, 0.0, JSON)
    varying = {"x-headgate-request-id", "x-headgate-overhead-ms", "request-id", _COST, _SAID}
    return "".join(
        [
            f"{name}: {value}\r\n"
            for name, value in headers.items()
            if name not in varying and not name.startswith(_LIMIT_PREFIXES)
        ]
    )


def build_varying_lines(record: Record, now_s: float, passed: Mapping[str, str]) -> str:
    """The others, and what passes of the provider's own: `passed` are all of them."""
    overhead_ms = max(0.0, now_s - record.started_s - record.waited_s) * 1000
    lines = f"x-headgate-request-id: {record.request_id}\r\nx-headgate-overhead-ms: {overhead_ms:.2f}\r\n"
    if record.cost_usd_picos is not None and not record.unpriced:
        lines += f"{_COST}: {format_usd(record.cost_usd_picos)}\r\n"
    if record.reservation is not None and record.reservation.said is not None:
        lines += f"{_SAID}: {record.reservation.said}\r\n"
    is_anthropic = record.operation is not None and record.operation.manner == "anthropic"
    if is_anthropic and "request-id" not in passed:
        lines += f"request-id: {record.request_id}\r\n"
    if record.standing is not None:
        lines += _build_limit_lines(record.standing, record, "requests", is_anthropic=is_anthropic)
    if record.tokens is not None:
        lines += _build_limit_lines(record.tokens, record, "tokens", is_anthropic=is_anthropic)
    for name in _PASSED:
        if name in passed:
            lines += f"{name}: {passed[name]}\r\n"
    return lines


def _build_limit_lines(standing: Standing, record: Record, what: str, *, is_anthropic: bool) -> str:
    if is_anthropic:
        limits = build_anthropic_limit_headers(standing, record.started_unix_s, what)
        return "".join([f"{name}: {value}\r\n" for name, value in limits.items()])
    return (
        f"x-ratelimit-limit-{what}: {standing.limit}\r\n"
        f"x-ratelimit-remaining-{what}: {standing.remaining}\r\n"
        f"x-ratelimit-reset-{what}: {format_reset(standing.reset_s)}\r\n"
    )


def build_event_headers(record: Record, now_s: float) -> dict[str, str]:
    """Of a stream: nothing between us and the caller may hold events back. What it costs is not known yet."""
    headers = build_headers(record, now_s, EVENTS)
    headers.pop(_COST, None)
    headers["cache-control"] = "no-cache"
    headers["x-accel-buffering"] = "no"
    return headers


def build_error_headers(record: Record, now_s: float, error: GatewayError) -> dict[str, str]:
    headers = build_headers(record, now_s, JSON)
    if error.retry_after_s is not None:
        headers["retry-after"] = str(max(1, _round_up(error.retry_after_s)))
    if not error.code.value.retry:
        headers["x-should-retry"] = "false"
    if error.code.status == 401:
        headers["www-authenticate"] = "Bearer"  # RFC 9110, 11.6.1: a 401 must say how
    return headers


def build_limit_headers(standing: Standing, what: str = "requests") -> dict[str, str]:
    """what: `requests` or `tokens`."""
    return {
        f"x-ratelimit-limit-{what}": str(standing.limit),
        f"x-ratelimit-remaining-{what}": str(standing.remaining),
        f"x-ratelimit-reset-{what}": format_reset(standing.reset_s),
    }


def build_anthropic_limit_headers(
    standing: Standing, unix_s: float, what: str = "requests"
) -> dict[str, str]:
    """https://docs.anthropic.com/en/api/rate-limits#response-headers. unix_s: now."""
    return {
        f"anthropic-ratelimit-{what}-limit": str(standing.limit),
        f"anthropic-ratelimit-{what}-remaining": str(standing.remaining),
        f"anthropic-ratelimit-{what}-reset": _format_moment(math.ceil(unix_s + standing.reset_s)),
    }


@lru_cache(maxsize=4096)
def _format_moment(unix_s: int) -> str:
    return datetime.fromtimestamp(unix_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def format_reset(seconds: float) -> str:
    """As OpenAI writes it: `0s`, `120ms`, `59s`, `6m0s`, `1h0m0s`. Rounded up."""
    if seconds < 1:
        milliseconds = _round_up(seconds * 1000)
        return f"{milliseconds}ms" if 0 < milliseconds < 1000 else f"{milliseconds // 1000}s"
    return _format_whole(_round_up(seconds))


@lru_cache(maxsize=4096)
def _format_whole(whole: int) -> str:
    """Of limits that are busy these are the same few thousand again and again."""
    hours, minutes = divmod(whole // 60, 60)
    text = f"{whole % 60}s"
    if hours:
        return f"{hours}h{minutes}m{text}"
    return f"{minutes}m{text}" if minutes else text


def select_passed(headers: Mapping[str, str], *, error: bool = False) -> dict[str, str]:
    """A provider's headers that its callers may see."""
    names = _PASSED_ON_ERROR if error else _PASSED
    return {name: headers[name] for name in names if name in headers}


def parse_retry_after(headers: Mapping[str, str], unix_s: float) -> float | None:
    """Seconds; None when there is nothing that can be read. `retry-after-ms` is OpenAI's finer form."""
    try:
        if "retry-after-ms" in headers:
            seconds = float(headers["retry-after-ms"]) / 1000
        elif (text := headers.get("retry-after")) is None:
            return None
        elif text[:1].isalpha():
            moment = parsedate_to_datetime(text)
            seconds = _as_utc(moment).timestamp() - unix_s
        else:
            seconds = float(text)
    except ValueError:
        return None
    return max(0.0, seconds) if math.isfinite(seconds) else None


def _as_utc(moment: datetime) -> datetime:
    """`-0000` in a date means UTC, and parses as a moment without a zone."""
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _round_up(value: float) -> int:
    """A difference of two clock readings may be 60.0000001, and means 60."""
    return math.ceil(value - 0.0005)
