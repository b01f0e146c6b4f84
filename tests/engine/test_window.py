"""A count over a rolling window, in bounded memory."""

from math import inf

from hypothesis import given
from hypothesis import strategies as st

from gateway_runtime.engine.window import RollingCount

gaps = st.lists(st.floats(0, 30, allow_subnormal=False), max_size=60)


def test_what_is_older_than_the_window_is_not_counted() -> None:
    count = RollingCount(10.0)
    for second in range(5):
        count.add(float(second))

    assert count.total(4.0) == 5
    assert count.total(9.9) == 5
    assert count.total(10.0) == 4
    assert count.total(13.9) == 1
    assert count.total(14.0) == 0


def test_events_close_together_leave_together_with_the_latest() -> None:
    count = RollingCount(60.0)
    count.add(0.0)
    count.add(0.9)

    assert count.slots() == 1
    assert count.total(60.5) == 2
    assert count.total(60.9) == 0


def test_memory_does_not_grow_for_a_caller_that_only_adds() -> None:
    count = RollingCount(60.0)
    for tick in range(10_000):
        count.add(tick * 0.25)

    assert count.slots() <= 62


def test_how_long_a_count_takes_to_drop() -> None:
    count = RollingCount(10.0)
    for second in (0.0, 0.0, 3.0):
        count.add(second)

    assert count.wait_for_drop(4.0, 1) == 6.0
    assert count.wait_for_drop(4.0, 2) == 6.0
    assert count.wait_for_drop(4.0, 3) == 9.0
    assert count.wait_for_drop(4.0, 4) == 10.0


def test_nothing_to_drop_is_nothing_to_wait_for() -> None:
    assert RollingCount(10.0).wait_for_drop(5.0, 0) == 0.0


def test_a_cleared_count_starts_anew() -> None:
    count = RollingCount(10.0)
    count.add(0.0)
    slot = count.hold(0.0, 7)
    count.clear()
    count.settle(slot, 7, 2)

    assert (count.total(0.0), count.slots()) == (0, 0)


def test_what_is_held_counts_until_it_is_settled() -> None:
    count = RollingCount(10.0)
    slot = count.hold(0.0, 100)
    count.add(0.0)

    assert (count.total(5.0), count.held(5.0)) == (101, 100)

    count.settle(slot, 100, 30)

    assert (count.total(5.0), count.held(5.0)) == (31, 0)


def test_what_is_settled_leaves_with_the_slot_in_which_it_was_held() -> None:
    count = RollingCount(10.0)
    slot = count.hold(0.0, 100)
    count.settle(slot, 100, 30)

    assert (count.total(9.9), count.total(10.0)) == (30, 0)


def test_what_has_left_the_window_gives_nothing_back() -> None:
    count = RollingCount(10.0)
    slot = count.hold(0.0, 100)
    count.hold(5.0, 40)

    assert (count.total(10.0), count.held(10.0)) == (40, 40)

    count.settle(slot, 100, 30)

    assert (count.total(10.0), count.held(10.0)) == (40, 40)


def test_a_slot_that_was_all_given_back_keeps_nobody_waiting() -> None:
    count = RollingCount(10.0)
    count.add(0.0)
    count.settle(count.hold(5.0, 100), 100, 0)

    assert count.wait_for_drop(6.0, 1) == 4.0


def test_memory_does_not_grow_with_what_is_held() -> None:
    count = RollingCount(60.0)
    for tick in range(10_000):
        count.hold(tick * 0.25, 10**12)

    assert count.slots() <= 62


def test_without_an_end_of_the_window_nothing_leaves_but_what_is_settled() -> None:
    count = RollingCount(inf)
    first = count.hold(0.0, 1)
    count.hold(10.0**9, 1)

    assert (count.total(2 * 10.0**9), count.slots()) == (2, 1)

    count.settle(first, 1, 0)

    assert count.total(2 * 10.0**9) == 1
    assert count.wait_for_drop(2 * 10.0**9, 1) == inf


def test_more_may_be_settled_than_was_held() -> None:
    count = RollingCount(10.0)
    count.hold(0.0, 100).settle(100, 130)

    assert (count.total(0.0), count.held(0.0)) == (130, 0)


def test_what_was_counted_just_now_leaves_a_window_later() -> None:
    count = RollingCount(10.0)
    count.add(3.0)

    assert count.wait_for_newest(3.0) == 10.0


def test_a_slot_settles_in_the_count_that_has_it_now() -> None:
    one, other = RollingCount(10.0), RollingCount(60.0)
    slot = one.hold(0.0, 100)
    other.adopt(one.give_slots(5.0), 5.0)
    slot.settle(100, 30)

    assert (one.total(5.0), other.total(5.0)) == (0, 30)


def test_what_is_adopted_counts_as_if_it_had_happened_now() -> None:
    one, other = RollingCount(10.0), RollingCount(60.0)
    one.add(0.0)
    other.adopt(one.give_slots(5.0), 5.0)
    other.add(5.5)

    assert (other.total(64.9), other.slots()) == (2, 1)
    assert other.total(65.5) == 0


def test_what_is_over_is_not_given_to_another_count() -> None:
    one, other = RollingCount(10.0), RollingCount(60.0)
    slot = one.hold(0.0, 7)
    one.add(9.0)
    other.adopt(one.give_slots(12.0), 12.0)
    slot.settle(7, 0)

    assert other.total(12.0) == 1


def test_a_count_that_adopts_nothing_counts_on_from_nothing() -> None:
    count = RollingCount(10.0)
    count.adopt(RollingCount(60.0).give_slots(5.0), 5.0)
    count.add(5.0)

    assert (count.total(5.0), count.slots()) == (1, 1)


def test_a_count_that_gave_away_what_it_had_begins_anew() -> None:
    count = RollingCount(10.0)
    count.add(0.0)
    count.give_slots(1.0)
    count.add(1.0)

    assert (count.total(1.0), count.slots()) == (1, 1)


@given(gaps, st.floats(1, 100))
def test_the_count_is_never_too_small_and_too_large_by_one_slot_at_most(
    pauses: list[float], window_s: float
) -> None:
    count = RollingCount(window_s)
    log: list[float] = []
    now_s = 0.0
    for pause_s in pauses:
        now_s += pause_s
        count.add(now_s)
        log.append(now_s)
        counted = count.total(now_s)

        assert sum(time + window_s > now_s for time in log) <= counted
        assert counted <= sum(time + window_s + window_s / 60 > now_s - 1e-9 for time in log)
        assert count.slots() <= 62


@given(st.lists(st.tuples(st.floats(0, 3), st.integers(0, 50), st.integers(0, 50)), max_size=40))
def test_held_and_settled_together_are_never_too_small(
    steps: list[tuple[float, int, int]],
) -> None:
    count = RollingCount(10.0)
    log: list[tuple[float, int]] = []
    now_s = 0.0
    for pause_s, held, spent in steps:
        now_s += pause_s
        slot = count.hold(now_s, held)
        log.append((now_s, held))
        if spent <= held:
            count.settle(slot, held, spent)
            log[-1] = (now_s, spent)
        counted = count.total(now_s)

        assert sum(amount for time, amount in log if time + 10.0 > now_s) <= counted
        assert counted <= sum(amount for time, amount in log if time + 10.0 + 1 / 6 > now_s - 1e-9)
