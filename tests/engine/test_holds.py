"""What a request may cost is reserved, what it did cost is settled, and what it did not is given back."""

from collections.abc import Sequence
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway_runtime.contract.ids import TenantId
from gateway_runtime.contract.tenant import LimitResource
from gateway_runtime.engine.amounts import Bound, Spent
from gateway_runtime.engine.hold import Hold, Reserved, reserve
from gateway_runtime.engine.limits import (
    Refused,
    RollingLimit,
    Standing,
    Taken,
    TenantLimit,
    take_all,
)

BOUND = Bound(100, 50, 1000)
SPENT = Spent(80, 20, 700)


def limit_on(
    resource: LimitResource, amount: int, window_s: float = 60.0, *, name: str = "", shadow: bool = False
) -> RollingLimit:
    return RollingLimit(name or resource, amount, window_s, resource, shadow=shadow)


def ask(
    limits: list[RollingLimit], bound: Bound = BOUND, now_s: float = 0.0, *, allow_unpriced: bool = False
) -> Reserved | Refused:
    return reserve(limits, bound, now_s, allow_unpriced=allow_unpriced)


def take(limits: list[RollingLimit], bound: Bound = BOUND, now_s: float = 0.0) -> Hold:
    answer = ask(limits, bound, now_s)
    assert isinstance(answer, Reserved)
    return answer.hold


def stand(limit: RollingLimit, now_s: float = 0.0) -> tuple[int, int, int]:
    state = limit.state(now_s)
    return state.used, state.held, state.remaining


@pytest.mark.parametrize(
    ("resource", "running", "settled", "released"),
    [
        ("Requests", (1, 0, 999), (1, 0, 999), (1, 0, 999)),
        ("InputTokens", (0, 100, 900), (80, 0, 920), (0, 0, 1000)),
        ("OutputTokens", (0, 50, 950), (20, 0, 980), (0, 0, 1000)),
        ("TotalTokens", (0, 150, 850), (100, 0, 900), (0, 0, 1000)),
        ("USD", (0, 1000, 0), (700, 0, 300), (0, 0, 1000)),
        ("Concurrency", (0, 1, 999), (0, 0, 1000), (0, 0, 1000)),
    ],
)
def test_each_resource_counts_its_own(
    resource: LimitResource,
    running: tuple[int, int, int],
    settled: tuple[int, int, int],
    released: tuple[int, int, int],
) -> None:
    """used, held, remaining"""
    one, other = limit_on(resource, 1000), limit_on(resource, 1000)
    first, second = take([one]), take([other])

    assert stand(one) == running

    first.settle(SPENT, 0.0)
    second.release(0.0)

    assert stand(one) == settled
    assert stand(other) == released


def test_a_bound_that_fits_exactly_is_admitted_and_nothing_after_it() -> None:
    limit = limit_on("TotalTokens", 150)

    assert isinstance(ask([limit]), Reserved)
    assert isinstance(ask([limit], Bound(1, 0, 0)), Refused)


def test_a_request_that_needs_nothing_of_a_limit_passes_it_even_when_it_is_spent() -> None:
    limit = limit_on("OutputTokens", 100)
    take([limit], Bound(0, 100, 0))
    limit.configure(40, 60.0)
    answer = ask([limit], Bound(30, 0, 0), 10.0)

    assert isinstance(answer, Reserved)
    assert answer.tokens == Standing("OutputTokens", 40, 0, 50.0)


def test_a_limit_of_which_it_needs_nothing_is_never_the_one_that_refuses() -> None:
    output = limit_on("OutputTokens", 100, 3600.0)
    take([output], Bound(0, 100, 0))
    output.configure(40, 3600.0)
    answer = ask([output, limit_on("InputTokens", 5)], Bound(6, 0, 0))

    assert isinstance(answer, Refused)
    assert (answer.standing.name, answer.never) == ("InputTokens", True)


def test_either_all_limits_are_charged_or_none() -> None:
    limits = [
        limit_on("Requests", 9),
        limit_on("Concurrency", 9),
        limit_on("USD", 9000),
        limit_on("InputTokens", 99),
    ]

    assert isinstance(ask(limits), Refused)
    assert [stand(limit)[:2] for limit in limits] == [(0, 0)] * 4


