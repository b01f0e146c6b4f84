"""The log by which `headgate verify-limits` judges: what it takes for a window, and what for an overrun."""

import pytest

from headgate.verify.limit_log import Fullest, LimitLog


def log_of(amount: int = 100, *, window_s: float = 10.0) -> LimitLog:
    log = LimitLog("tokens", "TotalTokens", window_s)
    log.set_amount("a", amount, 0.0)
    return log


def at_once(amount: int) -> LimitLog:
    log = LimitLog("at-once", "Concurrency", 0.0)
    log.set_amount("a", amount, 0.0)
    return log


def test_a_full_window_is_none_too_full() -> None:
    log = log_of()
    log.admit("a", 1, 60, 1.0)
    log.admit("a", 2, 40, 2.0)

    assert (log.overruns, log.fullest, log.fullest.percent) == (0, Fullest(100, 100), 100.0)


def test_one_more_is_an_overrun_and_the_first_is_told() -> None:
    log = log_of()
    for number in range(3):
        log.admit("a", number, 50, number)

    assert log.overruns == 1
    assert log.first_overrun == "150 of 100 at 2.000 s"


@pytest.mark.parametrize(("at_s", "overruns"), [(10.999, 1), (11.0, 0)])
def test_a_window_ends_with_an_admission_and_is_open_at_its_other_end(at_s: float, overruns: int) -> None:
    log = log_of()
    log.admit("a", 1, 100, 1.0)
    log.admit("a", 2, 1, at_s)

    assert log.overruns == overruns


def test_what_has_ended_counts_with_what_it_used() -> None:
    log = log_of()
    log.admit("a", 1, 90, 1.0)
    log.settle(1, 20)
    log.admit("a", 2, 80, 2.0)
    log.admit("a", 3, 1, 3.0)

    assert log.overruns == 1


def test_what_ran_at_a_gateway_that_was_killed_counts_with_its_bound() -> None:
    log = log_of()
    log.set_amount("b", 100, 0.0)
    log.admit("b", 1, 90, 1.0)
    log.end_gateway("b", 2.0)
    log.settle(1, 0)
    log.admit("a", 2, 20, 3.0)

    assert log.overruns == 1


def test_a_window_may_hold_the_largest_amount_that_was_in_force_within_it() -> None:
    log = log_of()
    log.admit("a", 1, 100, 1.0)
    log.set_amount("a", 50, 2.0)
    log.admit("a", 2, 0, 11.9)
    within = log.overruns
    log.admit("a", 3, 51, 12.0)

    assert (within, log.overruns) == (0, 1)


def test_a_gateway_that_has_not_heard_of_an_edit_is_no_overrun() -> None:
    log = log_of()
    log.set_amount("stopped", 100, 0.0)
    log.set_amount("a", 50, 1.0)
    log.admit("stopped", 1, 100, 30.0)

    assert log.overruns == 0


def test_of_concurrency_what_runs_counts_and_nothing_else() -> None:
    log = at_once(2)
    log.admit("a", 1, 1, 1.0)
    log.admit("a", 2, 1, 2.0)
    log.settle(1, 0)
    log.admit("a", 3, 1, 3.0)
    before = log.overruns
    log.admit("a", 4, 1, 4.0)

    assert (before, log.overruns) == (0, 1)


def test_what_a_gateway_runs_that_could_not_say_so_is_counted_by_nobody() -> None:
    log = at_once(2)
    log.set_amount("cut", 2, 0.0)
    log.admit("cut", 1, 1, 1.0)
    log.lapse("cut", 5.0)
    log.admit("cut", 2, 1, 4.0)
    log.admit("a", 3, 1, 5.0)
    log.admit("a", 4, 1, 6.0)
    before = log.overruns
    log.settle(1, 0)
    log.admit("cut", 5, 1, 7.0)

    assert (before, log.overruns) == (0, 1)
