"""Samples as the loader would have given them, with the figures that a test is about; and a Python as it
would speak of itself.
"""

from bench.speed.figures import Results, Sample
from bench.speed.interpreter import Interpreter
from bench.speed.programs import LoadResult, Quantiles


def build_quantiles(us: float) -> Quantiles:
    return Quantiles(p50=us, p90=us, p99=us, p999=us, max=us)


def build_sample(
    *,
    requests: int = 1000,
    seconds: float = 1.0,
    cpu_s: float = 0.5,
    latency_us: float = 100.0,
    chunks: int = 0,
    lost_chunks: int = 0,
    errors: dict[str, int] | None = None,
    before_mb: float = 50.0,
    peak_mb: float = 60.0,
) -> Sample:
    load = LoadResult(
        requests=requests,
        seconds=seconds,
        latency_us=build_quantiles(latency_us),
        chunks=chunks,
        chunk_us=build_quantiles(latency_us),
        lost_chunks=lost_chunks,
        errors=errors or {},
    )
    return Sample(load=load, cpu_s=cpu_s, memory_before_mb=before_mb, memory_peak_mb=peak_mb)


def build_results(absent: dict[str, str] | None = None, **samples: list[Sample]) -> Results:
    return Results({name: tuple(taken) for name, taken in samples.items()}, absent or {})


def build_interpreter(
    *,
    path: str = "/opt/python/bin/python3",
    version: str = "3.11.2",
    prefix: str = "/opt/python",
    options: str = "'--enable-shared'",
    makes_environments: bool = True,
) -> Interpreter:
    major, minor, _ = version.split(".")
    return Interpreter(
        path=path,
        version=version,
        release=(int(major), int(minor)),
        prefix=prefix,
        options=options,
        makes_environments=makes_environments,
    )
