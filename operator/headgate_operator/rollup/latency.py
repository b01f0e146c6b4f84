"""A latency in steps, so that a status does not change with every report.

In: milliseconds and the step shown before. Out: the step to show. A value that wavers around the border of
two steps keeps the one that is shown until it has left it by a quarter.
"""

from bisect import bisect_left
from typing import Final

STEPS_MS: Final[tuple[int, ...]] = tuple(
    digit * power for power in (1, 10, 100, 1_000, 10_000, 100_000) for digit in (1, 2, 5)
)
"""1, 2, 5, 10, 20, 50 and so on up to 500 seconds."""
_SLACK: Final = 1.25


def quantise_latency(latency_ms: float, shown_ms: int | None) -> int:
    """The smallest step that is not below the latency: `at most 200 ms`."""
    if shown_ms is not None and shown_ms in STEPS_MS:
        at = STEPS_MS.index(shown_ms)
        below = STEPS_MS[at - 1] if at > 0 else 0
        if below / _SLACK <= latency_ms <= shown_ms * _SLACK:
            return shown_ms
    return STEPS_MS[min(bisect_left(STEPS_MS, latency_ms), len(STEPS_MS) - 1)]
