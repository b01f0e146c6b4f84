"""When an endpoint is left alone, when it is tried again, and what brings it back."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from gateway_runtime.contract.table import CircuitPolicy
from gateway_runtime.engine.balance import Availability
from gateway_runtime.engine.circuit import LAST_RESORT, TRANSITIONS, Breaker, Event, Statistics

IN_A_ROW = CircuitPolicy(
    consecutive_failures=3, failure_percent=0, min_requests=1, window_s=10.0, open_s=30.0
)
BY_SHARE = CircuitPolicy(
    consecutive_failures=0, failure_percent=50, min_requests=4, window_s=10.0, open_s=30.0
)
OFF = CircuitPolicy(consecutive_failures=0, failure_percent=0, min_requests=1, window_s=10.0, open_s=30.0)
BY_SLOWNESS = CircuitPolicy(
    consecutive_failures=0,
    failure_percent=0,
    min_requests=4,
    window_s=10.0,
    open_s=30.0,
    slow_call_s=5.0,
    slow_call_percent=50,
)


def run(breaker: Breaker, script: str) -> Breaker:
    """One letter a second, from 0: `s`ucceeds, `f`ails, `a`bandoned, `.` nothing."""
    for now_s, letter in enumerate(script):
        if letter != "." and breaker.begin(float(now_s)):
            {
                "s": lambda at: breaker.succeed(at),
                "f": lambda at: breaker.fail(at, "503 from upstream"),
                "a": lambda at: breaker.abandon(at),
            }[letter](float(now_s))
    return breaker


def open_breaker() -> Breaker:
    """Opened at 2 s, half open from 32 s."""
    return run(Breaker(IN_A_ROW), "fff")


def test_the_transitions_are_these_and_no_others() -> None:
    assert TRANSITIONS == {
        ("Closed", Event.TRIPPED): "Open",
        ("Open", Event.COOLED): "HalfOpen",
        ("HalfOpen", Event.PASSED): "Closed",
        ("HalfOpen", Event.FAILED): "Open",
    }


@pytest.mark.parametrize(
    ("policy", "script", "state", "reason"),
    [
        (IN_A_ROW, "", "Closed", ""),
        (IN_A_ROW, "ff", "Closed", ""),
        (IN_A_ROW, "fff", "Open", "3 failures in a row, last: 503 from upstream"),
        (IN_A_ROW, "ffsff", "Closed", ""),
        (IN_A_ROW, "ffaf", "Open", "3 failures in a row, last: 503 from upstream"),
        (IN_A_ROW, "f" + "." * 60 + "ff", "Open", "3 failures in a row, last: 503 from upstream"),
        (BY_SHARE, "fff", "Closed", ""),
        (BY_SHARE, "sfsf", "Open", "2 of 4 requests failed within 10 s, last: 503 from upstream"),
        (BY_SHARE, "ssfssfssf", "Closed", ""),
        (BY_SHARE, "ff........ssf", "Closed", ""),
        (BY_SHARE, "aaafff", "Closed", ""),
        (OFF, "f" * 100, "Closed", ""),
    ],
)
def test_the_rules_of_the_policy_open_a_circuit(
    policy: CircuitPolicy, script: str, state: str, reason: str
) -> None:
    breaker = run(Breaker(policy), script)

    assert (breaker.state(float(len(script))), breaker.reason) == (state, reason)


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ("", ""),
        ("ll", ""),
        ("qlql", "2 of 4 requests within 10 s took 5 s or longer"),
        ("qLqL", "2 of 4 requests within 10 s took 5 s or longer"),
        ("qlqL", "2 of 4 requests within 10 s took 5 s or longer"),
        ("qqlqqlqq", ""),
        ("FFFFFF", ""),
        ("llq......qqq", ""),
    ],
)
def test_slow_requests_open_a_circuit_whether_they_end_well_or_not(script: str, reason: str) -> None:
    """`q`uick, s`l`ow; capitals fail."""
    breaker = Breaker(BY_SLOWNESS)
    for now_s, letter in enumerate(script):
        took_s = {"q": 4.9, "l": 5.0, "L": 60.0, "F": 0.1}.get(letter)
        if took_s is not None and breaker.begin(float(now_s)):
            if letter.isupper():
                breaker.fail(float(now_s), "503", took_s=took_s)
            else:
                breaker.succeed(float(now_s), took_s=took_s)

    assert (breaker.state(float(len(script))), breaker.reason) == ("Open" if reason else "Closed", reason)


def test_slowness_is_no_matter_where_the_rule_is_off() -> None:
    breaker = Breaker(IN_A_ROW)
    for _ in range(100):
        breaker.begin(0.0)
        breaker.succeed(0.0, took_s=3600.0)

    assert breaker.state(0.0) == "Closed"


def test_a_slow_trial_opens_the_circuit_again() -> None:
    breaker = open_breaker()
    breaker.configure(BY_SLOWNESS)
    breaker.begin(33.0)
    breaker.succeed(45.0, began_s=33.0, took_s=12.0)

    assert breaker.state(45.0) == "Open"
    assert breaker.reason == "the trial request was slow: it took 12 s"
    assert breaker.opened_s == 45.0


def test_what_was_slow_before_an_opening_does_not_count_after_it() -> None:
    breaker = run(Breaker(msgspec.structs.replace(BY_SLOWNESS, consecutive_failures=3)), "")
    for _ in range(3):
        breaker.begin(0.0)
        breaker.fail(0.0, "timeout", took_s=60.0)
    breaker.begin(31.0)
    breaker.succeed(31.0, took_s=1.0)
    for _ in range(4):
        breaker.begin(32.0)
        breaker.succeed(32.0, took_s=1.0)

    assert breaker.state(32.0) == "Closed"


def test_a_last_resort_goes_through_an_open_circuit_and_says_nothing_of_it() -> None:
    breaker = open_breaker()

    assert breaker.begin(3.0, last_resort=True) is True
    breaker.succeed(4.0, began_s=LAST_RESORT)
    assert breaker.state(4.0) == "Open"
    assert breaker.begin(4.0) is False


@pytest.mark.parametrize("ending", ["succeed", "fail", "abandon"])
def test_a_last_resort_beside_a_trial_is_not_the_trial(ending: str) -> None:
    breaker = open_breaker()
    breaker.begin(33.0)
    breaker.begin(33.0, last_resort=True)
    {
        "succeed": lambda: breaker.succeed(34.0, began_s=LAST_RESORT),
        "fail": lambda: breaker.fail(34.0, "503", began_s=LAST_RESORT),
        "abandon": lambda: breaker.abandon(34.0, began_s=LAST_RESORT),
    }[ending]()

    assert breaker.state(34.0) == "HalfOpen"
    assert breaker.begin(34.0) is False
    assert breaker.under_way == 1


def test_it_is_known_when_a_circuit_opened_last() -> None:
    breaker = open_breaker()
    breaker.state(40.0)

    assert (breaker.opened_s, breaker.since_s) == (2.0, 32.0)


def test_an_open_circuit_refuses() -> None:
    breaker = open_breaker()

    assert breaker.availability(31.9) is Availability.REFUSED
    assert breaker.begin(31.9) is False
    assert breaker.since_s == 2.0


def test_an_open_circuit_is_half_open_when_its_time_has_passed() -> None:
    breaker = open_breaker()

    assert breaker.state(32.0) == "HalfOpen"
    assert breaker.availability(40.0) is Availability.TRIAL
    assert breaker.since_s == 32.0
    assert breaker.reason == "3 failures in a row, last: 503 from upstream"


def test_a_half_open_circuit_lets_one_trial_through_and_refuses_the_rest() -> None:
    breaker = open_breaker()

    assert [breaker.begin(33.0), breaker.begin(33.0)] == [True, False]
    assert breaker.availability(33.0) is Availability.REFUSED


def test_a_good_trial_closes_the_circuit() -> None:
    breaker = open_breaker()
    breaker.begin(33.0)
    breaker.succeed(34.0, began_s=33.0)

    assert breaker.state(34.0) == "Closed"
    assert breaker.availability(34.0) is Availability.READY
    assert (breaker.since_s, breaker.reason) == (34.0, "")


def test_a_failed_trial_opens_the_circuit_again() -> None:
    breaker = open_breaker()
    breaker.begin(33.0)
    breaker.fail(34.0, "connection refused", began_s=33.0)

    assert breaker.state(63.9) == "Open"
    assert breaker.reason == "the trial request failed: connection refused"
    assert breaker.state(64.0) == "HalfOpen"


def test_an_abandoned_trial_frees_the_slot_and_says_nothing() -> None:
    breaker = open_breaker()
    breaker.begin(33.0)
    breaker.abandon(34.0, began_s=33.0)

    assert breaker.state(34.0) == "HalfOpen"
    assert breaker.begin(34.0) is True


def test_failures_before_an_opening_do_not_count_after_it() -> None:
    breaker = open_breaker()
    breaker.begin(33.0)
    breaker.succeed(33.0)
    run_from_34 = [breaker.begin(34.0) and breaker.fail(34.0, "503") for _ in range(2)]

    assert run_from_34 == [None, None]
    assert breaker.state(34.0) == "Closed"


@pytest.mark.parametrize("ending", ["succeed", "fail", "abandon"])
def test_an_old_request_that_ends_during_a_trial_is_not_the_trial(ending: str) -> None:
    breaker = Breaker(IN_A_ROW)
    for _ in range(4):
        breaker.begin(0.0)
    for _ in range(3):
        breaker.fail(1.0, "503", began_s=0.0)
    breaker.begin(31.0)
    {
        "succeed": lambda: breaker.succeed(32.0, began_s=0.0),
        "fail": lambda: breaker.fail(32.0, "idle for 30 s", began_s=0.0),
        "abandon": lambda: breaker.abandon(32.0, began_s=0.0),
    }[ending]()

    assert breaker.state(32.0) == "HalfOpen"
    assert breaker.begin(32.0) is False


def test_requests_that_end_while_the_circuit_is_open_change_nothing() -> None:
    breaker = Breaker(IN_A_ROW)
    for _ in range(6):
        breaker.begin(0.0)
    for _ in range(4):
        breaker.fail(1.0, "503")
    breaker.succeed(2.0)

    assert breaker.state(2.0) == "Open"
    assert breaker.since_s == 1.0


def test_a_reload_keeps_the_state_and_what_was_counted() -> None:
    breaker = run(Breaker(IN_A_ROW), "ff")
    breaker.configure(msgspec.structs.replace(IN_A_ROW, open_s=5.0))
    breaker.begin(2.0)
    breaker.fail(2.0, "503")

    assert breaker.state(2.0) == "Open"
    assert breaker.state(7.0) == "HalfOpen"


def test_a_reload_does_not_close_an_open_circuit() -> None:
    breaker = open_breaker()
    breaker.configure(OFF)

    assert breaker.state(3.0) == "Open"


def test_statistics_tell_what_happened() -> None:
    breaker = run(Breaker(IN_A_ROW), "sfaf")
    breaker.begin(5.0)

    assert breaker.statistics() == Statistics(
        state="Closed", requests=3, failures=2, failures_in_a_row=2, under_way=1, opened=0
    )
    assert open_breaker().statistics().opened == 1


def test_a_breaker_prints_as_its_state() -> None:
    assert repr(Breaker(IN_A_ROW, 1.5)) == "<Breaker Closed since 1.5 s>"
    assert repr(open_breaker()) == "<Breaker Open since 2 s (3 failures in a row, last: 503 from upstream)>"


class BreakerUnderFire(RuleBasedStateMachine):
    """Any mix of requests, endings, pauses and reloads; the trial is known by its beginning."""

    def __init__(self) -> None:
        super().__init__()
        self.now_s = 100.0
        self.breaker = Breaker(IN_A_ROW, self.now_s)
        self.under_way: list[tuple[float, bool]] = []
        """When it began, and whether it was a trial."""

    @initialize(policy=st.sampled_from([IN_A_ROW, BY_SHARE, BY_SLOWNESS]))
    def choose_policy(self, policy: CircuitPolicy) -> None:
        self.breaker.configure(policy)

    @rule(pause_s=st.sampled_from([0.0, 0.1, 1.0, 29.0, 30.0, 31.0]))
    def pass_time(self, pause_s: float) -> None:
        self.now_s += pause_s

    @rule(count=st.integers(1, 4))
    def begin(self, count: int) -> None:
        for _ in range(count):
            expected = self.breaker.availability(self.now_s)
            began = self.breaker.begin(self.now_s)

            assert began is (expected is not Availability.REFUSED)
            if began:
                self.under_way.append((self.now_s, expected is Availability.TRIAL))

    @rule(data=st.data(), ending=st.sampled_from(["succeed", "fail", "abandon"]))
    def end(self, data: st.DataObject, ending: str) -> None:
        if self.under_way:
            index = data.draw(st.integers(0, len(self.under_way) - 1))
            began_s, is_trial = self.under_way.pop(index)
            before = self.breaker.state(self.now_s)
            if ending == "succeed":
                self.breaker.succeed(self.now_s, began_s=began_s)
            elif ending == "fail":
                self.breaker.fail(self.now_s, "503", began_s=began_s)
            else:
                self.breaker.abandon(self.now_s, began_s=began_s)
            after = self.breaker.state(self.now_s)
            if before == "HalfOpen" and not is_trial:
                assert after == "HalfOpen"
            if is_trial:
                assert (before, after) == (
                    "HalfOpen",
                    {"succeed": "Closed", "fail": "Open", "abandon": "HalfOpen"}[ending],
                )

    @rule(policy=st.sampled_from([IN_A_ROW, BY_SHARE, OFF]))
    def reload(self, policy: CircuitPolicy) -> None:
        before = self.breaker.state(self.now_s)
        self.breaker.configure(policy)

        assert self.breaker.state(self.now_s) == before

    @invariant()
    def there_is_at_most_one_trial_and_only_while_half_open(self) -> None:
        trials = sum(is_trial for _, is_trial in self.under_way)

        assert trials <= 1
        assert trials == 0 or self.breaker.state(self.now_s) == "HalfOpen"

    @invariant()
    def everything_under_way_is_known(self) -> None:
        assert self.breaker.statistics().under_way == len(self.under_way)

    @invariant()
    def a_reason_is_given_unless_the_circuit_is_closed(self) -> None:
        assert bool(self.breaker.reason) is (self.breaker.state(self.now_s) != "Closed")


TestBreakerUnderFire = BreakerUnderFire.TestCase


@given(st.lists(st.booleans(), max_size=40), st.floats(0, 1e9))
def test_the_same_outcomes_at_the_same_times_give_the_same_state(
    outcomes: list[bool], start_s: float
) -> None:
    def play() -> tuple[str, Statistics]:
        breaker = Breaker(IN_A_ROW, start_s)
        for index, good in enumerate(outcomes):
            now_s = start_s + index
            if breaker.begin(now_s):
                if good:
                    breaker.succeed(now_s)
                else:
                    breaker.fail(now_s, "503")
        return repr(breaker), breaker.statistics()

    assert play() == play()
