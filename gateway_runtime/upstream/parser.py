"""The bytes of a connection -> one answer after the other. No socket, no clock: `connection` feeds it.

    expect(method) -> feed(data), feed(data), … -> `headers` are there -> `parts` come -> `complete`

llhttp does the grammar, in its strict mode: it refuses bare CR and LF, folded lines, control characters,
spaces before a colon, lengths that are no plain numbers or come twice, a length beside a transfer encoding,
and chunks that are not what they say. On top of that we refuse what it lets pass and two readers could
understand in two ways: any transfer encoding but `chunked`, any in HTTP/1.0, versions other than 1.0 and 1.1
(RFC 9112, 6.1 to 6.3), switching protocols, endless heads.

A whole answer in one packet whose head holds only what every server writes does not come to llhttp: one
expression reads it in half the time. Its headers are left out, but for its request id: nobody asks for them.

The one subtle rule: an answer that is whole stays good when more bytes follow it, wherever the packets were
cut; but its connection is never used again, so those bytes are nobody's answer.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Final

import httptools
from multidict import CIMultiDict, CIMultiDictProxy

MAX_HEADER_BYTES: Final = 32 * 1024
"""Of a head, and of anything else that comes without a byte of body: trailers, chunk extensions. Providers
behind CDNs send cookies and policies; aiohttp's 8 KiB has been too little for some.
"""

MAX_HEADER_LINES: Final = 128
"""Envoy's default is 100; answers through CDNs have some 40."""

MAX_INTERIM: Final = 8
"""100 Continue, 103 Early Hints: one or two in practice."""

NOT_HTTP: Final = "the answer is not HTTP"
"""llhttp's own words are not passed on: callers can do nothing with them."""


