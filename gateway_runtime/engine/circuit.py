"""A circuit breaker per endpoint: outcomes and times in, "may this request go there" out.

    state     event     next
    Closed    Tripped   Open       too many failures or slow requests, by any rule of the policy
    Open      Cooled    HalfOpen   open_s have passed
    HalfOpen  Passed    Closed     the one trial request succeeded
    HalfOpen  Failed    Open       the one trial request failed, or was slow

No other pair occurs. Rules. An open circuit refuses. A half-open one lets a single trial through and refuses
the rest until the trial has ended; an abandoned trial (the caller left) frees the slot and says nothing. A
request that began before the present state did says nothing of it either: an old stream that breaks while a
trial is under way is not the trial. Nor does a last resort say anything of it, which goes through although
the circuit refuses (see `balance`): only time and the trial move a circuit that is not closed.

`server` keeps one Breaker per EndpointId, across reloads, and tells it how each attempt ended. It has no
clock: `now_s` is an argument and never goes back.
"""

from enum import Enum
from math import inf
from typing import Final, NamedTuple

from gateway_runtime.contract.health import Circuit
from gateway_runtime.contract.table import CircuitPolicy
from gateway_runtime.engine.standing import Availability
from gateway_runtime.engine.window import RollingCount


class Event(Enum):
    TRIPPED = "tripped"
    COOLED = "cooled"
    PASSED = "passed"
    FAILED = "failed"


LAST_RESORT: Final = -inf
"""The `began_s` of a request that was sent although the circuit refuses: it says nothing of any state."""

TRANSITIONS: Final[dict[tuple[Circuit, Event], Circuit]] = {
    ("Closed", Event.TRIPPED): "Open",
    ("Open", Event.COOLED): "HalfOpen",
    ("HalfOpen", Event.PASSED): "Closed",
    ("HalfOpen", Event.FAILED): "Open",
}


class Statistics(NamedTuple):
    """Counted since the breaker was made."""

    state: Circuit
    requests: int
    """Ended ones; abandoned ones are not among them."""
    failures: int
    failures_in_a_row: int
    under_way: int
    opened: int
    """How often the circuit opened."""


