"""Durations, the one field type that is more than text."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate_operator.api.fields import parse_duration


@pytest.mark.parametrize(
    ("text", "seconds"), [("1ms", 0.001), ("250ms", 0.25), ("30s", 30.0), ("10m", 600.0), ("1h", 3600.0)]
)
def test_a_duration_is_a_number_of_seconds(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "5", "0s", "05s", "1.5s", "-1s", "1d", "1h30m", " 1s", "1s\n"])
def test_anything_else_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(
        ValueError, match="is not a duration: write a whole number and ms, s, m or h, such as 30s"
    ):
        parse_duration(text)


@given(st.integers(1, 999_999))
def test_units_stand_in_their_usual_proportion(count: int) -> None:
    assert parse_duration(f"{count}s") == pytest.approx(parse_duration(f"{count}ms") * 1000)
    assert parse_duration(f"{count}h") == 60 * parse_duration(f"{count}m")
