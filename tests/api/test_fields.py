"""Durations and amounts of money, the field types that are more than text."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate_operator.api.fields import parse_duration, parse_usd_micros


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


@pytest.mark.parametrize(
    ("text", "micros"),
    [
        ("0.15", 150_000),
        ("0.60", 600_000),
        ("2", 2_000_000),
        ("0", 0),
        ("0.000001", 1),
        ("0.1", 100_000),
        ("1.1", 1_100_000),
        ("999999.999999", 999_999_999_999),
    ],
)
def test_an_amount_is_a_number_of_micro_dollars(text: str, micros: int) -> None:
    assert parse_usd_micros(text) == micros


@pytest.mark.parametrize(
    "text", ["", "1.", ".5", "1,5", "-1", "1e3", "NaN", " 1", "1\n", "1000000", "0.0000001"]
)
def test_any_other_amount_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ValueError, match=r"is no amount of US dollars: write digits, such as 0\.15"):
        parse_usd_micros(text)


@given(st.from_regex(r"[0-9]{1,6}(\.[0-9]{1,6})?", fullmatch=True, alphabet="0123456789."))
def test_an_amount_loses_nothing(text: str) -> None:
    assert parse_usd_micros(text) == Fraction(text) * 1_000_000
