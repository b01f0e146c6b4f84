"""Streams of OpenAI's wire format: what goes on to the caller, what is learnt, and what is a fault.

Golden pairs: `testdata/stream-<situation>.in.sse` as providers send it, `.out.yaml` as `--update-golden`
writes it.
"""

import json
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway_runtime.providers.answer import Fault
from gateway_runtime.providers.cause import Cause
from gateway_runtime.providers.stream import StreamReader
from gateway_runtime.providers.usage import Usage
from tests.providers.transcripts import SITUATIONS, TESTDATA, read_stream, show_reading, transcript

CHUNK = b'data: {"choices":[{"index":0,"delta":{"content":"x"}}],"usage":null}\n\n'
USAGE = b'data: {"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":5}}\n\n'
DONE = b"data: [DONE]\n\n"
WHOLE = CHUNK * 3 + USAGE + DONE
NOT_JSON = "an event of its stream is not a JSON object"


@pytest.mark.parametrize("situation", SITUATIONS)
def test_a_transcript_is_read_as_it_is_written(situation: str, update_golden: bool) -> None:
    shown = show_reading(read_stream([transcript(situation)]))
    expected = TESTDATA / f"{situation}.out.yaml"
    if update_golden:
        expected.write_text(shown)

    assert shown == expected.read_text()


def test_every_file_belongs_to_a_pair() -> None:
    pairs = {f"{situation}{half}" for situation in SITUATIONS for half in (".in.sse", ".out.yaml")}

    assert {path.name for path in TESTDATA.iterdir()} == pairs
    assert all(situation.startswith("stream-") for situation in SITUATIONS)


@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("situation", SITUATIONS)
def test_a_transcript_cut_anywhere_is_read_the_same(situation: str, line_end: str) -> None:
    stream = transcript(situation).replace(b"\n", line_end.encode())
    whole = read_stream([stream])

    assert {read_stream([stream[:cut], stream[cut:]]) for cut in range(len(stream))} == {whole}


@given(st.sampled_from(SITUATIONS), st.sampled_from([b"\n", b"\r\n", b"\r"]), st.booleans(), st.data())
def test_a_transcript_cut_into_any_chunks_is_read_the_same(
    situation: str, line_end: bytes, hide_usage: bool, data: st.DataObject
) -> None:
    stream = transcript(situation).replace(b"\n", line_end)
    cuts = data.draw(st.lists(st.integers(0, len(stream)), max_size=12))
    chunks = [stream[start:end] for start, end in pairwise([0, *sorted(cuts), len(stream)])]

    assert read_stream(chunks, hide_usage=hide_usage) == read_stream([stream], hide_usage=hide_usage)


@pytest.mark.parametrize("situation", [name for name in SITUATIONS if "broken" not in name])
def test_a_transcript_cut_after_each_byte_is_read_the_same(situation: str) -> None:
    stream = transcript(situation)

    assert read_stream(stream[i : i + 1] for i in range(len(stream))) == read_stream([stream])


_words = ["data: {}", "data:", "data: [DONE]", "{", "}", '"error":1', '"usage":{"prompt_tokens":1}', ","]
_ends = [": c", "event: error", "<", "\n", "\n\n", "\r", "\r\n\r\n", "\ufeff", "é", " "]
_pieces = st.sampled_from([*_words, *_ends]).map(str.encode)


@given(st.lists(_pieces | st.binary(max_size=3), max_size=20), st.integers(8, 60))
def test_any_bytes_are_read_the_same_in_one_chunk_and_in_many(pieces: list[bytes], largest: int) -> None:
    assert read_stream(pieces, largest=largest) == read_stream([b"".join(pieces)], largest=largest)


@given(st.lists(_pieces, max_size=20))
def test_what_goes_out_is_part_of_what_came_and_ends_with_a_whole_event(pieces: list[bytes]) -> None:
    reading = read_stream(pieces, hide_usage=False)
    came = b"".join(pieces)

    assert came.startswith(reading.passed) or reading.done
    assert reading.passed == b"" or reading.passed.endswith((b"\n", b"\r"))


def test_a_chunk_in_which_nothing_is_hidden_comes_back_as_the_same_object() -> None:
    reader = StreamReader(hide_usage=True)

    assert reader.feed(CHUNK) is CHUNK
    assert reader.feed(three := CHUNK * 3) is three
    assert reader.events == 4


