"""A form (`multipart/form-data`) as it comes: chunks in, and where in it the fields stand that the gateway
has to know. The bytes themselves pass as they are; `server.upload` keeps them.

Format: RFC 7578, and RFC 2046, 5.1.1. The subtle rule: servers differ in what they forgive, and a form must
not name one model to us and another to its provider. So what is forgiven is nothing: each part has one
Content-Disposition with one plain name, delimiters stand behind CRLF and end with it, a field that is looked
for comes once and is no file. All clients write forms like that.
"""

import re
from collections.abc import Set as AbstractSet
from typing import Final, NamedTuple

from gateway_runtime.contract.errors import ErrorCode, GatewayError

LARGEST_HEAD_BYTES: Final = 8 * 1024
"""Of a part. File names are 255 bytes at most nearly everywhere."""
LARGEST_FIELD_BYTES: Final = 4 * 1024
"""Of a field that is looked for: names of models, of purposes."""

_BOUNDARY: Final = re.compile(
    r"multipart/form-data\s*;\s*boundary=(?:([0-9A-Za-z'()+_,./:=?-]{1,70})"
    r"|\"([0-9A-Za-z'()+_,./:=? -]{0,69}[0-9A-Za-z'()+_,./:=?-])\")\s*",
    re.IGNORECASE,
)
_LINE: Final = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([\t\x20-\x7e\x80-\xff]*)")
_DISPOSITION: Final = re.compile(
    rb'form-data((?:;[ \t]*[a-z]+\*?=(?:"(?:[^"\\]|\\.)*"|[^\s";]+))+)', re.IGNORECASE
)
_PARAMETER: Final = re.compile(rb';[ \t]*([a-z]+\*?)=("(?:[^"\\]|\\.)*"|[^\s";]+)', re.IGNORECASE)


_NO_OPENING: Final = "it does not begin with the boundary that its Content-Type names"


class Field(NamedTuple):
    value: bytes
    start: int
    """Where the value begins in the form, in bytes."""

    @property
    def end(self) -> int:
        return self.start + len(self.value)


def read_boundary(content_type: str) -> bytes:
    """Raises GatewayError MALFORMED_BODY for anything but a form."""
    match = _BOUNDARY.fullmatch(content_type.strip())
    if match is None:
        raise GatewayError(
            ErrorCode.MALFORMED_BODY,
            "This endpoint takes a form: `Content-Type: multipart/form-data; boundary=…`, which every client "
            "writes by itself when it is given a file.",
        )
    return (match[1] or match[2]).encode()


class FormScanner:
    """One per form. Raises GatewayError MALFORMED_BODY."""

    def __init__(self, boundary: bytes, wanted: AbstractSet[str]) -> None:
        """wanted: the names of the fields that are looked for."""
        self._delimiter = b"--" + boundary
        self._wanted = {name.encode() for name in wanted}
        self._pending = bytearray()
        self._at = 0
        """Where that begins in the form."""
        self._in_body = False
        self._started = False
        self._field: bytes | None = None
        """The wanted one that is being read."""
        self._content_at = 0
        """Where the part's content began."""
        self.fields: dict[str, Field] = {}
        self.done = False
        """The last delimiter has come. What follows means nothing."""

    def feed(self, data: bytes) -> None:
        if self.done:
            return
        self._pending += data
        while self._step():
            pass

    def finish(self) -> None:
        if not self._started:
            raise _refuse(_NO_OPENING)
        if not self.done:
            raise _refuse("it ends before its last delimiter")

    def _step(self) -> bool:
        """Whether there may be another."""
        if self.done:
            return False
        if not self._started:
            return self._take_opening()
        return self._take_content() if self._in_body else self._take_head()

    def _take_opening(self) -> bool:
        if len(self._pending) < len(self._delimiter) + 2:
            return False
        if not self._pending.startswith(self._delimiter):
            raise _refuse(_NO_OPENING)
        self._started = True
        return self._take_delimiter(0)

    def _take_delimiter(self, place: int) -> bool:
        """place: where it stands in what is pending, whole. Whether a part follows."""
        end = place + len(self._delimiter)
        tail = bytes(self._pending[end : end + 2])
        if tail == b"--":
            self.done = True
            self._pending.clear()
            return False
        if tail != b"\r\n":
            raise _refuse("a delimiter in it does not end its line")
        self._drop(end + 2)
        self._in_body = False
        return True

    def _take_head(self) -> bool:
        end = self._pending.find(b"\r\n\r\n")
        if end > LARGEST_HEAD_BYTES or (end < 0 and len(self._pending) > LARGEST_HEAD_BYTES):
            raise _refuse(f"the head of a part is longer than {LARGEST_HEAD_BYTES} bytes")
        if end < 0:
            return False
        self._field = self._read_head(bytes(self._pending[:end]))
        self._drop(end + 4)
        self._content_at = self._at
        self._in_body = True
        return True

    def _read_head(self, head: bytes) -> bytes | None:
        """The name of a wanted field."""
        disposition: bytes | None = None
        plain = True
        for line in head.split(b"\r\n"):
            match = _LINE.fullmatch(line)
            if match is None:
                raise _refuse("the head of a part has a line that is no header")
            name = match[1].lower()
            if name == b"content-disposition":
                if disposition is not None:
                    raise _refuse("a part has two Content-Dispositions")
                disposition = match[2].rstrip()
            plain = plain and name in (b"content-disposition", b"content-type", b"content-length")
        found = None if disposition is None else _DISPOSITION.fullmatch(disposition)
        if found is None:
            raise _refuse("a part has no Content-Disposition that names it")
        parameters = _PARAMETER.findall(found[1])
        names: list[bytes] = [value.strip(b'"') for name, value in parameters if name.lower() == b"name"]
        if len(names) != 1 or b"\\" in names[0] or any(name.lower() == b"name*" for name, _ in parameters):
            raise _refuse("a part does not have one plain name")
        name = names[0]
        if name not in self._wanted:
            return None
        if name.decode() in self.fields:
            raise _refuse(f"it has two fields `{name.decode()}`")
        if len(parameters) > 1 or not plain:
            raise _refuse(f"its field `{name.decode()}` is not plain text")
        return name

    def _take_content(self) -> bool:
        place = self._pending.find(self._delimiter)
        if place < 0:
            keep = len(self._delimiter) + 2
            if self._field is not None:
                if len(self._pending) > LARGEST_FIELD_BYTES + keep:
                    name = self._field.decode()
                    raise _refuse(f"its field `{name}` is longer than {LARGEST_FIELD_BYTES} bytes")
            elif len(self._pending) > keep:
                self._drop(len(self._pending) - keep)
            return False
        if len(self._pending) < place + len(self._delimiter) + 2:
            return False
        if self._at + place - 2 < self._content_at or self._pending[place - 2 : place] != b"\r\n":
            raise _refuse("its boundary stands within a part")
        if self._field is not None:
            self.fields[self._field.decode()] = Field(bytes(self._pending[: place - 2]), self._at)
            self._field = None
        return self._take_delimiter(place)

    def _drop(self, size: int) -> None:
        del self._pending[:size]
        self._at += size


def _refuse(problem: str) -> GatewayError:
    return GatewayError(ErrorCode.MALFORMED_BODY, f"The form cannot be read: {problem}.")
