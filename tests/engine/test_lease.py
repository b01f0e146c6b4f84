"""One limit at a gateway that shares it: what is at hand, what is asked for, what becomes of each charge, and
how it goes on when the store does not answer.
"""

import pytest

from gateway_runtime.engine.amounts import NOTHING, Spent
from gateway_runtime.engine.hold import Reserved
from gateway_runtime.engine.lease import LeasedLimit
from gateway_runtime.engine.lease_call import LARGEST, RECOVERY_MS
from gateway_runtime.engine.lease_demand import AHEAD_S, REFUSED_S
from gateway_runtime.engine.lease_news import NEWS_S
from gateway_runtime.engine.limits import UNKNOWN_WAIT_S, LimitState, Refused, Standing, take_all
from tests.engine.leases import TERM, Days, Shop

USABLE_S = TERM.term_s - TERM.margin_s


# -- what is at hand, and what is asked for


def test_before_the_store_has_granted_anything_nothing_is_at_hand() -> None:
    limit = Shop().open().limit()

    assert (limit.room(1000.0), limit.may_ask(1000.0, 1)) == (0, True)


def test_what_is_asked_for_is_charged_here_and_counted_there_with_the_next_beat() -> None:
    shop = Shop()
    gateway = shop.open()
    limit = gateway.limit()
    gateway.take([limit], 150)
    before = shop.scope().total
    gateway.beat()

    assert (before, shop.scope().total) == (0, 150)


def test_one_that_uses_much_holds_a_little_in_advance_and_asks_nobody() -> None:
    shop = Shop()
    gateway = shop.open()
    limit = gateway.limit(amount=100_000)
    for _ in range(20):
        gateway.take([limit], 100).settle(Spent(100, 0, 0), shop.now_s)
        shop.pass_time(0.1)
        gateway.beat()

    assert 100 <= limit.room(shop.now_s) <= 2 * 1000 * AHEAD_S

    shop.calls.clear()
    gateway.take([limit], 100)

    assert shop.calls == []


def test_one_that_uses_nothing_any_more_gives_that_back() -> None:
    shop = Shop()
    gateway = shop.open()
    limit = gateway.limit(amount=100_000)
    for _ in range(20):
        gateway.take([limit], 100).settle(Spent(100, 0, 0), shop.now_s)
        shop.pass_time(0.1, beats=True)
    shop.pass_time(5.0, beats=True)

    assert (limit.room(shop.now_s), shop.scope().leases) == (0, {})
    assert not limit.has_something()


def test_more_than_the_amount_is_never_asked_for_and_waits_for_ever() -> None:
    limit = Shop().open().limit(amount=100)

    assert not limit.may_ask(1000.0, 101)
    assert limit.wait_for_room(1000.0, 101) == 60.0


def test_who_was_refused_refuses_by_itself_for_a_moment_what_needs_as_much() -> None:
    shop = Shop()
    gateway, other = shop.open(), shop.open("b")
    limit, theirs = gateway.limit(amount=100), other.limit(amount=100)
    other.take([theirs], 60)
    other.beat()
    refused = gateway.ask([limit], 50)
    now_s = shop.now_s

    assert isinstance(refused, Refused)
    assert 59 < refused.retry_after_s < 61
    assert (limit.may_ask(now_s, 50), limit.may_ask(now_s, 49)) == (False, True)
    assert limit.may_ask(now_s + REFUSED_S, 50)
    assert isinstance(gateway.ask([limit], 40), Reserved)


def test_what_is_at_hand_needs_no_wait() -> None:
    shop = Shop()
    gateway = shop.open()
    limit = gateway.limit()
    gateway.take([limit], 150).release(shop.now_s)

    assert limit.wait_for_room(shop.now_s, 150) == 0.0
    assert limit.wait_for_room(shop.now_s, 151) == REFUSED_S


def test_of_two_gateways_neither_has_what_the_other_holds() -> None:
    shop = Shop()
    one, other = shop.open(), shop.open("b")
    ours, theirs = one.limit(amount=100), other.limit(amount=100)
    hold = one.take([ours], 80)

    assert isinstance(other.ask([theirs], 80), Refused)

    hold.release(shop.now_s)
    shop.pass_time(0.5, beats=True)

    assert isinstance(other.ask([theirs], 80), Reserved)


# -- what becomes of a charge


