"""What kind of thing was fetched: a Content-Type header and the first bytes in, a media type out.

The list of what is passed on is short on purpose: what providers take as an image or a document. A server
inside a network that answers with JSON or a login page is of no use to a caller who got past everything else.
"""

import re
from typing import Final

from gateway_runtime.media.failure import Unfetchable

DOCUMENTS: Final = frozenset(
    {
        "application/msword",
        "application/pdf",
        "application/vnd.ms-excel",
        "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
        "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
        "text/csv",
        "text/html",
        "text/markdown",
        "text/plain",
    }
)
"""Those of Bedrock's documents, which are the most that a provider takes."""

_IMAGE: Final = re.compile(r"image/[a-z0-9.+-]{1,40}")
_UNTOLD: Final = frozenset({"", "application/octet-stream", "binary/octet-stream"})
"""Object stores say so of what was put there without a type."""
_SAME: Final = {"image/jpg": "image/jpeg", "image/x-png": "image/png", "application/x-pdf": "application/pdf"}
_SIGNATURES: Final = (
    (re.compile(rb"\x89PNG\r\n\x1a\n"), "image/png"),
    (re.compile(rb"\xff\xd8\xff"), "image/jpeg"),
    (re.compile(rb"GIF8[79]a"), "image/gif"),
    (re.compile(rb"RIFF....WEBP", re.DOTALL), "image/webp"),
    (re.compile(rb"%PDF-"), "application/pdf"),
)


def read_kind(header: str) -> str | None:
    """None: the server does not tell, and `guess_kind` has to look at the data. Raises Unfetchable."""
    kind = header.partition(";")[0].strip().lower()
    kind = _SAME.get(kind, kind)
    if kind in _UNTOLD:
        return None
    if kind in DOCUMENTS or _IMAGE.fullmatch(kind):
        return kind
    raise Unfetchable("it is neither an image nor a document (PDF, Word, Excel, CSV, HTML, Markdown, text)")


def guess_kind(data: bytes | bytearray) -> str:
    """Raises Unfetchable."""
    for signature, kind in _SIGNATURES:
        if signature.match(data):
            return kind
    raise Unfetchable("its server does not say what it is (Content-Type), and its first bytes do not either")
