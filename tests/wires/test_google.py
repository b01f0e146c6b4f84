"""Google's wires, the Gemini API's and Vertex AI's, against their golden pairs."""

from pathlib import Path

import pytest

from gateway_runtime.contract.secret import Secret
from gateway_runtime.providers.chat.request import read_chat
from gateway_runtime.providers.wire import Outgoing, Target, Wire
from gateway_runtime.providers.wires.google.models import find_traits
from gateway_runtime.providers.wires.google.wire import GoogleWire, VertexWire
from tests.wires.golden import check_golden, find_orphans, find_situations

_OUTGOING = Outgoing("/models/m:generateContent", b"{}")
_CHAT = read_chat(b'{"model": "m", "messages": [{"role": "user", "content": "Hello"}]}')
_WHOLE = b'data: {"candidates": [{"content": {"parts": [{"text": "Hi"}]}, "finishReason": "STOP"}]}\n\n'


@pytest.mark.parametrize("path", find_situations("google"), ids=lambda path: path.name)
def test_a_situation_is_translated_to_what_is_written(path: Path, update_golden: bool) -> None:
    check_golden(GoogleWire(), path, update=update_golden)


@pytest.mark.parametrize("path", find_situations("vertex"), ids=lambda path: path.name)
def test_vertex_differs_where_it_is_written(path: Path, update_golden: bool) -> None:
    check_golden(VertexWire("acme-1", "europe-west4"), path, update=update_golden)


@pytest.mark.parametrize("name", ["google", "vertex"])
def test_every_file_belongs_to_a_pair(name: str) -> None:
    assert find_orphans(name) == []


def test_the_gemini_api_takes_its_key_in_a_header_of_its_own() -> None:
    wire = GoogleWire()

    assert wire.authorize(Secret("k"), _OUTGOING, "https://x", 0.0) == {"x-goog-api-key": "k"}
    assert wire.authorize(None, _OUTGOING, "https://x", 0.0) == {}


def test_vertex_takes_an_access_token() -> None:
    wire = VertexWire("p", "global")

    assert wire.authorize(Secret("t"), _OUTGOING, "https://x", 0.0) == {"authorization": "Bearer t"}
    assert wire.authorize(None, _OUTGOING, "https://x", 0.0) == {}


def test_a_project_and_a_location_stay_segments_of_the_path() -> None:
    outgoing = VertexWire("a/../b", "x?y").build_chat(_CHAT, {"model", "messages"}, Target("m"))

    assert outgoing.path == "/projects/a%2F..%2Fb/locations/x%3Fy/publishers/google/models/m:generateContent"


@pytest.mark.parametrize(
    ("model", "third", "pro", "has_medium"),
    [
        ("gemini-1.5-flash", False, False, True),
        ("gemini-2.5-flash-lite", False, False, True),
        ("gemini-2.5-pro", False, True, True),
        ("models/gemini-3-pro-preview", True, True, False),
        ("gemini-3.1-pro-preview", True, True, True),
        ("gemini-3-flash", True, False, True),
        ("gemini-12.1-flash", True, False, True),
        ("gemini-flash-latest", True, False, True),
        ("gemini-flash-lite-latest", True, False, True),
        ("gemini-pro-latest", True, True, True),
        ("gemini-flash", False, False, True),
        ("gemini-exp-1206", False, False, True),
        ("gemma-3-27b-it", False, False, True),
        ("1234567890", False, False, True),
    ],
)
def test_a_models_name_tells_its_generation(model: str, third: bool, pro: bool, has_medium: bool) -> None:
    assert find_traits(model) == (third, pro, has_medium)


@pytest.mark.parametrize("wire", [GoogleWire(), VertexWire("p", "l")], ids=lambda wire: wire.name)
def test_both_want_media_in_the_request(wire: Wire) -> None:
    assert wire.needs_inline_media


def test_an_event_without_end_is_not_kept_for_ever() -> None:
    stream = GoogleWire().open_chat(_CHAT)
    stream.feed(b"data: ")
    for _ in range(33):
        stream.feed(b" " * 2**20)

    assert stream.fault is not None
    assert stream.fault.reason == "an event of the stream is larger than is kept"


def test_a_stream_that_is_done_takes_nothing_more() -> None:
    stream = GoogleWire().open_chat(_CHAT)
    stream.feed(_WHOLE)
    stream.finish()

    assert stream.done
    assert stream.feed(_WHOLE) == []
    assert stream.finish() == []
    assert stream.fault is None


@pytest.mark.parametrize(
    "written",
    [
        b'{"a": "\xff"}',
        b'{"candidates": [{"content": {"parts": [{"text": "\xff"}]}}]}',
        b'{"candidates": [{"content": {"parts": [{"functionCall": {"name": "f", "args": {"a": "\xff"}}}]}}]}',
        b'{"candidates": ' + b"[" * 100_000,
    ],
    ids=["skipped", "text", "arguments", "depth"],
)
def test_bytes_that_are_no_text_raise_nothing(written: bytes) -> None:
    stream = GoogleWire().open_chat(_CHAT)
    stream.feed(b"data: " + written + b"\n\n")
    stream.finish()

    assert stream.fault is not None
    assert isinstance(GoogleWire().read_chat(written, _CHAT), tuple)
    assert GoogleWire().read_error(500, written).message == ""