def test_what_is_settled_before_anybody_was_told_is_at_hand_again() -> None:
    shop = Shop()
    gateway = shop.open()
    limit = gateway.limit()
    gateway.take([limit], 150).settle(Spent(30, 0, 0), shop.now_s)

    assert limit.room(shop.now_s) == 120

    gateway.beat()

    assert shop.scope().total == 30


def test_what_is_settled_while_the_call_is_under_way_is_given_back_with_the_next() -> None:
    shop = Shop()
    gateway = shop.open()
    limit = gateway.limit()
    hold = gateway.take([limit], 150)
    call = gateway.send()
    assert call is not None
    hold.settle(Spent(30, 0, 0), shop.now_s)
    gateway.hear(call)

    assert (shop.scope().total, limit.room(shop.now_s)) == (150, 0)

    gateway.beat()

    assert shop.scope().total == 30


def test_what_is_settled_after_it_was_counted_is_given_back_where_it_was_counted() -> None:
    shop = Shop()
    gateway = shop.open()
    limit = gateway.limit()
    one, other = gateway.take([limit], 150), gateway.take([limit], 100)
    gateway.beat()
    shop.pass_time(5.0)
    one.settle(Spent(30, 0, 0), shop.now_s)
    other.settle(Spent(100, 0, 0), shop.now_s)
    gateway.beat()

    assert shop.scope().total == 130
    assert len(shop.scope().buckets) == 1


def test_what_has_left_its_window_gives_nothing_back() -> None:
    shop = Shop()
    gateway = shop.open()
    limit = gateway.limit()
    hold = gateway.take([limit], 150)
    gateway.beat()
    shop.pass_time(61.0, beats=True)
    gateway.take([limit], 1)
    gateway.beat()
    hold.settle(NOTHING, shop.now_s)
    gateway.beat()

    assert shop.scope().total == 1


def test_a_request_counts_once_for_good_and_is_never_given_back() -> None:
    shop = Shop()
    gateway = shop.open()
    limit = gateway.limit("Requests", 5)
    gateway.take([limit]).release(shop.now_s)
    gateway.beat()

    assert (shop.scope().total, limit.state(shop.now_s).used) == (1, 1)


def test_what_is_spent_above_what_was_held_is_counted_too() -> None:
    shop = Shop()
    gateway = shop.open()
    limit = gateway.limit(amount=100)
    outcome = gateway.ask([limit], 150, one_over=True)
    assert isinstance(outcome, Reserved)
    outcome.hold.settle(Spent(130, 0, 0), shop.now_s)
    gateway.beat()

    assert shop.scope().total >= 130
    assert isinstance(gateway.ask([limit], 150, one_over=True), Refused)


def test_who_may_go_over_asks_the_store_for_all_of_it_before_taking_a_rest() -> None:
    shop = Shop()
    gateway = shop.open()
    limit = gateway.limit(amount=1000)
    gateway.take([limit], 10).release(shop.now_s)
    held = gateway.ask([limit], 400, one_over=True)

    assert isinstance(held, Reserved)
    assert [amount for _, _, amount in held.hold.charges] == [400]
    assert not limit.is_overdrawn


def test_of_requests_at_once_the_lease_is_what_runs() -> None:
    shop = Shop()
    gateway, other = shop.open(), shop.open("b")
    limit, theirs = gateway.limit("Concurrency", 2, 0.0), other.limit("Concurrency", 2, 0.0)
    holds = [gateway.take([limit]) for _ in range(2)]
    gateway.beat()

    assert isinstance(other.ask([theirs]), Refused)

    holds[0].release(shop.now_s)
    shop.pass_time(5.0, beats=True)

    assert isinstance(other.ask([theirs]), Reserved)
    assert isinstance(other.ask([theirs]), Refused)
    assert shop.scope().total == 0


def test_what_runs_for_long_keeps_its_part_of_concurrency_as_long_as_its_gateway_lives() -> None:
    shop = Shop()
    gateway, other = shop.open(), shop.open("b")
    limit, theirs = gateway.limit("Concurrency", 1, 0.0), other.limit("Concurrency", 1, 0.0)
    hold = gateway.take([limit])
    shop.pass_time(60.0, beats=True)
    refused = other.ask([theirs])
    hold.release(shop.now_s)
    shop.gateways.remove(gateway)  # it dies, and nobody tells
    shop.pass_time(TERM.term_s + 1, beats=True)

    assert isinstance(refused, Refused)
    assert isinstance(other.ask([theirs]), Reserved)


