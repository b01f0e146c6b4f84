"""The fake provider's answers, as its script has them."""

import json
from base64 import b64decode
from struct import unpack

import pytest

from gateway_runtime.providers.answer import read_facts
from gateway_runtime.providers.fake import (
    FakeAnswer,
    FakeScript,
    answer_chat,
    answer_embeddings,
    answer_models,
    answer_unknown_path,
    parse_script,
)
from gateway_runtime.providers.sse import Framer
from tests.providers.transcripts import read_events

SHORT = FakeScript(answer="one two three")
ASK = {
    "model": "gpt",
    "messages": [{"role": "system", "content": "be nice"}, {"role": "user", "content": "Hi"}],
}


def chat(script: FakeScript = SHORT, authorization: str | None = None, **fields: object) -> FakeAnswer:
    return answer_chat(script, json.dumps({**ASK, **fields}).encode(), authorization, 1, 1_700_000_000)


def read_stream(answer: FakeAnswer) -> list[dict[str, object]]:
    """The events before the final `[DONE]`."""
    events = [event.data for event in read_events(Framer(), b"".join(answer.parts))]
    assert events[-1] == b"[DONE]"
    return [json.loads(data) for data in events[:-1]]


def error_of(answer: FakeAnswer) -> tuple[int, str, str]:
    error = json.loads(answer.parts[0])["error"]
    return answer.status, error["code"], error["message"]


def test_a_completion_has_text_and_usage() -> None:
    answer = chat()

    assert answer.status == 200
    assert json.loads(answer.parts[0]) == {
        "id": "chatcmpl-fake-1",
        "created": 1_700_000_000,
        "model": "gpt",
        "object": "chat.completion",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "one two three"},
                "logprobs": None,
                "finish_reason": "stop",
            }
        ],
        "usage": {"prompt_tokens": 3, "completion_tokens": 3, "total_tokens": 6},
    }


def test_the_usual_answer_repeats_what_was_asked() -> None:
    content = json.loads(chat(FakeScript()).parts[0])["choices"][0]["message"]["content"]

    assert content == "This is the fake provider. It was asked for gpt, and it heard: Hi"


@pytest.mark.parametrize("field", ["max_tokens", "max_completion_tokens"])
def test_an_answer_stops_at_the_tokens_asked_for(field: str) -> None:
    choice = json.loads(chat(**{field: 2}).parts[0])["choices"][0]

    assert (choice["message"]["content"], choice["finish_reason"]) == ("one two", "length")


def test_a_stream_says_the_same_word_by_word() -> None:
    answer = chat(stream=True)
    choices = [event["choices"][0] for event in read_stream(answer)]

    assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert "".join(choice["delta"].get("content", "") for choice in choices) == "one two three"
    assert [choice["finish_reason"] for choice in choices] == [None, None, None, None, "stop"]


def test_a_stream_tells_usage_when_asked() -> None:
    last = read_stream(chat(stream=True, stream_options={"include_usage": True}))[-1]

    assert last["choices"] == []
    assert last["usage"] == {"prompt_tokens": 3, "completion_tokens": 3, "total_tokens": 6}


def test_the_same_request_gives_the_same_bytes() -> None:
    assert chat(stream=True) == chat(stream=True)


def test_a_message_of_parts_and_no_message_at_all_are_answered() -> None:
    parts = [{"role": "user", "content": [{"type": "text", "text": "Hi"}]}]

    assert chat(messages=parts).status == 200
    assert chat(messages=[]).status == 200
    assert chat(messages=[{"role": "assistant"}]).status == 200


def test_embeddings_of_equal_texts_are_equal() -> None:
    body = json.dumps({"model": "e", "input": ["a b", "c", "a b"]}).encode()
    answer = json.loads(answer_embeddings(FakeScript(), body, None).parts[0])
    vectors = [item["embedding"] for item in answer["data"]]

    assert vectors[0] == vectors[2] != vectors[1]
    assert [len(vector) for vector in vectors] == [8, 8, 8]
    assert answer["usage"] == {"prompt_tokens": 5, "total_tokens": 5}


def test_embeddings_come_in_base64_when_asked() -> None:
    plain = answer_embeddings(FakeScript(), b'{"model":"e","input":"a"}', None)
    packed = answer_embeddings(FakeScript(), b'{"model":"e","input":"a","encoding_format":"base64"}', None)
    vector = json.loads(plain.parts[0])["data"][0]["embedding"]
    text = json.loads(packed.parts[0])["data"][0]["embedding"]

    assert unpack("<8f", b64decode(text)) == pytest.approx(vector)