def test_a_caller_who_did_not_ask_sees_all_but_the_event_of_usage() -> None:
    assert read_stream([WHOLE], hide_usage=True) == (CHUNK * 3 + DONE, 3, Usage(3, 5), True, None)


def test_a_caller_who_asked_sees_all_of_it() -> None:
    assert read_stream([WHOLE], hide_usage=False) == (WHOLE, 4, Usage(3, 5), True, None)


@pytest.mark.parametrize(
    "event",
    [
        b'data: {"choices":[{"index":0,"delta":{}}],"usage":{"prompt_tokens":3,"completion_tokens":5}}\n\n',
        b'data: {"usage":{"prompt_tokens":3,"completion_tokens":5}}\n\n',
        b'data: {"choices":5,"usage":{"prompt_tokens":3,"completion_tokens":5}}\n\n',
    ],
)
def test_usage_beside_something_else_is_not_hidden(event: bytes) -> None:
    assert read_stream([event + DONE]) == (event + DONE, 1, Usage(3, 5), True, None)


def test_what_is_hidden_takes_its_last_line_end_along_and_no_other() -> None:
    crlf = USAGE.replace(b"\n", b"\r\n")

    assert read_stream([crlf[:-1], crlf[-1:] + DONE]).passed == DONE
    assert read_stream([crlf + CHUNK, b"\n", DONE]).passed == CHUNK + b"\n" + DONE
    assert read_stream([crlf, b": x\n\n", CHUNK, b"\n", DONE]).passed == b": x\n\n" + CHUNK + b"\n" + DONE


def test_an_event_without_choices_and_without_usage_is_not_hidden() -> None:
    event = b'data: {"choices":[],"prompt_filter_results":[],"usage":null}\n\n'

    assert read_stream([event + DONE]).passed == event + DONE


def test_comments_wait_for_the_first_good_event() -> None:
    reader = StreamReader(hide_usage=True)

    assert reader.feed(b": PROCESSING\n\n") == b""
    assert reader.feed(b": PROCESSING\n\n") == b""
    assert reader.feed(CHUNK) == b": PROCESSING\n\n" * 2 + CHUNK
    assert reader.feed(b": PROCESSING\n\n") == b": PROCESSING\n\n"


def test_an_event_that_a_chunk_cuts_goes_out_when_it_is_whole() -> None:
    reader = StreamReader(hide_usage=True)

    assert reader.feed(CHUNK + CHUNK[:30]) == CHUNK
    assert reader.feed(CHUNK[30:] + CHUNK + CHUNK[:5]) == CHUNK * 2
    assert reader.feed(CHUNK[5:]) == CHUNK


def test_what_was_good_before_a_fault_comes_out_with_it() -> None:
    reader = StreamReader(hide_usage=True)

    assert reader.feed(CHUNK + b"data: {\n\n" + CHUNK) == CHUNK
    assert reader.fault == Fault("malformed", NOT_JSON)
    assert reader.feed(CHUNK) == b""
    assert reader.finish() == b""


@pytest.mark.parametrize("data", [b"[]", b"null", b'"x"', b"{", b"{}{}", b"", b'{"x":"\xff"}', b"[DONE] "])
def test_an_event_that_is_no_json_object_is_a_fault(data: bytes) -> None:
    assert read_stream([b"data: " + data + b"\n\n" + DONE]).fault == Fault("malformed", NOT_JSON)


def test_an_event_nested_too_deeply_is_a_fault() -> None:
    stream = b'data: {"x":' + b"[" * 100_000 + b"\n\n"

    assert read_stream([stream], largest=200_000).fault == Fault("malformed", NOT_JSON)


def test_json_that_spans_lines_without_data_is_a_fault() -> None:
    assert read_stream([b'data: {"x":\n1}\n\n' + DONE]).fault == Fault("malformed", NOT_JSON)
    assert read_stream([b'data: {"x":\ndata: 1}\n\n' + DONE]).fault is None


@pytest.mark.parametrize("half", [b'"\\ud83d"', b"-Infinity", b"NaN"])
def test_what_lenient_readers_understand_is_passed_on(half: bytes) -> None:
    stream = b'data: {"x":' + half + b',"usage":{"prompt_tokens":3}}\n\n' + DONE

    assert read_stream([stream]) == (stream, 1, Usage(3, 0), True, None)


