"""The dialect of Anthropic's Messages API against its golden pairs, and what pairs cannot show."""

import base64
import json
from itertools import pairwise
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway_runtime.contract.errors import ErrorCode, GatewayError
from gateway_runtime.providers.chat.answer import ChatChunk, ToolCallDelta
from gateway_runtime.providers.chat.request import ChatRequest, ExtraContent, GoogleExtra
from gateway_runtime.providers.dialect import Dialect
from gateway_runtime.providers.dialects.anthropic.call_id import sign_id, split_id
from gateway_runtime.providers.dialects.anthropic.dialect import AnthropicMessages
from gateway_runtime.providers.dialects.anthropic.models import build_model, build_model_list
from gateway_runtime.providers.dialects.anthropic.passthrough import MessagesReader, read_message
from gateway_runtime.providers.dialects.anthropic.tokens import build_token_count, estimate_tokens
from gateway_runtime.providers.request_body import RequestBody, read_body
from gateway_runtime.providers.usage import Usage
from gateway_runtime.providers.wire import CallerStream
from tests.dialects.golden import (
    STAMP,
    TESTDATA,
    Speaker,
    check_golden,
    encode,
    find_orphans,
    find_situations,
)

ASKED = {"model": "m", "max_tokens": 64, "messages": [{"role": "user", "content": "Hello"}]}
DIALECT = AnthropicMessages()
SPEAKER = Speaker(DIALECT, ASKED, DIALECT.read_count, MessagesReader, read_message)
START = (
    b'event: message_start\ndata: {"type":"message_start","message":{"type":"message","usage":'
    b'{"input_tokens":25,"output_tokens":1}}}\n\n'
)
DELTA = (
    b'event: content_block_delta\ndata: {"type":"content_block_delta","index":0,'
    b'"delta":{"type":"text_delta","text":"Hi"}}\n\n'
)
STOP = b'event: message_stop\ndata: {"type":"message_stop"}\n\n'


@pytest.mark.parametrize("path", find_situations("anthropic"), ids=lambda path: path.name)
def test_a_situation_is_translated_to_what_is_written(path: Path, update_golden: bool) -> None:
    check_golden(SPEAKER, path, update=update_golden)


def test_every_file_belongs_to_a_pair() -> None:
    assert find_orphans("anthropic") == []


def test_it_is_a_dialect_and_its_reader_a_callers_stream() -> None:
    dialect: Dialect = DIALECT
    reader: CallerStream = MessagesReader()

    assert dialect.name == "Anthropic messages"
    assert not reader.ended


@pytest.mark.parametrize("name", ["text", "thinking-and-tool", "ping-first", "error-midway"])
@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
@given(data=st.data())
def test_a_stream_in_any_pieces_is_passed_on_the_same(name: str, line_end: str, data: st.DataObject) -> None:
    stream = (TESTDATA / f"anthropic/passing-{name}.in.sse").read_bytes()
    stream = stream.replace(b"\r\n", b"\n").replace(b"\n", line_end.encode())
    cuts = data.draw(st.lists(st.integers(0, len(stream)), max_size=12))
    pieces = [stream[start:end] for start, end in pairwise([0, *sorted(cuts), len(stream)])]

    assert _read(pieces) == _read([stream])


_words = ["event: ", "content_block_delta", "message_start", "data: ", '{"type":"message_start"}', "{}", "<"]
_more_words = ['{"type":"content_block_delta"}', '{"type":"error"}', '{"type":"message_stop"}', "é", "\ufeff"]
_blocks = [START.decode(), DELTA.decode(), STOP.decode(), "\n", "\n\n", "\r", "\r\n\r\n", ": c\n"]
_pieces = st.sampled_from([*_words, *_more_words, *_blocks]).map(str.encode) | st.binary(max_size=3)


@given(st.lists(_pieces, max_size=16), st.integers(16, 400))
def test_any_bytes_are_read_the_same_in_one_chunk_and_in_many(pieces: list[bytes], largest: int) -> None:
    assert _read(pieces, largest) == _read([b"".join(pieces)], largest)


def test_a_burst_of_deltas_is_the_same_object_again() -> None:
    reader = MessagesReader()
    reader.feed(START)
    chunk = DELTA * 20

    assert reader.feed(chunk) is chunk
    assert reader.events == 21


def test_deltas_before_the_first_event_and_too_large_ones_are_not_waved_through() -> None:
    reader = MessagesReader(largest_event_bytes=2 * len(DELTA))
    assert reader.feed(DELTA) == DELTA
    assert reader.feed(DELTA * 3) == DELTA * 3
    assert reader.fault is None

    long = DELTA.replace(b"Hi", b"Hi" * 200)

    assert reader.feed(long) == b""
    assert reader.fault is not None
    assert reader.fault.kind == "malformed"


