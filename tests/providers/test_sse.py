"""Events come out of a stream whole, wherever its chunks were cut."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway_runtime.providers.openai import DONE
from gateway_runtime.providers.sse import Event, Framer, OversizedEvent

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
    return [event for chunk in chunks for event in framer.feed(chunk)]


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
        framer.feed(TRANSCRIPT[start:end])
        fed = TRANSCRIPT[:end]
        pending = fed[len(fed) - framer.pending_bytes :]

        assert fed.removesuffix(pending).endswith(whole) or pending == fed or fed.endswith(b"\r\n\r")
        assert not any(mark in pending.rstrip(b"\r\n") for mark in whole)


def test_an_event_that_never_ended_does_not_come_out() -> None:
    framer = Framer()

    assert framer.feed(b"data: whole\n\ndata: torn\n") == [Event(b"whole")]
    assert framer.pending_bytes == len(b"data: torn\n")


def test_a_stream_that_ended_properly_leaves_nothing_pending() -> None:
    framer = Framer()

    assert framer.feed(b"data: [DONE]\n\n")[-1].data == DONE
    assert framer.pending_bytes == 0


def test_a_line_end_that_a_chunk_boundary_cuts_counts_once() -> None:
    framer = Framer()

    assert framer.feed(b"data: x\r") == []
    assert framer.feed(b"\n") == []
    assert framer.pending_bytes == len(b"data: x\r\n")
    assert framer.feed(b"\r") == [Event(b"x")]
    assert framer.feed(b"\n") == []
    assert framer.pending_bytes == 0


@pytest.mark.parametrize(
    "chunks",
    [[b"data: " + b"x" * 100], [b"data: x\n"] * 20, [b"x"] * 101, [b": comment\n" * 12]],
)
def test_an_event_without_end_is_refused(chunks: list[bytes]) -> None:
    framer = Framer(largest_event_bytes=100)

    with pytest.raises(OversizedEvent, match=r"^an event of the stream has more than 100 bytes$"):
        list(map(framer.feed, chunks))


def test_many_events_may_be_larger_together_than_one_may_be() -> None:
    assert len(Framer(largest_event_bytes=20).feed(b"data: 0123456789\n\n" * 1000)) == 1000
