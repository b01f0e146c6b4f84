"""Anthropic's wire against its golden pairs, and what no pair can tell."""

import json
from pathlib import Path

import pytest
from msgspec.structs import replace

from gateway_runtime.contract.errors import GatewayError
from gateway_runtime.contract.secret import Secret
from gateway_runtime.providers.answer import Fault
from gateway_runtime.providers.cause import Cause, judge_error
from gateway_runtime.providers.chat.answer import ChatAnswer
from gateway_runtime.providers.chat.losses import Losses
from gateway_runtime.providers.chat.request import CacheControl, Message, TextPart, read_chat
from gateway_runtime.providers.usage import Usage
from gateway_runtime.providers.wire import EmbeddingsRequest, Outgoing, Target
from gateway_runtime.providers.wires.anthropic.messages import (
    build_conversation,
    build_plain_conversation,
)
from gateway_runtime.providers.wires.anthropic.models import read_model
from gateway_runtime.providers.wires.anthropic.stream import AnthropicStream
from gateway_runtime.providers.wires.anthropic.wire import AnthropicWire
from tests.wires.golden import check_golden, encode, find_orphans, find_situations

CHAT = read_chat(b'{"model":"smart","messages":[{"role":"user","content":"Hello"}]}')
OUTGOING = Outgoing("/messages", b"{}")


@pytest.mark.parametrize("path", find_situations("anthropic"), ids=lambda path: path.name)
def test_a_situation_is_translated_to_what_is_written(path: Path, update_golden: bool) -> None:
    check_golden(AnthropicWire(), path, update=update_golden)


def test_every_file_belongs_to_a_pair() -> None:
    assert find_orphans("anthropic") == []


def test_a_key_goes_into_anthropics_own_header() -> None:
    headers = AnthropicWire().authorize(Secret("sk-ant-api03-x"), OUTGOING, "", 0)

    assert headers == {"anthropic-version": "2023-06-01", "x-api-key": "sk-ant-api03-x"}


def test_an_oauth_token_is_a_bearer_and_names_its_beta() -> None:
    headers = AnthropicWire().authorize(Secret("sk-ant-oat01-x"), OUTGOING, "", 0)

    assert headers == {
        "anthropic-version": "2023-06-01",
        "authorization": "Bearer sk-ant-oat01-x",
        "anthropic-beta": "oauth-2025-04-20",
    }


def test_without_a_credential_the_version_is_still_told() -> None:
    assert AnthropicWire().authorize(None, OUTGOING, "", 0) == {"anthropic-version": "2023-06-01"}


def test_there_are_no_embeddings_to_read() -> None:
    read = AnthropicWire().read_embeddings(b"{}", EmbeddingsRequest(("Hello",)))

    assert read == Fault("malformed", "it has no embeddings")


def test_media_by_url_are_left_to_anthropic() -> None:
    assert AnthropicWire.needs_inline_media is False


@pytest.mark.parametrize(
    ("kind", "cause"),
    [
        ("invalid_request_error", Cause.BAD_REQUEST),
        ("authentication_error", Cause.CREDENTIAL_REFUSED),
        ("billing_error", Cause.QUOTA_SPENT),
        ("permission_error", Cause.CREDENTIAL_REFUSED),
        ("not_found_error", Cause.NOT_FOUND),
        ("request_too_large", Cause.REQUEST_TOO_LARGE),
        ("rate_limit_error", Cause.RATE_LIMITED),
        ("api_error", Cause.SERVER_ERROR),
        ("timeout_error", Cause.TIMED_OUT),
        ("overloaded_error", Cause.OVERLOADED),
        ("unheard_of_error", Cause.SERVER_ERROR),
    ],
)
def test_an_errors_type_tells_its_cause_where_there_is_no_status(kind: str, cause: Cause) -> None:
    stream = AnthropicStream()
    stream.feed(
        b'event: error\ndata: {"type":"error","error":{"type":"%b","message":""}}\n\n' % kind.encode()
    )

    assert stream.fault is not None
    assert stream.fault.cause is cause
    assert stream.fault.error is not None
    assert judge_error(stream.fault.error.status or 500, stream.fault.error) is cause


