"""The head of the ordinary request: bytes in, path, key and body length out, or None for anything else.

`hot` calls it with what a connection brings. The head must match one strict expression as a whole, hold one
Content-Length of digits, and none of the fields that change how a message is framed. What passes has one
reading only, so that no proxy before us can have understood it differently.

The one subtle rule: clients repeat themselves. A head that equals the last one of its connection, byte for
byte up to the digits of its Content-Length, means the same and is not read again.
"""

import re
from collections.abc import Mapping
from typing import Final

from gateway_runtime.providers.operations import CHAT, EMBEDDINGS, LANGCHAIN, MESSAGES
from gateway_runtime.server.front import PASSED_HEADERS, find_key
from gateway_runtime.server.plain import MAX_HEADER_BYTES

_HEAD: Final = re.compile(
    rb"POST (%b) HTTP/1\.1\r\n((?:[!#$%%&'*+\-.^_`|~0-9A-Za-z]+:[\t\x20-\x7e\x80-\xff]*\r\n)+)\r\n"
    % b"|".join(re.escape(operation.path.encode()) for operation in (CHAT, EMBEDDINGS, MESSAGES, LANGCHAIN))
)
"""RFC 9112, 3 and 5, without white space before a colon and without folded lines."""

_FIELDS: Final = re.compile(
    rb"^(host|content-length|authorization|api-key|x-api-key|connection"
    rb"|anthropic-beta|anthropic-version"
    rb"|transfer-encoding|content-encoding|expect|upgrade|te|trailer):([^\r]*)\r$",
    re.IGNORECASE | re.MULTILINE,
)
_UNUSUAL: Final = frozenset(
    (b"transfer-encoding", b"content-encoding", b"expect", b"upgrade", b"te", b"trailer")
)
_LENGTH: Final = re.compile(rb"\r\ncontent-length:[ \t]*([0-9]{1,15})(?=[ \t]*\r)", re.IGNORECASE)
_MOST_DIGITS: Final = 15


_DEFAULTS: Final = {"anthropic-version": "2023-06-01"}


class Head:
    """An ordinary head. `measure` finds the same again."""

    __slots__ = ("_after", "_before", "headers", "is_plain", "key", "length", "path")

    def __init__(
        self, path: str, key: str | None, headers: Mapping[str, str], before: bytes, after: bytes
    ) -> None:
        """headers: those in PASSED_HEADERS. before, after: the head's bytes around the digits of its
        Content-Length.
        """
        self.path = path
        self.key = key
        self.headers = headers
        self.is_plain = headers == {} or headers == _DEFAULTS
        """They say what every provider is told anyway."""
        self.length = 0
        """Of the body, in bytes; as the last `measure` found it."""
        self._before = before
        self._after = after

    def find_header(self, name: str) -> str | None:
        """Any of its fields; see `Peer.find_header`."""
        field = re.compile(rb"\r\n%b:([^\r]*)" % re.escape(name.encode()), re.IGNORECASE)
        found = [*field.findall(self._before), *field.findall(self._after)]
        return found[0].strip(b" \t").decode("utf-8", "surrogateescape") if len(found) == 1 else None

    def measure(self, data: bytes) -> int:
        """Where the body begins; 0 when `data` does not begin with this head."""
        if not data.startswith(self._before):
            return 0
        at = len(self._before)
        end = data.find(self._after[:1], at, at + _MOST_DIGITS + 1)
        digits = data[at:end]
        if end < 0 or not digits.isdigit() or not data.startswith(self._after, end):
            return 0
        self.length = int(digits)
        return end + len(self._after)


def read_head(data: bytes) -> Head | None:
    match = _HEAD.match(data)
    if match is None or match.end() > MAX_HEADER_BYTES:
        return None
    found = _FIELDS.findall(match[2])
    # Blanks are stripped here: an expression that does it needs quadratic time for many of them.
    fields = {name.lower(): value.strip(b" \t") for name, value in found}
    length = _LENGTH.search(data, 0, match.end())
    if (
        length is None
        or b"host" not in fields  # RFC 9112, 3.2: exactly one
        or len(fields) != len(found)  # something is said twice
        or not _UNUSUAL.isdisjoint(fields)
        or fields.get(b"connection", b"keep-alive").lower() != b"keep-alive"
    ):
        return None
    api_key = fields.get(b"api-key") or fields.get(b"x-api-key")
    key = find_key(
        fields.get(b"authorization", b"").decode("utf-8", "surrogateescape"),
        None if api_key is None else api_key.decode("utf-8", "surrogateescape"),
    )
    passed = {
        name: fields[name.encode()].decode("utf-8", "surrogateescape")
        for name in PASSED_HEADERS
        if name.encode() in fields
    }
    return Head(match[1].decode(), key, passed, data[: length.start(1)], data[length.end(1) : match.end()])
