"""Request bodies: what is read from one, and what is sent on."""

import json
from collections.abc import Iterator, Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway_runtime.contract.errors import ErrorCode, GatewayError
from gateway_runtime.providers.request_body import read_body

EXAMPLE = '{"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Hello"}]}'
NO_NAME = (
    "`model` must be a model's name: a JSON string of printable characters, not empty. "
    "GET /v1/models lists yours."
)
HALF = (
    "The request body is not valid JSON: an escape stands for half a character, such as \\ud83d "
    "without its other half. Text was probably cut in the middle of an emoji; cut it elsewhere."
)


@pytest.mark.parametrize(
    ("body", "facts"),
    [
        (b'{"model":"gpt-4o"}', ("gpt-4o", False, False)),
        (b' {"messages":[], "stream": true, "model":"gpt-4o"} ', ("gpt-4o", True, False)),
        (b'{"model":"gpt-4o","stream":null}', ("gpt-4o", False, False)),
        (b'{"model":"gpt-4o","stream":true,"stream_options":null}', ("gpt-4o", True, False)),
        (b'{"model":"gpt-4o","stream":true,"stream_options":{}}', ("gpt-4o", True, False)),
        (b'{"model":"a","stream":true,"stream_options":{"include_usage":true}}', ("a", True, True)),
        (b'{"model":"a","stream":true,"stream_options":{"include_usage":false}}', ("a", True, False)),
        (b'{"model":"a","stream_options":{"include_usage":true}}', ("a", False, False)),
        (b'{"model":"a","stream_options":5,"tools":[{"model":5}]}', ("a", False, False)),
        (b'{"model":"caf\\u00e9"}', ("café", False, False)),
        (b'{"\\u006dodel":"a"}', ("a", False, False)),
        (b'{"model":"a","model":"b"}', ("b", False, False)),
        (b'{"model":5,"model":"b","x":{"model":"c"}}', ("b", False, False)),
    ],
)
def test_routing_needs_three_facts_of_a_request(body: bytes, facts: tuple[str, bool, bool]) -> None:
    request = read_body(body)

    assert (request.model, request.stream, request.wants_usage) == facts


@pytest.mark.parametrize(
    ("body", "code", "message"),
    [
        (
            b"",
            ErrorCode.MALFORMED_BODY,
            f"The request body is empty. Send a JSON object, for example {EXAMPLE}.",
        ),
        (
            b" \n",
            ErrorCode.MALFORMED_BODY,
            f"The request body is empty. Send a JSON object, for example {EXAMPLE}.",
        ),
        (
            b'{"model":"gpt"',
            ErrorCode.MALFORMED_BODY,
            "The request body is not valid JSON: it ends in the middle of a value, after byte 14.",
        ),
        (
            b'{"model": gpt}',
            ErrorCode.MALFORMED_BODY,
            "The request body is not valid JSON: invalid character (byte 10).",
        ),
        (
            b'{"model":"gpt",}',
            ErrorCode.MALFORMED_BODY,
            "The request body is not valid JSON: trailing comma in object (byte 15).",
        ),
        (
            b'{"model":"gpt"} {}',
            ErrorCode.MALFORMED_BODY,
            "The request body is not valid JSON: more follows after the end of the object.",
        ),
        (
            b"model=gpt",
            ErrorCode.MALFORMED_BODY,
            "The request body is not valid JSON: invalid character (byte 0).",
        ),
        (
            b'{"model":"gpt","x":"\xff"}',
            ErrorCode.MALFORMED_BODY,
            "The request body is not UTF-8: byte 20 does not fit. Encode the JSON as UTF-8.",
        ),
        (
            b'{"model":"gpt","x":' + b"[" * 100_000,
            ErrorCode.MALFORMED_BODY,
            "The request body nests its arrays and objects too deeply. Send a flatter JSON object.",
        ),
        (
            b'["gpt"]',
            ErrorCode.MALFORMED_BODY,
            f"The request body must be one JSON object, for example {EXAMPLE}.",
        ),
        (
            b"null",
            ErrorCode.MALFORMED_BODY,
            f"The request body must be one JSON object, for example {EXAMPLE}.",
        ),
        (
            b'\xef\xbb\xbf{"model":"gpt"}',
            ErrorCode.MALFORMED_BODY,
            "The request body begins with a byte order mark (EF BB BF). Send the JSON without it.",
        ),
        (b'{"model":"gpt","x":"\\ud83d"}', ErrorCode.MALFORMED_BODY, HALF),
        (b'{"model":"gpt","x":"\\ud83d and more"}', ErrorCode.MALFORMED_BODY, HALF),
        (b'{"model":"gpt","x":"\\ude00"}', ErrorCode.MALFORMED_BODY, HALF),
        (
            b'{"model":"gpt","stream":true,"stream_options":true}',
            ErrorCode.MALFORMED_BODY,
            '`stream_options` must be an object such as {"include_usage": true}.',
        ),
        (
            b'{"model":"gpt","stream":true,"stream_options":{"include_usage":"yes"}}',
            ErrorCode.MALFORMED_BODY,
            '`stream_options` must be an object such as {"include_usage": true}.',
        ),
        (
            b'{"model":"gpt","stream":"yes"}',
            ErrorCode.MALFORMED_BODY,
            "`stream` must be true or false.",
        ),
        (
            b"{}",
            ErrorCode.MISSING_MODEL,
            f"The request body has no `model`. Name one, for example {EXAMPLE}; GET /v1/models lists yours.",
        ),
        (b'{"model":""}', ErrorCode.MISSING_MODEL, NO_NAME),
        (b'{"model":null}', ErrorCode.MISSING_MODEL, NO_NAME),
        (b'{"model":["gpt"]}', ErrorCode.MISSING_MODEL, NO_NAME),
        (b'{"model":"gpt\\r\\nx-evil: 1"}', ErrorCode.MISSING_MODEL, NO_NAME),
        (
            b'{"model":"' + b"m" * 257 + b'"}',
            ErrorCode.MISSING_MODEL,
            "`model` has 257 characters; a name has at most 256. GET /v1/models lists yours.",
        ),
    ],
)
def test_a_body_that_cannot_be_routed_says_what_to_mend(body: bytes, code: ErrorCode, message: str) -> None:
    with pytest.raises(GatewayError) as caught:
        read_body(body)

    assert (caught.value.code, caught.value.message) == (code, message)


