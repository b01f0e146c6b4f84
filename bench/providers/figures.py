"""What one row costs beside another, round by round: pure arithmetic on `Results`.

Two runs one after the other saw the same machine, so the difference, or the ratio, is taken within each
round, and the median of these counts.
"""

from collections.abc import Callable
from statistics import median

from bench.speed.figures import Results
from bench.speed.tables import Figure


def find_added(results: Results, row: str, base: str, figure: Figure) -> float | None:
    """How much more `row` costs than `base`. None: one of them has no figures."""
    return _compare(results, row, base, figure, lambda mine, its: mine - its)


def find_ratio(results: Results, row: str, base: str, figure: Figure) -> float | None:
    return _compare(results, row, base, figure, lambda mine, its: mine / its)


def _compare(
    results: Results, row: str, base: str, figure: Figure, compare: Callable[[float, float], float]
) -> float | None:
    pairs = zip(results.samples.get(row, ()), results.samples.get(base, ()), strict=False)
    compared = [
        compare(mine, its) for ours, theirs in pairs if (mine := figure(ours)) and (its := figure(theirs))
    ]
    return median(compared) if compared else None
