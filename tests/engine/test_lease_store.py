"""The rules of the store that gateways share, one call after the other: what is counted and for how long,
what is granted of the rest, and how it goes on when somebody dies or something is forgotten.
"""

from typing import Any

import pytest

from gateway_runtime.engine.lease_call import (
    RECOVERY_MS,
    LeaseAnswer,
    LeaseCall,
    ScopeAnswer,
    ScopeAsk,
    Verdict,
    decode_answer,
    decode_call,
    encode_answer,
    encode_call,
    find_shape,
)
from gateway_runtime.engine.lease_store import SOON_MS, TOLERANCE_MS, MemoryStore

START_MS = 1_000_000
WINDOW_MS, WIDTH_MS = 60_000, 200
TERM_MS = 10_000
DAY_MS = 86_400_000
MORNING_MS = 20_000 * DAY_MS + 36_000_000
"""Ten o'clock on some day."""


def replace(struct: Any, changes: dict[str, object]) -> Any:
    fields = {name: getattr(struct, name) for name in struct.__struct_fields__}
    return type(struct)(**{**fields, **changes})


def ask_of(**changes: object) -> ScopeAsk:
    """A limit of 100 within a minute; nothing is spent, kept or wanted."""
    ask = ScopeAsk("limit", 100, WINDOW_MS, WIDTH_MS, (), False, False, 1, 0, (), 0, 0, 0, 0, ())
    changed: ScopeAsk = replace(ask, changes)
    return changed


def days(*, first: int = 0, length_ms: int = DAY_MS) -> dict[str, object]:
    """Of a calendar: this day (or the one `first` days later) and the next."""
    start = 20_000 * DAY_MS + first * DAY_MS
    moments = (start, start + length_ms, start + length_ms, start + 2 * length_ms)
    return {"window_ms": 0, "width_ms": 0, "periods": moments}


AT_ONCE: dict[str, object] = {"window_ms": 0, "width_ms": 0, "concurrency": True, "amount": 10}


class Desk:
    """Calls the store, and keeps in mind what a gateway has to keep in mind."""

    def __init__(self, store: MemoryStore | None = None, now_ms: int = START_MS, gateways: int = 1) -> None:
        self.store = store or MemoryStore()
        self.now_ms = now_ms
        self.gateways = gateways
        self.epochs: dict[str, int] = {}
        self.sequences: dict[str, int] = {}
        self.acknowledged: dict[str, int] = {}

    def send(self, *scopes: ScopeAsk, gateway: str = "a", **changes: object) -> LeaseAnswer:
        """In the way in which that gateway has come so far."""
        sequence = self.sequences[gateway] = self.sequences.get(gateway, 0) + 1
        call: LeaseCall = replace(
            LeaseCall(
                gateway,
                self.gateways,
                TERM_MS,
                -1,
                "",
                self.epochs.get(gateway, 0),
                sequence,
                self.acknowledged.get(gateway, 0),
                0 if gateway in self.epochs else 2,
                (gateway,),
                scopes,
            ),
            changes,
        )
        answer = self.store.exchange("root", call, self.now_ms)
        self.epochs[gateway] = answer.epoch
        if answer.asserted:
            self.acknowledged[gateway] = sequence
        return answer

    def tell(self, *, gateway: str = "a", **ask: object) -> ScopeAnswer:
        """Of one limit."""
        (answer,) = self.send(ask_of(**ask), gateway=gateway).scopes
        return answer

    def pass_time(self, ms: int) -> None:
        self.now_ms += ms


# -- what is counted


