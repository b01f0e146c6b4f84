"""How slow an endpoint is of late."""

from math import exp

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway_runtime.engine.latency import DECAY_S, PeakEwma


def test_nothing_is_known_before_the_first_answer() -> None:
    latency = PeakEwma()

    assert latency.value(5.0) is None
    assert repr(latency) == "<PeakEwma nothing known>"


@pytest.mark.parametrize(
    ("answers", "at_s", "expected"),
    [
        ([(0.0, 1.0)], 0.0, 1.0),
        ([(0.0, 1.0)], DECAY_S, exp(-1)),
        ([(0.0, 1.0), (0.0, 5.0)], 0.0, 5.0),
        ([(0.0, 5.0), (0.0, 1.0)], 0.0, 5.0),
        ([(0.0, 5.0), (DECAY_S, 1.0)], DECAY_S, 5.0 * exp(-1) + 1.0 * (1 - exp(-1))),
        ([(0.0, 5.0), (1000.0, 1.0)], 1000.0, 1.0),
    ],
    ids=["one", "one-fades", "a-slower-one-at-once", "a-quicker-one-not", "half-way", "long-ago"],
)
def test_it_rises_at_once_and_sinks_slowly(
    answers: list[tuple[float, float]], at_s: float, expected: float
) -> None:
    latency = PeakEwma()
    for now_s, latency_s in answers:
        latency.note(now_s, latency_s)

    assert latency.value(at_s) == pytest.approx(expected)


def test_it_prints_what_was_noted_last() -> None:
    latency = PeakEwma()
    latency.note(3.0, 0.5)

    assert repr(latency) == "<PeakEwma 0.5 s at 3 s>"


@given(st.lists(st.tuples(st.floats(0, 100), st.floats(0.001, 60)), min_size=1))
def test_it_is_never_above_the_slowest_nor_below_nothing(steps: list[tuple[float, float]]) -> None:
    latency = PeakEwma()
    now_s = 0.0
    for pause_s, latency_s in steps:
        now_s += pause_s
        latency.note(now_s, latency_s)
    value = latency.value(now_s)

    assert value is not None
    assert min(s for _, s in steps) * (1 - 1e-9) <= value <= max(s for _, s in steps) * (1 + 1e-9)
