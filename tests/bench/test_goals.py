"""Whether a figure is what was asked of it, in words."""

import pytest

from bench.speed.goals import Judged, all_of, at_least_times, at_most, at_most_times, below


@pytest.mark.parametrize(
    ("judged", "goal", "verdict"),
    [
        (at_least_times(3, 9000, 3000), "Headgate >= 3 x", "met: 3.00 x"),
        (at_least_times(3, 8700, 3000), "Headgate >= 3 x", "**missed**: 2.90 x"),
        (at_least_times(1.0, 2000, None), "Headgate >= 1 x", "not measured"),
        (at_least_times(1.0, None, 2000), "Headgate >= 1 x", "not measured"),
        (at_most_times(1.5, 30, 20), "Headgate <= 1.5 x", "met: 1.50 x"),
        (at_most_times(0.5, 5, 8), "Headgate <= 0.5 x", "**missed**: 0.62 x"),
        (at_most_times(0.5, 5, None), "Headgate <= 0.5 x", "not measured"),
        (at_most(4.0, 4.0, "µs per chunk"), "<= 4 µs per chunk", "met: 4 µs per chunk"),
        (at_most(0, 3, "chunks lost"), "<= 0 chunks lost", "**missed**: 3 chunks lost"),
        (at_most(0, None, "chunks lost"), "<= 0 chunks lost", "not measured"),
        (below(1.0, 0.25, "ms added p99"), "< 1 ms added p99", "met: 0.25 ms added p99"),
        (below(1.0, 1.0, "ms added p99"), "< 1 ms added p99", "**missed**: 1 ms added p99"),
        (below(1.0, None, "ms added p99"), "< 1 ms added p99", "not measured"),
    ],
)
def test_a_goal_is_told_beside_its_verdict(judged: Judged, goal: str, verdict: str) -> None:
    assert judged == (goal, verdict)


def test_several_goals_of_one_row_are_told_in_order() -> None:
    judged = all_of(below(5, 6, "ms"), at_most(0, 0, "lost"))

    assert judged == ("< 5 ms; <= 0 lost", "**missed**: 6 ms; met: 0 lost")
