"""Whole answers: what is one, what is none, and what is learnt from it."""

import json

import pytest

from gateway_runtime.providers.answer import Answer, Fault, read_answer
from gateway_runtime.providers.cause import Cause
from gateway_runtime.providers.usage import Usage

NO_OBJECT = Answer(None, Fault("malformed", "its body is not a JSON object"))


@pytest.mark.parametrize(
    ("body", "usage"),
    [
        (b'{"usage":{"prompt_tokens":3,"completion_tokens":5,"total_tokens":8}}', Usage(3, 5)),
        (b'{"usage":null,"choices":[]}', None),
        (b"{}", None),
        (b'{"error":null,"choices":[]}', None),
        ('{"choices":[{"message":{"content":"Grüße 🌍"}}]}'.encode(), None),
        (b'{"logprob":-Infinity,"usage":{"prompt_tokens":3}}', Usage(3, 0)),
        (b'{"content":"\\ud83d"}', None),
    ],
)
def test_a_json_object_is_a_good_answer(body: bytes, usage: Usage | None) -> None:
    assert read_answer(body) == Answer(usage, None)


@pytest.mark.parametrize(
    "body",
    [b"", b"[]", b"null", b"NaN", b"<html></html>", b'{"id":', b'{"a":' + b"[" * 100_000, b'{"a":"\xff"}'],
)
def test_anything_else_is_a_fault(body: bytes) -> None:
    assert read_answer(body) == NO_OBJECT


def test_an_error_with_status_200_is_a_fault() -> None:
    body = b'{"error":{"message":"Provider returned error","code":429},"user_id":"u"}'
    reason = "the provider reported an error: rate limited"

    assert read_answer(body) == Answer(None, Fault("error", reason, Cause.RATE_LIMITED, 429, body))


def test_what_an_error_used_is_counted_all_the_same() -> None:
    body = b'{"error":{"message":"cut off"},"usage":{"prompt_tokens":3,"completion_tokens":5}}'

    assert read_answer(body).usage == Usage(3, 5)


def test_an_error_without_an_object_is_put_into_openais_shape() -> None:
    fault = read_answer(b'{"error":"model requires more system memory"}').fault

    assert fault is not None
    assert json.loads(fault.body) == {
        "error": {
            "message": "model requires more system memory",
            "type": "api_error",
            "param": None,
            "code": None,
        }
    }


def test_the_providers_words_are_in_the_body_of_a_fault_alone() -> None:
    fault = read_answer(b'{"error":{"message":"Incorrect API key: sk-planted","code":401}}').fault

    assert fault is not None
    assert fault.cause is Cause.CREDENTIAL_REFUSED
    assert b"sk-planted" in fault.body
    assert "sk-planted" not in repr(fault._replace(body=b""))
