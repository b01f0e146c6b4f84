"""A URL, taken apart once: where to connect, and what to ask for there.

`transport` calls `parse_url` for each URL that it has not seen before. Strict on purpose: what comes out goes
into the request line and the Host header as it is, so nothing in it may end a line or begin another word.
"""

import ipaddress
import re
from typing import Final, NamedTuple
from urllib.parse import urlsplit

_DEFAULT_PORTS: Final = {"http": 80, "https": 443}
_HOST: Final = re.compile(r"[a-z0-9]([a-z0-9._-]*[a-z0-9.])?")
_TARGET: Final = re.compile(r"[!-~]+")
"""Visible ASCII (RFC 3986 has no more); a non-ASCII path must come percent-encoded."""


class MalformedUrl(ValueError):
    """The text is one clause that does not quote the URL, which may hold a credential."""


class Origin(NamedTuple):
    scheme: str
    """`http` or `https`."""
    host: str
    """A name in lower case, or an IP address without brackets."""
    port: int

    @property
    def authority(self) -> str:
        """`host:port`, as CONNECT and our messages want it."""
        return f"{_bracket(self.host)}:{self.port}"

    @property
    def host_field(self) -> str:
        """The value of the Host header: without the port where it is the scheme's own (RFC 9110, 7.2)."""
        if self.port == _DEFAULT_PORTS[self.scheme]:
            return _bracket(self.host)
        return self.authority

    def __str__(self) -> str:
        return f"{self.scheme}://{self.host_field}"


def parse_url(url: str) -> tuple[Origin, str]:
    """Its origin, and the target in origin form (`/v1/models?a=b`). Raises MalformedUrl."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise MalformedUrl("its host or port cannot be read") from error
    if parts.scheme not in _DEFAULT_PORTS:
        raise MalformedUrl("it does not begin with http:// or https://")
    if "@" in parts.netloc:
        raise MalformedUrl("it has a user name or password; credentials go into a Secret")
    if "#" in url:
        raise MalformedUrl("it has a fragment (#), which is never sent")
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    # urlsplit silently drops tabs and line breaks, so they are looked for in the text as it came.
    if not _TARGET.fullmatch(target) or any(c <= " " or c == "\x7f" for c in url):
        raise MalformedUrl("it has a space, a control character, or a letter that must be percent-encoded")
    if port == 0:
        raise MalformedUrl("its port is 0")
    return Origin(
        parts.scheme, parse_host(parts.hostname or ""), port or _DEFAULT_PORTS[parts.scheme]
    ), target


def is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def parse_host(host: str) -> str:
    """As DNS and certificates spell it. Raises MalformedUrl."""
    if is_address(host):
        return host
    try:
        name = host.encode("idna").decode().lower()
    except UnicodeError as error:
        raise MalformedUrl("its host is not a name that DNS can have") from error
    if not _HOST.fullmatch(name):
        raise MalformedUrl("its host is not a name that DNS can have")
    return name


def _bracket(host: str) -> str:
    return f"[{host}]" if ":" in host else host