def test_a_member_that_routing_does_not_need_may_be_anything() -> None:
    body = b'{"model":"gpt","a":1e999,"b":' + b"9" * 5000 + b',"c":{"model":1,"model":2},"d":[[[]]],"":0}'

    assert read_body(body).build("gpt") == body


def test_every_value_arrives_as_the_caller_wrote_it() -> None:
    body = b'{"x": 1.50, "model" : "gpt", "seed": 12345678901234567890123, "s": "\\u00e9\\/", "n": [1,  2]}'

    assert (
        read_body(body).build('gpt-"2026"')
        == b'{"x":1.50,"model":"gpt-\\"2026\\"","seed":12345678901234567890123,"s":"\\u00e9\\/","n":[1,  2]}'
    )


def test_a_model_that_keeps_its_name_keeps_its_bytes() -> None:
    assert read_body(b'{"model":"gpt\\u002d4"}').build("gpt-4") == b'{"model":"gpt\\u002d4"}'


@pytest.mark.parametrize(
    ("options", "sent"),
    [
        (b"", b',"stream_options":{"include_usage":true}'),
        (b',"stream_options":null', b',"stream_options":{"include_usage":true}'),
        (b',"stream_options": { }', b',"stream_options":{"include_usage":true}'),
        (b',"stream_options":{"include_usage":false}', b',"stream_options":{"include_usage":true}'),
        (
            b',"stream_options":{"include_obfuscation": false,"x":1.0}',
            b',"stream_options":{"include_obfuscation":false,"x":1.0,"include_usage":true}',
        ),
        (b',"stream_options":{"include_usage": true}', b',"stream_options":{"include_usage": true}'),
        (
            b',"stream_options":{"include_usage":true},"stream\\u005foptions":{"include_usage":false}',
            b',"stream_options":{"include_usage":true}',
        ),
    ],
)
def test_a_stream_asks_for_usage_and_keeps_the_callers_other_options(options: bytes, sent: bytes) -> None:
    body = b'{"model":"gpt","stream":true' + options + b"}"

    assert read_body(body).build("gpt") == b'{"model":"gpt","stream":true' + sent + b"}"


