"""Several processes' metrics as one."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from gateway_runtime.workers.exposition import join_expositions, keep_sums


def expose(
    *,
    routes: dict[str, int] | None = None,
    seconds: tuple[float, ...] = (),
    in_flight: float = 0,
    lag_s: float = 0,
    sequence: int = 0,
    circuit: int = 0,
) -> str:
    registry = CollectorRegistry()
    requests = Counter("headgate_requests", "Requests.", ["route"], registry=registry)
    for route, count in (routes or {}).items():
        requests.labels(route).inc(count)
    duration = Histogram("headgate_seconds", "Duration.", buckets=(1, 5), registry=registry)
    for value in seconds:
        duration.observe(value)
    Gauge("headgate_requests_in_flight", "Under way.", registry=registry).set(in_flight)
    Gauge("headgate_loop_lag_seconds", "Lag.", registry=registry).set(lag_s)
    Gauge("headgate_table_sequence", "Sequence.", registry=registry).set(sequence)
    Gauge("headgate_circuit_state", "Circuit.", registry=registry).set(circuit)
    return generate_latest(registry).decode()


def samples(text: str) -> dict[tuple[str, tuple[str, ...]], float]:
    return {
        (sample.name, tuple(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_counters_add_up_by_label_also_when_only_one_process_has_it() -> None:
    found = samples(join_expositions([expose(routes={"a": 2}), expose(routes={"a": 3, "b": 1})]))

    assert found["headgate_requests_total", ("a",)] == 5
    assert found["headgate_requests_total", ("b",)] == 1


def test_histograms_add_up_bucket_by_bucket() -> None:
    found = samples(join_expositions([expose(seconds=(0.5, 7.0)), expose(seconds=(3.0,))]))

    assert [found["headgate_seconds_bucket", (bound,)] for bound in ("1.0", "5.0", "+Inf")] == [1, 2, 3]
    assert found["headgate_seconds_sum", ()] == 10.5
    assert found["headgate_seconds_count", ()] == 3


def test_gauges_add_up_unless_that_makes_no_sense() -> None:
    found = samples(
        join_expositions(
            [
                expose(in_flight=2, lag_s=0.1, sequence=7, circuit=2),
                expose(in_flight=3, lag_s=0.4, sequence=8, circuit=1),
            ]
        )
    )

    assert found["headgate_requests_in_flight", ()] == 5
    assert found["headgate_loop_lag_seconds", ()] == 0.4
    assert found["headgate_table_sequence", ()] == 7
    assert found["headgate_circuit_state", ()] == 2


def test_creation_is_when_the_first_was_created() -> None:
    first, second = expose(routes={"a": 1}), expose(routes={"a": 1})
    created = ("headgate_requests_created", ("a",))

    assert samples(join_expositions([second, first]))[created] == samples(first)[created]


def test_one_exposition_joined_with_nothing_stays_as_it_is() -> None:
    text = expose(routes={'a "quoted" name\nwith\x85 all in it': 2}, seconds=(0.5,), in_flight=1.5)

    assert join_expositions([text, ""]) == text


def test_a_process_that_is_gone_leaves_its_counts_and_no_gauges() -> None:
    kept = samples(keep_sums(expose(routes={"a": 2}, seconds=(0.5,), in_flight=4)))

    assert kept["headgate_requests_total", ("a",)] == 2
    assert kept["headgate_seconds_count", ()] == 1
    assert {name for name, _ in kept} == {
        "headgate_requests_total",
        "headgate_seconds_bucket",
        "headgate_seconds_sum",
        "headgate_seconds_count",
    }