def test_nothing_goes_out_before_message_start() -> None:
    reader = MessagesReader()

    assert reader.feed(b": hello\n\nevent: ping\ndata: {}\n\n") == b""
    assert reader.events == 0
    assert reader.feed(START) == b": hello\n\n" + START


def test_nothing_goes_out_after_the_end() -> None:
    reader = MessagesReader()
    reader.feed(START + STOP)

    assert reader.done
    assert reader.feed(DELTA) == b""
    assert reader.finish() == b""


def test_the_usage_is_known_before_the_end() -> None:
    reader = MessagesReader()
    reader.feed(START + DELTA)

    assert reader.usage == Usage(25, 1)


@given(st.lists(st.tuples(st.integers(0, 3), st.text("ab", max_size=3)), max_size=12), st.randoms())
def test_pieces_of_calls_in_any_order_become_whole_calls_one_after_the_other(
    texts: list[tuple[int, str]], random: "st.RandomsStrategy"
) -> None:
    wanted: dict[int, dict[str, str]] = {}
    for index, text in texts:
        wanted.setdefault(index, {})[f"k{len(wanted[index]) if index in wanted else 0}"] = text
    queues = {index: list(json.dumps(value)) for index, value in wanted.items()}
    chunks = []
    told: set[int] = set()
    while queues:
        index = random.choice(sorted(queues))
        piece = queues[index].pop(0)
        head = {} if index in told else {"id": f"call_{index}", "name": "f"}
        told.add(index)
        chunks.append(ChatChunk(tool_call=ToolCallDelta(index, arguments=piece, **head)))
        if random.random() < 0.3:
            chunks.append(ChatChunk(content="x"))
        if not queues[index]:
            del queues[index]

    blocks = _accumulate(_write([*chunks, ChatChunk(finish_reason="tool_calls")]))

    calls = {block["id"]: json.loads(block["told"]) for block in blocks if block["type"] == "tool_use"}
    assert calls == {f"call_{index}": value for index, value in wanted.items()}
    said = "".join(block["told"] for block in blocks if block["type"] == "text")
    assert said == "x" * sum(chunk.content is not None for chunk in chunks)


def test_a_writer_without_chunks_writes_nothing_until_the_end() -> None:
    writer = DIALECT.open_writer(DIALECT.read_chat(read_body(encode(ASKED))), STAMP)

    assert writer.write([]) == b""


@given(st.binary(min_size=1, max_size=60))
def test_a_signature_travels_in_the_id_and_comes_back(signed: bytes) -> None:
    extra = ExtraContent(GoogleExtra(base64.b64encode(signed).decode()))
    call_id = sign_id("call_1", extra)

    assert call_id.replace("_", "").replace("-", "").isalnum()
    assert split_id(call_id) == ("call_1", extra)


def test_an_event_of_a_providers_error_in_lines_is_one_event() -> None:
    event = DIALECT.build_last_event(b'{\n "type": "error"\n}')

    assert event == b'event: error\ndata: {\ndata:  "type": "error"\ndata: }\n\n'


def test_the_callers_body_is_not_changed() -> None:
    for path in find_situations("anthropic"):
        if path.name.startswith("request-") and "malformed" not in path.name:
            body = read_body(encode(json.loads(path.read_text())))
            before = msgspec.json.encode(body.members)
            DIALECT.read_chat(body)

            assert msgspec.json.encode(body.members) == before


def test_a_body_nested_too_deeply_is_refused() -> None:
    deep = '{"type":"tool_result","tool_use_id":"t","content":[' * 20_000
    body = f'{{"model":"m","max_tokens":1,"messages":[{{"role":"user","content":[{deep}'

    with pytest.raises(GatewayError) as refusal:
        DIALECT.read_chat(read_body(encode(body)))

    assert refusal.value.code is ErrorCode.MALFORMED_BODY


def test_a_body_that_nobody_looked_through_is_refused() -> None:
    body = RequestBody("m", stream=False, wants_usage=False, members={"messages": msgspec.Raw(b"[")})

    with pytest.raises(GatewayError, match="is not valid JSON") as refusal:
        DIALECT.read_chat(body)

    assert refusal.value.code is ErrorCode.MALFORMED_BODY


def test_models_are_listed_on_one_page() -> None:
    listed = json.loads(build_model_list(["claude-x", "gpt-x"]))

    assert listed == {
        "data": [json.loads(build_model("claude-x")), json.loads(build_model("gpt-x"))],
        "has_more": False,
        "first_id": "claude-x",
        "last_id": "gpt-x",
    }
    assert json.loads(build_model("gpt-x")) == {
        "id": "gpt-x",
        "type": "model",
        "display_name": "gpt-x",
        "created_at": "1970-01-01T00:00:00Z",
        "lifecycle": "active",
    }