def test_the_model_list_is_the_scripts() -> None:
    answer = answer_models(FakeScript(models=("a", "b")), None)

    assert [model["id"] for model in json.loads(answer.parts[0])["data"]] == ["a", "b"]


def test_latency_delays_completions_and_errors_but_not_the_model_list() -> None:
    script = FakeScript(latency_s=2.0)

    assert chat(script).delay_s == 2.0
    assert chat(FakeScript(latency_s=2.0, status=500)).delay_s == 2.0
    assert answer_models(script, None).delay_s == 0.0


def test_tokens_per_second_set_the_pace_of_a_stream() -> None:
    assert chat(FakeScript(tokens_per_s=50), stream=True).part_delay_s == 0.02
    assert chat(FakeScript(), stream=True).part_delay_s == 0.0


def test_a_failing_provider_fails_its_probes_too() -> None:
    failing = FakeScript(failing=True)
    scripted = (503, "scripted", "the fake provider was told to answer 503")

    assert error_of(chat(failing)) == scripted
    assert error_of(answer_embeddings(failing, b"", None)) == scripted
    assert error_of(answer_models(failing, None)) == scripted


def test_a_status_is_answered_with_its_retry_after() -> None:
    answer = chat(FakeScript(status=429, retry_after_s=1.5))

    assert error_of(answer) == (429, "scripted", "the fake provider was told to answer 429")
    assert answer.headers == {"content-type": "application/json", "retry-after": "1.5"}
    assert answer_models(FakeScript(status=429), None).status == 200


def test_an_error_body_is_sent_as_the_script_has_it() -> None:
    assert chat(FakeScript(status=500, error_body="<html>oops</html>")).parts == (b"<html>oops</html>",)


@pytest.mark.parametrize(
    ("authorization", "status"),
    [(None, 401), ("Bearer other", 401), ("Bearer good", 200), ("Bearer second", 200)],
)
def test_only_the_scripts_keys_are_accepted(authorization: str | None, status: int) -> None:
    script = FakeScript(keys=("good", "second"))

    assert chat(script, authorization).status == status
    assert answer_models(script, authorization).status == status


def test_garbage_is_no_json() -> None:
    whole, stream = chat(FakeScript(garbage=True)), chat(FakeScript(garbage=True), stream=True)
    event = read_events(Framer(), b"".join(stream.parts))[0]

    assert (whole.status, read_facts(whole.parts[0]), whole.cut) == (200, None, False)
    assert (stream.status, read_facts(event.data), stream.cut) == (200, None, False)


@pytest.mark.parametrize("events", [0, 2])
def test_a_stream_is_cut_after_so_many_events(events: int) -> None:
    answer = chat(FakeScript(cut_after_chunks=events), stream=True)

    assert (len(answer.parts), answer.cut) == (events, True)


def test_a_json_body_is_cut_in_the_middle() -> None:
    answer = chat(FakeScript(cut_after_chunks=2))

    assert answer.cut
    assert read_facts(answer.parts[0]) is None


def test_a_request_that_it_cannot_read_is_the_callers_fault() -> None:
    status, code, message = error_of(answer_chat(FakeScript(), b"{}", None, 1, 0))

    assert (status, code) == (400, "malformed_body")
    assert message == "the fake provider cannot read the request: Object missing required field `model`"


def test_an_unknown_path_is_named() -> None:
    assert error_of(answer_unknown_path("GET /v1/files")) == (
        404,
        "not_found",
        "the fake provider has no GET /v1/files",
    )


def test_a_script_keeps_its_defaults_where_nothing_is_said() -> None:
    assert parse_script(b'{"status":500,"keys":["a"]}') == FakeScript(status=500, keys=("a",))
    assert parse_script(b"{}") == FakeScript()


def test_a_script_with_a_mistake_says_where() -> None:
    with pytest.raises(ValueError, match="not a script of the fake provider") as caught:
        parse_script(b'{"statu": 500}')

    assert str(caught.value) == (
        "not a script of the fake provider: Object contains unknown field `statu`. Fields: latency_s, "
        "failing, keys, status, error_body, retry_after_s, garbage, cut_after_chunks, tokens_per_s, answer, "
        "models."
    )
