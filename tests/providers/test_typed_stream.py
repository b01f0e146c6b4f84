"""Streams whose events have types, at every chunk boundary."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway_runtime.contract.ids import EndpointId, TenantId
from gateway_runtime.contract.secret import Secret
from gateway_runtime.providers.cause import Cause
from gateway_runtime.providers.seal import Seal
from gateway_runtime.providers.typed_stream import TypedStreamReader
from gateway_runtime.providers.usage import Usage

LAST = frozenset({"response.completed"})
USAGE = {"input_tokens": 7, "output_tokens": 2, "output_tokens_details": {"reasoning_tokens": 1}}


def event(kind: str, **more: Any) -> bytes:
    return f"event: {kind}\ndata: {json.dumps({'type': kind, **more})}\n\n".encode()


CREATED = event("response.created", response={"id": "r", "usage": None, "error": None})
DELTA = event("response.output_text.delta", delta="Hé", error=None)
DONE = event("response.completed", response={"id": "r", "usage": USAGE})
STREAM = CREATED + b": ping\n\n" + DELTA + DONE


@given(st.lists(st.integers(1, 60), max_size=30))
def test_the_bytes_pass_wherever_chunks_end(sizes: list[int]) -> None:
    reader = TypedStreamReader(LAST)
    passed, start = b"", 0
    for size in [*sizes, len(STREAM)]:
        passed += reader.feed(STREAM[start : start + size])
        start += size

    assert passed == STREAM
    assert reader.finish() == b""
    assert (reader.done, reader.fault, reader.events) == (True, None, 3)
    assert reader.usage == Usage(7, 2, reasoning_tokens=1)


def test_nothing_goes_out_before_the_first_good_event_and_nothing_after_the_last() -> None:
    reader = TypedStreamReader(LAST)

    assert reader.feed(b": hello\n\n") == b""
    assert reader.feed(DELTA[:10]) == b""
    assert reader.feed(DELTA[10:]) == b": hello\n\n" + DELTA
    assert reader.feed(DONE + DELTA) == DONE
    assert reader.feed(DELTA) == b""
    assert reader.ended


def test_a_stream_may_end_with_done_as_well() -> None:
    reader = TypedStreamReader(LAST)

    assert reader.feed(DELTA + b"data: [DONE]\n\n") == DELTA + b"data: [DONE]\n\n"
    assert reader.done


def test_an_event_may_tell_the_usage_itself() -> None:
    reader = TypedStreamReader(frozenset({"image_generation.completed"}))
    reader.feed(event("image_generation.completed", usage=USAGE))

    assert reader.usage is not None
    assert reader.usage.output_tokens == 2


@pytest.mark.parametrize(
    ("stream", "kind", "cause"),
    [
        (event("error", code="rate_limit_exceeded", message="Slow down."), "error", Cause.RATE_LIMITED),
        (b'event: error\ndata: {"message":"Oh."}\n\n', "error", Cause.SERVER_ERROR),
        (b'data: {"error":{"message":"Oh.","code":"server_error"}}\n\n', "error", Cause.SERVER_ERROR),
        (b"data: nonsense\n\n", "malformed", None),
        (b'data: "\xff"\n\n', "malformed", None),
        (b"<html>", "malformed", None),
        (b'data: {"x":"' + b"y" * 3000, "malformed", None),
    ],
)
def test_a_stream_that_begins_badly_gives_nothing(stream: bytes, kind: str, cause: Cause | None) -> None:
    reader = TypedStreamReader(LAST, largest_event_bytes=2048)

    assert reader.feed(stream) == b""
    assert reader.fault is not None
    assert (reader.fault.kind, reader.fault.cause) == (kind, cause)
    assert reader.finish() == b""


def test_comments_alone_are_not_waited_for_without_end() -> None:
    reader = TypedStreamReader(LAST, largest_event_bytes=2048)
    for _ in range(100):
        reader.feed(b": " + b"x" * 100 + b"\n\n")

    assert reader.fault is not None
    assert reader.fault.reason == "its stream begins with nothing but comments"


def test_an_error_later_comes_behind_what_was_good() -> None:
    reader = TypedStreamReader(LAST)

    assert reader.feed(DELTA + event("error", message="Oh.", code="server_error")) == DELTA
    assert reader.fault is not None
    assert json.loads(reader.fault.body)["error"]["message"] == "Oh."


def test_a_stream_without_its_last_event_is_torn() -> None:
    reader = TypedStreamReader(LAST)
    reader.feed(CREATED + DELTA[:-3])
    reader.finish()

    assert reader.fault is not None
    assert (reader.fault.kind, reader.fault.reason) == ("torn", "its stream ended without its last event")


def test_numbers_that_only_lenient_readers_take_pass() -> None:
    reader = TypedStreamReader(LAST)
    odd = b'data: {"type":"x","logprob":-Infinity}\n\n'

    assert reader.feed(odd) == odd


def test_a_response_that_is_none_costs_only_its_usage() -> None:
    reader = TypedStreamReader(LAST)
    reader.feed(event("response.completed", response=[]))

    assert (reader.done, reader.usage) == (True, None)


def test_ids_are_sealed_in_every_event_and_lines_stay_lines() -> None:
    seal = Seal(Secret("salt"), TenantId("chat/team"), EndpointId("chat/openai/e0"))
    put = seal.put
    tight = b'event: x.delta\ndata: {"type":"x.delta","item_id":"i","delta":"\\"item_id\\":\\"i\\""}\n\n'
    escaped = b'event: x.delta\ndata: {"type":"x.delta","item_id":"\\u0069"}\n\n'
    reader = TypedStreamReader(LAST, seal)

    assert (
        reader.feed(b'data: {"id":"a",\ndata: "n":1}\n\n')
        == b'data: {"id":"%b","n":1}\n\n' % put("a").encode()
    )
    assert reader.feed(b"id: 7\n" + DELTA) == b"id: 7\n" + DELTA
    assert reader.feed(tight) == tight.replace(b'"item_id":"i"', b'"item_id":"%b"' % put("i").encode())
    assert put("i").encode() in reader.feed(event("x.delta", item_id="i"))
    assert put("i").encode() in reader.feed(escaped)
    assert put("i").encode() in reader.feed(event("x.done", item={"id": "i"}))


def test_a_chunk_of_named_events_is_the_same_as_its_pieces() -> None:
    odd = [b"event: a\nevent: b\ndata: {}\n\n", b"event: a\ndata: 1\ndata: 2\n\n", b"event: a\n\n"]
    for last in (b"", *odd):
        at_once, in_pieces = TypedStreamReader(LAST), TypedStreamReader(LAST)
        chunk = DELTA + DELTA + last
        once = at_once.feed(DELTA) + at_once.feed(chunk)
        pieces = b"".join(in_pieces.feed(bytes([byte])) for byte in DELTA + chunk)

        assert once == pieces
        assert at_once.events == in_pieces.events
        assert at_once.fault == in_pieces.fault


def test_what_follows_the_last_event_in_its_chunk_is_not_passed() -> None:
    reader = TypedStreamReader(LAST)

    assert reader.feed(DELTA) + reader.feed(DELTA + DONE + DELTA) == DELTA + DELTA + DONE