def test_a_hold_ends_once() -> None:
    limit, once = limit_on("TotalTokens", 1000), limit_on("Concurrency", 2)
    hold = take([limit, once])

    assert not hold.ended
    assert hold.settle(SPENT, 3.0)
    assert (hold.ended, hold.ended_s) == (True, 3.0)
    assert not hold.settle(SPENT, 4.0)
    assert not hold.release(5.0)
    assert (stand(limit), stand(once), hold.ended_s) == ((100, 0, 900), (0, 0, 2), 3.0)


def test_what_was_spent_leaves_a_window_after_its_admission() -> None:
    limit = limit_on("TotalTokens", 1000)
    take([limit]).settle(SPENT, 50.0)

    assert stand(limit, 59.9) == (100, 0, 900)
    assert stand(limit, 60.0) == (0, 0, 1000)


def test_a_request_that_outlasts_the_window_counts_for_one_window_and_gives_nothing_back() -> None:
    limit = limit_on("TotalTokens", 200)
    long = take([limit])
    take([limit], Bound(150, 0, 0), 60.0)

    assert stand(limit, 60.0) == (0, 150, 50)
    assert long.settle(SPENT, 61.0)
    assert stand(limit, 61.0) == (0, 150, 50)


def test_concurrency_has_no_window() -> None:
    limit = limit_on("Concurrency", 1, 0.0)
    hold = take([limit])

    assert isinstance(ask([limit], now_s=10.0**6), Refused)

    hold.release(10.0**6)

    assert isinstance(ask([limit], now_s=10.0**6), Reserved)


def test_concurrency_after_a_reload_still_has_no_window() -> None:
    limit = limit_on("Concurrency", 1, 0.0)
    take([limit])
    limit.configure(1, 0.0)

    assert isinstance(ask([limit], now_s=10.0), Refused)


def test_spending_above_the_bound_is_cut_to_it_and_told() -> None:
    asked, total = limit_on("InputTokens", 1000), limit_on("TotalTokens", 1000)
    hold = take([asked, total])
    hold.settle(Spent(120, 10, 0), 0.0)

    assert hold.cut == ("InputTokens",)
    assert (stand(asked), stand(total)) == ((100, 0, 900), (130, 0, 870))


def test_spending_where_nothing_was_held_is_told_too() -> None:
    limit = limit_on("OutputTokens", 1000)
    hold = take([limit], Bound(100, 0, 0))
    hold.settle(Spent(100, 5, 0), 0.0)

    assert hold.cut == ("OutputTokens",)
    assert stand(limit) == (0, 0, 1000)


def test_spending_less_than_nothing_is_cut_to_nothing_and_told() -> None:
    limit = limit_on("InputTokens", 1000)
    hold = take([limit])
    hold.settle(Spent(-5, 0, 0), 0.0)

    assert hold.cut == ("InputTokens",)
    assert stand(limit) == (0, 0, 1000)


def test_within_the_bound_nothing_is_cut() -> None:
    hold = take([limit_on("USD", 1000)])
    hold.settle(Spent(10**6, 10**6, 1000), 0.0)

    assert hold.cut == ()


def test_a_bound_below_nothing_is_a_bug() -> None:
    with pytest.raises(ValueError, match="less than nothing") as caught:
        ask([limit_on("InputTokens", 5)], Bound(-1, 0, 0))

    assert str(caught.value) == (
        "a request can't cost less than nothing: Bound(input_tokens=-1, output_tokens=0, usd_picos=0)"
    )


def test_the_answer_tells_how_the_caller_stands_with_requests_and_with_tokens() -> None:
    limits = [
        limit_on("Requests", 10, name="many"),
        limit_on("Requests", 5, 3600.0, name="few"),
        limit_on("InputTokens", 400),
        limit_on("TotalTokens", 300, 10.0),
        limit_on("OutputTokens", 5000),
        limit_on("USD", 1000),
        limit_on("Concurrency", 1),
    ]
    answer = ask(limits)

    assert isinstance(answer, Reserved)
    assert answer.requests == Standing("few", 5, 4, 3600.0)
    assert answer.tokens == Standing("TotalTokens", 300, 150, 10.0)
    assert (answer.shadow, answer.unpriced) == ((), False)


def test_of_limits_of_money_there_is_no_standing() -> None:
    answer = ask([limit_on("USD", 1000)])

    assert isinstance(answer, Reserved)
    assert (answer.requests, answer.tokens) == (None, None)


def test_a_tenant_without_limits_is_always_served() -> None:
    answer = ask([])

    assert isinstance(answer, Reserved)
    assert answer.hold.settle(SPENT, 0.0)