def test_an_error_event_is_a_fault_whose_body_is_fit_for_the_caller() -> None:
    error = b'{"error":{"message":"Engine is overloaded.","type":"server_error","code":null}}'

    assert read_stream([CHUNK + b"data: " + error + b"\n\n" + DONE]) == (
        CHUNK,
        1,
        None,
        False,
        Fault("error", "the provider reported an error: overloaded", Cause.OVERLOADED, 503, error),
    )


@pytest.mark.parametrize(
    ("event", "cause", "status", "message"),
    [
        (b'data: {"error":"boom"}', Cause.SERVER_ERROR, 500, "boom"),
        (
            b'data: {"error":5}',
            Cause.SERVER_ERROR,
            500,
            "The provider reported an error and gave no words for it.",
        ),
        (b'event: error\ndata: {"code":400,"details":"too many"}', Cause.BAD_REQUEST, 400, "too many"),
        (
            b"event: error\ndata: out of memory",
            Cause.SERVER_ERROR,
            500,
            "The provider reported an error and gave no words for it.",
        ),
        (
            b'event: error\ndata: {"error":{"message":"m"},"x":"\xff"}',
            Cause.SERVER_ERROR,
            500,
            "The provider reported an error and gave no words for it.",
        ),
        (
            b'data: {"error":{"code":"404","text":"gone"}}',
            Cause.NOT_FOUND,
            404,
            "The provider reported an error and gave no words for it.",
        ),
    ],
)
def test_an_error_in_another_shape_is_put_into_openais(
    event: bytes, cause: Cause, status: int, message: str
) -> None:
    fault = read_stream([event + b"\n\n"]).fault

    assert fault is not None
    assert (fault.kind, fault.cause, fault.status) == ("error", cause, status)
    assert json.loads(fault.body)["error"]["message"] == message


def test_an_error_nested_too_deeply_is_an_error_without_words() -> None:
    stream = b'event: error\ndata: {"error":{"message":"m"},"x":' + b"[" * 100_000 + b"\n\n"
    fault = read_stream([stream], largest=200_000).fault

    assert fault is not None
    assert (fault.kind, fault.cause) == ("error", Cause.SERVER_ERROR)


@pytest.mark.parametrize("empty", [b"null", b"{}", b'""', b"[]", b"false"])
def test_an_empty_error_is_none(empty: bytes) -> None:
    stream = b'data: {"choices":[],"error":' + empty + b"}\n\n" + DONE

    assert read_stream([stream]) == (stream, 1, None, True, None)


def test_a_stream_that_ends_without_done_is_torn() -> None:
    torn = Fault("torn", "its stream ended without [DONE]")

    assert read_stream([CHUNK]).fault == torn
    assert read_stream([CHUNK, CHUNK[:9]]).fault == torn
    assert read_stream([]).fault == torn


@pytest.mark.parametrize("end", [b"data: [DONE]", b"data: [DONE]\n", b"data:[DONE]", b"data: [DONE]\r\n"])
def test_a_last_done_counts_without_its_blank_line(end: bytes) -> None:
    passed = end.rstrip() + b"\n\n"

    assert read_stream([CHUNK, end]) == (CHUNK + passed, 1, None, True, None)


def test_nothing_goes_out_behind_done() -> None:
    reader = StreamReader(hide_usage=True)

    assert reader.feed(CHUNK + DONE + CHUNK) == CHUNK + DONE
    assert reader.ended
    assert reader.feed(CHUNK) == b""
    assert reader.finish() == b""


@pytest.mark.parametrize("body", [b"<", b"<html>\n\n", b"\n\n{", b'{"choices":[]}', b"\xef\xbb\xbf<", b"Bad"])
def test_a_body_that_cannot_be_a_stream_is_a_fault_at_once(body: bytes) -> None:
    reader = StreamReader(hide_usage=True)

    assert reader.feed(body) == b""
    assert reader.fault == Fault("malformed", "its body is not a stream of events")


def test_an_event_without_end_is_a_fault() -> None:
    reading = read_stream([CHUNK + b"data: " + b"x" * 100], largest=100)

    assert reading.passed == CHUNK
    assert reading.fault == Fault("malformed", "an event of the stream has more than 100 bytes")


def test_comments_without_end_are_a_fault() -> None:
    reading = read_stream([b": PROCESSING\n\n"] * 8, largest=100)

    assert reading.fault == Fault("malformed", "its stream begins with 100 bytes of comments")