def test_what_was_kept_of_concurrency_past_its_term_may_be_somebody_elses() -> None:
    shop = Shop()
    gateway = shop.open()
    limit = gateway.limit("Concurrency", 2, 0.0)
    gateway.take([limit]).release(shop.now_s)
    shop.pass_time(USABLE_S)
    call = gateway.send()

    assert call is not None
    assert [scope.keep for scope in call.scopes] == [0]


def test_money_is_counted_in_a_thousandth_of_the_smallest_part_and_rounded_up() -> None:
    shop = Shop()
    gateway = shop.open()
    limit = gateway.limit("USD", 10**9)
    limit.hold(shop.now_s, 1001)
    gateway.beat()

    assert shop.scope().total == 2
    assert limit.state(shop.now_s) == LimitState(
        name="tokens",
        resource="USD",
        amount=10**9,
        used=0,
        held=2000,
        remaining=10**9 - 2000,
        reset_s=60.0,
        shadow=False,
        shared=True,
    )


def test_money_that_was_not_spent_is_given_back_in_the_same_unit() -> None:
    shop = Shop()
    gateway = shop.open()
    limit = gateway.limit("USD", 10**9)
    gateway.take([limit], 150).settle(Spent(0, 0, 30_000_001), shop.now_s)

    assert limit.room(shop.now_s) == 150_000_000 - 30_001_000

    gateway.beat()

    assert shop.scope().total == 30_001


def test_what_held_nothing_and_spent_something_is_counted_when_nobody_looks_any_more() -> None:
    shop = Shop()
    gateway = shop.open()
    limit = gateway.limit()
    mark = limit.hold(shop.now_s, 0)
    shop.pass_time(10.0, beats=True)
    asleep = not limit.is_noted
    mark.settle(0, 5)
    gateway.beat()

    assert asleep
    assert shop.scope().total == 5


def test_what_leaves_its_window_before_the_store_hears_of_it_is_not_given_back() -> None:
    shop = Shop()
    gateway = shop.open()
    limit = gateway.limit()
    hold = gateway.take([limit], 150)
    gateway.beat()
    shop.pass_time(62.0)
    limit.hold(shop.now_s, 1)
    call = gateway.send()
    assert call is not None
    hold.settle(NOTHING, shop.now_s)
    gateway.hear(call)
    shop.calls.clear()
    gateway.take([limit], 1)
    gateway.beat()

    assert {scope.refunds for call in shop.calls for scope in call.scopes} == {()}


# -- terms


def test_a_grant_is_usable_until_a_margin_before_its_term() -> None:
    shop = Shop()
    gateway = shop.open()
    limit = gateway.limit()
    gateway.take([limit], 150).release(shop.now_s)

    assert limit.room(shop.now_s + USABLE_S - 0.001) == 150
    assert limit.room(shop.now_s + USABLE_S) == 0


def test_the_term_counts_from_when_the_call_was_sent_and_not_from_its_answer() -> None:
    shop = Shop()
    gateway = shop.open()
    limit = gateway.limit()
    gateway.beat()
    limit.press(100)
    call = gateway.send()
    assert call is not None
    shop.pass_time(2.0)
    gateway.hear(call)
    while (call := gateway.send()) is not None:
        gateway.hear(call)

    sent_s = limit._grant.usable_until_s - USABLE_S
    assert sent_s <= shop.now_s


def test_what_a_gateway_held_that_was_stopped_for_long_is_gone_when_it_wakes() -> None:
    shop = Shop()
    gateway = shop.open()
    limit = gateway.limit()
    hold = gateway.take([limit], 150)
    gateway.beat()
    hold.release(shop.now_s)
    shop.pass_time(60.0)

    assert limit.room(shop.now_s) == 0
    assert isinstance(gateway.ask([limit], 900), Reserved)


# -- a store that does not answer


def test_while_the_store_is_away_what_was_granted_may_be_spent_to_the_end_of_its_term() -> None:
    shop = Shop()
    gateway = shop.open()
    limit = gateway.limit()
    gateway.take([limit], 150).release(shop.now_s)
    shop.is_away = True
    limit.hold(shop.now_s, 30)
    gateway.beat()
    left = limit.room(shop.now_s)
    shop.pass_time(USABLE_S)

    assert (left, limit.room(shop.now_s)) == (120, 0)