def test_a_refusal_names_the_limit_to_wait_longest_for() -> None:
    minute, hour = limit_on("InputTokens", 250), limit_on("TotalTokens", 200, 3600.0)
    take([minute], now_s=0.0)
    take([minute, hour], now_s=10.0)

    assert ask([minute, hour], now_s=20.0) == Refused(
        Standing("TotalTokens", 200, 50, 3590.0), 3590.0, resource="TotalTokens", needed=150
    )
    assert ask([minute], now_s=20.0) == Refused(
        Standing("InputTokens", 250, 50, 50.0), 40.0, resource="InputTokens", needed=100
    )


def test_a_bound_above_the_amount_never_fits_whatever_else_is_refused() -> None:
    small, hour = limit_on("OutputTokens", 49), limit_on("Requests", 1, 3600.0)
    take_all([hour], 0.0)

    assert ask([hour, small]) == Refused(
        Standing("OutputTokens", 49, 49, 0.0), 60.0, resource="OutputTokens", needed=50, never=True
    )


def test_where_requests_are_not_allowed_at_all_none_is_too_large() -> None:
    assert ask([limit_on("Requests", 0)]) == Refused(Standing("Requests", 0, 0, 0.0), 60.0)


@pytest.mark.parametrize("amount", [0, 1])
def test_when_a_running_request_ends_is_a_guess(amount: int) -> None:
    limit = limit_on("Concurrency", amount)
    ask([limit])

    assert ask([limit], now_s=5.0) == Refused(
        Standing("Concurrency", amount, 0, float(amount)), 1.0, resource="Concurrency"
    )


def test_without_a_price_a_limit_of_money_refuses() -> None:
    requests, money = limit_on("Requests", 5), limit_on("USD", 1000, 3600.0)

    assert ask([requests, money], Bound(1, 1, None)) == Refused(
        Standing("USD", 1000, 1000, 0.0), 3600.0, resource="USD", needed=0, never=True, unpriced=True
    )
    assert stand(requests) == (0, 0, 5)


def test_where_that_is_allowed_it_counts_no_money_and_says_so() -> None:
    tokens, money = limit_on("TotalTokens", 500), limit_on("USD", 1000)
    answer = ask([money, tokens], Bound(100, 50, None), allow_unpriced=True)

    assert isinstance(answer, Reserved)
    assert (answer.unpriced, answer.shadow) == (True, ())

    answer.hold.settle(SPENT, 0.0)

    assert (stand(money), stand(tokens), answer.hold.cut) == ((0, 0, 1000), (100, 0, 400), ())


def test_where_it_is_allowed_another_limit_refuses_by_its_own_name() -> None:
    limits = [limit_on("USD", 1000), limit_on("Concurrency", 1)]
    ask(limits, Bound(1, 1, 5))
    answer = ask(limits, Bound(1, 1, None), allow_unpriced=True)

    assert isinstance(answer, Refused)
    assert (answer.resource, answer.unpriced, answer.never) == ("Concurrency", False, False)


def test_a_limit_in_shadow_is_charged_and_told_and_refuses_nobody() -> None:
    shadow = limit_on("TotalTokens", 200, shadow=True)
    first, second = ask([shadow]), ask([shadow])

    assert isinstance(first, Reserved)
    assert isinstance(second, Reserved)
    assert (first.shadow, second.shadow) == ((), ("TotalTokens",))
    assert (first.tokens, second.tokens) == (None, None)
    assert stand(shadow) == (0, 300, 0)

    first.hold.settle(SPENT, 0.0)
    second.hold.release(0.0)

    assert stand(shadow) == (100, 0, 100)


def test_a_limit_of_requests_in_shadow_refuses_nobody_either() -> None:
    shadow = limit_on("Requests", 1, shadow=True)
    ask([shadow])
    answer = ask([shadow])

    assert isinstance(answer, Reserved)
    assert (answer.requests, answer.shadow) == (None, ("Requests",))
    assert stand(shadow) == (2, 0, 0)


def test_in_shadow_a_missing_price_is_told() -> None:
    answer = ask([limit_on("USD", 1000, shadow=True)], Bound(1, 1, None))

    assert isinstance(answer, Reserved)
    assert (answer.shadow, answer.unpriced) == (("USD",), True)


