"""Ollama's wire against its golden pairs, and what a pair cannot show."""

from pathlib import Path

import pytest

from gateway_runtime.contract.secret import Secret
from gateway_runtime.providers.answer import Fault
from gateway_runtime.providers.chat.request import read_chat
from gateway_runtime.providers.sse import LARGEST_EVENT_BYTES
from gateway_runtime.providers.wire import Outgoing, Wire
from gateway_runtime.providers.wires.ollama.wire import OllamaWire
from tests.wires.golden import check_golden, find_orphans, find_situations

ASKED = read_chat(b'{"model":"m","messages":[{"role":"user","content":"Hello"}]}')
TEXT = b'{"model":"llama3.2","message":{"role":"assistant","content":"Hi"},"done":false}\n'
END = b'{"model":"llama3.2","message":{"role":"assistant","content":""},"done":true,"done_reason":"stop"}\n'


@pytest.fixture
def wire() -> OllamaWire:
    return OllamaWire()


@pytest.mark.parametrize("path", find_situations("ollama"), ids=lambda path: path.name)
def test_a_situation_is_translated_to_what_is_written(path: Path, update_golden: bool) -> None:
    check_golden(OllamaWire(), path, update=update_golden)


def test_every_file_belongs_to_a_pair() -> None:
    assert find_orphans("ollama") == []


def test_it_is_a_wire_that_wants_images_in_the_request(wire: OllamaWire) -> None:
    checked: Wire = wire

    assert checked.name == "Ollama"
    assert checked.needs_inline_media


def test_a_credential_is_a_bearer_token(wire: OllamaWire) -> None:
    headers = wire.authorize(Secret("ol-1"), Outgoing("/chat", b""), "https://ollama.com/api/chat", 0.0)

    assert headers == {"authorization": "Bearer ol-1"}


def test_without_a_credential_nothing_is_sent_for_it(wire: OllamaWire) -> None:
    assert wire.authorize(None, Outgoing("/chat", b""), "http://ollama:11434/api/chat", 0.0) == {}


def test_arguments_go_out_and_come_back_as_they_were_written(wire: OllamaWire) -> None:
    body = (
        b'{"model":"m","message":{"role":"assistant","content":"","tool_calls":[{"function":'
        b'{"name":"f","arguments":{"b":1.0,"a":12345678901234567890}}}]},"done":true}'
    )

    found = wire.read_chat(body, ASKED)

    assert not isinstance(found, Fault)
    call = found.choices[0].message.tool_calls[0]
    assert call.function.arguments == '{"b":1.0,"a":12345678901234567890}'


def test_what_follows_the_end_of_a_stream_is_not_looked_at(wire: OllamaWire) -> None:
    stream = wire.open_chat(ASKED)
    stream.feed(END)

    assert stream.feed(b"{\n") == []
    assert stream.finish() == []
    assert stream.fault is None


def test_a_line_without_an_end_does_not_fill_the_memory(wire: OllamaWire) -> None:
    stream = wire.open_chat(ASKED)

    chunks = stream.feed(TEXT + b"a" * (LARGEST_EVENT_BYTES + 1))

    assert [chunk.content for chunk in chunks] == ["Hi"]
    assert stream.fault == Fault("malformed", "a line of the stream is too large")


def test_an_oversized_rest_behind_the_end_of_a_stream_is_no_fault(wire: OllamaWire) -> None:
    stream = wire.open_chat(ASKED)

    stream.feed(END + b"a" * (LARGEST_EVENT_BYTES + 1))

    assert stream.done
    assert stream.fault is None


@pytest.mark.parametrize(
    "line",
    [
        b'{"message":{"role":"assistant","content":"\xff"}}\n',
        b'{"message":{"tool_calls":[{"function":{"name":"f","arguments":{"a":"\xff"}}}]}}\n',
        b'{"message":' + b"[" * 100_000 + b"\n",
    ],
    ids=["text", "arguments", "depth"],
)
def test_a_line_that_no_reader_takes_is_a_fault(wire: OllamaWire, line: bytes) -> None:
    stream = wire.open_chat(ASKED)

    assert stream.feed(line) == []
    assert stream.fault == Fault("malformed", "a line of the stream is not in Ollama's shape")


def test_an_answer_that_is_not_utf_8_is_a_fault(wire: OllamaWire) -> None:
    found = wire.read_chat(
        b'{"done":true,"message":{"tool_calls":[{"function":{"name":"f","arguments":{"a":"\xff"}}}]}}', ASKED
    )

    assert found == Fault("malformed", "its body is not an answer in Ollama's shape")