class AnswerParser:
    __slots__ = (
        "_fields",
        "_head_only",
        "_interim",
        "_interims",
        "_keeps_head",
        "_llhttp",
        "_quiet_bytes",
        "complete",
        "framed",
        "headers",
        "parts",
        "reusable",
        "status",
        "unread_bytes",
    )

    def __init__(self) -> None:
        self._llhttp = httptools.HttpResponseParser(self)
        self.expect("")

    def expect(self, method: str, *, keeps_head: bool = False) -> None:
        """What comes next answers a request of this method. keeps_head: no header is left out."""
        self._fields: list[tuple[bytes, bytes]] = []
        self._head_only = method == "HEAD"
        self._keeps_head = keeps_head or self._head_only
        self._interim = False
        self._interims = 0
        self._quiet_bytes = 0
        self.status = 0
        self.headers: Mapping[str, str] | None = None
        """None until the head is whole."""
        self.parts: list[bytes] = []
        """Of the body, as they came. Whoever takes them clears the list and sets `unread_bytes` to 0."""
        self.unread_bytes = 0
        self.framed = False
        """The head says where the body ends; otherwise the end of the connection does."""
        self.complete = False
        self.reusable = False
        """Once complete: whether the connection may carry another request."""

    @property
    def untouched(self) -> bool:
        """Not one byte has come, not even of an interim answer."""
        return self.headers is None and self._quiet_bytes == 0

    def feed(self, data: bytes) -> str | None:
        """What is wrong with the answer, in a clause; None when all is well so far. After a problem the
        connection must be closed; `headers` and `parts` hold what came before it.
        """
        if self.headers is None and self._quiet_bytes == 0:
            if self._take_plain(data):
                return None
            if data[0] != _H:
                return NOT_HTTP  # llhttp takes RTSP and ICE too, and empty lines before the answer
        self._quiet_bytes += len(data)
        try:
            self._llhttp.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            if self.complete:
                self.reusable = False
                return None
            reason = error.__context__
            return str(reason) if isinstance(reason, _Unsound) else NOT_HTTP
        if self._quiet_bytes > MAX_HEADER_BYTES and not self.complete:
            if self.headers is None:
                return _OVERSIZED
            return f"its body hides more than {MAX_HEADER_BYTES} bytes in trailers or chunk extensions"
        return None

    def finish(self) -> bool:
        """The other side has closed. Whether the answer is whole by that: HTTP/1.0 ends bodies so."""
        if self.headers is not None and not self.framed:
            self.complete = True
        return self.complete

    def _take_plain(self, data: bytes) -> bool:
        """Whether it was such an answer. llhttp stands where it stood then: before one."""
        match = _PLAIN.match(data)
        if match is None or self._keeps_head:
            return False
        start = match.end()
        length, request_id = match.groups()
        if length is None or int(length) != len(data) - start:
            return False
        head = data[:start].lower()  # names may be written anyhow
        if head.count(b"ength:") != 1:
            return False
        if request_id is None:
            self.headers = _NOTHING
        elif head.count(b"-id:") == 1:
            self.headers = CIMultiDict({"x-request-id": request_id.decode()})
        else:
            return False
        self.status = 200
        if start < len(data):
            self.parts.append(data[start:])
            self.unread_bytes = len(data) - start
        self.framed = self.complete = self.reusable = True
        return True

    # What follows is called by llhttp.

    def on_message_begin(self) -> None:
        if self.complete:
            raise _Unsound  # more than one answer: see the rule at the top

    def on_header(self, name: bytes, value: bytes) -> None:
        fields = self._fields
        fields.append((name, value))
        if len(fields) > MAX_HEADER_LINES:
            raise _Unsound(f"its head has more than {MAX_HEADER_LINES} lines")

    def on_headers_complete(self) -> None:
        fields = self._fields
        # What has come so far bounds the head from above.
        if self._quiet_bytes > MAX_HEADER_BYTES and _measure(fields) > MAX_HEADER_BYTES:
            raise _Unsound(_OVERSIZED)
        # aiohttp decodes so, and writes so: bytes that are not UTF-8 pass through unharmed.
        headers = CIMultiDict([(n.decode(), v.decode("utf-8", "surrogateescape")) for n, v in fields])
        fields.clear()
        status = self._llhttp.get_status_code()
        version = self._llhttp.get_http_version()
        if version not in _VERSIONS or status < 100:
            raise _Unsound(NOT_HTTP)
        coding = headers.getall("transfer-encoding", None)
        if coding is not None:
            if len(coding) != 1 or coding[0].lower() != "chunked":
                raise _Unsound("it has a transfer encoding other than chunked")
            if version == "1.0":
                raise _Unsound("it has a transfer encoding in HTTP/1.0")
        if status < 200:
            self._note_interim(status, headers)
            return
        self.status = status
        self.framed = coding is not None or "content-length" in headers or status in _WITHOUT_BODY
        self._quiet_bytes = 0
        self.headers = headers
        if self._head_only:
            # llhttp would wait for the body that a HEAD never has; a new connection is cheaper than tricks.
            self.complete = self.framed = True

    def on_body(self, body: bytes) -> None:
        if self.complete:
            raise _Unsound
        self.parts.append(body)
        self.unread_bytes += len(body)
        self._quiet_bytes = 0

    def on_message_complete(self) -> None:
        if self._interim:
            self._interim = False
        elif not self.complete:
            self.complete = True
            self.reusable = self._llhttp.should_keep_alive()

    def _note_interim(self, status: int, headers: CIMultiDict[str]) -> None:
        if status == 101:
            raise _Unsound("it switches protocols, which nobody asked for")
        if "content-length" in headers or "transfer-encoding" in headers:
            raise _Unsound(f"it has an interim answer ({status}) with a body")
        self._interims += 1
        if self._interims > MAX_INTERIM:
            raise _Unsound(f"it has more than {MAX_INTERIM} interim answers")
        self._interim = True


def _measure(fields: Iterable[tuple[bytes, bytes]]) -> int:
    return sum(len(name) + len(value) for name, value in fields)


class _Unsound(Exception):
    """Raised inside llhttp's callbacks; it comes out as the context of llhttp's own error."""


_PLAIN: Final = re.compile(
    rb"HTTP/1\.1 200 [ -~]*\r\n(?:(?:"
    rb"(?i:content-length): ?([0-9]{1,15})"
    rb"|(?i:x-request-id): ?([!-~]{1,200})"
    rb"|(?i:content-type|date|server): ?[!-~][ -~]*"
    rb")\r\n){1,8}\r\n"
)
_NOTHING: Final = CIMultiDictProxy[str](CIMultiDict())
_H: Final = ord("H")
_VERSIONS: Final = frozenset({"1.0", "1.1"})
_WITHOUT_BODY: Final = frozenset({204, 304})
_OVERSIZED: Final = f"its head has more than {MAX_HEADER_BYTES} bytes"
