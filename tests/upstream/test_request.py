"""What goes out: the bytes of a request, and the list of what never does."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway_runtime.engine.retry import Outcome
from gateway_runtime.upstream.exchange import UpstreamFailure
from gateway_runtime.upstream.origin import Origin
from gateway_runtime.upstream.request import build_head, build_lines

ORIGIN = Origin("http", "vllm.svc", 8000)
LINES = build_lines(ORIGIN, "/v1/models", None, absolute=False)


def test_a_request_with_a_body_has_one_host_and_one_length() -> None:
    head = build_head("POST", LINES, {"Content-Type": "application/json"}, b"{}")

    assert head == (
        b"POST /v1/models HTTP/1.1\r\n"
        b"host: vllm.svc:8000\r\n"
        b"Content-Type: application/json\r\n"
        b"content-length: 2\r\n\r\n"
    )


def test_a_get_without_a_body_has_no_length() -> None:
    head = build_head("GET", LINES, {}, None)

    assert head == b"GET /v1/models HTTP/1.1\r\nhost: vllm.svc:8000\r\n\r\n"


@pytest.mark.parametrize("body", [b"", None])
def test_a_post_without_a_body_says_so(body: bytes | None) -> None:
    assert build_head("POST", LINES, {}, body).endswith(b"\r\ncontent-length: 0\r\n\r\n")


def test_a_proxy_is_sent_the_whole_url_and_its_own_credential() -> None:
    lines = build_lines(ORIGIN, "/v1/models", "Basic dTpw", absolute=True)

    assert build_head("GET", lines, {}, None) == (
        b"GET http://vllm.svc:8000/v1/models HTTP/1.1\r\n"
        b"host: vllm.svc:8000\r\n"
        b"proxy-authorization: Basic dTpw\r\n\r\n"
    )


def test_letters_beyond_ascii_travel_as_utf_8() -> None:
    assert b"\r\nx-name: b\xc3\xbccher\r\n" in build_head("GET", LINES, {"x-name": "bücher"}, None)


@pytest.mark.parametrize(
    ("method", "headers", "problem"),
    [
        ("GE T", {}, "its method is not a token"),
        ("GET /x HTTP/1.1\r\nx:", {}, "its method is not a token"),
        ("", {}, "its method is not a token"),
        ("GET", {"": "x"}, "the name of a header is not a token"),
        ("GET", {"x y": "x"}, "the name of a header is not a token"),
        ("GET", {"x:": "x"}, "the name of a header is not a token"),
        ("GET", {"x\r\ny": "x"}, "the name of a header is not a token"),
        ("GET", {"bücher": "x"}, "the name of a header is not a token"),
        (
            "GET",
            {"authorization": "Bearer a\r\nx: y"},
            'the value of its header "authorization" has a line break or another control character',
        ),
        ("GET", {"a": "b\n"}, 'the value of its header "a" has a line break or another control character'),
        ("GET", {"a": "b\r"}, 'the value of its header "a" has a line break or another control character'),
        ("GET", {"a": "b\0"}, 'the value of its header "a" has a line break or another control character'),
        ("GET", {"a": "b\x7f"}, 'the value of its header "a" has a line break or another control character'),
        ("GET", {"a": "\ud800"}, "a header has half of a surrogate pair"),
        ("POST", {"Content-Length": "3"}, 'its header "Content-Length" is for the transport alone to set'),
        (
            "POST",
            {"Transfer-Encoding": "chunked"},
            'its header "Transfer-Encoding" is for the transport alone to set',
        ),
        ("GET", {"host": "other"}, 'its header "host" is for the transport alone to set'),
        ("GET", {"connection": "close"}, 'its header "connection" is for the transport alone to set'),
        ("GET", {"upgrade": "h2c"}, 'its header "upgrade" is for the transport alone to set'),
        ("POST", {"expect": "100-continue"}, 'its header "expect" is for the transport alone to set'),
    ],
)
def test_what_would_smuggle_is_not_sent(method: str, headers: dict[str, str], problem: str) -> None:
    with pytest.raises(UpstreamFailure) as caught:
        build_head(method, LINES, headers, b"{}")

    assert (caught.value.outcome, caught.value.reason) == (
        Outcome.CONNECT_FAILED,
        f"the request cannot be sent: {problem}",
    )


@given(value=st.text(max_size=20))
def test_no_value_adds_a_line(value: str) -> None:
    plain = build_head("GET", LINES, {"x-value": ""}, None)
    try:
        head = build_head("GET", LINES, {"x-value": value}, None)
    except UpstreamFailure:
        return

    assert head.count(b"\r") == head.count(b"\n") == plain.count(b"\n")