def test_a_refusal_tells_of_the_limits_in_shadow_that_would_have_refused() -> None:
    limits = [
        limit_on("InputTokens", 10, shadow=True, name="tight"),
        limit_on("InputTokens", 1000, shadow=True, name="wide"),
        limit_on("Concurrency", 0),
        limit_on("USD", 1000, shadow=True, name="money"),
    ]
    answer = ask(limits, Bound(100, 50, None))

    assert isinstance(answer, Refused)
    assert (answer.standing.name, answer.shadow) == ("Concurrency", ("tight", "money"))
    assert [stand(limit)[:2] for limit in limits] == [(0, 0)] * 4


def test_a_hold_settles_in_the_limit_that_it_charged() -> None:
    limit = limit_on("TotalTokens", 1000)
    hold = take([limit])
    limit.configure(120, 60.0)

    assert stand(limit) == (0, 150, 0)

    hold.settle(SPENT, 1.0)

    assert stand(limit, 1.0) == (100, 0, 20)


def test_a_refusal_says_whose_limit_it_was() -> None:
    team = RollingLimit("spend", 1000, 60.0, "USD", owner=TenantId("chat/team"))
    parent = RollingLimit("spend", 900, 60.0, "USD", owner=TenantId("chat/department"))
    refused = ask([team, parent])

    assert isinstance(refused, Refused)
    assert (refused.standing.name, refused.owner) == ("spend", "chat/department")


# -- one request may go over


def overshoot(limits: Sequence[TenantLimit], bound: Bound = BOUND, now_s: float = 0.0) -> Reserved | Refused:
    return reserve(limits, bound, now_s, allow_unpriced=False, one_over=True)


def test_who_may_go_over_is_admitted_while_anything_is_left_and_the_next_waits() -> None:
    limit = limit_on("TotalTokens", 151)
    first, second, third = overshoot([limit]), overshoot([limit]), overshoot([limit])

    assert isinstance(first, Reserved)
    assert isinstance(second, Reserved)
    assert [charge[2] for charge in (*first.hold.charges, *second.hold.charges)] == [150, 1]
    assert isinstance(third, Refused)
    assert (third.needed, third.never, third.retry_after_s) == (1, False, 60.0)
    assert stand(limit) == (0, 151, 0)


def test_what_it_spends_above_what_was_left_is_charged_and_nothing_is_cut() -> None:
    limit = limit_on("TotalTokens", 151)
    overshoot([limit])
    last = overshoot([limit])
    assert isinstance(last, Reserved)
    last.hold.settle(SPENT, 0.0)

    assert last.hold.cut == ()
    assert stand(limit) == (100, 150, 0)
    assert limit.room(0.0) == -99


def test_what_it_gives_back_is_what_was_held_and_not_what_it_asked_for() -> None:
    limit = limit_on("TotalTokens", 151)
    first = take([limit])
    last = overshoot([limit])
    assert isinstance(last, Reserved)
    last.hold.release(0.0)
    first.release(0.0)

    assert stand(limit) == (0, 0, 151)


def test_while_one_may_spend_more_than_was_left_no_second_one_takes_a_rest() -> None:
    limit = limit_on("TotalTokens", 151)
    first, last = take([limit]), overshoot([limit])
    first.release(0.0)
    waits = overshoot([limit], Bound(151, 0, 0))
    small = overshoot([limit], Bound(20, 0, 0))

    assert isinstance(last, Reserved)
    assert waits == Refused(Standing("TotalTokens", 151, 150, 60.0), 1.0, resource="TotalTokens", needed=151)
    assert isinstance(small, Reserved)

    last.hold.settle(Spent(1, 0, 0), 0.0)

    assert isinstance(overshoot([limit], Bound(151, 0, 0)), Reserved)


def test_a_request_that_needs_nothing_of_an_overspent_limit_holds_nothing_of_it() -> None:
    limit = limit_on("OutputTokens", 40)
    last = overshoot([limit], Bound(0, 50, 0))
    assert isinstance(last, Reserved)
    last.hold.settle(Spent(0, 60, 0), 0.0)
    answer = overshoot([limit, limit_on("InputTokens", 5)], Bound(5, 0, 0))

    assert isinstance(answer, Reserved)
    assert stand(limit) == (60, 0, 0)


