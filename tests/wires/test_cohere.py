"""Cohere's wire against its golden pairs, and what a pair cannot show."""

from pathlib import Path

import pytest

from gateway_runtime.contract.secret import Secret
from gateway_runtime.providers.answer import Fault
from gateway_runtime.providers.chat.request import ChatRequest, read_chat
from gateway_runtime.providers.sse import LARGEST_EVENT_BYTES
from gateway_runtime.providers.wire import Outgoing, Ranked, RerankRequest, Target, Wire
from gateway_runtime.providers.wires.cohere.wire import CohereWire
from tests.wires.golden import check_golden, find_orphans, find_situations

TEXT = (
    b'event: content-delta\ndata: {"type":"content-delta","index":0,'
    b'"delta":{"message":{"content":{"text":"Hi"}}}}\n\n'
)
END = b'event: message-end\ndata: {"type":"message-end","delta":{"finish_reason":"STOP_SEQUENCE"}}\n\n'


@pytest.fixture
def wire() -> CohereWire:
    return CohereWire()


def ask(more: bytes = b"") -> ChatRequest:
    return read_chat(b'{"model":"m","messages":[{"role":"user","content":"Hello"}]%b}' % more)


@pytest.mark.parametrize("path", find_situations("cohere"), ids=lambda path: path.name)
def test_a_situation_is_translated_to_what_is_written(path: Path, update_golden: bool) -> None:
    check_golden(CohereWire(), path, update=update_golden)


def test_every_file_belongs_to_a_pair() -> None:
    assert find_orphans("cohere") == []


def test_it_is_a_wire_that_sends_images_by_url(wire: CohereWire) -> None:
    checked: Wire = wire

    assert checked.name == "Cohere"
    assert not checked.needs_inline_media


def test_a_credential_is_a_bearer_token(wire: CohereWire) -> None:
    headers = wire.authorize(Secret("co-1"), Outgoing("/chat", b""), "https://api.cohere.com/v2/chat", 0.0)

    assert headers == {"authorization": "Bearer co-1"}


def test_without_a_credential_nothing_is_sent_for_it(wire: CohereWire) -> None:
    assert wire.authorize(None, Outgoing("/chat", b""), "http://cohere/v2/chat", 0.0) == {}


def test_a_stream_that_stops_at_the_only_stop_sequence_names_it(wire: CohereWire) -> None:
    stream = wire.open_chat(ask(b',"stop":["END"]'))

    chunks = stream.feed(TEXT + END)

    assert [chunk.stop_sequence for chunk in chunks] == [None, "END"]
    assert stream.done


def test_what_follows_the_end_of_a_stream_is_not_looked_at(wire: CohereWire) -> None:
    stream = wire.open_chat(ask())
    stream.feed(END)

    assert stream.feed(b"data: {\n\n") == []
    assert stream.finish() == []
    assert stream.fault is None


def test_an_event_without_an_end_does_not_fill_the_memory(wire: CohereWire) -> None:
    stream = wire.open_chat(ask())

    chunks = stream.feed(TEXT + b"data: " + b"a" * LARGEST_EVENT_BYTES)

    assert [chunk.content for chunk in chunks] == ["Hi"]
    assert stream.fault == Fault("malformed", "an event of the stream is too large")


def test_an_oversized_rest_behind_the_end_of_a_stream_is_no_fault(wire: CohereWire) -> None:
    stream = wire.open_chat(ask())

    stream.feed(END + b"data: " + b"a" * LARGEST_EVENT_BYTES)

    assert stream.done
    assert stream.fault is None


@pytest.mark.parametrize(
    "event",
    [
        b'data: {"type":"content-delta","delta":{"message":{"content":{"text":"\xff"}}}}\n\n',
        b'data: {"type":"citation-start","delta":{"message":{"citations":{"text":"\xff"}}}}\n\n',
        b'data: {"type":' + b"[" * 100_000 + b"\n\n",
    ],
    ids=["text", "citation", "depth"],
)
def test_an_event_that_no_reader_takes_is_a_fault(wire: CohereWire, event: bytes) -> None:
    stream = wire.open_chat(ask())

    assert stream.feed(event) == []
    assert stream.fault == Fault("malformed", "an event of the stream is not in Cohere's shape")


def test_an_answer_that_is_not_utf_8_is_a_fault(wire: CohereWire) -> None:
    found = wire.read_chat(
        b'{"finish_reason":"COMPLETE","message":{"role":"assistant","citations":[{"text":"\xff"}]}}', ask()
    )

    assert found == Fault("malformed", "its body is not an answer in Cohere's shape")


def test_a_rerank_request_names_query_and_documents(wire: CohereWire) -> None:
    asked = RerankRequest("What is the capital?", ("Carson City", "Washington"), 1)

    assert wire.build_rerank(asked, Target("rerank-v4.0-pro")) == Outgoing(
        "/rerank",
        b'{"model":"rerank-v4.0-pro","query":"What is the capital?",'
        b'"documents":["Carson City","Washington"],"top_n":1}',
    )


def test_a_rerank_request_for_all_documents_has_no_limit(wire: CohereWire) -> None:
    outgoing = wire.build_rerank(RerankRequest("a", ("b",)), Target("rerank-v4.0-pro"))

    assert outgoing.body == b'{"model":"rerank-v4.0-pro","query":"a","documents":["b"]}'


def test_a_ranking_is_read_in_its_order(wire: CohereWire) -> None:
    body = (
        b'{"id":"07734bd2","results":[{"index":3,"relevance_score":0.999071},'
        b'{"index":0,"relevance_score":0.32713068}],"meta":{"billed_units":{"search_units":1}}}'
    )

    assert wire.read_rerank(body) == (Ranked(3, 0.999071), Ranked(0, 0.32713068))


@pytest.mark.parametrize("body", [b"", b'{"results":[{"index":"0"}]}', b'{"message":"\xff"}'])
def test_a_ranking_that_cannot_be_read_is_a_fault(wire: CohereWire, body: bytes) -> None:
    assert wire.read_rerank(body) == Fault("malformed", "its body is not a ranking in Cohere's shape")
