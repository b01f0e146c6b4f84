"""What one run gave, and what several come to: pure arithmetic on samples.

`measure` makes a `Sample` per run, `rounds` collects them into `Results`, `tables` reads medians out of
these. Never a mean: one run that the machine disturbed must not count.
"""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from statistics import median

from bench.speed.programs import LoadResult


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    load: LoadResult
    cpu_s: float
    """Of the gateway, over the whole run; 0 where there is no gateway."""
    memory_before_mb: float
    memory_peak_mb: float


@dataclass(frozen=True, slots=True)
class Results:
    """Of one load: by contestant, the samples of all rounds, or why there are none."""

    samples: Mapping[str, tuple[Sample, ...]] = field(default_factory=dict)
    absent: Mapping[str, str] = field(default_factory=dict)

    def median(self, name: str, figure: Callable[[Sample], float | None]) -> float | None:
        """None for a contestant without samples, or whose samples have no such figure."""
        figures = [value for sample in self.samples.get(name, ()) if (value := figure(sample)) is not None]
        return median(figures) if figures else None

    def errors(self, name: str) -> dict[str, int]:
        """By kind, over all rounds; the most frequent first."""
        total: Counter[str] = Counter()
        for sample in self.samples.get(name, ()):
            total.update(sample.load.errors)
        return dict(total.most_common())

    def lost_chunks(self, name: str) -> int:
        return sum(sample.load.lost_chunks for sample in self.samples.get(name, ()))

    def grown_mb(self, name: str) -> float | None:
        """From before the first round to the highest of all: memory that a process has got, it mostly keeps,
        so that later rounds would show nothing.
        """
        samples = self.samples.get(name, ())
        if not samples:
            return None
        return max(sample.memory_peak_mb for sample in samples) - samples[0].memory_before_mb


def per_core(sample: Sample) -> float | None:
    """Requests per second of CPU."""
    return sample.load.requests / sample.cpu_s if sample.cpu_s else None


def rate(sample: Sample) -> float | None:
    """Requests per second of time."""
    return sample.load.requests / sample.load.seconds if sample.load.seconds else None


def cpu_us(sample: Sample) -> float | None:
    """Per request."""
    return sample.cpu_s * 1e6 / sample.load.requests if sample.cpu_s and sample.load.requests else None


def cpu_us_per_chunk(sample: Sample) -> float | None:
    return sample.cpu_s * 1e6 / sample.load.chunks if sample.cpu_s and sample.load.chunks else None


def latency_ms(quantile: str) -> Callable[[Sample], float | None]:
    """quantile: `p50`, `p90`, `p99`, `p999` or `max`."""
    return lambda s: getattr(s.load.latency_us, quantile) / 1000 if s.load.requests else None


def chunk_ms(quantile: str) -> Callable[[Sample], float | None]:
    return lambda s: getattr(s.load.chunk_us, quantile) / 1000 if s.load.chunks else None


def memory_mb(sample: Sample) -> float | None:
    return sample.memory_peak_mb or None
