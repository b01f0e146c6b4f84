"""How many inputs each property gets, and what all of them are made of: bytes near a grammar, and cuts."""

import os
from typing import Final

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

VARIABLE: Final = "HEADGATE_FUZZ_INPUTS"
INPUTS: Final = int(os.environ.get(VARIABLE, "120"))

fuzz = settings(
    max_examples=INPUTS,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
)


def near(*words: bytes, most: int = 30) -> st.SearchStrategy[bytes]:
    """The words in any order, with bytes between them."""
    return st.lists(st.sampled_from(words) | st.binary(max_size=3), max_size=most).map(b"".join)


@st.composite
def bent(draw: st.DrawFn, good: st.SearchStrategy[bytes]) -> bytes:
    """Something good in which up to three places are not: bytes put in, left out or replaced."""
    data = bytearray(draw(good))
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, len(data)))
        data[at : at + draw(st.integers(0, 4))] = draw(
            st.sampled_from((b"", b"\r", b"\n", b"\r\n", b" ", b"\t", b":", b",", b"\x00", b"0", b"\xff"))
            | st.binary(max_size=3)
        )
    return bytes(data)


def cut(data: bytes, at: list[int]) -> list[bytes]:
    """at: where, in any order; taken modulo the length. No piece is empty."""
    marks = sorted({place % len(data) for place in at} - {0}) if data else []
    return [
        data[begin:end] for begin, end in zip([0, *marks], [*marks, len(data)], strict=True) if end > begin
    ]


cuts = st.lists(st.integers(0, 1 << 16), max_size=8)
