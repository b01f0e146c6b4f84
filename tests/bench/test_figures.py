"""What samples come to: medians, and the figures of one run."""

import pytest

from bench.speed.figures import (
    Results,
    chunk_ms,
    cpu_us,
    cpu_us_per_chunk,
    latency_ms,
    memory_mb,
    per_core,
    rate,
)
from bench.speed.tables import Figure
from tests.bench.samples import build_results, build_sample


def test_requests_per_second_per_core_are_requests_by_cpu_time_and_not_by_time() -> None:
    sample = build_sample(requests=1000, seconds=2.0, cpu_s=0.5)

    assert per_core(sample) == 2000
    assert rate(sample) == 500
    assert cpu_us(sample) == 500


def test_a_chunk_costs_the_cpu_time_of_its_share() -> None:
    assert cpu_us_per_chunk(build_sample(requests=10, chunks=2000, cpu_s=0.01)) == pytest.approx(5)


def test_latencies_and_delays_are_told_in_milliseconds() -> None:
    sample = build_sample(latency_us=1500, chunks=1)

    assert latency_ms("p99")(sample) == 1.5
    assert chunk_ms("p50")(sample) == 1.5


@pytest.mark.parametrize(
    "figure", [per_core, cpu_us, cpu_us_per_chunk, rate, latency_ms("p50"), chunk_ms("p50")]
)
def test_a_run_in_which_nothing_was_answered_has_no_figure(figure: Figure) -> None:
    assert figure(build_sample(requests=0, seconds=0, cpu_s=0)) is None


def test_the_upstream_alone_has_neither_cpu_nor_memory() -> None:
    alone = build_sample(cpu_s=0.0, before_mb=0.0, peak_mb=0.0)

    assert (per_core(alone), memory_mb(alone)) == (None, None)


def test_the_median_leaves_a_disturbed_run_without_effect() -> None:
    results = build_results(envoy=[build_sample(requests=n) for n in (1000, 990, 10)])

    assert results.median("envoy", rate) == 990


def test_who_did_not_run_has_no_median() -> None:
    assert Results().median("envoy", rate) is None


def test_errors_are_added_up_over_the_rounds_and_the_most_frequent_come_first() -> None:
    rounds = [build_sample(errors={"closed": 1}), build_sample(errors={"closed": 2, "status 502": 7})]

    assert list(build_results(envoy=rounds).errors("envoy").items()) == [("status 502", 7), ("closed", 3)]


def test_lost_chunks_are_added_up_over_the_rounds() -> None:
    rounds = [build_sample(lost_chunks=1), build_sample(lost_chunks=2)]

    assert build_results(envoy=rounds).lost_chunks("envoy") == 3


def test_memory_grown_is_from_before_the_first_round_to_the_highest_of_all() -> None:
    rounds = [build_sample(before_mb=50, peak_mb=80), build_sample(before_mb=80, peak_mb=85)]

    assert build_results(envoy=rounds).grown_mb("envoy") == 35
    assert Results().grown_mb("envoy") is None
