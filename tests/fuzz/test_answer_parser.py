"""Whatever a provider sends, the parser of answers does not break, and reads the same however it is cut."""

from typing import NamedTuple

from hypothesis import given
from hypothesis import strategies as st

from gateway_runtime.upstream.parser import AnswerParser
from tests.fuzz.inputs import bent, cut, cuts, fuzz, near

_BODIES = st.sampled_from(
    (
        b"content-length: 5\r\n\r\nhello",
        b"content-length: 0\r\n\r\n",
        b"transfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        b"transfer-encoding: chunked\r\n\r\n1;a=b\r\nh\r\n0\r\nx: y\r\n\r\n",
        b"connection: close\r\n\r\nhello",
        b"content-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        b"\r\n",
    )
)
_LINES = near(
    b"HTTP/1.1 200 OK\r\n",
    b"HTTP/1.0 200 OK\r\n",
    b"HTTP/1.1 100 Continue\r\n\r\n",
    b"HTTP/1.1 204 No Content\r\n",
    b"HTTP/1.1 304 \r\n",
    b"content-type: text/plain\r\n",
    b"set-cookie: a\r\n",
    b" folded\r\n",
    b"\r\n",
    most=8,
)
_ANSWERS = st.builds(lambda first, lines, body: first + lines + body, _LINES, _LINES, _BODIES) | st.builds(
    lambda body, rest: b"HTTP/1.1 200 OK\r\n" + body + rest, _BODIES, st.just(b"") | _LINES
)


class Parsed(NamedTuple):
    problem: str | None
    status: int
    headers: tuple[tuple[str, str], ...] | None
    body: bytes
    complete: bool


LEFT_OUT = {"content-length", "content-type", "date", "server"}
"""Of a plain answer in one piece."""


def parse(pieces: list[bytes], method: str) -> Parsed:
    """As `connection` does it: nothing is fed after a problem or the end."""
    parser = AnswerParser()
    parser.expect(method)
    problem = None
    for piece in pieces:
        problem = parser.feed(piece)
        if problem is not None or parser.complete:
            break
    headers = None
    if parser.headers is not None:
        headers = tuple(
            (name, value) for name, value in parser.headers.items() if name.lower() not in LEFT_OUT
        )
    body = b"".join(parser.parts)
    return Parsed(problem, parser.status, headers, body, parser.complete)


@given(data=bent(_ANSWERS) | st.binary(max_size=60), at=cuts, method=st.sampled_from(("POST", "GET", "HEAD")))
@fuzz
def test_it_reads_the_same_however_the_bytes_are_cut(data: bytes, at: list[int], method: str) -> None:
    whole = parse([data] if data else [], method)

    assert parse(cut(data, at), method) == whole


@given(data=bent(_ANSWERS))
@fuzz
def test_it_reads_the_same_a_byte_at_a_time(data: bytes) -> None:
    whole = parse([data] if data else [], "POST")

    assert parse([data[n : n + 1] for n in range(len(data))], "POST") == whole
