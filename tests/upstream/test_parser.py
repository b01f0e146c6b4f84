"""What comes in: answers in every shape that HTTP/1.1 allows, and those that nobody may take for one."""

from itertools import pairwise
from typing import NamedTuple

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gateway_runtime.upstream.parser import (
    MAX_HEADER_BYTES,
    MAX_HEADER_LINES,
    MAX_INTERIM,
    NOT_HTTP,
    AnswerParser,
)

OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"transfer-encoding: chunked\r\n\r\n"


class Read(NamedTuple):
    status: int
    body: bytes
    complete: bool
    reusable: bool
    problem: str | None


def read(*pieces: bytes, method: str = "POST", closed: bool = False) -> Read:
    """closed: the connection ends behind the last piece."""
    parser = AnswerParser()
    parser.expect(method)
    problem = None
    for piece in pieces:
        problem = problem or parser.feed(piece)
    if closed and problem is None:
        parser.finish()
    return Read(parser.status, b"".join(parser.parts), parser.complete, parser.reusable, problem)


def whole(body: bytes = b"", status: int = 200, *, reusable: bool = True) -> Read:
    return Read(status, body, complete=True, reusable=reusable, problem=None)


GOOD = {
    "a length": (OK + b"content-length: 3\r\n\r\nabc", whole(b"abc")),
    "no body": (OK + b"content-length: 0\r\n\r\n", whole()),
    "chunks": (CHUNKED + b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n", whole(b"abcde")),
    "a chunk with an extension": (CHUNKED + b'3;a=b;c="d"\r\nabc\r\n0\r\n\r\n', whole(b"abc")),
    "a trailer": (CHUNKED + b"3\r\nabc\r\n0\r\nx-trace: 1\r\n\r\n", whole(b"abc")),
    "a trailer that would be framing": (
        CHUNKED + b"3\r\nabc\r\n0\r\ntransfer-encoding: gzip\r\n\r\n",
        whole(b"abc", reusable=False),
    ),
    "close": (OK + b"connection: close\r\ncontent-length: 1\r\n\r\na", whole(b"a", reusable=False)),
    "1.0": (b"HTTP/1.0 200 OK\r\ncontent-length: 1\r\n\r\na", whole(b"a", reusable=False)),
    "1.0 that stays": (
        b"HTTP/1.0 200 OK\r\nconnection: keep-alive\r\ncontent-length: 1\r\n\r\na",
        whole(b"a"),
    ),
    "no reason phrase": (b"HTTP/1.1 404\r\ncontent-length: 0\r\n\r\n", whole(status=404)),
    "no content": (b"HTTP/1.1 204 No Content\r\n\r\n", whole(status=204)),
    "not modified, with the length that it would have": (
        b"HTTP/1.1 304 Not Modified\r\ncontent-length: 9\r\n\r\n",
        whole(status=304),
    ),
    "100 before": (b"HTTP/1.1 100 Continue\r\n\r\n" + OK + b"content-length: 1\r\n\r\na", whole(b"a")),
    "103 before": (
        b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n" + OK + b"content-length: 1\r\n\r\na",
        whole(b"a"),
    ),
    "an upgrade that is only offered": (
        OK + b"upgrade: h2c\r\nconnection: upgrade\r\ncontent-length: 1\r\n\r\na",
        whole(b"a"),
    ),
    "another answer behind it": (
        OK + b"content-length: 1\r\n\r\na" + OK + b"content-length: 1\r\n\r\nb",
        whole(b"a", reusable=False),
    ),
    "bytes behind it": (OK + b"content-length: 1\r\n\r\nabc", whole(b"a", reusable=False)),
    "bytes behind a close": (
        OK + b"connection: close\r\ncontent-length: 1\r\n\r\nabc",
        whole(b"a", reusable=False),
    ),
    "a body behind no content": (
        b"HTTP/1.1 204 No Content\r\ncontent-length: 3\r\n\r\nabc",
        whole(status=204, reusable=False),
    ),
}

ATTACKS = {
    "both lengths": (OK + b"content-length: 3\r\ntransfer-encoding: chunked\r\n\r\n", NOT_HTTP),
    "both lengths, the other way": (
        OK + b"transfer-encoding: chunked\r\ncontent-length: 3\r\n\r\n",
        NOT_HTTP,
    ),
    "two lengths": (OK + b"content-length: 3\r\ncontent-length: 4\r\n\r\nabc", NOT_HTTP),
    "the same length twice": (OK + b"content-length: 3\r\ncontent-length: 3\r\n\r\nabc", NOT_HTTP),
    "a list of lengths": (OK + b"content-length: 3, 3\r\n\r\nabc", NOT_HTTP),
    "a length with a sign": (OK + b"content-length: +3\r\n\r\nabc", NOT_HTTP),
    "a negative length": (OK + b"content-length: -3\r\n\r\nabc", NOT_HTTP),
    "a length in hex": (OK + b"content-length: 0x3\r\n\r\nabc", NOT_HTTP),
    "a length with a gap": (OK + b"content-length: 3 3\r\n\r\nabc", NOT_HTTP),
    "an empty length": (OK + b"content-length:\r\n\r\nabc", NOT_HTTP),
    "a length beyond 64 bits": (OK + b"content-length: 99999999999999999999\r\n\r\n", NOT_HTTP),
    "a length in a trailer": (CHUNKED + b"0\r\ncontent-length: 3\r\n\r\n", NOT_HTTP),
    "a space before the colon": (OK + b"content-length : 3\r\n\r\nabc", NOT_HTTP),
    "gzip": (
        OK + b"transfer-encoding: gzip\r\n\r\nabc",
        "it has a transfer encoding other than chunked",
    ),
    "gzip, chunked": (
        OK + b"transfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        "it has a transfer encoding other than chunked",
    ),
    "chunked, gzip": (
        OK + b"transfer-encoding: chunked, gzip\r\n\r\n0\r\n\r\n",
        "it has a transfer encoding other than chunked",
    ),
    "chunked twice": (
        OK + b"transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        "it has a transfer encoding other than chunked",
    ),
    "xchunked": (
        OK + b"transfer-encoding: xchunked\r\n\r\n",
        "it has a transfer encoding other than chunked",
    ),
    "chunked behind a vertical tab": (OK + b"transfer-encoding: \x0bchunked\r\n\r\n", NOT_HTTP),
    "chunked in 1.0": (
        b"HTTP/1.0 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        "it has a transfer encoding in HTTP/1.0",
    ),
    "a folded line": (OK + b"x: a\r\n b\r\ncontent-length: 0\r\n\r\n", NOT_HTTP),
    "a folded transfer encoding": (OK + b"transfer-encoding:\r\n chunked\r\n\r\n0\r\n\r\n", NOT_HTTP),
    "a space before the first header": (OK + b" x: a\r\ncontent-length: 0\r\n\r\n", NOT_HTTP),
    "a bare LF behind the status": (b"HTTP/1.1 200 OK\ncontent-length: 0\r\n\r\n", NOT_HTTP),
    "a bare LF behind a header": (OK + b"x: a\ncontent-length: 0\r\n\r\n", NOT_HTTP),
    "a bare LF as the end of the head": (OK + b"content-length: 0\r\n\n", NOT_HTTP),
    "a bare CR in a header": (OK + b"x: a\rcontent-length: 3\r\n\r\n", NOT_HTTP),
    "a bare CR behind the status": (b"HTTP/1.1 200 OK\rcontent-length: 0\r\n\r\n", NOT_HTTP),
    "a NUL in a header": (OK + b"x: a\0b\r\ncontent-length: 0\r\n\r\n", NOT_HTTP),
    "a control character in a name": (OK + b"x\x01: a\r\ncontent-length: 0\r\n\r\n", NOT_HTTP),
    "a header without a name": (OK + b": a\r\ncontent-length: 0\r\n\r\n", NOT_HTTP),
    "a header without a colon": (OK + b"xyz\r\ncontent-length: 0\r\n\r\n", NOT_HTTP),
    "an empty line first": (b"\r\n" + OK + b"content-length: 0\r\n\r\n", NOT_HTTP),
    "SSH": (b"SSH-2.0-OpenSSH_9.2\r\n", NOT_HTTP),
    "a TLS alert": (b"\x15\x03\x01\x00\x02\x02\x46", NOT_HTTP),
    "RTSP": (b"RTSP/1.0 200 OK\r\ncontent-length: 0\r\n\r\n", NOT_HTTP),
    "HTTP/0.9": (b"HTTP/0.9 200 OK\r\ncontent-length: 0\r\n\r\n", NOT_HTTP),
    "HTTP/2.0": (b"HTTP/2.0 200 OK\r\ncontent-length: 0\r\n\r\n", NOT_HTTP),
    "HTTP/1.2": (b"HTTP/1.2 200 OK\r\ncontent-length: 0\r\n\r\n", NOT_HTTP),
    "a status of two digits": (b"HTTP/1.1 20 OK\r\n\r\n", NOT_HTTP),
    "a status of four digits": (b"HTTP/1.1 2000 OK\r\n\r\n", NOT_HTTP),
    "a status below 100": (b"HTTP/1.1 099 OK\r\ncontent-length: 0\r\n\r\n", NOT_HTTP),
    "switching protocols": (
        b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n",
        "it switches protocols, which nobody asked for",
    ),
    "100 with a body": (
        b"HTTP/1.1 100 Continue\r\ncontent-length: 2\r\n\r\nab" + OK,
        "it has an interim answer (100) with a body",
    ),
    "endless interim answers": (
        b"HTTP/1.1 103 Early Hints\r\n\r\n" * (MAX_INTERIM + 1),
        f"it has more than {MAX_INTERIM} interim answers",
    ),
    "a chunk size with a sign": (CHUNKED + b"+3\r\nabc\r\n0\r\n\r\n", NOT_HTTP),
    "a chunk size with 0x": (CHUNKED + b"0x3\r\nabc\r\n0\r\n\r\n", NOT_HTTP),
    "a chunk size with a space": (CHUNKED + b"3 \r\nabc\r\n0\r\n\r\n", NOT_HTTP),
    "a chunk size with an underscore": (CHUNKED + b"1_0\r\nabc\r\n0\r\n\r\n", NOT_HTTP),
    "no chunk size": (CHUNKED + b"\r\nabc\r\n0\r\n\r\n", NOT_HTTP),
    "a chunk size beyond 64 bits": (CHUNKED + b"fffffffffffffffff\r\n", NOT_HTTP),
    "a bare LF behind a chunk size": (CHUNKED + b"3\nabc\r\n0\r\n\r\n", NOT_HTTP),
    "a bare LF in a chunk extension": (CHUNKED + b"3;a\nabc\r\n0\r\n\r\n", NOT_HTTP),
    "a bare CR in a chunk extension": (CHUNKED + b"3;a\rb\r\nabc\r\n0\r\n\r\n", NOT_HTTP),
    "a bare LF behind a chunk": (CHUNKED + b"3\r\nabc\n0\r\n\r\n", NOT_HTTP),
    "a chunk that is longer than it says": (CHUNKED + b"3\r\nabcd\r\n0\r\n\r\n", NOT_HTTP),
    "a bare LF behind a trailer": (CHUNKED + b"0\r\nx: y\n\r\n", NOT_HTTP),
    "too many lines": (
        OK + b"x: y\r\n" * (MAX_HEADER_LINES + 1) + b"\r\n",
        f"its head has more than {MAX_HEADER_LINES} lines",
    ),
    "a head that is too long": (
        OK + b"x: " + b"y" * MAX_HEADER_BYTES + b"\r\n\r\n",
        f"its head has more than {MAX_HEADER_BYTES} bytes",
    ),
    "a line without an end": (
        OK + b"x: " + b"y" * MAX_HEADER_BYTES,
        f"its head has more than {MAX_HEADER_BYTES} bytes",
    ),
}


@pytest.mark.parametrize(("data", "expected"), GOOD.values(), ids=GOOD)
def test_an_answer_is_read(data: bytes, expected: Read) -> None:
    assert read(data) == expected


@pytest.mark.parametrize(("data", "problem"), ATTACKS.values(), ids=ATTACKS)
def test_what_two_readers_could_take_in_two_ways_is_refused(data: bytes, problem: str) -> None:
    answer = read(data)

    assert (answer.problem, answer.complete, answer.reusable) == (problem, False, False)


@pytest.mark.parametrize(("data", "problem"), ATTACKS.values(), ids=ATTACKS)
def test_an_attack_that_trickles_in_is_refused_for_the_same_reason(data: bytes, problem: str) -> None:
    answer = read(*(data[i : i + 1] for i in range(len(data))))

    assert (answer.problem, answer.complete) == (problem, False)


SMALL = [data for data, _ in (*GOOD.values(), *ATTACKS.values()) if len(data) < 1024]


@given(data=st.sampled_from(SMALL), cuts=st.lists(st.integers(1, 200), max_size=8))
def test_wherever_the_packets_are_cut_the_answer_is_the_same(data: bytes, cuts: list[int]) -> None:
    edges = [0, *sorted({cut for cut in cuts if cut < len(data)}), len(data)]

    assert read(*(data[a:b] for a, b in pairwise(edges))) == read(data)


@given(data=st.binary(min_size=1, max_size=200))
def test_noise_is_never_an_answer(data: bytes) -> None:
    assert read(data).complete is False


@given(body=st.binary(max_size=300), sizes=st.lists(st.integers(1, 60), max_size=10))
def test_chunks_give_the_body_that_went_into_them(body: bytes, sizes: list[int]) -> None:
    edges = [0]
    for size in sizes:
        edges.append(min(edges[-1] + size, len(body)))
    edges.append(len(body))
    pieces = [body[a:b] for a, b in pairwise(edges) if a < b]
    data = CHUNKED + b"".join(b"%x\r\n%b\r\n" % (len(p), p) for p in pieces) + b"0\r\n\r\n"

    assert read(data) == whole(body)


def test_a_body_without_a_length_ends_with_the_connection() -> None:
    data = b"HTTP/1.0 200 OK\r\n\r\nabc"

    assert read(data).complete is False
    assert read(data, closed=True) == whole(b"abc", reusable=False)


@pytest.mark.parametrize(
    "data", [OK + b"content-length: 4\r\n\r\nabc", CHUNKED + b"3\r\nabc\r\n", OK + b"content-le"]
)
def test_an_answer_that_says_its_length_is_not_whole_before(data: bytes) -> None:
    assert read(data, closed=True).complete is False


@pytest.mark.parametrize(
    "data",
    [
        OK + b"content-length: 3\r\n\r\n",
        OK + b"content-length: 0\r\n\r\n",
        OK + b"content-length: 3\r\n\r\nabc",
        CHUNKED + b"0\r\n\r\n",
    ],
)
def test_an_answer_to_head_has_no_body_whatever_it_says(data: bytes) -> None:
    assert read(data, method="HEAD") == whole(reusable=False)


def test_one_parser_reads_one_answer_after_the_other() -> None:
    parser = AnswerParser()
    bodies = []
    for body in (b"a", b"bc"):
        parser.expect("POST")
        assert parser.feed(OK + b"content-length: %d\r\n\r\n%b" % (len(body), body)) is None
        bodies.append(b"".join(parser.parts))

    assert bodies == [b"a", b"bc"]


@pytest.mark.parametrize("hidden", [b"3;" + b"y" * MAX_HEADER_BYTES, b"0\r\nx: " + b"y" * MAX_HEADER_BYTES])
def test_what_comes_without_a_byte_of_body_is_bounded(hidden: bytes) -> None:
    assert read(CHUNKED, hidden).problem == (
        f"its body hides more than {MAX_HEADER_BYTES} bytes in trailers or chunk extensions"
    )


def test_headers_are_found_in_any_case_and_keep_bytes_that_are_no_utf_8() -> None:
    parser = AnswerParser()
    parser.feed(OK + b"X-Request-ID: a\r\nx-odd: \xff\r\ncontent-length: 0\r\n\r\n")

    assert parser.headers is not None
    assert parser.headers["x-request-id"] == "a"
    assert parser.headers["x-odd"].encode("utf-8", "surrogateescape") == b"\xff"


def test_trailers_are_not_headers() -> None:
    parser = AnswerParser()
    parser.feed(CHUNKED + b"0\r\nx-late: 1\r\n\r\n")

    assert parser.headers is not None
    assert "x-late" not in parser.headers


class Llhttp(AnswerParser):
    """Reads everything with llhttp."""

    def _take_plain(self, data: bytes) -> bool:
        return False


PLAIN = {
    "what every server writes": OK + b"Date: now\r\nserver: uvicorn\r\ncontent-length: 3\r\n\r\nabc",
    "with a type and an id": OK
    + b"Content-Type: a/b; c=d\r\nContent-Length:3\r\nx-request-id: r-1\r\n\r\nabc",
    "no body": OK + b"content-length: 0\r\n\r\n",
}


@pytest.mark.parametrize("data", PLAIN.values(), ids=list(PLAIN))
def test_a_plain_answer_is_read_without_llhttp_and_as_it_would_read_it(data: bytes) -> None:
    straight, through_llhttp = AnswerParser(), Llhttp()
    straight.feed(data)
    through_llhttp.feed(data)

    assert AnswerParser()._take_plain(data)
    assert straight.headers is not None
    assert through_llhttp.headers is not None
    assert straight.headers.get("X-Request-Id") == through_llhttp.headers.get("X-Request-Id")
    for name in ("status", "parts", "unread_bytes", "framed", "complete", "reusable"):
        assert getattr(straight, name) == getattr(through_llhttp, name), name


LINES = (
    b"content-length: 3\r\n",
    b"content-length: 3 \r\n",
    b"Content-Length:4\r\n",
    b"CONTENT-LENGTH: 3\r\n",
    b"content-length: +3\r\n",
    b"content-length:\r\n",
    b"content-length: 3, 3\r\n",
    b"content-length : 3\r\n",
    b" content-length: 3\r\n",
    b"x-request-id: one\r\n",
    b"X-Request-Id: other\r\n",
    b"connection: close\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"upgrade: h2c\r\n",
    b"server: b\r\n",
    b"date: \x00\r\n",
    b"date: b\n",
    b"\r\n",
    b"\r\nabc",
    b"\r\nabcd",
)


@given(st.lists(st.sampled_from(LINES), min_size=1, max_size=5))
@example([b"content-length: 3\r\n", b"CONTENT-LENGTH: 3\r\n", b"\r\nabc"])
def test_whatever_comes_the_straight_reading_is_llhttps(lines: list[bytes]) -> None:
    data = OK + b"".join(lines)
    straight, through_llhttp = AnswerParser(), Llhttp()

    assert straight.feed(data) == through_llhttp.feed(data)
    for name in ("status", "parts", "complete", "reusable"):
        assert getattr(straight, name) == getattr(through_llhttp, name), name
    if straight.headers is not None and through_llhttp.headers is not None:
        assert straight.headers.get("x-request-id") == through_llhttp.headers.get("x-request-id")


def test_llhttp_reads_what_follows_a_plain_answer() -> None:
    parser = AnswerParser()
    parser.feed(PLAIN["no body"])
    parser.expect("POST")
    parser.feed(CHUNKED + b"3\r\nabc\r\n0\r\n\r\n")

    assert (parser.complete, parser.reusable, parser.parts) == (True, True, [b"abc"])


def test_a_plain_answer_to_head_is_llhttps() -> None:
    parser = AnswerParser()
    parser.expect("HEAD")

    assert not parser._take_plain(PLAIN["no body"])
