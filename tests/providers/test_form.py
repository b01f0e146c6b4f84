"""A form is read strictly, wherever its chunks end."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway_runtime.contract.errors import ErrorCode, GatewayError
from gateway_runtime.providers.form import (
    LARGEST_FIELD_BYTES,
    LARGEST_HEAD_BYTES,
    FormScanner,
    read_boundary,
)

MODEL = b'--x\r\nContent-Disposition: form-data; name="model"\r\n\r\ngpt\r\n'
FILE = (
    b'--x\r\nContent-Disposition: form-data; name="file"; filename="a \\"b\\".mp3"\r\n'
    b"Content-Type: audio/mpeg\r\n\r\n\x00\r\n-\r\n--y\r\n\r\n"
)
END = b"--x--\r\n"


def scan(*chunks: bytes, wanted: frozenset[str] = frozenset({"model"})) -> FormScanner:
    scanner = FormScanner(b"x", wanted)
    for chunk in chunks:
        scanner.feed(chunk)
    scanner.finish()
    return scanner


@given(st.lists(st.integers(1, 40), max_size=40), st.booleans())
def test_a_field_is_found_wherever_chunks_end(sizes: list[int], last: bool) -> None:
    form = (FILE + MODEL if last else MODEL + FILE) + END
    chunks, start = [], 0
    for size in sizes:
        chunks.append(form[start : start + size])
        start += size
    field = scan(*chunks, form[start:]).fields["model"]

    assert field.value == b"gpt"
    assert form[field.start : field.end] == b"gpt"


def test_what_follows_the_end_means_nothing() -> None:
    assert scan(MODEL + END, b"anything", b"--x\r\n").fields["model"].value == b"gpt"


def test_a_field_may_be_empty_and_another_may_be_missing() -> None:
    empty = b"--x\r\ncontent-disposition: form-data; name=model\r\n\r\n\r\n"

    assert scan(empty + END).fields["model"].value == b""
    assert scan(FILE + END).fields == {}


@pytest.mark.parametrize(
    ("form", "problem"),
    [
        (b"", "does not begin with the boundary"),
        (b"preamble\r\n" + MODEL + END, "does not begin with the boundary"),
        (MODEL, "ends before its last delimiter"),
        (MODEL + b"--x", "ends before its last delimiter"),
        (MODEL + MODEL + END, "two fields `model`"),
        (MODEL + b"--xx\r\n", "delimiter in it does not end its line"),
        (b"--x \r\n", "delimiter in it does not end its line"),
        (MODEL.replace(b"gpt\r\n", b"gpt\n") + END, "boundary stands within a part"),
        (MODEL.replace(b"gpt\r\n", b"") + END, "boundary stands within a part"),
        (MODEL.replace(b"gpt", b"gpt--x") + END, "boundary stands within a part"),
        (b"--x\r\n\r\n\r\ngpt\r\n" + END, "a line that is no header"),
        (b"--x\r\nX: y\r\n\r\ngpt\r\n" + END, "no Content-Disposition that names it"),
        (
            b"--x\r\nContent-Disposition: form-data\r\n\r\ngpt\r\n" + END,
            "no Content-Disposition that names it",
        ),
        (MODEL.replace(b"form-data", b"attachment") + END, "no Content-Disposition that names it"),
        (MODEL.replace(b'"model"', b'"file"; name="model"') + END, "one plain name"),
        (MODEL.replace(b'name="model"', b"name*=utf-8''model; name=\"file\"") + END, "one plain name"),
        (MODEL.replace(b'"model"', b'"mo\\del"') + END, "one plain name"),
        (MODEL.replace(b'"model"', b'"model"; filename="x"') + END, "field `model` is not plain text"),
        (
            MODEL.replace(b"\r\n\r\n", b"\r\nContent-Transfer-Encoding: base64\r\n\r\n") + END,
            "field `model` is not plain text",
        ),
        (
            MODEL.replace(b"\r\n\r\n", b'\r\nContent-Disposition: form-data; name="file"\r\n\r\n') + END,
            "two Content-Dispositions",
        ),
        (MODEL.replace(b"\r\n\r\n", b"\r\n folded\r\n\r\n") + END, "a line that is no header"),
        (b"--x\r\nX: " + b"y" * LARGEST_HEAD_BYTES, "head of a part is longer"),
        (b"--x\r\nX: " + b"y" * LARGEST_HEAD_BYTES + b"\r\n\r\n", "head of a part is longer"),
        (MODEL.replace(b"gpt", b"g" * (LARGEST_FIELD_BYTES + 99)), "field `model` is longer"),
    ],
)
def test_what_two_readers_could_understand_in_two_ways_is_refused(form: bytes, problem: str) -> None:
    with pytest.raises(GatewayError, match=problem) as error:
        scan(form)

    assert error.value.code is ErrorCode.MALFORMED_BODY


def test_little_is_held_of_a_large_file() -> None:
    scanner = FormScanner(b"x", frozenset({"model"}))
    scanner.feed(FILE[:-4])
    for _ in range(100):
        scanner.feed(b"y" * 10_000)

    assert len(scanner._pending) < 100


@pytest.mark.parametrize(
    ("content_type", "boundary"),
    [
        ("multipart/form-data; boundary=abc", b"abc"),
        ("Multipart/Form-Data;boundary=a'b+c", b"a'b+c"),
        ('multipart/form-data; boundary="a b"', b"a b"),
        ("multipart/form-data; boundary=----WebKitFormBoundaryX ", b"----WebKitFormBoundaryX"),
    ],
)
def test_a_boundary_is_read(content_type: str, boundary: bytes) -> None:
    assert read_boundary(content_type) == boundary


@pytest.mark.parametrize(
    "content_type",
    [
        "",
        "application/json",
        "multipart/form-data",
        "multipart/mixed; boundary=a",
        "multipart/form-data; boundary=",
        "multipart/form-data; boundary=a; boundary=b",
        'multipart/form-data; boundary="a"b',
        'multipart/form-data; boundary="a "',
        "multipart/form-data; boundary=" + "a" * 71,
    ],
)
def test_a_body_that_is_no_form_is_refused(content_type: str) -> None:
    with pytest.raises(GatewayError, match="This endpoint takes a form"):
        read_boundary(content_type)