@pytest.mark.parametrize(
    ("name", "age"),
    [
        ("claude-3-haiku-20240307", "before 4"),
        ("claude-instant-1.2", "before 4"),
        ("claude-3-7-sonnet-20250219", "before 4"),
        ("claude-opus-4-20250514", "4"),
        ("claude-opus-4-1-20250805", "4"),
        ("claude-sonnet-4-5@20250929", "4.5"),
        ("anthropic/claude-sonnet-4.6", "4.6"),
        ("claude-opus-4-7-20260416", "4.7"),
        ("claude-mythos-preview", "5"),
        ("claude-sonnet-5", "5"),
        ("claude-3", "before 4"),
        ("claude-next", "5"),
        ("claude-haiku-5-5", "5"),
        ("claude-haiku-12", "5"),
    ],
)
def test_a_name_tells_the_models_age_and_a_date_is_no_minor_version(name: str, age: str) -> None:
    model = read_model(name)
    ages = {
        ("as_told", False, False, False, False): "before 4",
        ("by_one", False, False, False, False): "4",
        ("by_one", True, False, False, False): "4.5",
        ("by_one", True, True, False, False): "4.6",
        ("by_itself", True, True, True, False): "4.7",
        ("by_itself", True, True, True, True): "5",
    }

    marks = (
        model.samples,
        model.takes_schemas,
        model.takes_adaptive,
        model.takes_xhigh,
        model.thinks_unasked,
    )
    assert ages[marks] == age
    assert model.takes_budget is (age in ("before 4", "4", "4.5", "4.6"))


def test_of_a_strangers_model_nothing_is_assumed() -> None:
    target = Target("deepseek-chat")
    asked = read_chat(
        b'{"model":"m","messages":[{"role":"user","content":"Hi"}],"temperature":1.7,"top_p":1,"top_k":2}'
    )
    built = AnthropicWire().build_chat(asked, {"temperature", "top_p", "top_k"}, target)

    body = json.loads(built.body)
    assert (body["temperature"], body["top_p"], body["top_k"]) == (1.7, 1.0, 2)


def test_an_event_larger_than_is_kept_is_the_providers_fault() -> None:
    stream = AnthropicStream(largest_event_bytes=100)
    stream.feed(b"event: content_block_delta\ndata: " + b"x" * 200)

    assert stream.fault == Fault("malformed", "an event of the stream has more than 100 bytes")
    assert stream.feed(b"\n\n") == []
    assert stream.finish() == []


def test_a_whole_event_may_not_be_larger_either() -> None:
    stream = AnthropicStream(largest_event_bytes=100)
    stream.feed(b"event: ping\ndata: " + b" " * 200 + b'{"type":"ping"}\n\n')

    assert stream.fault == Fault("malformed", "an event of the stream has more than 100 bytes")


def test_text_that_is_not_utf8_is_malformed() -> None:
    stream = AnthropicStream()
    data = b'{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"\xff"}}'
    stream.feed(b"event: content_block_delta\ndata: " + data + b"\n\n")

    assert stream.fault is not None
    assert stream.fault.kind == "malformed"


def test_json_nested_deeper_than_can_be_read_is_malformed() -> None:
    deep = b'{"type":"content_block_start","index":' + b"[" * 100_000
    stream = AnthropicStream()
    stream.feed(b"event: content_block_start\ndata: " + deep + b"\n\n")
    answer = AnthropicWire().read_chat(b'{"content":' + b"[" * 100_000, CHAT)

    assert stream.fault is not None
    assert stream.fault.kind == "malformed"
    assert answer == Fault("malformed", "its body is not a message")


