"""OpenAI's wire format: what providers and callers get to see of the gateway itself."""

import json

import pytest

from gateway_runtime.contract.errors import ErrorCode, GatewayError
from gateway_runtime.providers.openai import (
    build_error,
    build_error_event,
    build_event,
    build_model_list,
)


@pytest.mark.parametrize("code", ErrorCode)
def test_an_error_has_the_shape_that_the_sdks_know(code: ErrorCode) -> None:
    about_model = code in (ErrorCode.UNKNOWN_MODEL, ErrorCode.MISSING_MODEL)

    assert json.loads(build_error(GatewayError(code, "It is so."))) == {
        "error": {
            "message": "It is so.",
            "type": code.value.type,
            "code": code.value.code,
            "param": "model" if about_model else None,
            "headgate": code.id,
        }
    }


def test_an_error_amid_a_stream_is_an_event_of_its_own() -> None:
    error = GatewayError(ErrorCode.STREAM_INTERRUPTED, "The provider's stream\nbroke off.")

    assert build_error_event(error) == (
        b'data: {"error":{"message":"The provider\'s stream\\nbroke off.","type":"api_error",'
        b'"code":"stream_interrupted","param":null,"headgate":"HG1016"}}\n\n'
    )


def test_an_event_may_span_lines() -> None:
    assert build_event(b'{"a":\n1}') == b'data: {"a":\ndata: 1}\n\n'
    assert build_event(b"") == b"data: \n\n"


def test_the_model_list_has_the_shape_that_the_sdks_know() -> None:
    assert json.loads(build_model_list(["a", "b"])) == {
        "object": "list",
        "data": [
            {"id": "a", "object": "model", "created": 0, "owned_by": "headgate"},
            {"id": "b", "object": "model", "created": 0, "owned_by": "headgate"},
        ],
    }
