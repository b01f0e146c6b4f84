"""Usage in the shape of OpenAI's newer APIs."""

from typing import Any

import msgspec
import pytest

from gateway_runtime.providers.token_usage import read_token_usage, read_typed_answer
from gateway_runtime.providers.usage import Usage


@pytest.mark.parametrize(
    ("usage", "read"),
    [
        ({"input_tokens": 7, "output_tokens": 2}, Usage(7, 2)),
        ({"input_tokens": 7}, Usage(7, 0)),
        (
            {
                "input_tokens": 7,
                "input_tokens_details": {"cached_tokens": 9, "cache_write_tokens": 5},
                "output_tokens": 2,
                "output_tokens_details": {"reasoning_tokens": 3},
            },
            Usage(7, 2, 7, 2, 0),
        ),
        ({"input_tokens": 7, "output_tokens": 2, "input_tokens_details": "odd"}, Usage(7, 2)),
        ({"prompt_tokens": 7, "completion_tokens": 2}, Usage(7, 2)),
        ({"type": "duration", "seconds": 3}, None),
        ({"input_tokens": -1}, None),
        (None, None),
    ],
)
def test_a_usage_is_read_in_either_shape(usage: Any, read: Usage | None) -> None:
    assert read_token_usage(msgspec.Raw(msgspec.json.encode(usage))) == read


def test_an_answer_is_good_unless_it_is_an_error_or_nothing() -> None:
    assert read_typed_answer(b'{"usage":{"input_tokens":7,"output_tokens":2}}') == (Usage(7, 2), None)
    assert read_typed_answer(b'{"id":"x","error":null}') == (None, None)
    failed = read_typed_answer(b'{"id":"x","error":{"code":"server_error","message":"Oh."}}')
    assert failed.fault is not None
    assert failed.fault.kind == "error"
    nothing = read_typed_answer(b"<html>")
    assert nothing.fault is not None
    assert nothing.fault.kind == "malformed"