class Breaker:
    __slots__ = (
        "_failed",
        "_failures",
        "_in_a_row",
        "_opened",
        "_policy",
        "_recent",
        "_requests",
        "_slow",
        "_state",
        "_trial",
        "opened_s",
        "reason",
        "since_s",
        "under_way",
    )

    def __init__(self, policy: CircuitPolicy, now_s: float = 0.0) -> None:
        self._policy = policy
        self._state: Circuit = "Closed"
        self._trial = False
        self._in_a_row = 0
        self._recent = RollingCount(policy.window_s)
        self._failed = RollingCount(policy.window_s)
        self._slow = RollingCount(policy.window_s)
        self._requests = self._failures = self._opened = 0
        self.under_way = 0
        """Requests that have begun and not ended."""
        self.since_s = now_s
        """When the present state began, on the clock of `now_s`."""
        self.opened_s = now_s
        """When it opened last; meaningless before it ever did."""
        self.reason = ""
        """Why the circuit opened, one clause for a person; empty while it is closed."""

    def state(self, now_s: float) -> Circuit:
        if self._state == "Open" and now_s >= self.since_s + self._policy.open_s:
            self._move(Event.COOLED, self.since_s + self._policy.open_s)
        return self._state

    @property
    def is_tripped(self) -> bool:
        """Not closed, or it was not at the last look."""
        return self._state != "Closed"

    def availability(self, now_s: float) -> Availability:
        if self._state == "Closed":
            return Availability.READY
        if self.state(now_s) == "HalfOpen" and not self._trial:
            return Availability.TRIAL
        return Availability.REFUSED

    def begin(self, now_s: float, *, last_resort: bool = False) -> bool:
        """Asks to send a request. After True exactly one of `succeed`, `fail` or `abandon` must follow.
        last_resort: True is certain then, and the ending must be told with `began_s=LAST_RESORT`.
        """
        if self._state != "Closed" and not last_resort:
            if self.availability(now_s) is Availability.REFUSED:
                return False
            self._trial = True
        self.under_way += 1
        return True

    def succeed(self, now_s: float, *, began_s: float | None = None, took_s: float = 0.0) -> None:
        """The request ended well. began_s: the `now_s` of its `begin`; None believes that it began in the
        present state, which is wrong only for requests that outlive an opening. took_s: to its first byte if
        it is a stream, else to its end.
        """
        self.under_way -= 1
        self._requests += 1
        if not self._is_of_present_state(now_s, began_s):
            return
        slow = self._policy.slow_call_percent > 0 and self._is_slow(took_s)
        if self._state == "Closed":
            self._in_a_row = 0
            self._recent.add(now_s)
            if slow:
                self._slow.add(now_s)
                self._judge_slowness(now_s)
        elif self._state == "HalfOpen" and slow:
            self.reason = f"the trial request was slow: it took {took_s:.3g} s"
            self._move(Event.FAILED, now_s)
        elif self._state == "HalfOpen":
            self._move(Event.PASSED, now_s)

    def fail(self, now_s: float, reason: str, *, began_s: float | None = None, took_s: float = 0.0) -> None:
        """It ended in a way that `retry.counts_as_failure`. reason: one clause, `503 from upstream`."""
        self.under_way -= 1
        self._requests += 1
        self._failures += 1
        if not self._is_of_present_state(now_s, began_s):
            return
        if self._state == "Closed":
            self._in_a_row += 1
            self._recent.add(now_s)
            self._failed.add(now_s)
            if self._is_slow(took_s):
                self._slow.add(now_s)
            broken_rule = self._find_broken_rule(now_s)
            if broken_rule is not None:
                self.reason = f"{broken_rule}, last: {reason}"
                self._move(Event.TRIPPED, now_s)
            else:
                self._judge_slowness(now_s)
        elif self._state == "HalfOpen":
            self.reason = f"the trial request failed: {reason}"
            self._move(Event.FAILED, now_s)

    def abandon(self, now_s: float, *, began_s: float | None = None) -> None:
        """The request ended without saying anything of the endpoint: its caller left."""
        self.under_way -= 1
        if self._is_of_present_state(now_s, began_s):
            self._trial = False

    def configure(self, policy: CircuitPolicy) -> None:
        """A reload: the state, and what was counted, stay."""
        self._policy = policy
        self._recent.window_s = self._failed.window_s = self._slow.window_s = policy.window_s

    def statistics(self) -> Statistics:
        return Statistics(
            self._state, self._requests, self._failures, self._in_a_row, self.under_way, self._opened
        )

    def __repr__(self) -> str:
        why = f" ({self.reason})" if self.reason else ""
        return f"<Breaker {self._state} since {self.since_s:g} s{why}>"

    def _is_of_present_state(self, now_s: float, began_s: float | None) -> bool:
        if self._state == "Open":
            self.state(now_s)
        return began_s is None or began_s >= self.since_s

    def _find_broken_rule(self, now_s: float) -> str | None:
        policy = self._policy
        if 0 < policy.consecutive_failures <= self._in_a_row:
            return f"{self._in_a_row} failures in a row"
        if policy.failure_percent > 0:
            requests, failed = self._recent.total(now_s), self._failed.total(now_s)
            if requests >= policy.min_requests and failed * 100 >= policy.failure_percent * requests:
                return f"{failed} of {requests} requests failed within {policy.window_s:g} s"
        return None

    def _is_slow(self, took_s: float) -> bool:
        return self._policy.slow_call_percent > 0 and took_s >= self._policy.slow_call_s

    def _judge_slowness(self, now_s: float) -> None:
        policy = self._policy
        if policy.slow_call_percent == 0:
            return
        requests, slow = self._recent.total(now_s), self._slow.total(now_s)
        if requests >= policy.min_requests and slow * 100 >= policy.slow_call_percent * requests:
            self.reason = (
                f"{slow} of {requests} requests within {policy.window_s:g} s "
                f"took {policy.slow_call_s:g} s or longer"
            )
            self._move(Event.TRIPPED, now_s)

    def _move(self, event: Event, now_s: float) -> None:
        self._state = TRANSITIONS[self._state, event]
        self.since_s = now_s
        self._trial = False
        if self._state == "Open":
            self._opened += 1
            self.opened_s = now_s
        elif self._state == "Closed":
            self.reason = ""
            self._in_a_row = 0
            self._recent.clear()
            self._failed.clear()
            self._slow.clear()
