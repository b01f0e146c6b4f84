"""Why providers refuse, told by their statuses and the bodies that they send with them."""

import json
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from gateway_runtime.providers.cause import Cause, find_cause
from gateway_runtime.providers.error import ProviderError, build_openai_error, read_error

REFUSALS = [
    pytest.param(refusal["status"], refusal["body"], Cause[refusal["cause"]], id=f"{provider}-{number}")
    for provider, refusals in yaml.safe_load((Path(__file__).parent / "refusals.yaml").read_text()).items()
    for number, refusal in enumerate(refusals, 1)
]


@pytest.mark.parametrize(("status", "body", "cause"), REFUSALS)
def test_a_refusal_is_told_by_its_body(status: int, body: object, cause: Cause) -> None:
    assert find_cause(status, json.dumps(body).encode()) is cause


@pytest.mark.parametrize(
    ("status", "cause"),
    [
        (400, Cause.BAD_REQUEST),
        (401, Cause.CREDENTIAL_REFUSED),
        (402, Cause.QUOTA_SPENT),
        (403, Cause.CREDENTIAL_REFUSED),
        (404, Cause.NOT_FOUND),
        (405, Cause.BAD_REQUEST),
        (408, Cause.TIMED_OUT),
        (413, Cause.REQUEST_TOO_LARGE),
        (418, Cause.BAD_REQUEST),
        (422, Cause.BAD_REQUEST),
        (429, Cause.RATE_LIMITED),
        (500, Cause.SERVER_ERROR),
        (502, Cause.SERVER_ERROR),
        (503, Cause.OVERLOADED),
        (504, Cause.TIMED_OUT),
        (529, Cause.OVERLOADED),
    ],
)
@pytest.mark.parametrize(
    "body", [b"", b"<html>Bad Gateway</html>", b"{}", b"[]", b'"x"', b'{"error":5}', b"\xff", b"[" * 100_000]
)
def test_a_body_without_words_leaves_the_status(status: int, cause: Cause, body: bytes) -> None:
    assert find_cause(status, body) is cause


def test_what_the_body_says_beside_the_message_decides_nothing() -> None:
    body = {
        "error": {"message": "bad role", "param": "maximum context length", "metadata": {"raw": "overloaded"}}
    }

    assert find_cause(400, json.dumps(body).encode()) is Cause.BAD_REQUEST


def test_a_refused_key_is_that_whatever_its_message_quotes() -> None:
    body = {"error": {"message": "no key for model with maximum context length 4"}}

    assert find_cause(401, json.dumps(body).encode()) is Cause.CREDENTIAL_REFUSED


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (
            b'{"error":{"message":"m","code":"Some_Code","type":"t","innererror":{"code":"Inner"}}}',
            ProviderError("m", "Some_Code", "t", ("some_code", "inner", "t")),
        ),
        (b'{"message":"m","raw_status_code":429}', ProviderError("m", status=429)),
        (b'{"error":{"code":503,"message":"m"}}', ProviderError("m", "503", "", ("503",), 503)),
        (b'{"error":{"code":"503"}}', ProviderError("", "503", "", ("503",), 503)),
        (b'{"error":{"code":true,"status":200}}', ProviderError()),
        (b'{"detail":[{"loc":["body"],"msg":"no"}]}', ProviderError('[{"loc":["body"],"msg":"no"}]')),
        (b'{"error":"text"}', ProviderError("text")),
        (b"5", ProviderError()),
        (b"[]", ProviderError()),
        (b"<html>", ProviderError()),
    ],
)
def test_an_error_is_read_in_the_shapes_that_there_are(body: bytes, error: ProviderError) -> None:
    assert read_error(body) == error


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["error", "code", "message", "type", "status", "innererror"]), inner, max_size=3
        )
    ),
    max_leaves=10,
)


@given(st.integers(400, 599), _json)
def test_any_error_has_a_cause_and_an_openai_shape(status: int, value: object) -> None:
    body = json.dumps(value).encode()
    message = json.loads(build_openai_error(read_error(body)))["error"]["message"]

    assert find_cause(status, body) in Cause
    assert isinstance(message, str)
    assert message