@pytest.mark.parametrize(
    "options", [b"", b',"stream_options":{"include_obfuscation":false}', b',"stream_options":null']
)
def test_a_provider_that_knows_no_options_is_not_asked_for_usage(options: bytes) -> None:
    body = b'{"model":"gpt","stream":true' + options + b"}"

    assert read_body(body).build("gpt", ask_usage=False) == body


def test_what_is_no_stream_keeps_its_options() -> None:
    body = b'{"model":"gpt","stream":false,"stream_options":5}'

    assert read_body(body).build("gpt") == body


@pytest.mark.parametrize(
    "body",
    [
        b'{"model": "forbidden", "messages": [], "model": "allowed"}',
        b'{"mod\\u0065l": "forbidden", "messages": [], "model": "allowed"}',
        b'{"model": "forbidden", "messages": [], "\\u006Dodel": "allowed"}',
    ],
)
def test_a_model_that_is_named_twice_reaches_the_provider_as_the_one_that_was_judged(body: bytes) -> None:
    request = read_body(body)

    assert request.model == "allowed"
    assert request.build("allowed") == b'{"model":"allowed","messages":[]}'


def test_one_body_is_built_for_many_providers() -> None:
    request = read_body(b'{"model":"gpt","n":1}')

    assert [request.build(name) for name in ("a", "b", "gpt")] == [
        b'{"model":"a","n":1}',
        b'{"model":"b","n":1}',
        b'{"model":"gpt","n":1}',
    ]


def refuse_constant(name: str) -> None:
    raise ValueError(name)


def strings(value: object) -> Iterator[str]:
    match value:
        case str():
            yield value
        case list():
            for item in value:
                yield from strings(item)
        case dict():
            for key, item in value.items():
                yield key
                yield from strings(item)


def load(body: bytes) -> object:
    """Python's own reader, made as strict as the format is."""
    value = json.loads(body.decode(), parse_constant=refuse_constant)
    for text in strings(value):
        text.encode()  # half a character does not encode
    return value


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
_tokens = ['{"model":"a"', '"model"', '"stream":true', '"stream_options":', ":", ",", "{", "}", "[", "]", "1"]
_oddities = [
    '"',
    "\\",
    "\\u006d",
    "\\ud83d",
    "\\ude00",
    "-",
    "0",
    ".5",
    "1e5",
    "null",
    "NaN",
    " ",
    "\n",
    "\x00",
]
_scraps = st.lists(st.sampled_from([*_tokens, *_oddities, "\x7f", "é", "\ufeff", '"x":1']), max_size=14).map(
    "".join
)
_bodies = _scraps | _scraps.map(lambda text: '{"model":"a",' + text + "}")


def expect(body: bytes) -> object:
    """What Python's own reader leads to: the provider's body, or the code of the refusal."""
    try:
        value = load(body)
    except ValueError:
        return ErrorCode.MALFORMED_BODY
    if not isinstance(value, dict) or not isinstance(value.get("stream"), bool | None):
        return ErrorCode.MALFORMED_BODY
    options = value.get("stream_options")
    if value.get("stream") and not isinstance(options, dict | None):
        return ErrorCode.MALFORMED_BODY
    model = value.get("model")
    if not isinstance(model, str) or not model or not model.isprintable():
        return ErrorCode.MISSING_MODEL
    asked = {"stream_options": {**(options or {}), "include_usage": True}} if value.get("stream") else {}
    return {**value, "model": "b", **asked}


def read(body: bytes) -> object:
    try:
        return json.loads(read_body(body).build("b"))
    except GatewayError as error:
        return error.code


@given(st.binary(max_size=40) | _bodies.map(str.encode))
def test_bodies_are_read_as_pythons_own_reader_reads_them(body: bytes) -> None:
    assert read(body) == expect(body)


@given(
    st.dictionaries(st.text(max_size=5).filter(lambda key: key != "stream"), _json),
    st.text("abc-", min_size=1),
    st.text(min_size=1),
    st.booleans(),
    st.sampled_from([None, (",", ":")]),
)
def test_every_other_member_keeps_its_value_and_its_place(
    members: Mapping[str, object],
    model: str,
    upstream_model: str,
    ascii_only: bool,
    separators: tuple[str, str] | None,
) -> None:
    request = {**members, "model": model}
    body = json.dumps(request, ensure_ascii=ascii_only, separators=separators).encode()
    built = json.loads(read_body(body).build(upstream_model))

    assert list(built.items()) == list({**request, "model": upstream_model}.items())
