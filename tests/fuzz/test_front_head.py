"""Whatever the front's straight way takes for an ordinary request, other readers read as the same one."""

import asyncio
import time
from typing import NamedTuple

import pytest
from aiohttp import http_parser
from aiohttp.base_protocol import BaseProtocol
from aiohttp.http_exceptions import HttpProcessingError
from hypothesis import example, given
from hypothesis import strategies as st

from gateway_runtime.server.front import find_key
from gateway_runtime.server.head import read_head
from gateway_runtime.server.plain import MAX_HEADER_BYTES
from tests.fuzz.inputs import bent, fuzz, near

PARSERS = {"in Python": http_parser.HttpRequestParserPy, "llhttp": http_parser.HttpRequestParser}
LONGEST_BODY = 4096

_WORDS = near(b"host", b"x", b" ", b"\t", b":", b"a", b"\x00", b"\xe9", b",", most=6)
_USUAL = st.sampled_from((b"accept", b"x", b"x-b", b"Authorization", b"api-key", b"X-Api-Key", b"connection"))
_UNUSUAL = st.sampled_from((b"Host", b"Content-Length", b"transfer-encoding", b"expect", b"upgrade", b"te"))
_NAMES = st.one_of(_USUAL, _USUAL, _USUAL, _UNUSUAL)
_VALUES = (
    st.sampled_from((b"0", b"7", b"007", b"+7", b"1_0", b"7, 7", b"keep-alive", b"close", b"Bearer abc", b""))
    | _WORDS
)
_SPACES = st.sampled_from((b" ", b"", b"\t", b"  "))
_LINES = st.lists(
    st.builds(lambda n, s, v, e: n + b":" + s + v + e + b"\r\n", _NAMES, _SPACES, _VALUES, _SPACES),
    max_size=3,
).map(b"".join)
_PATHS = st.sampled_from((b"/v1/chat/completions", b"/v1/embeddings", b"/v1/embeddings?a=b"))
_LENGTHS = st.sampled_from(
    (b"Content-Length: 7\r\n", b"content-length:0\r\n", b"content-length:  12 \r\n", b"")
)
_HEADS = st.builds(
    lambda path, before, length, after: (
        b"POST " + path + b" HTTP/1.1\r\nhost: x\r\n" + before + length + after + b"\r\n"
    ),
    _PATHS,
    _LINES,
    _LENGTHS,
    _LINES,
)


class Read(NamedTuple):
    method: str
    path: str
    key: str | None
    body: bytes
    rest: bytes


def read_with(parser_type: type, data: bytes) -> Read | None:
    """None when it is refused."""
    loop = asyncio.new_event_loop()
    try:
        parser = parser_type(
            BaseProtocol(loop),
            loop,
            limit=2**16,
            max_line_size=MAX_HEADER_BYTES,
            max_field_size=MAX_HEADER_BYTES,
        )
        messages, _, _ = parser.feed_data(data)
        if len(messages) != 1:
            return None
        message, payload = messages[0]
        assert payload.is_eof()
        body = b"".join(payload._buffer) if hasattr(payload, "_buffer") else b""
        headers = message.headers
        key = find_key(headers.get("authorization", ""), headers.get("api-key") or headers.get("x-api-key"))
        return Read(message.method, message.path, key, body, b"")
    except HttpProcessingError:
        return None
    finally:
        loop.close()


@pytest.mark.parametrize("parser", PARSERS)
@given(data=bent(_HEADS) | _HEADS)
@example(b"POST /v1/embeddings HTTP/1.1\r\nhost: x\r\ncontent-length: 7\r\nHost: y\r\n\r\n")
@example(b"POST /v1/embeddings HTTP/1.1\r\ncontent-length: 7\r\n\r\n")
@fuzz
def test_other_readers_agree_with_what_it_takes(parser: str, data: bytes) -> None:
    head = read_head(data)
    begin = 0 if head is None else head.measure(data)
    if head is None or head.length > LONGEST_BODY:
        return  # not for the straight way
    body = b"b" * head.length
    found = read_with(PARSERS[parser], data[:begin] + body)

    assert found is not None
    assert (found.method, found.path, found.key, found.body) == ("POST", head.path, head.key, body)


@given(
    first=bent(_HEADS) | _HEADS, digits=st.sampled_from((b"7", b"0", b"12", b"9" * 16, b"", b"-1", b"7\r"))
)
@fuzz
def test_a_head_that_is_known_again_is_read_the_same_anew(first: bytes, digits: bytes) -> None:
    head = read_head(first)
    if head is None:
        return
    second = head._before + digits + head._after + b"body"
    begin = head.measure(second)
    anew = read_head(second)

    if begin:
        assert anew is not None
        assert anew.measure(second) == begin
        assert (anew.path, anew.key, anew.length) == (head.path, head.key, head.length)


def test_many_blanks_in_a_value_cost_next_to_nothing() -> None:
    line = b"authorization: a" + b" " * 15_000 + b"b\r\n"
    data = b"POST /v1/embeddings HTTP/1.1\r\nhost: x\r\n" + line + b"content-length: 7\r\n\r\n"
    began_s = time.process_time()
    heads = [read_head(data) for _ in range(20)]
    took_s = time.process_time() - began_s

    assert None not in heads
    assert took_s < 1.0  # it is 2 ms; with quadratic time it was 7 s
