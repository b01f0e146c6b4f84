"""The head of a request as bytes: method, target and headers in, what goes on the wire out.

`transport` calls `build_head` for each request, with the lines that stay the same for a URL built before by
`build_lines`. Nothing that could end a line early passes; the length and the host are written here and
nowhere else, so that there is exactly one of each.

The one subtle rule: what may not be sent is an UpstreamFailure before anything was sent, not a bug: a
credential with a line break in it is a user's mistake, and another provider may serve the request.
"""

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Final

from gateway_runtime.engine.retry import Outcome
from gateway_runtime.upstream.exchange import SentBody, UpstreamFailure
from gateway_runtime.upstream.origin import Origin

_TOKEN: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_FORBIDDEN: Final = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
"""RFC 9110, 5.5: of the control characters a value may hold the tab alone."""

_OURS: Final = frozenset(
    {
        "connection",
        "content-length",
        "expect",
        "host",
        "keep-alive",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
"""Framing and the hop to the next server (RFC 9110, 7.6.1)."""

_WITH_BODY: Final = frozenset({"PATCH", "POST", "PUT"})
"""A request of these without a body says `content-length: 0` (RFC 9110, 8.6)."""


def build_lines(origin: Origin, target: str, proxy_authorization: str | None, *, absolute: bool) -> str:
    """What follows the method, and the Host header. absolute: as a proxy wants it."""
    where = f"{origin}{target}" if absolute else target
    lines = f" {where} HTTP/1.1\r\nhost: {origin.host_field}\r\n"
    if proxy_authorization is not None:
        lines += f"proxy-authorization: {proxy_authorization}\r\n"
    return lines


def build_head(method: str, lines: str, headers: Mapping[str, str], body: bytes | SentBody | None) -> bytes:
    """Up to the empty line. Raises UpstreamFailure for what HTTP forbids."""
    opening = build_opening(method, lines, headers)
    if body is not None:
        length = len(body) if isinstance(body, bytes) else body.length
        if length is None:
            return opening + b"transfer-encoding: chunked\r\n\r\n"
        return b"%bcontent-length: %d\r\n\r\n" % (opening, length)
    return opening + (b"content-length: 0\r\n\r\n" if method in _WITH_BODY else b"\r\n")


def build_opening(method: str, lines: str, headers: Mapping[str, str]) -> bytes:
    """All of a head but its length. Raises UpstreamFailure for what HTTP forbids."""
    _check_method(method)
    return f"{method}{lines}".encode() + build_fields(headers)


def build_fields(headers: Mapping[str, str]) -> bytes:
    """Lines of a head. Raises UpstreamFailure for what HTTP forbids."""
    for name in headers:
        _check_name(name)
    if _FORBIDDEN.search("".join(headers.values())):
        name = next(name for name, value in headers.items() if _FORBIDDEN.search(value))
        raise _unfit(f'the value of its header "{name}" has a line break or another control character')
    try:
        return "".join([f"{name}: {value}\r\n" for name, value in headers.items()]).encode()
    except UnicodeEncodeError as error:
        raise _unfit("a header has half of a surrogate pair") from error


@lru_cache(maxsize=64)
def _check_method(method: str) -> None:
    if not _TOKEN.fullmatch(method):
        raise _unfit("its method is not a token")


@lru_cache(maxsize=1024)
def _check_name(name: str) -> None:
    """Names are few and come again: 0.05 µs instead of 0.5 each."""
    if not _TOKEN.fullmatch(name):
        raise _unfit("the name of a header is not a token")
    if name.lower() in _OURS:
        raise _unfit(f'its header "{name}" is for the transport alone to set')


def _unfit(problem: str) -> UpstreamFailure:
    return UpstreamFailure(Outcome.CONNECT_FAILED, f"the request cannot be sent: {problem}")