def test_a_call_without_an_answer_is_charged_once_whether_it_was_counted_or_not() -> None:
    totals = []
    for counted in (False, True):
        shop = Shop()
        gateway = shop.open()
        limit = gateway.limit()
        gateway.take([limit], 150).settle(Spent(100, 0, 0), shop.now_s)  # 50 are left of the grant
        shop.is_away, shop.loses_answers = not counted, counted
        gateway.beat()
        shop.is_away = shop.loses_answers = False
        shop.pass_time(TERM.term_s + 1, beats=True)
        totals.append(gateway.look(limit).total)

    assert totals == [150, 150]


def test_what_is_settled_after_that_gives_nothing_back() -> None:
    shop = Shop()
    gateway = shop.open()
    limit = gateway.limit()
    hold = gateway.take([limit], 150)
    shop.is_away = True
    gateway.beat()
    hold.settle(Spent(10, 0, 0), shop.now_s)
    shop.is_away = False
    shop.pass_time(TERM.term_s + 1, beats=True)

    assert gateway.look(limit).total == 150


def test_it_says_nothing_more_until_the_term_is_over_unless_somebody_waits() -> None:
    shop = Shop()
    gateway = shop.open()
    limit = gateway.limit()
    gateway.take([limit], 150)
    shop.is_away = True
    gateway.beat()
    shop.is_away = False

    assert gateway.beat() == 0
    assert isinstance(gateway.ask([limit], 100), Reserved)
    assert shop.scope().total == 150


def test_a_lease_that_the_store_took_back_is_over_here_too() -> None:
    shop = Shop()
    gateway, other = shop.open(), shop.open("b")
    limit, theirs = gateway.limit(), other.limit()
    gateway.take([limit], 200).settle(Spent(150, 0, 0), shop.now_s)
    gateway.beat()
    kept = shop.scope().leases["a"].amount
    shop.pass_time(TERM.term_s)
    other.take([theirs], 1)
    other.beat()
    hold = limit.hold(shop.now_s, 5)  # by a gateway that was stopped, and does not know it yet
    gateway.beat()
    hold.settle(5, 0)
    gateway.beat()

    assert kept == 50
    assert shop.scope().total == 150 + 50 + 1


# -- edits


def test_a_lower_amount_calls_back_what_was_granted_before_anything_else_is_charged() -> None:
    shop = Shop()
    gateway = shop.open()
    limit = gateway.limit()
    gateway.take([limit], 500).release(shop.now_s)
    limit.configure(100, 60.0)

    assert limit.room(shop.now_s) == 0

    gateway.beat()

    assert shop.scope().leases == {}
    assert isinstance(gateway.ask([limit], 100), Reserved)


def test_a_higher_amount_calls_nothing_back() -> None:
    shop = Shop()
    gateway = shop.open()
    limit = gateway.limit()
    gateway.take([limit], 500).release(shop.now_s)
    limit.configure(2000, 60.0)

    assert (limit.room(shop.now_s), limit.amount) == (500, 2000)


def test_one_that_must_not_serve_without_the_store_holds_nothing_in_advance() -> None:
    shop = Shop()
    gateway = shop.open()
    limit = gateway.limit(amount=100_000)
    for _ in range(20):
        gateway.take([limit], 100).settle(Spent(100, 0, 0), shop.now_s)
        shop.pass_time(0.1, beats=True)
    in_advance = limit.room(shop.now_s)
    limit.configure(100_000, 60.0, strict=True)
    shop.pass_time(0.5, beats=True)

    assert in_advance > 0
    assert limit.room(shop.now_s) == 0


def test_another_window_loses_nothing_and_counts_nothing_twice() -> None:
    shop = Shop()
    gateway = shop.open()
    limit = gateway.limit()
    gateway.take([limit], 150).settle(Spent(100, 0, 0), shop.now_s)
    gateway.beat()
    limit.configure(1000, 3600.0)
    gateway.take([limit], 50).settle(Spent(50, 0, 0), shop.now_s)
    gateway.beat()
    limit.configure(1000, 60.0, periods=Days(shop.unix))
    gateway.take([limit], 5).settle(Spent(5, 0, 0), shop.now_s)
    gateway.beat()
    as_calendar = shop.scope().total
    limit.configure(1000, 60.0)
    gateway.take([limit], 1).settle(Spent(1, 0, 0), shop.now_s)
    gateway.beat()

    assert (as_calendar, shop.scope().total) == (155, 156)


