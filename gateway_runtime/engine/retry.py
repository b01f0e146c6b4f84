"""What an attempt came to, and whether another one is worth making: an Outcome in, seconds to wait out.

`server` calls `decide_retry` after each attempt, as long as no byte of the answer has gone to the caller.

    outcome              counts for the circuit   tried again
    OK                   no                       no
    CONNECT_FAILED       yes                      elsewhere at once, else here after a pause
    RESET                yes                      the same
    TIMEOUT              yes                      the same
    SERVER_ERROR         yes                      the same
    MALFORMED            yes                      the same
    RATE_LIMITED         no                       the same; the pause is the provider's Retry-After
    SATURATED            no                       the same; it is our own bound on connections that is full
    CREDENTIAL_REFUSED   no                       only with another credential or elsewhere
    UNSUITABLE           no                       only elsewhere: no such model there, too large, quota spent
    CALLER_ERROR         no                       no: the same request fails everywhere
    CANCELLED            no                       no: nobody is waiting

A provider that limits our rate works, and a key that it refuses is ours to mend: neither opens a circuit. A
route may name the causes that are tried again, and has a budget for them (see `budget`); neither holds for a
refused credential, which is remembered and so never comes in storms. The subtle rule: a pause is only taken
when it ends before the deadline; waiting in order to fail is worse than failing.
"""

from collections.abc import Callable, Mapping
from enum import Enum
from typing import Final

from gateway_runtime.contract.table import FallbackCause, RetryPolicy
from gateway_runtime.engine.budget import RetryBudget
from gateway_runtime.engine.trace import Trace, Why


class Outcome(Enum):
    OK = "ok"
    CONNECT_FAILED = "connect_failed"
    RESET = "reset"
    TIMEOUT = "timeout"
    RATE_LIMITED = "rate_limited"
    SATURATED = "saturated"
    SERVER_ERROR = "server_error"
    MALFORMED = "malformed"
    CREDENTIAL_REFUSED = "credential_refused"
    UNSUITABLE = "unsuitable"
    CALLER_ERROR = "caller_error"
    CANCELLED = "cancelled"

    __hash__ = object.__hash__  # Enum's own is Python, and outcomes are counted with each request


_FAILURES: Final = frozenset(
    {Outcome.CONNECT_FAILED, Outcome.RESET, Outcome.TIMEOUT, Outcome.SERVER_ERROR, Outcome.MALFORMED}
)
_REPEATABLE: Final = _FAILURES | {Outcome.RATE_LIMITED, Outcome.SATURATED}
_MOVABLE: Final = _REPEATABLE | {Outcome.CREDENTIAL_REFUSED, Outcome.UNSUITABLE}

_CAUSES: Final[Mapping[Outcome, FallbackCause]] = {
    Outcome.CONNECT_FAILED: "ConnectFailure",
    Outcome.RESET: "Reset",
    Outcome.TIMEOUT: "Timeout",
    Outcome.SERVER_ERROR: "ServerError",
    Outcome.RATE_LIMITED: "RateLimited",
    Outcome.SATURATED: "Unavailable",
    Outcome.MALFORMED: "Malformed",
    Outcome.CREDENTIAL_REFUSED: "CredentialRefused",
    Outcome.UNSUITABLE: "Unsuitable",
}
"""As manifests name them."""

_BY_STATUS: Final = {
    401: Outcome.CREDENTIAL_REFUSED,
    403: Outcome.CREDENTIAL_REFUSED,
    408: Outcome.TIMEOUT,
    429: Outcome.RATE_LIMITED,
}
_BY_CLASS: Final = {2: Outcome.OK, 4: Outcome.CALLER_ERROR, 5: Outcome.SERVER_ERROR}


def classify(status: int) -> Outcome:
    """What an HTTP status from a provider means. It stands here and not in `providers`, which does not know
    this package. Redirects are not followed (a key must not travel to another host) and count as malformed.
    """
    return _BY_STATUS.get(status) or _BY_CLASS.get(status // 100, Outcome.MALFORMED)


def counts_as_failure(outcome: Outcome) -> bool:
    """Whether the endpoint's circuit hears of it as a failure."""
    return outcome in _FAILURES


def cause_of(outcome: Outcome) -> FallbackCause | None:
    """What a manifest calls it; None for what neither a retry nor a fallback can help."""
    return _CAUSES.get(outcome)


def decide_retry(
    policy: RetryPolicy,
    attempt: int,
    outcome: Outcome,
    retry_after_s: float | None,
    left_s: float,
    more_choices: bool,
    draw: Callable[[], float],
    *,
    budget: RetryBudget | None = None,
    now_s: float = 0.0,
    trace: Trace | None = None,
) -> float | None:
    """Seconds to wait before the next attempt; None to give up and answer with what there is.

    attempt: how many were made, from 1. retry_after_s: what the provider asked for, if it did. left_s: until
    the request's deadline. more_choices: another endpoint (or, after CREDENTIAL_REFUSED, another credential)
    was not tried yet. draw: gives numbers in [0, 1). budget: the route's; it is asked last, and charged when
    the answer is to try again.
    """
    pause = _find_pause(policy, attempt, outcome, retry_after_s, left_s, more_choices, draw)
    if not isinstance(pause, str) and outcome is not Outcome.CREDENTIAL_REFUSED and budget is not None:
        pause = pause if budget.withdraw(now_s) else "the route's retry budget is spent"
    if not isinstance(pause, str):
        return pause
    if trace is not None:
        trace.note(Why.NOT_TRIED_AGAIN, detail=pause)
    return None


def _find_pause(
    policy: RetryPolicy,
    attempt: int,
    outcome: Outcome,
    retry_after_s: float | None,
    left_s: float,
    more_choices: bool,
    draw: Callable[[], float],
) -> float | str:
    """Seconds, or the clause that says what speaks against it."""
    if attempt >= policy.max_attempts:
        return f"all {policy.max_attempts} attempts are made"
    if left_s <= 0:
        return "the deadline has passed"
    if outcome not in _MOVABLE:
        return "it would come to the same"
    if outcome in _REPEATABLE and policy.causes is not None and _CAUSES[outcome] not in policy.causes:
        return f"{_CAUSES[outcome]} is not among the route's causes"
    if more_choices:
        return 0.0
    if outcome not in _REPEATABLE:
        return "nothing else is left to try"
    if retry_after_s is not None:
        if retry_after_s > policy.max_backoff_s:
            return "the provider asks for a longer pause than the route's longest"
        pause_s = retry_after_s
    else:
        # Full jitter (AWS Architecture Blog, 2015): clients that failed together do not come back together.
        # The exponent is bounded only so that no policy can overflow a float.
        pause_s = draw() * min(policy.max_backoff_s, policy.backoff_s * 2.0 ** min(attempt - 1, 60))
    return pause_s if pause_s < left_s else "the deadline comes before the end of the pause"
