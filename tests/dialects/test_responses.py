"""OpenAI's Responses API as a dialect: against its golden pairs, and read by the official SDK."""

import json
from pathlib import Path

import httpx
import openai
import pytest

from gateway_runtime.contract.errors import ErrorCode, GatewayError
from gateway_runtime.providers.chat.answer import (
    AnswerMessage,
    ChatAnswer,
    ChatChoice,
    ChatChunk,
    ToolCallDelta,
)
from gateway_runtime.providers.chat.request import FunctionCall, ThinkingBlock, ToolCall
from gateway_runtime.providers.dialect import Asked, Stamp
from gateway_runtime.providers.dialects.responses.dialect import OpenAIResponses
from gateway_runtime.providers.dialects.responses.thoughts import open_blocks, seal_blocks
from gateway_runtime.providers.request_body import read_body
from gateway_runtime.providers.usage import Usage
from tests.dialects.golden import Speaker, check_golden, find_orphans, find_situations

DIALECT = OpenAIResponses()
SPEAKER = Speaker(DIALECT, {"model": "gpt-5", "input": "Hello"})
STAMP = Stamp("req-7", 1_700_000_000, "the-model")
USAGE = Usage(20, 9, 12, 4, 3)
BLOCK = ThinkingBlock("Hm.", "c2ln")


@pytest.mark.parametrize("path", find_situations("responses"), ids=lambda path: path.name)
def test_a_situation_is_translated_to_what_is_written(path: Path, update_golden: bool) -> None:
    check_golden(SPEAKER, path, update=update_golden)


def test_every_file_belongs_to_a_pair() -> None:
    assert find_orphans("responses") == []


def read(**members: object) -> Asked:
    return DIALECT.read_chat(read_body(json.dumps({"model": "gpt-5", "input": "Hello", **members}).encode()))


def stream() -> bytes:
    writer = DIALECT.open_writer(read(stream=True), STAMP)
    chunks = [
        ChatChunk(reasoning_content="Hm."),
        ChatChunk(thinking_block=BLOCK),
        ChatChunk("Let me "),
        ChatChunk("see."),
        ChatChunk(tool_call=ToolCallDelta(0, "call_1", "now", "{")),
        ChatChunk(tool_call=ToolCallDelta(0, arguments="}")),
        ChatChunk(finish_reason="tool_calls"),
    ]
    return writer.write(chunks) + writer.end(USAGE)


def answer() -> bytes:
    message = AnswerMessage(
        "Let me see.",
        reasoning_content="Hm.",
        thinking_blocks=(BLOCK,),
        tool_calls=(ToolCall("call_1", FunctionCall("now", "{}")),),
    )
    return DIALECT.build_answer(ChatAnswer((ChatChoice(message, "tool_calls"),), USAGE), read(), STAMP)


def open_client(body: bytes, *, status: int = 200, streams: bool = False) -> openai.OpenAI:
    """The SDK, in front of one answer."""
    kind = "text/event-stream" if streams else "application/json"
    transport = httpx.MockTransport(
        lambda request: httpx.Response(status, content=body, headers={"content-type": kind})
    )
    return openai.OpenAI(
        api_key="k", base_url="http://x/v1", max_retries=0, http_client=httpx.Client(transport=transport)
    )


def test_the_sdk_reads_an_answer() -> None:
    with open_client(answer()) as client:
        response = client.responses.create(model="gpt-5", input="Hello")

    assert response.output_text == "Let me see."
    assert [item.type for item in response.output] == ["reasoning", "message", "function_call"]
    assert response.status == "completed"
    assert response.usage is not None
    assert response.usage.total_tokens == 29
    # What the SDK did not check on its way in.
    assert type(response).model_validate(response.model_dump()) == response


def test_the_sdk_puts_a_stream_together_to_the_same_answer() -> None:
    with (
        open_client(stream(), streams=True) as client,
        client.responses.stream(model="gpt-5", input="Hello") as events,
    ):
        seen = [event.type for event in events]
        final = events.get_final_response()

    whole = json.loads(answer())
    told = json.loads(stream().rpartition(b"data: ")[2])["response"]
    assert told == whole
    assert final.output_text == "Let me see."
    assert final.output[2].to_dict()["arguments"] == "{}"
    assert seen[0] == "response.created"
    assert seen[-1] == "response.completed"


def test_each_event_is_what_the_sdk_takes_it_for() -> None:
    with (
        open_client(stream(), streams=True) as client,
        client.responses.create(model="gpt-5", input="Hello", stream=True) as events,
    ):
        for number, event in enumerate(events):
            assert type(event).model_validate(event.model_dump(by_alias=True)).type == event.type
            assert event.sequence_number == number


@pytest.mark.parametrize(
    "event",
    [
        DIALECT.build_error_event(GatewayError(ErrorCode.STREAM_INTERRUPTED, "It broke.")),
        DIALECT.build_last_event(b'{"message": "It broke.", "object": "error", "code": 500}'),
        DIALECT.build_last_event(b'{"error": "It broke."}'),
    ],
    ids=["ours", "bare", "words-alone"],
)
def test_the_sdk_raises_at_an_error_in_a_stream(event: bytes) -> None:
    begun = DIALECT.open_writer(read(stream=True), STAMP).write([ChatChunk("Hel")])
    with (
        open_client(begun + event, streams=True) as client,
        client.responses.create(model="gpt-5", input="Hello", stream=True) as events,
        pytest.raises(openai.APIError, match=r"It broke\."),
    ):
        list(events)


def test_the_sdk_raises_at_an_error_instead_of_an_answer() -> None:
    body = DIALECT.build_error(GatewayError(ErrorCode.UNSUPPORTED, "`prompt` cannot be said."))
    with open_client(body, status=400) as client, pytest.raises(openai.BadRequestError) as raised:
        client.responses.create(model="gpt-5", input="Hello")

    assert raised.value.code == "unsupported_parameter"


def test_thoughts_with_a_signature_come_back_in_the_next_turn() -> None:
    output = json.loads(answer())["output"]
    result = {"type": "function_call_output", "call_id": "call_1", "output": "12:00"}
    asked = read(input=[{"role": "user", "content": "Time?"}, *output, result])

    turn = asked.chat.messages[1]
    assert turn.thinking_blocks == [BLOCK]
    assert turn.content == "Let me see."
    assert [message.role for message in asked.chat.messages] == ["user", "assistant", "tool"]


def test_thoughts_without_a_signature_need_no_seal() -> None:
    assert seal_blocks([ThinkingBlock("Hm.")]) is None
    assert open_blocks(None) == open_blocks("gAAAA") == open_blocks("headgate1.ü") == []


@pytest.mark.parametrize(
    "body",
    [
        b'{"model": "m", "input": [{"role": "user", "content": "\\ud83d"}]}',
        b'{"model": "m", "input": "\\ud83d"}',
        b'{"model": "m", "input": "Hi", "user": "\\ud83d"}',
    ],
)
def test_text_that_is_no_json_is_refused(body: bytes) -> None:
    with pytest.raises(GatewayError, match="not valid JSON"):
        DIALECT.read_chat(read_body(body))
