"""Events come out of a stream whole, wherever its chunks were cut."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway_runtime.providers.sse import Block, Event, Framer, OversizedEvent
from gateway_runtime.providers.stream import DONE
from tests.providers.transcripts import read_events

TRANSCRIPT = (
    "\ufeff: a comment\n\n"
    'data: {"text": "Grüße, 世界 🌍"}\n\n'
    "event: ping\r\ndata\r\n\r\n"
    "id: 7\rretry: 10\rdata: one\rdata:two\rdata:  three\r\r"
    "unknown: field\ndata:\r\n\n"
    "event: forgotten\n\n"
    "data: [DONE]\n\n"
).encode()

EVENTS = [
    Event('{"text": "Grüße, 世界 🌍"}'.encode()),
    Event(b"", "ping"),
    Event(b"one\ntwo\n three"),
    Event(b""),
    Event(DONE),
]


def feed_all(*chunks: bytes) -> list[Event]:
    framer = Framer()
    return [event for chunk in chunks for event in read_events(framer, chunk)]


def parse_reference(data: bytes) -> list[Event]:
    """The algorithm of the specification, on the whole text at once, written for its plainness."""
    text = data.decode("latin-1")
    events, lines, name = [], [], ""
    normal = text.replace("\r\n", "\n").replace("\r", "\n")
    for line in normal.split("\n")[:-1]:
        if line == "":
            if lines:
                events.append(Event("\n".join(lines).encode("latin-1"), name or "message"))
            lines, name = [], ""
            continue
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if field == "data":
            lines.append(value)
        if field == "event":
            name = value
    return events


def test_a_whole_stream_in_one_chunk_gives_its_events() -> None:
    assert feed_all(TRANSCRIPT) == EVENTS


def test_a_stream_cut_after_each_byte_gives_the_same_events() -> None:
    assert feed_all(*(TRANSCRIPT[i : i + 1] for i in range(len(TRANSCRIPT)))) == EVENTS


@pytest.mark.parametrize("cut", range(len(TRANSCRIPT)))
def test_a_stream_cut_anywhere_gives_the_same_events(cut: int) -> None:
    assert feed_all(TRANSCRIPT[:cut], TRANSCRIPT[cut:]) == EVENTS
    assert feed_all(TRANSCRIPT[:cut], b"", TRANSCRIPT[cut:]) == EVENTS


@given(st.lists(st.integers(0, len(TRANSCRIPT)), max_size=8))
def test_a_stream_cut_into_any_chunks_gives_the_same_events(cuts: list[int]) -> None:
    edges = [0, *sorted(cuts), len(TRANSCRIPT)]

    assert feed_all(*(TRANSCRIPT[start:end] for start, end in pairwise(edges))) == EVENTS


_pieces = st.sampled_from(
    ["data", "event", "id", ":", ": ", " ", "\n", "\r", "\r\n", "x", "\n\n", "data: x\n"]
)


@given(st.lists(st.lists(_pieces, max_size=6).map(lambda pieces: "".join(pieces).encode()), max_size=8))
def test_any_text_gives_what_the_specification_says(chunks: list[bytes]) -> None:
    assert feed_all(*chunks) == parse_reference(b"".join(chunks))


@given(st.lists(st.integers(0, len(TRANSCRIPT)), max_size=8))
def test_pending_bytes_are_those_after_the_last_blank_line(cuts: list[int]) -> None:
    edges = [0, *sorted(cuts), len(TRANSCRIPT)]
    whole = (b"\n\n", b"\r\n\r\n", b"\r\r", b"\r\n\n")
    framer = Framer()
    for start, end in pairwise(edges):
        read_events(framer, TRANSCRIPT[start:end])
        fed = TRANSCRIPT[:end]
        pending = fed[len(fed) - framer.pending_bytes :]

        assert fed.removesuffix(pending).endswith(whole) or pending == fed or fed.endswith(b"\r\n\r")
        assert not any(mark in pending.rstrip(b"\r\n") for mark in whole)


def test_an_event_that_never_ended_does_not_come_out() -> None:
    framer = Framer()

    assert read_events(framer, b"data: whole\n\ndata: torn\n") == [Event(b"whole")]
    assert framer.pending_bytes == len(b"data: torn\n")


def test_a_stream_that_ended_properly_leaves_nothing_pending() -> None:
    framer = Framer()

    assert read_events(framer, b"data: [DONE]\n\n")[-1].data == DONE
    assert framer.pending_bytes == 0


def test_a_line_end_that_a_chunk_boundary_cuts_counts_once() -> None:
    framer = Framer()

    assert read_events(framer, b"data: x\r") == []
    assert read_events(framer, b"\n") == []
    assert framer.pending_bytes == len(b"data: x\r\n")
    assert read_events(framer, b"\r") == [Event(b"x")]
    assert read_events(framer, b"\n") == []
    assert framer.pending_bytes == 0


@pytest.mark.parametrize(
    "chunks",
    [[b"data: " + b"x" * 100], [b"data: x\n"] * 20, [b"x"] * 101, [b": comment\n" * 12]],
)
def test_an_event_without_end_is_refused(chunks: list[bytes]) -> None:
    framer = Framer(largest_event_bytes=100)

    with pytest.raises(OversizedEvent, match=r"^an event of the stream has more than 100 bytes$"):
        [read_events(framer, chunk) for chunk in chunks]


def test_many_events_may_be_larger_together_than_one_may_be() -> None:
    assert len(read_events(Framer(largest_event_bytes=20), b"data: 0123456789\n\n" * 1000)) == 1000


@pytest.mark.parametrize(
    ("chunk", "data"),
    [
        (b"data: a\n\n", [b"a"]),
        (b"data: a\n\ndata: b: c\n\ndata: \n\n", [b"a", b"b: c", b""]),
        (b"data: a\r\n\r\ndata: b\r\n\r\n", [b"a", b"b"]),
        ("data: é\n\ndata:  \n\n".encode(), ["é".encode(), b" "]),
    ],
)
def test_a_chunk_of_plain_events_is_a_burst(chunk: bytes, data: list[bytes]) -> None:
    assert Framer().read_burst(chunk) == data


@pytest.mark.parametrize(
    "chunk",
    [
        b"",
        b"data: a",
        b"data: a\n",
        b"data: a\r\r",
        b"data:a\n\n",
        b"\ndata: a\n\n",
        b": x\n\ndata: a\n\n",
        b"data: a\n\n: x\n\n",
        b"data: a\nid: 1\n\n",
        b"data: a\ndata: b\n\n",
        b"data: a\rdata: b\n\n",
        b"data: a\n\n\ndata: b\n\n",
        b"data: a\n\ndata: b\r\n\r\n",
        b"data: a\r\n\r\ndata: b\n\n",
        b"data: a\n\ndata:b\n\n",
        b"data: " + b"a" * 100 + b"\n\n",
    ],
)
def test_any_other_chunk_is_no_burst(chunk: bytes) -> None:
    assert Framer(largest_event_bytes=100).read_burst(chunk) is None


def test_what_follows_the_beginning_of_an_event_is_no_burst() -> None:
    framer = Framer()
    read_events(framer, b"event: ping\n")

    assert framer.read_burst(b"data: a\n\n") is None
    assert read_events(framer, b"data: a\n\n") == [Event(b"a", "ping")]
    assert framer.read_burst(b"data: a\n\n") == [b"a"]


_bursts = st.lists(
    st.sampled_from([b"data: ", b"data:", b"a", b"\n", b"\n\n", b"\r\n\r\n", b"\r"]), max_size=9
)


@given(_bursts.map(lambda pieces: b"data: " + b"".join(pieces) + b"\n\n"))
def test_a_burst_holds_what_the_specification_says(chunk: bytes) -> None:
    burst = Framer().read_burst(chunk)

    assert burst is None or [Event(data) for data in burst] == parse_reference(chunk)


def test_blocks_are_the_bytes_of_the_stream_with_what_they_spell() -> None:
    stream = b": hello\n\nevent: a\r\ndata: x\r\n\r\n\ndata: torn"
    framer = Framer()

    assert list(framer.cut(stream)) == [
        Block(b": hello\n\n", None),
        Block(b"event: a\r\ndata: x\r\n\r\n", Event(b"x", "a")),
        Block(b"\n", None),
    ]
    assert framer.peek() == b"data: torn"
    assert framer.peek(4) == b"data"


@given(st.lists(st.lists(_pieces, max_size=6).map(lambda pieces: "".join(pieces).encode()), max_size=8))
def test_no_byte_is_lost_or_changed(chunks: list[bytes]) -> None:
    framer = Framer()
    blocks = [block.raw for chunk in chunks for block in framer.cut(chunk)]

    assert b"".join([*blocks, framer.peek()]) == b"".join(chunks)
    assert framer.pending_bytes == len(framer.peek())


@given(st.lists(st.lists(_pieces, max_size=6).map(lambda pieces: "".join(pieces).encode()), max_size=8))
def test_a_chunk_in_three_is_the_same_stream(chunks: list[bytes]) -> None:
    framer = Framer()
    events = [
        event for chunk in chunks for piece in framer.split(chunk) for event in read_events(framer, piece)
    ]

    assert events == feed_all(b"".join(chunks))


def test_the_middle_of_a_chunk_in_three_is_whole_events() -> None:
    framer = Framer()

    assert framer.split(b"data: a\n\ndata: b") == (b"", b"data: a\n\n", b"data: b")
    read_events(framer, b"data: b")
    assert framer.split(b"c\n\ndata: d\n\nda") == (b"c\n\n", b"data: d\n\n", b"da")
    assert framer.split(b"c\r\n\r\ndata: d\r\n\r\nda") == (b"c\r\n\r\n", b"data: d\r\n\r\n", b"da")
    assert framer.split(b"c\n\nda") == (b"c\n\n", b"", b"da")