def test_less_than_nothing_is_cut_there_too() -> None:
    limit = limit_on("InputTokens", 50)
    answer = overshoot([limit])
    assert isinstance(answer, Reserved)
    answer.hold.settle(Spent(-5, 0, 0), 0.0)

    assert answer.hold.cut == ("InputTokens",)
    assert stand(limit) == (0, 0, 50)


def test_a_bound_above_the_amount_is_not_too_large_for_it() -> None:
    answer = overshoot([limit_on("USD", 999)])

    assert isinstance(answer, Reserved)
    assert [held for _, _, held in answer.hold.charges] == [999]


def test_of_an_amount_of_nothing_nothing_is_left_for_it_either() -> None:
    assert overshoot([limit_on("USD", 0)]) == Refused(
        Standing("USD", 0, 0, 0.0), 60.0, resource="USD", needed=1, never=True
    )


@pytest.mark.parametrize("resource", ["Requests", "Concurrency"])
def test_of_requests_none_goes_over(resource: LimitResource) -> None:
    limit = limit_on(resource, 1)
    overshoot([limit])

    assert isinstance(overshoot([limit]), Refused)


def test_the_headers_of_who_goes_over_say_that_nothing_is_left() -> None:
    limit = limit_on("TotalTokens", 10)
    answer = overshoot([limit])

    assert isinstance(answer, Reserved)
    assert answer.tokens == Standing("TotalTokens", 10, 0, 60.0)


def test_a_limit_in_shadow_is_charged_with_the_whole_bound_and_told_once_nothing_is_left() -> None:
    shadow = limit_on("TotalTokens", 10, shadow=True)
    first, second = overshoot([shadow]), overshoot([shadow])

    assert isinstance(first, Reserved)
    assert isinstance(second, Reserved)
    assert (first.shadow, second.shadow) == ((), ("TotalTokens",))
    assert stand(shadow) == (0, 300, 0)


def test_without_a_price_it_is_refused_like_any_other() -> None:
    answer = overshoot([limit_on("USD", 1000)], Bound(1, 1, None))

    assert isinstance(answer, Refused)
    assert (answer.unpriced, answer.never) == (True, True)


class Granting(RollingLimit):
    """A limit whose store has more, for whoever asks."""

    def __init__(self, amount: int, here: int) -> None:
        super().__init__("shared", amount, 60.0, "TotalTokens")
        self.here = here

    def room(self, now_s: float) -> int:
        return self.here - self.count.total(now_s)

    def may_ask(self, now_s: float, need: int) -> bool:
        return need <= self.amount


def test_what_a_store_may_grant_is_asked_for_before_the_rest_is_taken() -> None:
    limit = Granting(1000, here=20)
    answer = overshoot([limit])

    assert isinstance(answer, Refused)
    assert answer.askable == ((limit, 150),)
    assert overshoot([Granting(1000, here=0)]).askable  # type: ignore[union-attr]


def test_what_no_store_can_grant_is_not_asked_for() -> None:
    answer = overshoot([Granting(149, here=20)])

    assert isinstance(answer, Reserved)
    assert [held for _, _, held in answer.hold.charges] == [20]


def test_where_another_limit_refuses_anyway_no_store_is_asked() -> None:
    answer = ask([Granting(1000, here=0), limit_on("Concurrency", 0)])

    assert isinstance(answer, Refused)
    assert answer.askable == ()


def test_where_all_that_is_short_may_be_granted_all_that_is_needed_is_asked_for() -> None:
    """Also of limits that have room for it: others may wait who rely on the same."""
    one, other = Granting(1000, here=0), Granting(1000, here=100)
    fitting, in_shadow = limit_on("Requests", 5), limit_on("Requests", 5, shadow=True)
    answer = ask([one, fitting, other, in_shadow])

    assert isinstance(answer, Refused)
    assert answer.askable == ((one, 150), (other, 150), (fitting, 1))


def test_a_hold_prints_as_what_it_holds() -> None:
    hold = take([limit_on("TotalTokens", 1000), limit_on("Concurrency", 5)])

    assert repr(hold) == "<Hold of TotalTokens 150, Concurrency 1>"

    hold.release(2.5)

    assert repr(hold) == "<Hold of TotalTokens 150, Concurrency 1, ended at 2.5 s>"
    assert repr(take([])) == "<Hold of nothing>"


@dataclass(frozen=True)
class Step:
    pause_s: float
    bound: Bound
    part: int
    """Of ten, that is spent at once; -1: it goes on running."""