def test_what_was_spent_counts_for_a_window_and_a_little_longer() -> None:
    desk = Desk()
    spent = desk.tell(spent=30)
    desk.pass_time(WINDOW_MS)
    still = desk.tell()
    desk.pass_time(TOLERANCE_MS + WIDTH_MS)
    over = desk.tell()

    assert (spent.total, spent.free, spent.bucket) == (30, 70, START_MS // WIDTH_MS)
    assert (still.total, over.total, over.free) == (30, 0, 100)


def test_what_is_given_back_leaves_the_bucket_in_which_it_was_counted() -> None:
    desk = Desk()
    spent = desk.tell(spent=30)
    desk.pass_time(1000)
    desk.tell(spent=5)
    answer = desk.tell(refunds=(spent.bucket, 20))

    assert (answer.total, answer.free) == (15, 85)


@pytest.mark.parametrize("bucket", [START_MS // WIDTH_MS + 1, START_MS // WIDTH_MS - 10_000])
def test_of_a_bucket_that_is_not_there_nothing_is_given_back(bucket: int) -> None:
    desk = Desk()
    desk.tell(spent=30)

    assert desk.tell(refunds=(bucket, 20)).total == 30


def test_a_bucket_that_has_left_gives_nothing_back() -> None:
    desk = Desk()
    spent = desk.tell(spent=30)
    desk.pass_time(2 * WINDOW_MS)

    assert desk.tell(refunds=(spent.bucket, 30)).total == 0


def test_another_window_counts_on_with_what_was_used_as_if_it_were_used_now() -> None:
    desk = Desk()
    desk.tell(spent=30)
    desk.pass_time(WINDOW_MS - 1000)
    hour = {"window_ms": 3_600_000, "width_ms": 14_062}
    edited = desk.tell(**hour)
    desk.pass_time(3_600_000)
    still = desk.tell(**hour)

    assert (edited.total, still.total) == (30, 30)


def test_two_limits_of_one_root_are_counted_each_by_itself() -> None:
    desk = Desk()
    answer = desk.send(ask_of(key="one", spent=3), ask_of(key="other", spent=4, amount=50))

    assert [(scope.total, scope.free) for scope in answer.scopes] == [(3, 97), (4, 46)]


# -- what is granted


def test_a_grant_is_what_is_needed_or_a_share_of_what_is_free() -> None:
    desk = Desk(gateways=2)

    assert desk.tell(need=30, want=90).granted == 30
    assert desk.tell(keep=30, want=90).granted == (100 - 30) // 4
    assert desk.tell(keep=47, want=5).granted == 5
    assert desk.tell(keep=52).granted == 0


def test_what_was_granted_is_nobody_elses_and_what_is_not_kept_is_free_again() -> None:
    desk = Desk()
    desk.tell(need=60, want=60)
    other = desk.tell(gateway="b", need=60, want=60)
    desk.tell(keep=10)
    later = desk.tell(gateway="b", need=60, want=60)

    assert (other.granted, other.free, other.leased) == (0, 40, 60)
    assert (later.granted, later.free, later.leased) == (60, 30, 70)


def test_all_that_is_free_may_be_granted_and_no_more() -> None:
    desk = Desk()

    assert desk.tell(need=101, want=101).granted == 0
    assert desk.tell(need=100, want=500).granted == 100


def test_of_limits_that_are_needed_together_all_are_granted_or_none() -> None:
    desk = Desk()
    roomy, spent = ask_of(key="roomy", need=10, want=10), ask_of(key="spent", spent=95, need=10, want=10)
    unasked = ask_of(key="unasked", want=10)
    answer = desk.send(roomy, spent, unasked)

    assert [scope.granted for scope in answer.scopes] == [0, 0, 10]
    assert answer.scopes[0].wait_ms == 100
    assert answer.scopes[1].wait_ms > 59_000


def test_a_lowered_amount_leaves_less_than_nothing_and_grants_nothing() -> None:
    desk = Desk()
    desk.tell(spent=80)
    answer = desk.tell(amount=50, want=10)

    assert (answer.granted, answer.free) == (0, -30)


def test_who_is_refused_is_told_when_so_much_will_have_left_its_window() -> None:
    desk = Desk()
    desk.tell(spent=40)
    desk.pass_time(10_000)
    desk.tell(spent=50)

    first, both = desk.tell(need=50, want=50), desk.tell(need=60, want=60)

    assert WINDOW_MS - 10_000 <= first.wait_ms <= WINDOW_MS - 10_000 + TOLERANCE_MS + WIDTH_MS
    assert WINDOW_MS <= both.wait_ms <= WINDOW_MS + TOLERANCE_MS + WIDTH_MS


HOUR: dict[str, object] = {"window_ms": 3_600_000, "width_ms": 14_062}


@pytest.mark.parametrize("shape", [{}, HOUR, days()], ids=["minute", "hour", "day"])
def test_what_others_hold_in_advance_may_be_back_soon(shape: dict[str, object]) -> None:
    desk = Desk(now_ms=MORNING_MS)
    desk.tell(**shape, spent=10, need=80, want=80)

    assert desk.tell(gateway="b", **shape, need=90, want=90).wait_ms == SOON_MS


def test_what_others_have_spent_is_not_promised_before_it_leaves() -> None:
    desk = Desk()
    desk.tell(**HOUR, need=90, want=90)
    held = desk.tell(gateway="b", **HOUR, need=20, want=20)
    desk.tell(**HOUR, spent=90)
    spent = desk.tell(gateway="b", **HOUR, need=20, want=20)

    assert (held.wait_ms, spent.wait_ms >= 3_600_000) == (SOON_MS, True)


@pytest.mark.parametrize(
    ("need", "waits_ms"),
    [(30, SOON_MS), (31, WINDOW_MS - 10_000), (70, WINDOW_MS - 10_000), (71, WINDOW_MS)],
)
def test_where_what_others_hold_is_not_enough_the_rest_has_to_leave_its_window(
    need: int, waits_ms: int
) -> None:
    desk = Desk()
    desk.tell(spent=40)
    desk.pass_time(10_000)
    desk.tell(spent=30, need=20, want=20)  # 10 are free, 20 held by others
    wait_ms = desk.tell(gateway="b", need=need, want=need).wait_ms

    assert waits_ms <= wait_ms <= waits_ms + TOLERANCE_MS + WIDTH_MS


def test_what_leaves_sooner_than_others_give_back_is_not_waited_for_any_longer() -> None:
    desk = Desk()
    desk.tell(spent=40)
    desk.pass_time(WINDOW_MS - 300)
    desk.tell(need=60, want=60)

    assert desk.tell(gateway="b", need=20, want=20).wait_ms <= 300 + TOLERANCE_MS + WIDTH_MS


def test_what_the_caller_itself_keeps_does_not_come_back_to_it() -> None:
    desk = Desk()
    desk.tell(spent=40, need=30, want=30)

    assert desk.tell(keep=30, need=40, want=40).wait_ms > WINDOW_MS


def test_of_a_dead_gateways_lease_the_truth_is_told_when_its_term_is_over() -> None:
    desk = Desk()
    desk.tell(**HOUR, need=90, want=90)
    desk.pass_time(TERM_MS)

    assert desk.tell(gateway="b", **HOUR, need=20, want=20).wait_ms >= 3_600_000


def test_what_runs_is_told_to_all() -> None:
    desk = Desk()
    desk.tell(held=7, keep=0)

    assert desk.tell(gateway="b", held=3).held == 10


# -- how a lease ends


def test_a_lease_that_nobody_renews_is_counted_as_spent() -> None:
    desk = Desk()
    desk.tell(need=60, want=60)
    desk.pass_time(TERM_MS)
    answer = desk.tell(gateway="b")

    assert (answer.total, answer.leased, answer.free) == (60, 0, 40)


def test_what_its_gateway_says_of_it_later_is_void() -> None:
    desk = Desk()
    desk.tell(need=60, want=60)
    desk.pass_time(TERM_MS)
    late = desk.tell(spent=50, keep=10)
    anew = desk.tell(generation=2, spent=5)

    assert (late.verdict, late.total, late.leased) == (Verdict.LOST, 60, 0)
    assert (anew.verdict, anew.total) == (Verdict.COUNTED, 65)


def test_a_lease_is_renewed_by_each_call() -> None:
    desk = Desk()
    desk.tell(need=60, want=60)
    for _ in range(3):
        desk.pass_time(TERM_MS - 1)
        kept = desk.tell(keep=60)

    assert (kept.verdict, kept.leased, kept.total) == (Verdict.COUNTED, 60, 0)


def test_who_begins_a_new_generation_has_spent_all_of_the_old_one() -> None:
    desk = Desk()
    desk.tell(need=60, want=60)
    answer = desk.tell(generation=2, spent=1)

    assert (answer.verdict, answer.total, answer.leased) == (Verdict.COUNTED, 61, 0)


def test_nothing_is_remembered_of_a_gateway_that_has_and_runs_nothing() -> None:
    desk = Desk()
    desk.tell(need=60, want=60)
    desk.tell(spent=60, keep=0)
    (scope,) = desk.store.scopes()

    assert scope.leases == {}


# -- of Concurrency


def test_of_requests_at_once_the_leases_are_what_runs() -> None:
    desk = Desk()
    first = desk.tell(**AT_ONCE, need=4, want=4)
    running = desk.tell(**AT_ONCE, keep=4, held=4)
    other = desk.tell(gateway="b", **AT_ONCE, need=7, want=7)

    assert (first.granted, first.bucket, first.total) == (4, 0, 0)
    assert (running.leased, running.held) == (4, 4)
    assert (other.granted, other.wait_ms) == (0, SOON_MS)


def test_what_a_dead_gateway_ran_is_free_when_its_term_is_over() -> None:
    desk = Desk()
    desk.tell(**AT_ONCE, need=4, want=4)
    desk.pass_time(TERM_MS)
    answer = desk.tell(gateway="b", **AT_ONCE)

    assert (answer.total, answer.free) == (0, 10)
    assert desk.tell(**AT_ONCE, keep=4).verdict == Verdict.COUNTED


# -- of a calendar


def test_of_a_calendar_all_that_was_spent_leaves_with_the_period() -> None:
    desk = Desk(now_ms=MORNING_MS)
    desk.tell(**days(), spent=30)
    desk.pass_time(13 * 3_600_000)
    before = desk.tell(**days())
    desk.pass_time(3_600_000)
    after = desk.tell(**days(first=1))

    assert (before.total, after.total) == (30, 0)
    assert after.bucket == before.bucket + DAY_MS


def test_a_gateway_whose_clock_is_behind_is_in_the_stores_period_all_the_same() -> None:
    desk = Desk(now_ms=MORNING_MS)
    desk.tell(**days(), spent=30)

    assert desk.tell(gateway="b", **days(first=-1), spent=5).total == 35


def test_a_gateway_whose_clock_is_ahead_begins_no_day_before_its_time_and_none_too_late() -> None:
    desk = Desk(now_ms=MORNING_MS)
    desk.tell(**days(), spent=30)
    ahead = desk.tell(gateway="b", **days(first=1), spent=5)
    desk.pass_time(DAY_MS)
    next_day = desk.tell(**days(first=1))

    assert (ahead.total, next_day.total) == (35, 0)


def test_where_it_is_the_first_to_come_its_day_counts_until_that_is_over() -> None:
    desk = Desk(now_ms=MORNING_MS)
    first = desk.tell(**days(first=1), spent=5)
    right = desk.tell(gateway="b", **days(), spent=30)
    desk.pass_time(2 * DAY_MS)
    later = desk.tell(**days(first=2))

    assert (first.total, right.total, later.total) == (5, 35, 0)


def test_a_clock_that_is_set_back_does_not_begin_the_same_day_again() -> None:
    desk = Desk(now_ms=MORNING_MS)
    desk.tell(**days(), spent=30)
    desk.pass_time(-DAY_MS)
    back = desk.tell(**days(first=-1))
    desk.pass_time(DAY_MS)
    again = desk.tell(**days())
    desk.pass_time(DAY_MS)
    next_day = desk.tell(**days(first=1))

    assert (back.total, again.total, next_day.total) == (30, 30, 0)


@pytest.mark.parametrize(
    ("length_ms", "first"), [(7 * DAY_MS, -3), (DAY_MS, 0)], ids=["from a week", "from a day elsewhere"]
)
def test_an_edit_of_the_calendar_keeps_what_was_used_until_the_end_of_the_new_period(
    length_ms: int, first: int
) -> None:
    desk = Desk(now_ms=MORNING_MS)
    before = days(first=first, length_ms=length_ms)
    if length_ms == DAY_MS:  # where the day began an hour earlier
        before["periods"] = tuple(moment - 3_600_000 for moment in before["periods"])  # type: ignore[attr-defined]
    desk.tell(**before, spent=30)
    edited = desk.tell(**days())
    desk.pass_time(DAY_MS)
    next_day = desk.tell(**days(first=1))

    assert (edited.total, next_day.total) == (30, 0)


def test_a_longer_period_goes_on_with_what_was_used() -> None:
    desk = Desk(now_ms=MORNING_MS)
    desk.tell(**days(), spent=30)
    week = days(first=-3, length_ms=7 * DAY_MS)
    edited = desk.tell(**week)
    desk.pass_time(DAY_MS)
    next_day = desk.tell(**week)
    desk.pass_time(4 * DAY_MS)
    next_week = desk.tell(**days(first=4, length_ms=7 * DAY_MS))

    assert (edited.total, next_day.total, next_week.total) == (30, 30, 0)


def test_from_a_window_to_a_calendar_and_back_nothing_is_lost_and_nothing_counted_twice() -> None:
    desk = Desk(now_ms=MORNING_MS)
    totals = [
        desk.tell(**shape, spent=10).total
        for shape in ({}, days(), {}, days())  # type: ignore[arg-type]
    ]

    assert totals == [10, 20, 30, 40]


def test_who_is_refused_under_a_calendar_is_told_when_the_period_ends() -> None:
    desk = Desk(now_ms=MORNING_MS)
    desk.tell(**days(), spent=100)
    this = desk.tell(**days(), need=1, want=1)
    desk.pass_time(DAY_MS)
    desk.tell(**days(), spent=100)
    next_day = desk.tell(**days(), need=1, want=1)

    assert (this.wait_ms, next_day.wait_ms) == (14 * 3_600_000, 14 * 3_600_000)


# -- clocks


def test_a_clock_that_is_set_back_is_put_right_by_who_remembers_what_it_showed() -> None:
    desk = Desk()
    desk.tell(spent=30)
    desk.now_ms -= 3_600_000
    answer = desk.send(ask_of(), estimate_ms=START_MS + 1000)
    later = desk.send(ask_of(), estimate_ms=START_MS + 1000)

    assert (answer.now_ms, later.now_ms) == (START_MS + 1000, START_MS + 1000)
    assert later.scopes[0].total == 30


def test_a_clock_that_is_set_ahead_makes_nothing_leave_early() -> None:
    desk = Desk()
    desk.tell(spent=30)
    desk.now_ms += 3_600_000
    answer = desk.send(ask_of(), estimate_ms=START_MS + 1000, uncertain_ms=50)

    assert (answer.now_ms, answer.scopes[0].total) == (START_MS + 1050, 30)


@pytest.mark.parametrize("by_ms", [-TOLERANCE_MS, 0, TOLERANCE_MS])
def test_a_small_difference_is_the_time_that_calls_take(by_ms: int) -> None:
    desk = Desk()
    desk.tell(spent=30)
    answer = desk.send(ask_of(), estimate_ms=START_MS + by_ms)

    assert answer.now_ms == START_MS


def test_nobodys_word_brings_time_back() -> None:
    desk = Desk()
    desk.tell(spent=30)
    desk.pass_time(50_000)
    desk.tell()
    answer = desk.send(ask_of(), gateway="b", estimate_ms=START_MS)

    assert answer.now_ms == START_MS + 50_000


# -- a store that forgets


def test_a_gateway_that_the_store_does_not_know_has_to_assert_first() -> None:
    desk = Desk()
    stranger = desk.send(ask_of(spent=30), asserts=0)

    assert (stranger.asserted, stranger.counted, stranger.scopes) == (False, 0, ())
    assert desk.tell(spent=30).total == 30


def test_what_it_has_forgotten_is_told_again() -> None:
    desk = Desk()
    spent = desk.tell(spent=30)
    desk.store.forget()
    lost = desk.send(ask_of(spent=5))
    told = desk.send(ask_of(generation=2, spent=5, journal=(spent.bucket, 30)), asserts=2)

    assert (lost.asserted, lost.epoch) == (False, START_MS + 1)
    assert (told.asserted, told.recovering, told.scopes[0].total) == (True, False, 35)


def test_what_is_told_again_twice_counts_once() -> None:
    desk = Desk()
    spent = desk.tell(spent=30)
    desk.store.forget()
    desk.send()
    again = [
        desk.send(ask_of(generation=generation, journal=(spent.bucket, 30)), asserts=2)
        for generation in (2, 3)
    ]

    assert [answer.scopes[0].total for answer in again] == [30, 30]


def test_what_has_left_its_window_is_not_told_again() -> None:
    desk = Desk()
    desk.store.forget()
    answer = desk.send(ask_of(journal=(START_MS // WIDTH_MS - 1000, 30)), asserts=2)

    assert answer.scopes[0].total == 0


def test_nothing_is_granted_until_all_have_told_it_again() -> None:
    desk = Desk()
    peers = ("a", "b")
    first = desk.send(ask_of(need=10, want=10), asserts=2, peers=peers)
    other = desk.send(ask_of(need=10, want=10), gateway="b", asserts=2, peers=peers)
    then = desk.send(ask_of(need=10, want=10))

    assert (first.recovering, first.scopes[0].granted, first.scopes[0].wait_ms) == (True, 0, 100)
    assert (other.recovering, other.scopes[0].granted) == (False, 10)
    assert (then.recovering, then.scopes[0].granted) == (False, 10)


def test_half_of_what_a_gateway_has_to_tell_is_not_enough() -> None:
    desk = Desk()
    half = desk.send(ask_of(want=10), asserts=1)
    whole = desk.send(ask_of(key="other", want=10), asserts=2)

    assert (half.recovering, half.scopes[0].granted) == (True, 0)
    assert (whole.recovering, whole.scopes[0].granted) == (False, 10)


def test_who_does_not_come_back_is_waited_for_as_long_as_what_it_spent_may_count() -> None:
    desk = Desk()
    peers = ("a", "dead")
    desk.send(ask_of(), asserts=2, peers=peers)
    desk.pass_time(TERM_MS + WINDOW_MS - 1)
    before = desk.send(ask_of(want=10))
    desk.pass_time(1)
    after = desk.send(ask_of(want=10))

    assert (before.recovering, before.scopes[0].granted) == (True, 0)
    assert (after.recovering, after.scopes[0].granted) == (False, 10)


@pytest.mark.parametrize(
    ("shape", "waits_ms"),
    [({"window_ms": 3_600_000}, RECOVERY_MS), (days(), RECOVERY_MS), (AT_ONCE, TERM_MS)],
    ids=["hour", "day", "at once"],
)
def test_it_is_waited_for_two_minutes_at_most_and_of_concurrency_for_a_term(
    shape: dict[str, object], waits_ms: int
) -> None:
    desk = Desk()
    desk.send(ask_of(**shape), asserts=2, peers=("a", "dead"))
    desk.pass_time(waits_ms - 1)
    before = desk.tell(**shape, want=10).granted
    desk.pass_time(1)

    assert (before, desk.tell(**shape, want=10).granted > 0) == (0, True)


def test_a_clock_that_is_set_while_it_waits_makes_it_wait_no_shorter() -> None:
    desk = Desk()
    desk.send(ask_of(), asserts=2, peers=("a", "dead"))
    desk.now_ms -= 3_600_000
    desk.send(ask_of(), estimate_ms=START_MS + 1000)
    desk.pass_time(WINDOW_MS - 2000)

    assert desk.tell(want=10).granted == 0


def test_a_gateway_with_nothing_to_say_hears_whether_others_are_still_waited_for() -> None:
    desk = Desk()

    assert desk.send(asserts=2, peers=("a", "dead")).recovering
    assert not Desk().send(asserts=2).recovering


def test_a_lease_of_before_is_dropped_since_the_journal_has_what_was_spent_of_it() -> None:
    desk = Desk()
    desk.send(ask_of(need=60, want=60), server="one")
    desk.send(server="other")
    journal = (START_MS // WIDTH_MS, 20)
    answer = desk.send(ask_of(generation=2, journal=journal), asserts=2, server="other")

    assert (answer.scopes[0].total, answer.scopes[0].leased) == (20, 0)


def test_another_server_may_know_less_so_all_assert_anew() -> None:
    desk = Desk()
    desk.send(ask_of(spent=30), server="one")
    answer = desk.send(ask_of(spent=5), server="other")

    assert (answer.asserted, answer.counted, answer.recovering) == (False, 1, True)


def test_a_store_that_fell_back_to_an_older_memory_says_how_far_it_goes() -> None:
    desk = Desk()
    desk.tell(spent=30)
    answer = desk.send(ask_of(spent=5), acknowledged=7)

    assert (answer.asserted, answer.counted) == (False, 1)
    assert answer.epoch > START_MS


def test_an_epoch_is_never_one_that_was_before() -> None:
    desk = Desk(now_ms=5)
    answer = desk.send(ask_of(), epoch=9000, asserts=2)

    assert answer.epoch == 9001


def test_of_a_root_that_was_forgotten_and_born_again_old_limits_count_nothing() -> None:
    desk = Desk()
    desk.tell(spent=30)
    del desk.store._roots["root"]
    desk.pass_time(1)
    answer = desk.send(ask_of(spent=5), asserts=2)

    assert answer.scopes[0].total == 5


# -- on the wire


def test_calls_and_answers_are_the_same_behind_the_wire() -> None:
    desk = Desk()
    answer = desk.send(ask_of(spent=3, refunds=(1, 2), journal=(3, 4)))
    call = LeaseCall("a", 2, TERM_MS, -1, "x", 1, 2, 3, 0, ("a", "b"), (ask_of(**days()),))

    assert decode_call(encode_call(call)) == call
    assert decode_answer(encode_answer(answer)) == answer


@pytest.mark.parametrize(
    ("window_s", "concurrency", "calendar", "shape"),
    [
        (60.0, False, False, (60_000, 234, False)),
        (0.1, False, False, (100, 1, False)),
        (0.0, True, False, (0, 0, True)),
        (0.0, False, True, (0, 0, False)),
    ],
)
def test_a_window_has_some_250_buckets(
    window_s: float, concurrency: bool, calendar: bool, shape: tuple[int, int, bool]
) -> None:
    assert find_shape(window_s, concurrency=concurrency, calendar=calendar) == shape