def test_no_models_are_an_empty_page() -> None:
    assert json.loads(build_model_list([])) == {
        "data": [],
        "has_more": False,
        "first_id": None,
        "last_id": None,
    }


def test_a_token_count_is_anthropics() -> None:
    assert build_token_count(14) == b'{"input_tokens":14}'


def test_a_text_has_a_token_for_each_four_bytes_and_four_for_the_message() -> None:
    assert estimate_tokens(_count("12345")) == 2 + 4
    assert estimate_tokens(_count("☀☀")) == 2 + 4
    assert estimate_tokens(_count("")) == 4


def test_images_files_and_tools_have_constants() -> None:
    image = {"type": "image", "source": {"type": "url", "url": "https://example.com/a.png"}}
    page = {"type": "document", "source": {"type": "url", "url": "https://example.com/a.pdf"}}
    book = {
        "type": "document",
        "source": {"type": "base64", "media_type": "application/pdf", "data": "A" * 160_000},
    }
    tool = {"name": "fffff", "description": "ddd", "input_schema": {"type": "object"}}
    search = {"type": "web_search_20250305", "name": "web_search"}
    schema = {"output_config": {"format": {"type": "json_schema", "schema": {"type": "object"}}}}

    assert estimate_tokens(_count([image])) == 4 + 1_600
    assert estimate_tokens(_count([page])) == 4 + 3_000
    assert estimate_tokens(_count([book])) == 4 + 10_001
    assert estimate_tokens(_count("", tools=[tool])) == 4 + 346 + 12 + 7
    assert estimate_tokens(_count("", tools=[search])) == 4 + 346 + 12 + 5
    assert estimate_tokens(_count("", **schema)) == 4 + 5


def test_earlier_turns_are_counted_with_their_calls_and_thoughts() -> None:
    turns = [
        {
            "role": "assistant",
            "content": [
                {"type": "thinking", "thinking": "1234", "signature": "EqQBCkYIAxgCKkBA"},
                {"type": "text", "text": "12345678"},
                {"type": "tool_use", "id": "toolu_1", "name": "now", "input": {"a": 1}},
            ],
        },
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "toolu_1", "content": "1234"}]},
    ]

    assert estimate_tokens(_count("", turns=turns)) == 3 * 4 + 1 + 2 + 3 + 1


def test_parts_of_openais_are_counted_too() -> None:
    messages = [
        {
            "role": "user",
            "content": [{"type": "input_audio", "input_audio": {"data": "A" * 32, "format": "wav"}}],
        },
        {"role": "assistant", "content": [{"type": "refusal", "refusal": "12345"}]},
    ]
    chat = msgspec.json.decode(encode({"model": "m", "messages": messages}), type=ChatRequest)

    assert estimate_tokens(chat) == 2 * 4 + 2 + 2


def _count(content: object, *, turns: list[object] | None = None, **members: object) -> ChatRequest:
    body = {"model": "m", "messages": [{"role": "user", "content": content}, *(turns or [])], **members}
    return DIALECT.read_count(read_body(encode(body))).chat


def _read(pieces: list[bytes], largest: int = 4096) -> tuple[object, ...]:
    reader = MessagesReader(largest_event_bytes=largest)
    passed = b"".join([reader.feed(piece) for piece in pieces]) + reader.finish()
    return passed, reader.events, reader.usage, reader.done, reader.fault


def _write(chunks: list[ChatChunk]) -> bytes:
    writer = DIALECT.open_writer(DIALECT.read_chat(read_body(encode(ASKED))), STAMP)
    return b"".join([writer.write([chunk]) for chunk in chunks]) + writer.end(None)


def _accumulate(stream: bytes) -> list[dict[str, str]]:
    """As the SDKs do, but strictly: one block is open at a time, and a delta belongs to it."""
    blocks: list[dict[str, str]] = []
    is_open = False
    for event in stream.decode().split("\n\n"):
        if not event:
            continue
        data = json.loads(event.partition("\ndata: ")[2])
        match data["type"]:
            case "content_block_start":
                assert not is_open
                assert data["index"] == len(blocks)
                blocks.append({**data["content_block"], "told": ""})
                is_open = True
            case "content_block_delta":
                assert is_open
                assert data["index"] == len(blocks) - 1
                delta = data["delta"]
                blocks[-1]["told"] += delta.get("text", "") + delta.get("partial_json", "")
            case "content_block_stop":
                assert is_open
                is_open = False
    assert not is_open
    return blocks
