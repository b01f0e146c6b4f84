"""What a stranger's URL shows by itself."""

import pytest
from yarl import URL

from gateway_runtime.media.failure import Unfetchable
from gateway_runtime.media.url import MAX_CHARACTERS, parse_url


def why(text: str, base: str | None = None) -> str:
    with pytest.raises(Unfetchable) as caught:
        parse_url(text, base=None if base is None else URL(base), allow_private=False)
    return caught.value.reason


@pytest.mark.parametrize(
    ("text", "sent"),
    [
        ("https://example.com/a.png", "https://example.com/a.png"),
        ("HTTPS://Example.com:8443/A", "https://Example.com:8443/A"),
        ("http://example.com:80", "http://example.com"),
        ("http://8.8.8.8/x", "http://8.8.8.8/x"),
        ("http://[2606:4700::1111]/x", "http://[2606:4700::1111]/x"),
        ("https://exämple.com/ñ?q=ü", "https://xn--exmple-cua.com/%C3%B1?q=%C3%BC"),
    ],
)
def test_a_url_of_the_public_internet_is_taken(text: str, sent: str) -> None:
    assert str(parse_url(text, base=None, allow_private=False)) == sent


def test_a_signed_url_is_not_quoted_anew() -> None:
    text = "https://bucket.example/a%2Fb%20c/+?X-Signature=a%2Fb%2B%3D&y=1+2&empty="

    assert (
        parse_url(text, base=None, allow_private=False).raw_path_qs == text[len("https://bucket.example") :]
    )


@pytest.mark.parametrize(
    ("location", "led_to"),
    [
        ("/b", "https://example.com/b"),
        ("c?d=%2F", "https://example.com/a/c?d=%2F"),
        ("//other.example/e", "https://other.example/e"),
        ("http://other.example/", "http://other.example/"),
    ],
)
def test_a_redirect_may_be_relative(location: str, led_to: str) -> None:
    base = URL("https://example.com/a/b")

    assert str(parse_url(location, base=base, allow_private=False)) == led_to


NOT_PUBLIC = "its host is not on the public internet"
PORT = "its port is neither 80, 443 nor one from 1024"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("http://127.0.0.1/", NOT_PUBLIC),
        ("http://10.1.2.3:8080/", NOT_PUBLIC),
        ("http://169.254.169.254/latest/meta-data/", NOT_PUBLIC),
        ("http://[::1]/", NOT_PUBLIC),
        ("http://[::ffff:10.0.0.1]/", NOT_PUBLIC),
        ("http://[64:ff9b::a9fe:a9fe]/", NOT_PUBLIC),
        ("http://[fe80::1%25eth0]/", NOT_PUBLIC),
        ("http://127.1/", NOT_PUBLIC),
        ("http://2130706433/", NOT_PUBLIC),
        ("http://0177.0.0.1/", NOT_PUBLIC),
        ("http://127.0.0.01/", NOT_PUBLIC),
        ("http://①②⑦.0.0.1/", NOT_PUBLIC),
        ("http://127。0。0。1/", NOT_PUBLIC),
        ("http://user:secret@example.com/", "its URL has a user name or password"),
        ("http://user@example.com/", "its URL has a user name or password"),
        ("http://example.com@127.0.0.1/", "its URL has a user name or password"),
        ("http://example.com:22/", PORT),
        ("http://example.com:25/", PORT),
        ("http://example.com:0/", PORT),
        ("http://example.com:1023/", PORT),
        ("http://example.com:99999/", "its URL cannot be read"),
        ("http://[::1/", "its URL cannot be read"),
        ("http://a\\@b/", "its URL cannot be read"),
        ("https://", "its URL names no host"),
        ("https:example.com", "its URL names no host"),
        ("http:///etc/passwd", "its URL names no host"),
        ("file:///etc/passwd", "its URL begins with neither http:// nor https://"),
        ("gopher://example.com/", "its URL begins with neither http:// nor https://"),
        ("", "its URL begins with neither http:// nor https://"),
        ("http://example.com/a b", "its URL has a space or a control character"),
        ("http://example.com/\r\nhost: x", "its URL has a space or a control character"),
        ("http://exa\tmple.com/", "its URL has a space or a control character"),
        ("https://example.com/" + "a" * MAX_CHARACTERS, "its URL is longer than 8192 characters"),
    ],
)
def test_a_url_that_is_not_fetched_says_why(text: str, reason: str) -> None:
    assert why(text) == reason


@pytest.mark.parametrize(
    ("location", "reason"),
    [
        ("http://127.0.0.1/", NOT_PUBLIC),
        ("//10.0.0.1/", NOT_PUBLIC),
        ("file:///etc/passwd", "its URL begins with neither http:// nor https://"),
        ("//user@example.com/", "its URL has a user name or password"),
        ("http://example.com:25/", PORT),
    ],
)
def test_a_redirect_is_judged_as_the_first_url_was(location: str, reason: str) -> None:
    assert why(location, "https://example.com/a") == reason
