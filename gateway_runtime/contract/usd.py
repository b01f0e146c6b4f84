"""Picodollars as people read them: a whole number in, US dollars in decimal out, exactly.

Headers of answers, statuses and all reports write money with it, so that the same sum is the same text
everywhere.
"""

from typing import Final

PICOS: Final = 10**12
"""In a dollar."""


def format_usd(picos: int) -> str:
    """`0.00042`, `12`, `-0.5`: twelve digits behind the point at most, and no zeros at the end."""
    if picos < 0:
        return f"-{format_usd(-picos)}"
    whole, rest = divmod(picos, PICOS)
    return f"{whole}.{rest:012d}".rstrip("0") if rest else str(whole)
