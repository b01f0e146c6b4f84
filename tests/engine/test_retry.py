"""Whether another attempt is worth making, and after which pause."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from gateway_runtime.contract.table import RetryPolicy
from gateway_runtime.engine.budget import RetryBudget
from gateway_runtime.engine.retry import Outcome, cause_of, classify, counts_as_failure, decide_retry
from gateway_runtime.engine.trace import Trace

POLICY = RetryPolicy(max_attempts=3, backoff_s=0.1, max_backoff_s=2.0)
FAILURES = {
    Outcome.CONNECT_FAILED,
    Outcome.RESET,
    Outcome.TIMEOUT,
    Outcome.SERVER_ERROR,
    Outcome.MALFORMED,
}
FINAL = {Outcome.OK, Outcome.CALLER_ERROR, Outcome.CANCELLED}


def decide(
    outcome: Outcome = Outcome.SERVER_ERROR,
    *,
    attempt: int = 1,
    retry_after_s: float | None = None,
    left_s: float = 10.0,
    more_choices: bool = False,
    drawn: float = 0.5,
    policy: RetryPolicy = POLICY,
    budget: RetryBudget | None = None,
    trace: Trace | None = None,
) -> float | None:
    return decide_retry(
        policy,
        attempt,
        outcome,
        retry_after_s,
        left_s,
        more_choices,
        lambda: drawn,
        budget=budget,
        now_s=1.0,
        trace=trace,
    )


@pytest.mark.parametrize("outcome", Outcome)
def test_only_what_the_endpoint_did_wrong_counts_for_its_circuit(outcome: Outcome) -> None:
    assert counts_as_failure(outcome) is (outcome in FAILURES)


@pytest.mark.parametrize("outcome", Outcome)
def test_another_endpoint_is_tried_at_once_unless_nothing_can_help(outcome: Outcome) -> None:
    assert decide(outcome, more_choices=True) == (None if outcome in FINAL else 0.0)


@pytest.mark.parametrize("outcome", Outcome)
def test_the_same_endpoint_is_tried_after_a_pause_if_that_can_help(outcome: Outcome) -> None:
    fruitless = outcome in FINAL or outcome in {Outcome.CREDENTIAL_REFUSED, Outcome.UNSUITABLE}

    assert decide(outcome) == (None if fruitless else 0.05)


@pytest.mark.parametrize(
    ("attempt", "drawn", "expected"),
    [
        (1, 0.0, 0.0),
        (1, 0.5, 0.05),
        (2, 0.5, 0.1),
        (3, 0.5, 0.2),
        (5, 0.5, 0.8),
        (6, 0.5, 1.0),
        (60, 0.5, 1.0),
        (100_000, 0.5, 1.0),
    ],
)
def test_the_pause_doubles_up_to_its_limit_and_is_drawn_in_full(
    attempt: int, drawn: float, expected: float
) -> None:
    policy = RetryPolicy(max_attempts=1_000_000, backoff_s=0.1, max_backoff_s=2.0)

    assert decide(attempt=attempt, drawn=drawn, policy=policy) == pytest.approx(expected)


@pytest.mark.parametrize(("attempt", "more"), [(3, True), (3, False), (4, True)])
def test_the_last_attempt_is_the_last(attempt: int, more: bool) -> None:
    assert decide(attempt=attempt, more_choices=more) is None


@pytest.mark.parametrize(
    ("retry_after_s", "left_s", "more", "expected"),
    [
        (1.5, 10.0, False, 1.5),
        (1.5, 10.0, True, 0.0),
        (0.0, 10.0, False, 0.0),
        (10.0, 10.0, False, None),
        (30.0, 10.0, False, None),
        (30.0, 10.0, True, 0.0),
    ],
)
def test_what_the_provider_asks_for_is_honoured_within_the_deadline(
    retry_after_s: float, left_s: float, more: bool, expected: float | None
) -> None:
    assert (
        decide(Outcome.RATE_LIMITED, retry_after_s=retry_after_s, left_s=left_s, more_choices=more)
        == expected
    )


def test_nothing_is_tried_past_the_deadline() -> None:
    assert decide(left_s=0.0, more_choices=True) is None
    assert decide(left_s=-1.0, more_choices=True) is None
    assert decide(left_s=0.05, drawn=0.5) is None
    assert decide(left_s=0.0501, drawn=0.5) == 0.05


@given(
    st.builds(
        RetryPolicy,
        max_attempts=st.integers(1, 10),
        backoff_s=st.floats(0, 60),
        max_backoff_s=st.floats(0, 600),
    ),
    st.integers(1, 12),
    st.sampled_from(Outcome),
    st.none() | st.floats(0, 1000),
    st.floats(-10, 1000),
    st.booleans(),
    st.floats(0, 1, exclude_max=True),
)
def test_a_pause_always_ends_before_the_deadline(
    policy: RetryPolicy,
    attempt: int,
    outcome: Outcome,
    retry_after_s: float | None,
    left_s: float,
    more_choices: bool,
    drawn: float,
) -> None:
    pause_s = decide_retry(policy, attempt, outcome, retry_after_s, left_s, more_choices, lambda: drawn)

    assert pause_s is None or (0 <= pause_s < left_s and attempt < policy.max_attempts)


def test_a_retry_after_beyond_the_longest_pause_is_for_the_caller_to_wait() -> None:
    assert decide(Outcome.RATE_LIMITED, retry_after_s=2.0) == 2.0
    assert decide(Outcome.RATE_LIMITED, retry_after_s=2.1) is None
    assert decide(Outcome.RATE_LIMITED, retry_after_s=2.1, more_choices=True) == 0.0


@pytest.mark.parametrize("outcome", Outcome)
def test_only_the_causes_that_the_route_names_are_tried_again(outcome: Outcome) -> None:
    policy = structs.replace(POLICY, causes=("Timeout", "RateLimited"))
    named = {Outcome.TIMEOUT, Outcome.RATE_LIMITED}
    again = outcome in named | {Outcome.CREDENTIAL_REFUSED, Outcome.UNSUITABLE}

    assert decide(outcome, more_choices=True, policy=policy) == (0.0 if again else None)


def spend(budget: RetryBudget) -> None:
    while budget.withdraw(1.0):
        pass


@pytest.mark.parametrize("outcome", Outcome)
def test_nothing_but_a_refused_credential_is_tried_again_when_the_budget_is_spent(outcome: Outcome) -> None:
    budget = RetryBudget(20)
    spend(budget)
    again = outcome is Outcome.CREDENTIAL_REFUSED

    assert decide(outcome, more_choices=True, budget=budget) == (0.0 if again else None)


def test_the_budget_is_charged_for_what_is_tried_again_and_for_nothing_else() -> None:
    budget = RetryBudget(0)
    for _ in range(100):
        decide(Outcome.CALLER_ERROR, budget=budget)
        decide(attempt=3, budget=budget)
        decide(left_s=0.0, budget=budget)
        decide(Outcome.CREDENTIAL_REFUSED, more_choices=True, budget=budget)
    retries = [decide(budget=budget) for _ in range(31)]

    assert retries == [0.05] * 30 + [None]


@pytest.mark.parametrize(
    ("outcome", "cause"),
    [
        (Outcome.CONNECT_FAILED, "ConnectFailure"),
        (Outcome.RESET, "Reset"),
        (Outcome.TIMEOUT, "Timeout"),
        (Outcome.SERVER_ERROR, "ServerError"),
        (Outcome.RATE_LIMITED, "RateLimited"),
        (Outcome.MALFORMED, "Malformed"),
        (Outcome.CREDENTIAL_REFUSED, "CredentialRefused"),
        (Outcome.UNSUITABLE, "Unsuitable"),
        (Outcome.OK, None),
        (Outcome.CALLER_ERROR, None),
        (Outcome.CANCELLED, None),
    ],
)
def test_an_outcome_has_the_name_that_manifests_use(outcome: Outcome, cause: str | None) -> None:
    assert cause_of(outcome) == cause


@pytest.mark.parametrize(
    ("outcome", "attempt", "left_s", "retry_after_s", "policy", "line"),
    [
        (Outcome.SERVER_ERROR, 3, 9.0, None, POLICY, "no retry: all 3 attempts are made"),
        (Outcome.SERVER_ERROR, 1, 0.0, None, POLICY, "no retry: the deadline has passed"),
        (Outcome.CALLER_ERROR, 1, 9.0, None, POLICY, "no retry: it would come to the same"),
        (
            Outcome.SERVER_ERROR,
            1,
            9.0,
            None,
            structs.replace(POLICY, causes=("Timeout",)),
            "no retry: ServerError is not among the route's causes",
        ),
        (Outcome.CREDENTIAL_REFUSED, 1, 9.0, None, POLICY, "no retry: nothing else is left to try"),
        (
            Outcome.RATE_LIMITED,
            1,
            9.0,
            30.0,
            POLICY,
            "no retry: the provider asks for a longer pause than the route's longest",
        ),
        (
            Outcome.SERVER_ERROR,
            1,
            0.01,
            None,
            POLICY,
            "no retry: the deadline comes before the end of the pause",
        ),
        (Outcome.SERVER_ERROR, 1, 9.0, None, POLICY, "no retry: the route's retry budget is spent"),
    ],
)
def test_why_nothing_is_tried_again_can_be_read_back(
    outcome: Outcome,
    attempt: int,
    left_s: float,
    retry_after_s: float | None,
    policy: RetryPolicy,
    line: str,
) -> None:
    budget, trace = RetryBudget(0), Trace()
    spend(budget)

    assert (
        decide(
            outcome,
            attempt=attempt,
            left_s=left_s,
            retry_after_s=retry_after_s,
            policy=policy,
            budget=budget,
            trace=trace,
        )
        is None
    )
    assert trace.lines() == (line,)


@pytest.mark.parametrize(
    ("status", "outcome"),
    [
        (200, Outcome.OK),
        (204, Outcome.OK),
        (101, Outcome.MALFORMED),
        (302, Outcome.MALFORMED),
        (400, Outcome.CALLER_ERROR),
        (401, Outcome.CREDENTIAL_REFUSED),
        (403, Outcome.CREDENTIAL_REFUSED),
        (404, Outcome.CALLER_ERROR),
        (408, Outcome.TIMEOUT),
        (422, Outcome.CALLER_ERROR),
        (429, Outcome.RATE_LIMITED),
        (500, Outcome.SERVER_ERROR),
        (503, Outcome.SERVER_ERROR),
        (529, Outcome.SERVER_ERROR),
        (999, Outcome.MALFORMED),
    ],
)
def test_a_status_means_an_outcome(status: int, outcome: Outcome) -> None:
    assert classify(status) is outcome
