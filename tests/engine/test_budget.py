"""How many retries a route can afford."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway_runtime.engine.budget import FLOOR_PER_S, WINDOW_S, RetryBudget

FLOOR = int(FLOOR_PER_S * WINDOW_S)


def withdraw_all(budget: RetryBudget, now_s: float) -> int:
    taken = 0
    while taken < 10_000 and budget.withdraw(now_s):
        taken += 1
    return taken


@pytest.mark.parametrize(
    ("percent", "requests", "expected"),
    [
        (20, 0, FLOOR),
        (20, 4, FLOOR),
        (20, 5, FLOOR + 1),
        (20, 1000, FLOOR + 200),
        (0, 1000, FLOOR),
        (200, 100, FLOOR + 200),
    ],
)
def test_retries_are_a_share_of_the_requests_and_a_floor(percent: int, requests: int, expected: int) -> None:
    budget = RetryBudget(percent)
    for _ in range(requests):
        budget.note_request(1.0)

    assert withdraw_all(budget, 2.0) == expected


def test_a_spent_budget_fills_up_as_the_window_moves_on() -> None:
    budget = RetryBudget(20)
    withdraw_all(budget, 0.0)

    assert withdraw_all(budget, WINDOW_S - 0.1) == 0
    assert withdraw_all(budget, WINDOW_S) == FLOOR


def test_a_new_share_keeps_what_was_counted() -> None:
    budget = RetryBudget(0)
    for _ in range(100):
        budget.note_request(0.0)
    withdraw_all(budget, 0.0)
    budget.percent = 50

    assert withdraw_all(budget, 0.0) == 50
    assert repr(budget) == "<RetryBudget 50 % and 3 a second>"


@given(
    st.integers(0, 100),
    st.lists(
        st.tuples(st.sampled_from([0.0, 1 / 128, 0.5, 3.0, 11.0]), st.integers(0, 40), st.integers(0, 40))
    ),
)
def test_no_retry_ever_makes_them_more_than_their_share_of_the_window_before_it(
    percent: int, steps: list[tuple[float, int, int]]
) -> None:
    budget = RetryBudget(percent)
    now_s = 0.0
    # Pauses are sums of powers of two: the edges of the window are met exactly.
    requests: list[float] = []
    retries: list[float] = []
    for pause_s, sent, wanted in steps:
        now_s += pause_s
        for _ in range(sent):
            budget.note_request(now_s)
        requests += [now_s] * sent
        granted = [now_s for _ in range(wanted) if budget.withdraw(now_s)]
        retries += granted
        # Requests may be remembered for one slot of the window longer.
        seen = sum(at > now_s - WINDOW_S * 61 / 60 for at in requests)
        made = sum(at > now_s - WINDOW_S for at in retries)

        assert not granted or made <= seen * percent / 100 + FLOOR