def test_a_hold_that_runs_across_such_an_edit_stays_charged_as_a_whole() -> None:
    shop = Shop()
    gateway = shop.open()
    limit = gateway.limit()
    hold = gateway.take([limit], 150)
    gateway.beat()
    limit.configure(1000, 3600.0)
    hold.settle(Spent(10, 0, 0), shop.now_s)
    gateway.take([limit], 1)
    gateway.beat()

    assert shop.scope().total == 151


@pytest.mark.parametrize("forgets", [False, True])
def test_an_edit_while_a_call_is_under_way_counts_on_in_the_new_window_alone(forgets: bool) -> None:
    shop = Shop()
    gateway = shop.open()
    days = Days(shop.unix)
    limit = gateway.limit(periods=days)
    hold = gateway.take([limit], 150)
    call = gateway.send()
    assert call is not None
    limit.configure(1000, 60.0)
    gateway.hear(call)
    hold.settle(Spent(10, 0, 0), shop.now_s)
    gateway.take([limit], 1)
    gateway.beat()
    if forgets:
        shop.store.forget()
        gateway.take([limit], 1)
        gateway.beat()
    total = shop.scope().total
    shop.pass_time(62.0, beats=True)
    limit.state(shop.now_s)
    gateway.beat()

    assert total == (152 if forgets else 151)
    assert shop.scope().total == 0


def test_an_edit_before_a_call_that_fails_or_was_not_counted_is_no_edit_of_the_next() -> None:
    for loses in (True, False):
        shop = Shop()
        gateway = shop.open()
        limit = gateway.limit()
        gateway.take([limit], 150).settle(Spent(150, 0, 0), shop.now_s)
        call = gateway.send()
        assert call is not None
        limit.configure(1000, 3600.0)
        if loses:
            shop.is_away = True
        else:
            shop.store.forget()
        gateway.hear(call)
        shop.is_away = False
        shop.pass_time(TERM.term_s + 1, beats=True)
        hold = gateway.take([limit], 100)
        gateway.beat()
        hold.settle(Spent(1, 0, 0), shop.now_s)
        gateway.beat()

        assert shop.scope().total == 151


def test_another_calendar_keeps_what_was_used_and_tells_it_a_store_that_forgets() -> None:
    shop = Shop()
    gateway = shop.open()
    limit = gateway.limit(periods=Days(shop.unix, 7 * 86_400))
    gateway.take([limit], 150).settle(Spent(100, 0, 0), shop.now_s)
    gateway.beat()
    limit.configure(1000, 60.0, periods=Days(shop.unix))
    gateway.take([limit], 5).settle(Spent(5, 0, 0), shop.now_s)
    gateway.beat()
    edited = shop.scope().total
    shop.store.forget()
    gateway.take([limit], 1).settle(Spent(1, 0, 0), shop.now_s)
    gateway.beat()
    gateway.beat()

    assert (edited, shop.scope().total) == (105, 106)


def test_a_reload_of_the_same_calendar_is_no_edit() -> None:
    shop = Shop()
    gateway = shop.open()
    limit = gateway.limit(periods=Days(shop.unix))
    hold = gateway.take([limit], 150)
    gateway.beat()
    limit.configure(1000, 60.0, periods=Days(shop.unix))
    hold.settle(Spent(10, 0, 0), shop.now_s)
    gateway.beat()

    assert shop.scope().total == 10


# -- a store that forgets


def test_all_that_was_charged_and_counts_still_is_told_again() -> None:
    shop = Shop()
    gateway = shop.open()
    limit = gateway.limit()
    for _ in range(3):
        gateway.take([limit], 100).settle(Spent(70, 0, 0), shop.now_s)
        gateway.beat()
        shop.pass_time(10.0)
    shop.store.forget()
    gateway.take([limit], 10)
    gateway.beat()
    gateway.beat()

    assert shop.scope().total == 220


def test_what_has_left_its_window_is_not_told_again() -> None:
    shop = Shop()
    gateway = shop.open()
    limit = gateway.limit()
    gateway.take([limit], 100).settle(Spent(70, 0, 0), shop.now_s)
    gateway.beat()
    shop.pass_time(70.0)
    gateway.take([limit], 10)
    gateway.beat()
    shop.store.forget()
    gateway.take([limit], 5)
    gateway.beat()
    gateway.beat()

    assert shop.scope().total == 15