def test_a_torn_stream_still_tells_what_was_counted() -> None:
    stream = AnthropicStream()
    message = {"id": "msg_1", "model": "m", "usage": {"input_tokens": 7, "output_tokens": 1}}
    event = json.dumps({"type": "message_start", "message": message}).encode()
    stream.feed(b"event: message_start\ndata: " + event + b"\n\n")
    stream.finish()

    assert stream.fault == Fault("torn", "its stream ended before message_stop")
    assert stream.usage == Usage(7, 1)


def test_arguments_arrive_as_the_model_wrote_them() -> None:
    written = '{"n": 123456789012345678901234567890, "a" : "\\u00e9"}'
    body = '{"content":[{"type":"tool_use","id":"t","name":"f","input":' + written + "}]}"
    answer = AnthropicWire().read_chat(body.encode(), CHAT)

    assert isinstance(answer, ChatAnswer)
    assert answer.choices[0].message.tool_calls[0].function.arguments == written


def test_a_schema_that_is_not_utf8_is_refused() -> None:
    schema = b'{"type":"json_schema","json_schema":{"name":"s","schema":{"title":"\xff"}}}'
    asked = read_chat(
        b'{"model":"m","messages":[{"role":"user","content":"Hi"}],"response_format":' + schema + b"}"
    )

    with pytest.raises(GatewayError, match=r"json_schema\.schema` must be a JSON Schema: an object"):
        AnthropicWire().build_chat(asked, {"response_format"}, Target("claude-opus-5"))


@pytest.mark.parametrize(
    "block", [b'{"type":"tool_use","id":"t","name":"f","input":{"a":"\xff"}}', b'{"type":"x","y":"\xff"}']
)
def test_bytes_that_are_no_utf8_are_malformed_wherever_they_stand(block: bytes) -> None:
    stream = AnthropicStream()
    event = b'{"type":"content_block_start","index":0,"content_block":' + block + b"}"
    chunks = stream.feed(b"event: content_block_start\ndata: " + event + b"\n\n")
    answer = AnthropicWire().read_chat(b'{"content":[' + block + b"]}", CHAT)

    assert chunks == []
    assert stream.fault is not None
    assert stream.fault.kind == "malformed"
    assert answer == Fault("malformed", "its body is not a message")


@pytest.mark.parametrize(
    "path",
    [p for p in find_situations("anthropic") if p.name.startswith("chat-")],
    ids=lambda path: path.name,
)
def test_the_short_way_for_plain_conversations_says_the_same_as_the_long_one(path: Path) -> None:
    """A text is short for a list of one block: https://docs.anthropic.com/en/api/messages."""
    try:
        messages = read_chat(encode(json.loads(path.read_text())["body"])).messages
        plain = build_plain_conversation(messages)
    except GatewayError:
        return
    if plain is None:
        return
    blocks = [{"type": "text", "text": plain.system}] if plain.system else []
    turns = [{**turn, "content": [{"type": "text", "text": turn["content"]}]} for turn in plain.turns]

    assert build_conversation(messages, Losses("Anthropic", drop=False)) == (blocks, turns)


def test_what_is_not_plain_takes_the_long_way() -> None:
    texts = [Message(role="user", content="Hi"), Message(role="assistant", content="Ho")]
    others = [
        [],
        [Message(role="system", content="Be kind.")],
        texts,  # the answer is to be continued
        [texts[0], texts[0]],
        [texts[1], texts[0]],
        [Message(role="user", content="  ")],
        [Message(role="user", content=[TextPart("Hi")])],
        [replace(texts[0], name="Ada")],
        [replace(texts[0], cache_control=CacheControl("ephemeral"))],
        [texts[0], Message(role="system", content="Be kind.")],
        [Message(role="developer", content="Be kind."), texts[0]],
        [texts[0], replace(texts[1], refusal="No."), texts[0]],
    ]

    assert [build_plain_conversation(messages) for messages in others] == [None] * len(others)
    assert build_plain_conversation([texts[0], texts[1], texts[0]]) is not None
