"""Request bodies: of the size that was asked for, and such that every gateway takes them."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.speed.bodies import build_body


@given(st.integers(700, 20_000), st.sampled_from([0, 20, 200]))
def test_a_body_is_a_chat_of_exactly_the_size_asked_for(size_bytes: int, chunks: int) -> None:
    body = build_body(size_bytes, chunks=chunks)

    assert len(body) == size_bytes
    assert json.loads(body)["messages"][-1]["role"] == "user"


def test_a_body_for_a_stream_tells_the_mock_which() -> None:
    request = json.loads(build_body(1024, chunks=200, delay_us=20_000))

    assert request["stream"] is True
    assert request["messages"][-1]["content"].rstrip() == "@mock chunks=200 delay_us=20000"


def test_a_size_below_the_shortest_chat_is_refused_with_that() -> None:
    with pytest.raises(ValueError, match=r"^20 bytes are too few for a chat; the shortest has \d+$"):
        build_body(20)