def test_a_store_that_forgot_a_part_is_told_that_part() -> None:
    shop = Shop()
    gateway = shop.open()
    limit = gateway.limit(amount=10_000)
    gateway.take([limit], 100).settle(Spent(70, 0, 0), shop.now_s)
    gateway.beat()
    counted = shop.store._roots["root"].counts["a"]
    buckets, total = dict(shop.scope().buckets), shop.scope().total
    gateway.take([limit], 30).settle(Spent(30, 0, 0), shop.now_s)
    gateway.beat()
    shop.store._roots["root"].counts["a"] = counted
    shop.scope().buckets, shop.scope().total = buckets, total
    gateway.take([limit], 5)
    gateway.beat()
    gateway.beat()

    assert shop.scope().total == 105


def test_where_it_lags_by_minutes_all_is_told_rather_too_much_than_too_little() -> None:
    shop = Shop()
    gateway = shop.open()
    limit = gateway.limit(amount=10_000, window_s=3600.0)
    gateway.take([limit], 70).settle(Spent(70, 0, 0), shop.now_s)
    gateway.beat()
    shop.pass_time(RECOVERY_MS / 1000 + 1)
    gateway.take([limit], 30)
    gateway.beat()
    shop.store._roots["root"].counts["a"] = 1
    gateway.take([limit], 5)
    gateway.beat()
    gateway.beat()

    assert shop.scope().total >= 105


def test_what_was_told_to_nobodys_knowledge_is_told_again_rather_twice_than_not_at_all() -> None:
    shop = Shop()
    gateway = shop.open()
    limit = gateway.limit()
    limit.hold(shop.now_s, 10)
    shop.loses_answers = True
    gateway.beat()
    shop.loses_answers = False
    gateway.beat()

    assert 10 <= shop.scope().total <= 20


# -- in shadow


def test_in_shadow_all_is_counted_and_nothing_is_asked_for() -> None:
    shop = Shop()
    gateway = shop.open()
    limit = gateway.limit(amount=100, shadow=True)
    holds = [gateway.take([limit], 80) for _ in range(2)]
    gateway.beat()

    assert not limit.may_ask(shop.now_s, 1)
    assert (limit.room(shop.now_s), limit.remaining(shop.now_s), shop.scope().total) == (-60, 0, 160)

    for hold in holds:
        hold.settle(Spent(10, 0, 0), shop.now_s)
    gateway.beat()

    assert (limit.room(shop.now_s), shop.scope().leases) == (80, {})


def test_in_shadow_what_is_settled_before_it_was_told_leaves_nothing_at_hand() -> None:
    shop = Shop()
    gateway = shop.open()
    limit = gateway.limit(amount=100, shadow=True)
    gateway.take([limit], 80).settle(Spent(10, 0, 0), shop.now_s)

    assert (limit.room(shop.now_s), limit._grant.balance) == (90, 0)


def test_a_limit_in_shadow_that_nobody_has_met_has_all_of_its_amount() -> None:
    assert Shop().open().limit(amount=100, shadow=True).remaining(1000.0) == 100


# -- what is told


def test_it_tells_of_all_gateways_what_the_store_told_last() -> None:
    shop = Shop()
    one, other = shop.open(), shop.open("b")
    ours, theirs = one.limit(), other.limit()
    other.take([theirs], 300).settle(Spent(200, 0, 0), shop.now_s)
    shop.pass_time(10.0, beats=True)
    one.take([ours], 100)
    one.beat()
    state = ours.state(shop.now_s)

    assert (state.used, state.held, state.remaining, state.shared) == (200, 100, 700, True)


def test_what_nobody_has_told_yet_is_this_gateways_own() -> None:
    shop = Shop()
    limit = shop.open().limit()
    limit.hold(shop.now_s, 50)
    state = limit.state(shop.now_s)

    assert (state.used, state.held, state.remaining, state.shared) == (0, 50, 0, False)


def test_whoever_looks_has_the_store_asked_anew() -> None:
    shop = Shop()
    one, other = shop.open(), shop.open("b")
    ours, theirs = one.limit(), other.limit()
    one.take([ours], 100).settle(Spent(100, 0, 0), shop.now_s)
    one.beat()
    other.take([theirs], 300).settle(Spent(300, 0, 0), shop.now_s)
    other.beat()
    shop.pass_time(NEWS_S + 0.1)
    before = ours.state(shop.now_s).used
    one.beat()

    assert (before, ours.state(shop.now_s).used) == (100, 400)