numbers = st.integers(0, 60)
steps = st.lists(
    st.builds(
        Step,
        pause_s=st.floats(0, 5, allow_subnormal=False),
        bound=st.builds(Bound, numbers, numbers, numbers),
        part=st.integers(-1, 10),
    ),
    min_size=1,
    max_size=60,
)


def spend(bound: Bound, part: int) -> Spent:
    """part: of ten."""
    return Spent(*(part * (number or 0) // 10 for number in bound))


@given(st.lists(st.floats(0, 5), max_size=60), st.lists(st.integers(0, 6), min_size=1, max_size=3))
def test_with_limits_of_requests_alone_both_ways_agree(pauses: list[float], amounts: list[int]) -> None:
    one = [RollingLimit(str(i), amount, 10.0 + i) for i, amount in enumerate(amounts)]
    other = [RollingLimit(str(i), amount, 10.0 + i) for i, amount in enumerate(amounts)]
    now_s = 0.0
    for pause_s in pauses:
        now_s += pause_s
        plain, reserved = take_all(one, now_s), ask(other, now_s=now_s)
        if isinstance(reserved, Reserved):
            assert plain == Taken(reserved.requests)
        else:
            assert plain == reserved


@given(steps, st.integers(0, 300), st.integers(0, 300))
def test_a_request_fits_after_the_wait_that_its_refusal_names_and_not_before(
    steps: list[Step], tokens: int, picos: int
) -> None:
    limits = [limit_on("TotalTokens", tokens, 10.0), limit_on("USD", picos, 20.0)]
    now_s = 0.0
    for step in steps:
        now_s += step.pause_s
        answer = ask(limits, step.bound, now_s)
        if isinstance(answer, Refused) and not answer.never:
            if answer.retry_after_s > 1e-6:
                assert isinstance(ask(limits, step.bound, now_s + answer.retry_after_s - 1e-6), Refused)
            now_s += answer.retry_after_s + 1e-9
            answer = ask(limits, step.bound, now_s)

            assert isinstance(answer, Reserved)
        if isinstance(answer, Reserved) and step.part >= 0:
            answer.hold.settle(spend(step.bound, step.part), now_s)


@given(steps, st.integers(1, 300), st.sampled_from([1.0, 7.5, 60.0]))
def test_no_window_anywhere_holds_more_than_the_amount(
    steps: list[Step], amount: int, window_s: float
) -> None:
    limit = limit_on("TotalTokens", amount, window_s)
    log: list[tuple[float, int]] = []
    now_s = 0.0
    for step in steps:
        now_s += step.pause_s
        answer = ask([limit], step.bound, now_s)
        if isinstance(answer, Reserved):
            cost = step.bound.input_tokens + step.bound.output_tokens
            if step.part >= 0:
                spent = spend(step.bound, step.part)
                answer.hold.settle(spent, now_s)
                cost = spent.input_tokens + spent.output_tokens
            log.append((now_s, cost))

    for end_s, _ in log:  # a window that ends elsewhere holds no more than one that ends with an admission
        assert sum(cost for time_s, cost in log if time_s <= end_s < time_s + window_s) <= amount


@given(steps, st.lists(st.integers(0, 59), min_size=60, max_size=60), st.integers(1, 300))
def test_with_one_over_no_window_holds_more_than_the_amount_and_one_request(
    steps: list[Step], endings: list[int], amount: int
) -> None:
    """endings: after each step that one of the running ends, if there are so many, and costs all it may."""
    limit = limit_on("TotalTokens", amount, 7.5)
    log: list[tuple[float, int]] = []
    running: list[tuple[Hold, Bound]] = []
    now_s = 0.0
    for step, ending in zip(steps, endings, strict=False):
        now_s += step.pause_s
        answer = overshoot([limit], step.bound, now_s)
        if isinstance(answer, Reserved):
            cost = step.bound.input_tokens + step.bound.output_tokens
            if step.part < 0:
                running.append((answer.hold, step.bound))
            else:
                spent = spend(step.bound, step.part)
                answer.hold.settle(spent, now_s)
                cost = spent.input_tokens + spent.output_tokens
            log.append((now_s, cost))
        if ending < len(running):
            hold, bound = running.pop(ending)
            hold.settle(Spent(bound.input_tokens, bound.output_tokens, 0), now_s)

    for end_s, _ in log:
        inside = [cost for time_s, cost in log if time_s <= end_s < time_s + 7.5]
        assert sum(inside) - max(inside) <= amount
