"""Counting on the request's path: a list of buckets in, a Prometheus histogram out.

`metrics` keeps these and turns them into families when somebody scrapes. prometheus_client's own children
lock and walk their buckets one by one; of a request's time that is as much as choosing its endpoint.
"""

from bisect import bisect_left
from collections.abc import Iterable, Sequence

from prometheus_client.core import HistogramMetricFamily


class Tally:
    """A histogram. Called from one thread."""

    __slots__ = ("_bounds", "counts", "sum")

    def __init__(self, bounds: Sequence[float]) -> None:
        """bounds: the upper ones, ascending; above the last everything falls into one more."""
        self._bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.sum = 0.0

    def observe(self, value: float) -> None:
        self.counts[bisect_left(self._bounds, value)] += 1
        self.sum += value

    def add(self, other: "Tally") -> None:
        """`other` has the same bounds."""
        self.counts = [mine + theirs for mine, theirs in zip(self.counts, other.counts, strict=True)]
        self.sum += other.sum

    def describe(self, family: HistogramMetricFamily, labels: Sequence[str]) -> None:
        """Adds itself to a family."""
        total = 0
        buckets = []
        for bound, count in zip((*map(_format, self._bounds), "+Inf"), self.counts, strict=True):
            total += count
            buckets.append((bound, total))
        family.add_metric(labels, buckets, self.sum)


def join(tallies: Iterable[Tally], bounds: Sequence[float]) -> Tally:
    joined = Tally(bounds)
    for tally in tallies:
        joined.add(tally)
    return joined


def _format(bound: float) -> str:
    return str(float(bound))