def test_headers_tell_of_the_whole_amount() -> None:
    shop = Shop()
    gateway = shop.open()
    limit = gateway.limit()
    outcome = gateway.ask([limit], 100)
    gateway.beat()

    assert isinstance(outcome, Reserved)
    assert outcome.tokens == Standing("tokens", 1000, 900, 60.0)
    assert limit.standing(shop.now_s) == Standing("tokens", 1000, 900, 60.0)


def test_of_several_limits_the_one_binds_of_which_all_gateways_have_least_left() -> None:
    shop = Shop()
    gateway = shop.open()
    plain = [gateway.limit("Requests", amount, name=f"{amount}-requests") for amount in (9, 5)]
    limits = [*plain, gateway.limit(amount=900, name="wide"), gateway.limit(amount=500, name="tight")]
    outcome = gateway.ask(limits, 100)
    assert isinstance(outcome, Reserved)
    taken = take_all(plain, shop.now_s)
    while isinstance(taken, Refused):
        gateway.root.press(taken.askable)
        gateway.beat()
        taken = take_all(plain, shop.now_s)

    assert outcome.requests == Standing("5-requests", 5, 4, 60.0)
    assert outcome.tokens == Standing("tight", 500, 400, 60.0)
    assert taken.standing == Standing("5-requests", 5, 3, 60.0)


def test_where_the_store_has_told_nothing_what_is_at_hand_is_all_that_is_known() -> None:
    assert Shop().open().limit().overall(5) == 5


def test_of_concurrency_when_one_ends_is_a_guess() -> None:
    assert Shop().open().limit("Concurrency", 2, 0.0).standing(1000.0).reset_s == UNKNOWN_WAIT_S


def test_of_a_calendar_the_end_of_the_period_is_told() -> None:
    shop = Shop()
    limit = shop.open().limit(periods=Days(shop.unix))

    assert limit.longest_s == limit.standing(shop.now_s).reset_s == 86_400 - shop.unix() % 86_400


def test_it_may_be_forgotten_once_nothing_of_it_counts_any_more() -> None:
    shop = Shop()
    gateway = shop.open()
    limit = gateway.limit()
    gateway.take([limit], 100).settle(Spent(100, 0, 0), shop.now_s)
    shop.pass_time(30.0, beats=True)
    early = limit.is_idle(shop.now_s)
    shop.pass_time(2 * 60.0 + TERM.term_s, beats=True)

    assert (early, limit.is_idle(shop.now_s)) == (False, True)


def test_of_a_calendar_it_may_be_forgotten_in_the_next_period_and_not_before() -> None:
    """At the end of a month what was used at its begin still counts, and the store may have to be told it."""
    shop = Shop()
    gateway = shop.open()
    limit = gateway.limit(periods=Days(shop.unix))
    shop.pass_time(limit.longest_s + 60.0)
    gateway.take([limit], 100).settle(Spent(100, 0, 0), shop.now_s)
    shop.pass_time(30.0, beats=True)
    shop.pass_time(limit.longest_s - 60.0)
    late_in_the_day = limit.is_idle(shop.now_s)
    shop.pass_time(60.0 + 2 * 3600.0)

    assert (late_in_the_day, limit.is_idle(shop.now_s)) == (False, True)


def test_the_largest_amount_is_what_the_store_can_count_with() -> None:
    shop = Shop()
    gateway = shop.open()
    limit = gateway.limit(amount=2**60)
    limit.press(1)
    gateway.beat()

    assert {scope.amount for call in shop.calls for scope in call.scopes} == {LARGEST}


def test_it_prints_as_what_is_at_hand() -> None:
    shop = Shop()
    gateway = shop.open()
    limit = gateway.limit()
    gateway.take([limit], 150).release(shop.now_s)

    assert repr(limit) == "<LeasedLimit tokens: 150 of 1000 at hand, until 1009 s>"


def test_one_that_is_looked_after_by_nobody_is_used_all_the_same() -> None:
    limit = LeasedLimit("alone", 10, "Requests", 60.0, key="k", root="r")
    limit.add(0.0)

    assert limit.has_something()
