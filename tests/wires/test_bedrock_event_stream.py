"""The binary framing of Bedrock's streams: frames at every boundary, and frames that are broken."""

import struct
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway_runtime.providers.chat.request import read_chat
from gateway_runtime.providers.wires.bedrock.event_stream import BrokenFrame, Frame, FrameCutter, Head
from gateway_runtime.providers.wires.bedrock.wire import BedrockWire

EVENT = Head("event", "messageStop")
# As botocore reads it, too.
DOCUMENTED = bytes.fromhex(
    "0000003d0000002007fd83960c636f6e74656e742d747970650700106170706c69636174696f6e2f6a736f6e7b27666f6f273a2762"
    "6172277d8d9c08b1"
)


def test_an_example_of_the_format_is_read() -> None:
    """`content-type: application/json` and a payload, from the format's own tests in AWS's SDKs."""
    assert list(FrameCutter().cut(DOCUMENTED)) == [Frame(Head("event", ""), b"{'foo':'bar'}")]


@given(st.lists(st.binary(max_size=60), max_size=6), st.data())
def test_frames_are_the_same_for_every_way_to_split_the_bytes(
    payloads: list[bytes], data: st.DataObject
) -> None:
    stream = b"".join(frame(text(":event-type", "messageStop"), payload) for payload in payloads)
    places = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=8)))
    cutter = FrameCutter()

    cut = [
        found
        for start, end in zip([0, *places], [*places, len(stream)], strict=True)
        for found in cutter.cut(stream[start:end])
    ]

    assert cut == [Frame(EVENT, payload) for payload in payloads]


def test_headers_of_every_type_are_passed_over() -> None:
    odd = b"".join(
        [
            header("t", 0, b""),
            header("f", 1, b""),
            header("byte", 2, b"\x01"),
            header("short", 3, b"\x00\x01"),
            header("int", 4, bytes(4)),
            header("long", 5, bytes(8)),
            header("bytes", 6, b"\x00\x02\xff\xff"),
            header("when", 8, bytes(8)),
            header("uuid", 9, bytes(16)),
        ]
    )

    cut = list(FrameCutter().cut(frame(odd + text(":event-type", "messageStop"), b"x")))

    assert cut == [Frame(EVENT, b"x")]


def test_exceptions_and_errors_have_their_names() -> None:
    exception = text(":message-type", "exception") + text(":exception-type", "throttlingException")
    error = text(":message-type", "error") + text(":error-code", "Oops") + text(":error-message", "words")

    cut = list(FrameCutter().cut(frame(exception, b"{}") + frame(error, b"")))

    assert [found.head for found in cut] == [
        Head("exception", "throttlingException"),
        Head("error", "Oops", "words"),
    ]


@pytest.mark.parametrize("place", [0, 5, 9])
def test_a_changed_length_is_noticed_at_once(place: int) -> None:
    broken = flip(frame(text(":event-type", "messageStop"), b"{}"), place)[:12]

    assert tell_broken(broken) == "the checksum of a frame's lengths is wrong"


@pytest.mark.parametrize("place", [14, -6, -1])
def test_a_changed_byte_is_noticed(place: int) -> None:
    broken = flip(frame(text(":event-type", "messageStop"), b"{}"), place)

    assert tell_broken(broken) == "the checksum of a frame is wrong"


def test_a_frame_that_is_too_large_is_refused_before_it_comes() -> None:
    assert tell_broken(prelude(1025, 0), largest=1024) == "a frame has more than 1024 bytes"
    assert list(FrameCutter(1024).cut(prelude(1024, 0))) == []


def test_lengths_that_contradict_each_other_are_noticed() -> None:
    assert tell_broken(prelude(15, 0)) == "the lengths of a frame contradict each other"
    assert tell_broken(prelude(20, 5)) == "the lengths of a frame contradict each other"


@pytest.mark.parametrize(
    "headers",
    [
        b"\x05abc",
        b"\x01a",
        b"\x01a\x0a",
        b"\x01a\x07\x00",
        b"\x01a\x07\x00\x09xx",
        b"\x01\xff\x07\x00\x01x",
        b"\x01a\x07\x00\x01\xff",
    ],
    ids=[
        "name cut",
        "no type",
        "unknown type",
        "length cut",
        "value cut",
        "name not UTF-8",
        "value not UTF-8",
    ],
)
def test_headers_that_cannot_be_read_are_told(headers: bytes) -> None:
    assert tell_broken(frame(headers, b"")) == "the headers of a frame cannot be read"


def test_what_came_before_a_broken_frame_is_good() -> None:
    good = frame(text(":event-type", "contentBlockDelta"), b'{"contentBlockIndex":0,"delta":{"text":"Hi"}}')
    stream = BedrockWire("us-east-1").open_chat(read_chat(b'{"model":"m","messages":[]}'))

    chunks = stream.feed(good + b"<html>Bad Gateway</html>")

    assert [chunk.content for chunk in chunks] == ["Hi"]
    assert stream.fault is not None
    assert stream.fault.kind == "malformed"
    assert stream.fault.reason == "the checksum of a frame's lengths is wrong"
    assert stream.feed(good) == []
    assert stream.finish() == []


def tell_broken(data: bytes, largest: int = 4096) -> str:
    with pytest.raises(BrokenFrame) as caught:
        list(FrameCutter(largest).cut(data))
    return str(caught.value)


def frame(headers: bytes, payload: bytes) -> bytes:
    message = prelude(16 + len(headers) + len(payload), len(headers)) + headers + payload
    return message + struct.pack(">I", zlib.crc32(message))


def prelude(total: int, headers: int) -> bytes:
    lengths = struct.pack(">II", total, headers)
    return lengths + struct.pack(">I", zlib.crc32(lengths))


def header(name: str, kind: int, value: bytes) -> bytes:
    return bytes([len(name)]) + name.encode() + bytes([kind]) + value


def text(name: str, value: str) -> bytes:
    return header(name, 7, struct.pack(">H", len(value)) + value.encode())


def flip(data: bytes, place: int) -> bytes:
    changed = bytearray(data)
    changed[place] ^= 1
    return bytes(changed)
