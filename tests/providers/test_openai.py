"""OpenAI's wire format: what is read from a body, what is sent on, and what callers get to see."""

import json
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway_runtime.contract.errors import ErrorCode, GatewayError
from gateway_runtime.contract.secret import Secret
from gateway_runtime.providers.openai import (
    RequestFacts,
    Usage,
    build_body,
    build_error,
    build_error_event,
    build_headers,
    build_model_list,
    check_answer,
    parse_usage,
    read_request,
)

EXAMPLE = '{"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Hello"}]}'
NO_NAME = (
    "`model` must be a model's name: a JSON string of printable characters, not empty. "
    "GET /v1/models lists yours."
)


@pytest.mark.parametrize(
    ("body", "facts"),
    [
        (b'{"model":"gpt-4o"}', RequestFacts("gpt-4o", False)),
        (b' {"messages":[], "stream": true, "model":"gpt-4o"} ', RequestFacts("gpt-4o", True)),
        (b'{"model":"gpt-4o","stream":false}', RequestFacts("gpt-4o", False)),
        (b'{"model":"gpt-4o","stream":null}', RequestFacts("gpt-4o", False)),
        (b'{"model":"caf\\u00e9"}', RequestFacts("café", False)),
        ('{"model":"café"}'.encode(), RequestFacts("café", False)),
        (b'{"model":"meta-llama/Llama-3.3 70B:free"}', RequestFacts("meta-llama/Llama-3.3 70B:free", False)),
        (b'{"model":"' + b"m" * 256 + b'"}', RequestFacts("m" * 256, False)),
        (b'{"model":"a","stream_options":{"stream":5},"tools":[{"model":5}]}', RequestFacts("a", False)),
    ],
)
def test_routing_needs_two_facts_of_a_request(body: bytes, facts: RequestFacts) -> None:
    assert read_request(body) == facts


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
        read_request(body)

    assert (caught.value.code, caught.value.message) == (code, message)


@given(st.binary(max_size=60) | st.text('{}[]":, \\modelstrau0', max_size=40).map(str.encode))
def test_any_bytes_are_read_or_refused_but_nothing_breaks(body: bytes) -> None:
    try:
        facts = read_request(body)
    except GatewayError as error:
        answer = json.loads(build_error(error))["error"]["code"]
    else:
        answer = json.loads(build_body(body, facts, "other"))["model"]

    assert answer in ("malformed_body", "missing_model", "other")


def test_the_body_goes_on_untouched_when_the_name_is_the_same() -> None:
    body = b'{ "model":"gpt" , "n": 1 }'

    assert build_body(body, read_request(body), "gpt") is body


def test_only_the_model_changes_when_the_provider_calls_it_otherwise() -> None:
    body = b'{"x": 1.50, "model" : "gpt", "seed": 12345678901234567890123, "s": "\\u00e9\\/", "n": [1,  2]}'

    assert (
        build_body(body, read_request(body), 'gpt-"2026"')
        == b'{"x":1.50,"model":"gpt-\\"2026\\"","seed":12345678901234567890123,"s":"\\u00e9\\/","n":[1,  2]}'
    )


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@given(
    st.dictionaries(st.text(max_size=5).filter(lambda key: key not in ("model", "stream")), _json),
    st.text("abc-", min_size=1),
    st.text(min_size=1),
    st.booleans(),
)
def test_every_other_field_keeps_its_value_and_its_place(
    fields: Mapping[str, object], model: str, upstream_model: str, ascii_only: bool
) -> None:
    request = {**fields, "model": model}
    body = json.dumps(request, ensure_ascii=ascii_only).encode()
    built = json.loads(build_body(body, read_request(body), upstream_model))

    assert list(built.items()) == list({**request, "model": upstream_model}.items())


def test_the_provider_gets_its_own_key_and_the_request_id() -> None:
    assert build_headers(Secret("sk-upstream"), "req-1") == {
        "content-type": "application/json",
        "accept-encoding": "identity",
        "user-agent": "headgate",
        "x-request-id": "req-1",
        "authorization": "Bearer sk-upstream",
    }


def test_a_provider_without_credentials_gets_no_key() -> None:
    assert "authorization" not in build_headers(None, "req-1")


@pytest.mark.parametrize(
    ("body", "good"),
    [
        (b'{"id":"chatcmpl-1","choices":[]}', True),
        (b"{}", True),
        (b"", False),
        (b"[]", False),
        (b"<html></html>", False),
        (b'{"id":', False),
        (b'{"a":' + b"[" * 100_000, False),
    ],
)
def test_a_good_answer_is_a_json_object(body: bytes, good: bool) -> None:
    assert check_answer(body) is good


@pytest.mark.parametrize(
    ("body", "usage"),
    [
        (b'{"usage":{"prompt_tokens":3,"completion_tokens":5,"total_tokens":8}}', Usage(3, 5)),
        (b'{"usage":{"prompt_tokens":3,"total_tokens":3}}', Usage(3, 0)),
        (b'{"usage":null,"choices":[]}', None),
        (b'{"choices":[]}', None),
        (b'{"usage":{"prompt_tokens":"three"}}', None),
        (b"[DONE]", None),
        (b'{"a":' + b"[" * 100_000, None),
    ],
)
def test_usage_is_what_the_provider_counted(body: bytes, usage: Usage | None) -> None:
    assert parse_usage(body) == usage


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


def test_the_model_list_has_the_shape_that_the_sdks_know() -> None:
    assert json.loads(build_model_list(["a", "b"])) == {
        "object": "list",
        "data": [
            {"id": "a", "object": "model", "created": 0, "owned_by": "headgate"},
            {"id": "b", "object": "model", "created": 0, "owned_by": "headgate"},
        ],
    }


@pytest.mark.parametrize(
    "body",
    [
        b'{"model": "forbidden", "messages": [], "model": "allowed"}',
        b'{"mod\\u0065l": "forbidden", "messages": [], "model": "allowed"}',
        b'{"model": "forbidden", "messages": [], "\\u006Dodel": "allowed"}',
    ],
)
def test_a_model_that_is_named_twice_reaches_the_provider_as_the_one_that_was_judged(body: bytes) -> None:
    facts = read_request(body)

    built = build_body(body, facts, facts.model)

    assert facts.model == "allowed"
    assert built == b'{"model":"allowed","messages":[]}'
