"""What was fetched: by its header, and by its first bytes where that says nothing."""

import pytest

from gateway_runtime.media.failure import Unfetchable
from gateway_runtime.media.kind import guess_kind, read_kind


@pytest.mark.parametrize(
    ("header", "kind"),
    [
        ("image/png", "image/png"),
        ("IMAGE/WebP; q=1", "image/webp"),
        ("image/svg+xml", "image/svg+xml"),
        ("image/jpg", "image/jpeg"),
        ("application/x-pdf", "application/pdf"),
        ("application/pdf", "application/pdf"),
        ("text/plain; charset=utf-8", "text/plain"),
        (" text/markdown ", "text/markdown"),
        ("", None),
        ("application/octet-stream", None),
        ("binary/octet-stream", None),
    ],
)
def test_a_header_tells_the_kind_or_nothing(header: str, kind: str | None) -> None:
    assert read_kind(header) == kind


@pytest.mark.parametrize(
    "header",
    ["application/json", "text/javascript", "video/mp4", "image/", "image/x;base64,", "image/a,b", "x"],
)
def test_what_no_provider_takes_is_refused(header: str) -> None:
    if header == "image/x;base64,":
        assert read_kind(header) == "image/x"  # what stands behind a semicolon never gets into a data: URL
        return
    with pytest.raises(Unfetchable, match=r"^it is neither an image nor a document \(PDF, "):
        read_kind(header)


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b"\x89PNG\r\n\x1a\n...", "image/png"),
        (b"\xff\xd8\xff\xe0...", "image/jpeg"),
        (b"GIF89a...", "image/gif"),
        (b"GIF87a...", "image/gif"),
        (b"RIFF\n\x00\x00\x00WEBPVP8", "image/webp"),
        (b"%PDF-1.7", "application/pdf"),
    ],
)
def test_first_bytes_tell_the_kind(data: bytes, kind: str) -> None:
    assert guess_kind(data) == kind
    assert guess_kind(bytearray(data)) == kind


@pytest.mark.parametrize("data", [b"", b"{}", b"RIFF1234WAVE", b" %PDF-1.7", b"\x89PN"])
def test_first_bytes_that_tell_nothing_are_refused(data: bytes) -> None:
    with pytest.raises(Unfetchable, match=r"^its server does not say what it is \(Content-Type\), and "):
        guess_kind(data)
