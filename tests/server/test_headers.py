"""The small print of headers: how times are written, and how providers' times are read."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway_runtime.server.headers import format_reset, parse_retry_after, select_passed
from gateway_runtime.server.plain import read_key

NOON_UNIX_S = 1_800_000_000.0  # Fri, 15 Jan 2027 08:00:00 GMT


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0, "0s"),
        (0.0001, "1ms"),
        (0.12, "120ms"),
        (0.9999, "1s"),
        (1.0, "1s"),
        (59.2, "1m0s"),
        (60.0, "1m0s"),
        (60.0000001, "1m0s"),
        (359.5, "6m0s"),
        (3600.0, "1h0m0s"),
        (3661.0, "1h1m1s"),
    ],
)
def test_a_reset_is_written_as_openai_does(seconds: float, text: str) -> None:
    assert format_reset(seconds) == text


@given(st.floats(0, 10_000))
def test_a_reset_never_promises_too_early(seconds: float) -> None:
    text = format_reset(seconds)
    if text.endswith("ms"):
        said_s = int(text[:-2]) / 1000
    else:
        parts = text[:-1].replace("h", " ").replace("m", " ").split()
        said_s = sum(int(part) * 60**power for power, part in enumerate(reversed(parts)))

    assert said_s >= seconds - 0.001


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "7"}, 7.0),
        ({"retry-after": "0.5"}, 0.5),
        ({"retry-after": "-3"}, 0.0),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "Fri, 15 Jan 2027 08:00:30 GMT"}, 30.0),
        ({"retry-after": "Fri, 15 Jan 2027 08:00:30 -0000"}, 30.0),
        ({"retry-after": "Fri, 15 Jan 2027 07:00:00 GMT"}, 0.0),
        ({"retry-after-ms": "250", "retry-after": "1"}, 0.25),
        ({"retry-after-ms": "many"}, None),
    ],
)
def test_a_retry_after_is_read_in_all_its_forms(headers: dict[str, str], seconds: float | None) -> None:
    assert parse_retry_after(headers, NOON_UNIX_S) == seconds


def test_a_providers_own_limits_and_cookies_do_not_pass() -> None:
    headers = {
        "x-request-id": "req_1",
        "x-ratelimit-limit-requests": "1",
        "set-cookie": "a=b",
        "retry-after": "1",
    }

    assert select_passed(headers) == {"x-request-id": "req_1"}
    assert select_passed(headers, error=True) == {"x-request-id": "req_1", "retry-after": "1"}


@pytest.mark.parametrize(
    ("headers", "key"),
    [
        ({}, None),
        ({"authorization": "Bearer k"}, "k"),
        ({"authorization": "bearer  k "}, "k"),
        ({"authorization": "Bearer"}, None),
        ({"authorization": "Basic dXNlcg=="}, None),
        ({"authorization": "Basic dXNlcg==", "x-api-key": "k"}, "k"),
        ({"api-key": "k"}, "k"),
        ({"api-key": ""}, None),
    ],
)
def test_a_key_is_found_where_clients_put_it(headers: dict[str, str], key: str | None) -> None:
    assert read_key(headers) == key
