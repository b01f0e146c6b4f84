"""Money as text: exact, short, and never a float."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway_runtime.ledger.usd import format_usd


@pytest.mark.parametrize(
    ("picos", "text"),
    [
        (0, "0"),
        (1, "0.000000000001"),
        (420_000_000, "0.00042"),
        (10**12, "1"),
        (12 * 10**12 + 5 * 10**11, "12.5"),
        (10**25, "10000000000000"),
        (-(10**11), "-0.1"),
    ],
)
def test_dollars_have_no_digit_too_many(picos: int, text: str) -> None:
    assert format_usd(picos) == text


@given(st.integers())
def test_the_text_is_the_number(picos: int) -> None:
    text = format_usd(picos)
    whole, _, rest = text.partition(".")

    assert int(Decimal(text).scaleb(12)) == picos or abs(picos) >= 10**28  # where Decimal itself rounds
    assert int(whole + rest.ljust(12, "0")) == picos
    assert not rest.endswith("0")
