"""Whatever a provider streams, the reader does not break, and passes on the same however it is cut."""

from typing import NamedTuple

from hypothesis import given
from hypothesis import strategies as st

from gateway_runtime.providers.stream import StreamReader
from tests.fuzz.inputs import bent, cut, cuts, fuzz, near

_ENDS = (b"\n", b"\r\n", b"\r", b"\n\n", b"\r\n\r\n")
_STREAMS = near(
    b'data: {"choices":[{"delta":{"content":"a"}}]}',
    b'data: {"choices":[],"usage":{"prompt_tokens":1,"completion_tokens":2}}',
    b'data: {"choices":[{}],"usage":null}\n\n',
    b"data: [DONE]",
    b"data:[DONE]\n\n",
    b'data: {"error":{"message":"x"}}',
    b"event: error\n",
    b'data: "\xc3\xa9"',
    b'data: {"a":"\xc3\xa9"}\n\n',
    b"data\n",
    b": comment\n",
    b"id: 1\n",
    b"\xef\xbb\xbf",
    *_ENDS,
    most=16,
)


class Passed(NamedTuple):
    data: bytes
    done: bool
    fault: str | None
    events: int
    usage: object


def read(pieces: list[bytes], *, hide_usage: bool) -> Passed:
    reader = StreamReader(hide_usage=hide_usage, largest_event_bytes=400)
    out = b"".join([reader.feed(piece) for piece in pieces]) + reader.finish()
    fault = None if reader.fault is None else reader.fault.reason
    return Passed(out, reader.done, fault, reader.events, reader.usage)


@given(data=bent(_STREAMS) | st.binary(max_size=60), at=cuts, hide_usage=st.booleans())
@fuzz
def test_it_passes_on_the_same_however_the_bytes_are_cut(
    data: bytes, at: list[int], hide_usage: bool
) -> None:
    whole = read([data] if data else [], hide_usage=hide_usage)

    assert read(cut(data, at), hide_usage=hide_usage) == whole


@given(data=bent(_STREAMS), hide_usage=st.booleans())
@fuzz
def test_it_passes_on_the_same_a_byte_at_a_time(data: bytes, hide_usage: bool) -> None:
    whole = read([data] if data else [], hide_usage=hide_usage)

    assert read([data[n : n + 1] for n in range(len(data))], hide_usage=hide_usage) == whole
