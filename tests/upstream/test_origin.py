"""URLs taken apart: what is sent where, and what is no URL for us."""

import pytest

from gateway_runtime.upstream.origin import MalformedUrl, Origin, parse_url


@pytest.mark.parametrize(
    ("url", "origin", "target"),
    [
        ("https://api.openai.com/v1/models", Origin("https", "api.openai.com", 443), "/v1/models"),
        ("HTTP://Vllm.Models.svc:8000", Origin("http", "vllm.models.svc", 8000), "/"),
        ("http://[::1]:11434/api?a=b&c", Origin("http", "::1", 11434), "/api?a=b&c"),
        ("http://127.0.0.1/a%20b", Origin("http", "127.0.0.1", 80), "/a%20b"),
        ("https://bücher.example/", Origin("https", "xn--bcher-kva.example", 443), "/"),
        ("http://a_b.svc./x", Origin("http", "a_b.svc.", 80), "/x"),
    ],
)
def test_a_url_has_an_origin_and_a_target(url: str, origin: Origin, target: str) -> None:
    assert parse_url(url) == (origin, target)


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("api.openai.com/v1", "it does not begin with http:// or https://"),
        ("ftp://host/", "it does not begin with http:// or https://"),
        ("http://user:pw@host/", "it has a user name or password; credentials go into a Secret"),
        ("http://host/#a", "it has a fragment (#), which is never sent"),
        ("http://host:99999/", "its host or port cannot be read"),
        ("http://host:0/", "its port is 0"),
        ("http://[::1/", "its host or port cannot be read"),
        ("http:///v1", "its host is not a name that DNS can have"),
        ("http://a..b/", "its host is not a name that DNS can have"),
        ("http://ho%0d%0ast/", "its host is not a name that DNS can have"),
        (
            "http://host/a b",
            "it has a space, a control character, or a letter that must be percent-encoded",
        ),
        (
            "http://host/a\r\nx: y",
            "it has a space, a control character, or a letter that must be percent-encoded",
        ),
        (
            "http://host/\tv1",
            "it has a space, a control character, or a letter that must be percent-encoded",
        ),
        (
            "http://host/ü",
            "it has a space, a control character, or a letter that must be percent-encoded",
        ),
    ],
)
def test_what_cannot_stand_in_a_request_line_is_no_url(url: str, problem: str) -> None:
    with pytest.raises(MalformedUrl) as caught:
        parse_url(url)

    assert str(caught.value) == problem


@pytest.mark.parametrize(
    ("url", "field"),
    [
        ("http://host:80/", "host"),
        ("https://host:443/", "host"),
        ("https://host:80/", "host:80"),
        ("http://[::1]:8000/", "[::1]:8000"),
    ],
)
def test_the_host_header_leaves_out_the_port_that_goes_without_saying(url: str, field: str) -> None:
    origin, _ = parse_url(url)

    assert origin.host_field == field
