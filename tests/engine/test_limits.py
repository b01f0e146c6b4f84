"""Limits hold in every window, over all shares, all together or not at all."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway_runtime.contract.ids import TenantId
from gateway_runtime.contract.stream import Share
from gateway_runtime.contract.tenant import Limit, LimitResource
from gateway_runtime.engine.book import LimitBook
from gateway_runtime.engine.calendar import EndOf, PeriodEnd
from gateway_runtime.engine.limits import (
    LimitState,
    Refused,
    RollingLimit,
    Standing,
    Taken,
    share_of,
    take_all,
)
from gateway_runtime.engine.local_limits import LocalMaker
from tests.engine.built import build_limits, tenant_of

WHOLE = Share(index=0, gateways=1)

times = st.lists(st.floats(0, 5, allow_subnormal=False), min_size=1, max_size=150)


def admit(limits: list[RollingLimit], now_s: float) -> bool:
    return isinstance(take_all(limits, now_s), Taken)


def test_the_amount_is_admitted_and_no_more() -> None:
    limit = RollingLimit("minute", 3, 60.0)

    assert [admit([limit], 0.0) for _ in range(5)] == [True, True, True, False, False]
    assert (limit.used(0.0), limit.remaining(0.0)) == (3, 0)


def test_a_window_is_any_sixty_seconds_not_a_clock_minute() -> None:
    limit = RollingLimit("minute", 2, 60.0)
    answers = [(now_s, admit([limit], now_s)) for now_s in (59.0, 59.5, 61.0, 118.9, 119.5, 119.6, 119.7)]

    assert answers == [
        (59.0, True),
        (59.5, True),
        (61.0, False),
        (118.9, False),
        (119.5, True),
        (119.6, True),
        (119.7, False),
    ]


def test_the_answer_tells_how_the_caller_stands() -> None:
    limit = RollingLimit("minute", 2, 60.0)

    assert take_all([limit], 0.0) == Taken(Standing("minute", 2, 1, 60.0))
    assert take_all([limit], 10.0) == Taken(Standing("minute", 2, 0, 60.0))
    assert take_all([limit], 20.0) == Refused(Standing("minute", 2, 0, 50.0), 40.0)


def test_a_tenant_without_limits_is_always_served() -> None:
    assert take_all([], 0.0) == Taken(None)


def test_of_two_limits_the_one_with_least_left_binds() -> None:
    minute, hour = RollingLimit("minute", 5, 60.0), RollingLimit("hour", 3, 3600.0)
    taken = take_all([minute, hour], 0.0)

    assert taken == Taken(Standing("hour", 3, 2, 3600.0))


def test_a_refusal_charges_no_limit() -> None:
    minute, hour = RollingLimit("minute", 1, 60.0), RollingLimit("hour", 5, 3600.0)
    take_all([hour, minute], 0.0)
    take_all([hour, minute], 1.0)

    assert hour.used(1.0) == 1


def test_a_refusal_names_the_limit_that_keeps_the_caller_waiting_longest() -> None:
    minute, hour = RollingLimit("minute", 1, 60.0), RollingLimit("hour", 1, 3600.0)
    take_all([minute, hour], 0.0)

    assert take_all([minute, hour], 10.0) == Refused(Standing("hour", 1, 0, 3590.0), 3590.0)
    assert take_all([minute, RollingLimit("free", 1, 5.0)], 10.0) == Refused(
        Standing("minute", 1, 0, 50.0), 50.0
    )


def test_an_amount_of_zero_refuses_everything() -> None:
    limit = RollingLimit("none", 0, 60.0)

    assert take_all([limit], 5.0) == Refused(Standing("none", 0, 0, 0.0), 60.0)


def test_a_lower_amount_keeps_what_was_used() -> None:
    limit = RollingLimit("minute", 4, 60.0)
    for now_s in (0.0, 10.0, 20.0):
        take_all([limit], now_s)
    limit.configure(2, 60.0)

    assert take_all([limit], 30.0) == Refused(Standing("minute", 2, 0, 50.0), 40.0)
    assert admit([limit], 70.0)


def test_a_higher_amount_adds_only_the_difference() -> None:
    limit = RollingLimit("minute", 1, 60.0)
    take_all([limit], 0.0)
    limit.configure(2, 60.0)

    assert [admit([limit], 1.0) for _ in range(2)] == [True, False]


def test_a_longer_window_holds_what_was_used_for_longer() -> None:
    limit = RollingLimit("requests", 1, 60.0)
    take_all([limit], 0.0)
    limit.configure(1, 3600.0)

    assert take_all([limit], 60.0) == Refused(Standing("requests", 1, 0, 3540.0), 3540.0)


def test_a_limit_prints_as_its_rule() -> None:
    assert repr(RollingLimit("minute", 100, 60.0)) == "<RollingLimit minute: 100 per 60 s>"
    assert repr(RollingLimit("spend", 9, 3600.0, "USD")) == "<RollingLimit spend: 9 USD per 3600 s>"
    assert (
        repr(RollingLimit("once", 4, 0.0, "Concurrency", shadow=True))
        == "<RollingLimit once: 4 Concurrency, in shadow>"
    )


def test_a_limit_tells_its_state() -> None:
    limit = RollingLimit("minute", 5, 60.0)
    take_all([limit], 0.0)
    take_all([limit], 10.0)

    assert limit.state(20.0) == LimitState(
        name="minute",
        resource="Requests",
        amount=5,
        used=2,
        held=0,
        remaining=3,
        reset_s=50.0,
        shadow=False,
    )


# -- in periods of a calendar


def every(length_s: float) -> EndOf:
    """Periods of one length, the first from 0 on."""

    def end_of(now_s: float) -> PeriodEnd:
        end_s = (now_s // length_s + 1) * length_s
        return PeriodEnd(end_s, int(end_s))

    return end_of


def test_a_period_admits_the_amount_and_the_next_one_all_of_it_again() -> None:
    limit = RollingLimit("daily", 2, 0.0, end_of=every(100.0))

    assert [admit([limit], now_s) for now_s in (97.0, 98.0, 99.0, 100.0, 100.1, 100.2)] == [
        True,
        True,
        False,
        True,
        True,
        False,
    ]


def test_a_refusal_names_the_time_until_the_period_ends() -> None:
    limit = RollingLimit("daily", 1, 0.0, end_of=every(100.0))

    assert take_all([limit], 30.0) == Taken(Standing("daily", 1, 0, 70.0))
    assert take_all([limit], 60.0) == Refused(Standing("daily", 1, 0, 40.0), 40.0)


def test_a_window_that_becomes_a_calendar_and_one_again_loses_nothing_and_counts_nothing_twice() -> None:
    limit = RollingLimit("spend", 10, 60.0, "TotalTokens")
    first = limit.hold(10.0, 4)
    limit.configure(10, 0.0, end_of=every(100.0), now_s=20.0)
    second = limit.hold(30.0, 4)

    assert (limit.room(40.0), limit.used(40.0)) == (2, 0)

    first.settle(4, 1)
    limit.configure(10, 60.0, now_s=50.0)
    second.settle(4, 3)

    assert (limit.used(50.0), limit.room(50.0)) == (4, 6)
    assert (limit.used(109.9), limit.used(110.0)) == (4, 0)


def test_a_reload_leaves_a_period_as_it_is() -> None:
    limit = RollingLimit("daily", 5, 0.0, end_of=every(100.0))
    admit([limit], 30.0)
    limit.configure(9, 0.0, end_of=every(100.0), now_s=60.0)

    assert (limit.used(99.0), limit.amount) == (1, 9)

    limit.configure(9, 0.0, end_of=every(100.0), now_s=130.0)

    assert limit.used(130.0) == 0


def test_a_limit_whose_period_is_over_may_be_forgotten() -> None:
    limit = RollingLimit("daily", 5, 0.0, end_of=every(100.0))
    admit([limit], 30.0)

    assert (limit.is_idle(99.0), limit.is_idle(100.0)) == (False, True)


def test_a_limit_with_a_calendar_prints_so() -> None:
    limit = RollingLimit("spend", 9, 0.0, "USD", end_of=every(100.0))

    assert repr(limit) == "<RollingLimit spend: 9 USD in each period>"


# -- whose they are


def test_a_refusal_says_whose_limit_it_was() -> None:
    team = RollingLimit("daily", 9, 60.0, owner=TenantId("chat/team"))
    parent = RollingLimit("daily", 0, 60.0, owner=TenantId("chat/department"))
    refused = take_all([team, parent], 0.0)

    assert isinstance(refused, Refused)
    assert (refused.standing.name, refused.owner) == ("daily", "chat/department")


def test_a_limit_that_is_counted_here_asks_no_store() -> None:
    limit = RollingLimit("minute", 1, 60.0)

    assert not limit.may_ask(0.0, 1)
    assert take_all([limit], 0.0) == Taken(Standing("minute", 1, 0, 60.0))
    assert take_all([limit], 0.0) == Refused(Standing("minute", 1, 0, 60.0), 60.0, askable=())


def limit_of(name: str, amount: int, resource: LimitResource = "Requests", *, shadow: bool = False) -> Limit:
    return Limit(name=name, amount=amount, window_s=60.0, resource=resource, shadow=shadow)


@pytest.mark.parametrize(
    ("limits", "counts"),
    [
        ([], False),
        ([limit_of("a", 1), limit_of("b", 1)], False),
        ([limit_of("a", 1), limit_of("b", 1, "TotalTokens")], True),
        ([limit_of("a", 1, "Concurrency")], True),
        ([limit_of("a", 1), limit_of("b", 1, shadow=True)], True),
    ],
)
def test_plain_limits_of_requests_alone_count_no_amounts(limits: list[Limit], counts: bool) -> None:
    book = LimitBook(LocalMaker(lambda: 0.0, lambda: 0.0, WHOLE))
    tenant = tenant_of(*limits)
    book.configure([tenant])

    assert book.reserves(tenant) is counts


def test_limits_are_built_with_this_gateways_share_in_the_order_of_the_quota() -> None:
    wanted = [limit_of("b", 7), limit_of("a", 9, "InputTokens"), limit_of("c", 1, "Concurrency")]
    built = build_limits(wanted, (), Share(index=1, gateways=2))

    assert [(limit.name, limit.amount, limit.resource) for limit in built] == [
        ("b", 3, "Requests"),
        ("a", 4, "InputTokens"),
        ("c", 0, "Concurrency"),
    ]


def test_a_reload_changes_the_rule_and_keeps_what_was_used() -> None:
    before = build_limits([limit_of("a", 2)], (), WHOLE)
    take_all(before, 0.0)
    after = build_limits([limit_of("a", 8, shadow=True)], before, Share(index=0, gateways=2))

    assert after[0].state(1.0) == LimitState(
        name="a", resource="Requests", amount=4, used=1, held=0, remaining=3, reset_s=59.0, shadow=True
    )


def test_a_limit_that_counts_something_else_now_is_a_new_one() -> None:
    before = build_limits([limit_of("a", 2)], (), WHOLE)
    take_all(before, 0.0)
    after = build_limits([limit_of("a", 2, "TotalTokens")], before, WHOLE)

    assert after[0] is not before[0]
    assert after[0].used(0.0) == 0


@given(st.integers(0, 10**12), st.integers(1, 100))
def test_shares_add_up_to_the_amount_and_differ_by_one_at_most(amount: int, gateways: int) -> None:
    shares = [share_of(amount, index, gateways) for index in range(gateways)]

    assert sum(shares) == amount
    assert max(shares) - min(shares) <= 1


@pytest.mark.parametrize(("index", "gateways"), [(-1, 2), (2, 2), (0, 0)])
def test_a_share_that_no_gateway_has_is_an_error(index: int, gateways: int) -> None:
    with pytest.raises(ValueError, match="does not exist: index counts from 0 to gateways - 1") as caught:
        share_of(10, index, gateways)

    assert str(caught.value).startswith(f"share {index} of {gateways} ")


@given(times, st.integers(1, 20), st.sampled_from([1.0, 7.5, 60.0]))
def test_no_window_anywhere_holds_more_than_the_amount(
    pauses: list[float], amount: int, window_s: float
) -> None:
    limit = RollingLimit("any", amount, window_s)
    log: list[float] = []
    now_s = 0.0
    for pause_s in pauses:
        now_s += pause_s
        if admit([limit], now_s):
            log.append(now_s)

    assert all(log[i + amount] >= log[i] + window_s for i in range(len(log) - amount))


@given(times, st.integers(1, 20), st.integers(1, 4))
def test_shares_together_admit_no_more_than_the_amount_in_any_window(
    pauses: list[float], amount: int, gateways: int
) -> None:
    limits = [RollingLimit("any", share_of(amount, index, gateways), 10.0) for index in range(gateways)]
    log: list[float] = []
    now_s = 0.0
    for number, pause_s in enumerate(pauses):
        now_s += pause_s
        if admit([limits[number % gateways]], now_s):
            log.append(now_s)

    assert all(log[i + amount] >= log[i] + 10.0 for i in range(len(log) - amount))


@given(times, st.lists(st.tuples(st.integers(1, 5), st.floats(1, 20)), min_size=1, max_size=3))
def test_either_all_limits_are_charged_or_none(pauses: list[float], rules: list[tuple[int, float]]) -> None:
    limits = [RollingLimit(str(i), amount, window_s) for i, (amount, window_s) in enumerate(rules)]
    now_s = 0.0
    for pause_s in pauses:
        now_s += pause_s
        before = [limit.used(now_s) for limit in limits]
        charge = 1 if admit(limits, now_s) else 0

        assert [limit.used(now_s) for limit in limits] == [used + charge for used in before]
        assert all(limit.used(now_s) <= limit.amount for limit in limits)


@given(times, st.integers(1, 5))
def test_after_the_wait_that_a_refusal_names_a_request_is_admitted(pauses: list[float], amount: int) -> None:
    limit = RollingLimit("any", amount, 10.0)
    now_s = 0.0
    for pause_s in pauses:
        now_s += pause_s
        answer = take_all([limit], now_s)
        if isinstance(answer, Refused):
            now_s += answer.retry_after_s + 1e-9

            assert admit([limit], now_s)


@given(times, st.lists(st.integers(0, 8), min_size=150, max_size=150))
def test_reloads_never_let_more_than_the_present_amount_stand(
    pauses: list[float], amounts: list[int]
) -> None:
    limit = RollingLimit("any", 4, 10.0)
    now_s = 0.0
    for pause_s, amount in zip(pauses, amounts, strict=False):
        now_s += pause_s
        limit.configure(amount, 10.0)
        if admit([limit], now_s):
            assert limit.used(now_s) <= amount
