"""What the scanner of request bodies takes is JSON, and means to it what it means to Python's own reader."""

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from gateway_runtime.contract.errors import ErrorCode, GatewayError
from gateway_runtime.providers.request_body import RequestBody, read_body
from tests.fuzz.inputs import bent, fuzz, near

_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**20), 10**20) | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)
_BODIES = st.builds(
    lambda model, stream, options, more, ascii_only: json.dumps(
        {**more, "model": model, **stream, **options}, ensure_ascii=ascii_only
    ),
    st.text(max_size=5) | _VALUES,
    st.sampled_from(({}, {"stream": True}, {"stream": False}, {"stream": None}, {"stream": 1})),
    st.sampled_from(({}, {"stream_options": None}, {"stream_options": {"include_usage": True, "a": 1}})),
    st.dictionaries(st.text(max_size=5), _VALUES, max_size=3),
    st.booleans(),
).map(lambda text: text.encode("utf-8", "surrogatepass"))
_PIECES = near(
    b'{"model":',
    b'"gpt"',
    b',"model":"x"',
    b',"\\u006dodel":"y"',
    b',"stream":true',
    b',"stream_options":{"include_usage":false}',
    b'"\\ud83d"',
    b"1e999",
    b"NaN",
    b"[[[[",
    b"}",
    b",",
    b" ",
    most=8,
)


@given(data=bent(_BODIES) | bent(_PIECES))
@fuzz
def test_what_it_takes_means_the_same_to_json(data: bytes) -> None:
    body = read(data)
    if isinstance(body, ErrorCode):
        assert body in (ErrorCode.MALFORMED_BODY, ErrorCode.MISSING_MODEL)
        return
    value = json.loads(data)

    assert body.model == value["model"]
    assert body.stream is (value.get("stream") is True)
    assert json.loads(body.build("another")) == expect_sent(value, wants_usage=body.wants_usage)


@given(data=_BODIES)
@fuzz
def test_it_takes_all_that_json_takes_and_has_a_model(data: bytes) -> None:
    value = json.loads(data.decode("utf-8", "surrogatepass"))
    usable = isinstance(value["model"], str) and value["model"] != "" and value["model"].isprintable()
    taken = isinstance(read(data), RequestBody)

    assert taken or not usable or value.get("stream") == 1 or not is_unicode(data)


def read(data: bytes) -> RequestBody | ErrorCode:
    try:
        return read_body(data)
    except GatewayError as error:
        return error.code


def is_unicode(data: bytes) -> bool:
    """Without halves of characters, which JSON can spell and UTF-8 cannot."""
    try:
        json.dumps(json.loads(data), ensure_ascii=False).encode()
    except (UnicodeDecodeError, UnicodeEncodeError):
        return False
    return True


def expect_sent(value: dict[str, Any], *, wants_usage: bool) -> dict[str, Any]:
    sent = {**value, "model": "another"}
    if value.get("stream") is True and not wants_usage:
        sent["stream_options"] = {**(value.get("stream_options") or {}), "include_usage": True}
    return sent
