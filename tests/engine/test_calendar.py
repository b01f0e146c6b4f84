"""Days, weeks and months of a zone, and what is counted in them: all of it leaves at once, at their end."""

from collections import deque
from datetime import datetime
from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway_runtime.contract.tenant import Calendar
from gateway_runtime.engine.calendar import Period, PeriodCount, PeriodEnd, find_period, find_zone
from gateway_runtime.engine.window import RollingCount

HOUR_S = 3600
DAY_S = 24 * HOUR_S
NOON = "2026-03-04T12:00Z"
CALENDARS: tuple[Calendar, ...] = ("day", "week", "month")
ZONES = (
    "UTC",
    "Europe/Berlin",
    "America/New_York",
    "America/Sao_Paulo",
    "America/Havana",
    "Asia/Kathmandu",
    "Australia/Lord_Howe",
    "Pacific/Apia",
)


def at(text: str) -> int:
    """`2026-03-29T00:00+01:00`"""
    return int(datetime.fromisoformat(text).timestamp())


def period(text: str, calendar: Calendar, zone: str = "UTC") -> tuple[str, str]:
    """In the zone's own words."""
    found = find_period(at(text), calendar, find_zone(zone))
    start, end = (datetime.fromtimestamp(moment, find_zone(zone)) for moment in found)
    return start.isoformat(timespec="minutes"), end.isoformat(timespec="minutes")


def hours(text: str, calendar: Calendar, zone: str) -> float:
    found = find_period(at(text), calendar, find_zone(zone))
    return (found.end_unix_s - found.start_unix_s) / HOUR_S


# -- which period a moment is in


def test_a_day_goes_from_midnight_to_midnight() -> None:
    assert period(NOON, "day") == ("2026-03-04T00:00+00:00", "2026-03-05T00:00+00:00")


def test_a_week_begins_on_monday() -> None:
    monday = ("2026-03-02T00:00+00:00", "2026-03-09T00:00+00:00")

    assert [period(f"2026-03-0{day}T12:00Z", "week") for day in (2, 4, 8)] == [monday] * 3
    assert period("2026-03-01T12:00Z", "week")[1] == monday[0]


@pytest.mark.parametrize(
    ("moment", "begins", "ends"),
    [
        ("2026-02-28T23:59Z", "2026-02-01", "2026-03-01"),
        ("2028-02-29T12:00Z", "2028-02-01", "2028-03-01"),
        ("2026-12-31T23:59Z", "2026-12-01", "2027-01-01"),
        ("2027-01-01T00:00Z", "2027-01-01", "2027-02-01"),
    ],
)
def test_a_month_is_as_long_as_it_is(moment: str, begins: str, ends: str) -> None:
    assert period(moment, "month") == (f"{begins}T00:00+00:00", f"{ends}T00:00+00:00")


def test_the_last_second_of_a_day_is_in_it_and_the_next_is_not() -> None:
    assert find_period(at("2026-03-05T00:00Z") - 0.001, "day", find_zone("UTC")) == Period(
        at("2026-03-04T00:00Z"), at("2026-03-05T00:00Z")
    )
    assert find_period(at("2026-03-05T00:00Z"), "day", find_zone("UTC")).start_unix_s == at(
        "2026-03-05T00:00Z"
    )


def test_midnight_is_where_the_zone_has_it() -> None:
    assert period("2026-03-04T16:00Z", "day", "Asia/Tokyo") == (
        "2026-03-05T00:00+09:00",
        "2026-03-06T00:00+09:00",
    )


def test_the_days_on_which_clocks_change_have_23_and_25_hours() -> None:
    assert [hours(f"2026-03-{day}T12:00Z", "day", "Europe/Berlin") for day in (28, 29, 30)] == [24, 23, 24]
    assert [hours(f"2026-10-{day}T12:00Z", "day", "Europe/Berlin") for day in (24, 25, 26)] == [24, 25, 24]


def test_weeks_and_months_in_which_clocks_change_are_an_hour_shorter_or_longer() -> None:
    assert hours("2026-03-25T12:00Z", "week", "Europe/Berlin") == 7 * 24 - 1
    assert hours("2026-03-25T12:00Z", "month", "Europe/Berlin") == 31 * 24 - 1
    assert hours("2026-10-25T12:00Z", "month", "Europe/Berlin") == 31 * 24 + 1


def test_both_times_of_an_hour_that_comes_twice_are_in_one_day() -> None:
    summer, winter = "2026-10-25T02:30+02:00", "2026-10-25T02:30+01:00"

    assert period(summer, "day", "Europe/Berlin") == period(winter, "day", "Europe/Berlin")


def test_where_clocks_skip_midnight_the_day_begins_in_that_moment() -> None:
    assert period("2018-11-04T12:00-02:00", "day", "America/Sao_Paulo") == (
        "2018-11-04T01:00-02:00",
        "2018-11-05T00:00-02:00",
    )


def test_where_midnight_comes_twice_the_day_begins_with_the_first() -> None:
    first, second = "2026-11-01T00:30-04:00", "2026-11-01T00:30-05:00"
    day = ("2026-11-01T00:00-04:00", "2026-11-02T00:00-05:00")

    assert [period(moment, "day", "America/Havana") for moment in (first, second)] == [day, day]


def test_a_day_that_a_zone_skipped_belongs_to_nobody() -> None:
    # Samoa went from the 29th straight to the 31st.
    assert period("2011-12-29T12:00-10:00", "day", "Pacific/Apia") == (
        "2011-12-29T00:00-10:00",
        "2011-12-31T00:00+14:00",
    )


@given(
    st.floats(at("1990-01-01T00:00Z"), at("2040-01-01T00:00Z")),
    st.sampled_from(CALENDARS),
    st.sampled_from(ZONES),
)
def test_every_moment_is_in_one_period_and_the_next_begins_where_it_ends(
    unix_s: float, calendar: Calendar, zone: str
) -> None:
    found = find_period(unix_s, calendar, find_zone(zone))

    assert found.start_unix_s <= unix_s < found.end_unix_s
    for moment in (found.start_unix_s, found.end_unix_s - 1):
        assert find_period(moment, calendar, find_zone(zone)) == found
    assert find_period(found.end_unix_s, calendar, find_zone(zone)).start_unix_s == found.end_unix_s
    assert find_period(found.start_unix_s - 1, calendar, find_zone(zone)).end_unix_s == found.start_unix_s


@pytest.mark.parametrize("name", ["Mars/Olympus", "Europe/berlin", "America"])
def test_a_zone_that_this_machine_does_not_know_is_named(name: str) -> None:
    with pytest.raises(ValueError, match="the time zones of this machine") as caught:
        find_zone(name)

    assert str(caught.value) == f'the time zones of this machine have no "{name}"'


def test_a_name_that_is_no_zones_is_an_error_of_the_same_kind() -> None:
    with pytest.raises(ValueError, match="may not be absolute paths"):
        find_zone("/etc/passwd")


# -- what is counted in it


class Clocks:
    """Both show the same but for `ahead_s`, by which the wall clock was set."""

    def __init__(self, wall: str = NOON, calendar: Calendar = "day", zone: str = "UTC") -> None:
        self.now_s = 1000.0
        self.ahead_s = 0.0
        self._began_unix_s = at(wall)
        self.calendar = calendar
        self.zone = find_zone(zone)

    def end_of(self, now_s: float) -> PeriodEnd:
        unix_s = self._began_unix_s + now_s - 1000.0 + self.ahead_s
        end_unix_s = find_period(unix_s, self.calendar, self.zone).end_unix_s
        return PeriodEnd(now_s + end_unix_s - unix_s, end_unix_s)

    def until(self, text: str) -> float:
        """Of the wall clock, on the counter's."""
        return at(text) - self._began_unix_s + 1000.0 - self.ahead_s


def test_all_that_was_counted_leaves_at_once_when_the_period_ends() -> None:
    clocks = Clocks()
    count = PeriodCount(clocks.end_of)
    for now_s in (1000.0, 2000.0, 30_000.0):
        count.add(now_s)
    midnight_s = clocks.until("2026-03-05T00:00Z")

    assert (count.total(midnight_s - 0.001), count.total(midnight_s)) == (3, 0)


def test_a_day_of_25_hours_counts_for_25_hours() -> None:
    clocks = Clocks("2026-10-25T00:00+02:00", zone="Europe/Berlin")
    count = PeriodCount(clocks.end_of)
    count.add(1000.0)

    assert count.total(1000.0 + 25 * HOUR_S - 1) == 1
    assert count.total(1000.0 + 25 * HOUR_S) == 0


def test_what_is_held_is_settled_within_its_period() -> None:
    count = PeriodCount(Clocks().end_of)
    slot = count.hold(1000.0, 100)
    count.add(1001.0)

    assert (count.total(2000.0), count.held(2000.0)) == (101, 100)

    slot.settle(100, 30)

    assert (count.total(2000.0), count.held(2000.0)) == (31, 0)


def test_more_may_be_settled_than_was_held() -> None:
    count = PeriodCount(Clocks().end_of)
    count.hold(1000.0, 100).settle(100, 250)

    assert (count.total(1000.0), count.held(1000.0)) == (250, 0)


def test_a_hold_that_runs_across_the_end_gives_nothing_back_to_the_next_period() -> None:
    clocks = Clocks()
    count = PeriodCount(clocks.end_of)
    slot = count.hold(1000.0, 100)
    midnight_s = clocks.until("2026-03-05T00:00Z")
    count.hold(midnight_s, 7)
    slot.settle(100, 30)

    assert (count.total(midnight_s), count.held(midnight_s)) == (7, 7)


def test_nothing_leaves_before_the_end_so_that_is_how_long_one_waits() -> None:
    clocks = Clocks()
    count = PeriodCount(clocks.end_of)
    count.hold(1000.0, 5)

    assert count.wait_for_drop(2000.0, 0) == 0.0
    assert count.wait_for_drop(2000.0, 1) == 12 * HOUR_S - 1000.0
    assert count.wait_for_newest(1000.0) == 12 * HOUR_S


def test_who_can_never_be_served_is_told_to_come_back_tomorrow() -> None:
    assert PeriodCount(Clocks(calendar="month").end_of).window_s == DAY_S


def test_a_clock_that_is_set_ahead_is_noticed_within_a_minute() -> None:
    # As on a laptop that slept: its own clock stood still, the wall's did not.
    clocks = Clocks()
    count = PeriodCount(clocks.end_of)
    count.add(1000.0)
    clocks.ahead_s = 13.0 * HOUR_S

    assert (count.total(1059.9), count.total(1060.0)) == (1, 0)

    count.add(1060.0)

    assert count.total(1060.0 + 22 * HOUR_S) == 1
    assert count.total(1060.0 + 23 * HOUR_S) == 0


def test_a_clock_that_is_set_back_does_not_begin_the_same_day_again() -> None:
    clocks = Clocks()
    count = PeriodCount(clocks.end_of)
    count.add(1000.0)
    clocks.ahead_s = -1.0 * HOUR_S

    assert count.total(1000.0 + 12 * HOUR_S) == 1
    assert count.wait_for_drop(1000.0 + 12 * HOUR_S, 1) == HOUR_S
    assert count.total(1000.0 + 13 * HOUR_S) == 0


def test_a_clock_that_is_set_back_by_days_keeps_nobody_waiting_for_all_of_them() -> None:
    clocks = Clocks()
    count = PeriodCount(clocks.end_of)
    count.add(1000.0)
    clocks.ahead_s = -300.0 * DAY_S

    assert count.total(1000.0 + 12 * HOUR_S - 1) == 1
    assert count.total(1000.0 + 12 * HOUR_S) == 0


def test_another_calendar_keeps_what_was_used_until_its_own_end() -> None:
    clocks, months = Clocks(), Clocks(calendar="month")
    count = PeriodCount(clocks.end_of)
    slot = count.hold(1000.0, 10)
    count.set_calendar(months.end_of, 2000.0)
    slot.settle(10, 4)

    assert count.total(clocks.until("2026-03-05T00:00Z")) == 4
    assert count.total(clocks.until("2026-04-01T00:00Z")) == 0


def test_a_shorter_calendar_frees_what_was_used_sooner() -> None:
    months, days = Clocks(calendar="month"), Clocks()
    count = PeriodCount(months.end_of)
    count.add(1000.0)
    count.set_calendar(days.end_of, 2000.0)

    assert count.total(2000.0) == 1
    assert count.total(days.until("2026-03-05T00:00Z")) == 0


def test_a_reload_behind_the_end_carries_nothing_into_the_new_period() -> None:
    clocks = Clocks()
    count = PeriodCount(clocks.end_of)
    count.add(1000.0)
    count.set_calendar(clocks.end_of, clocks.until("2026-03-05T00:10Z"))

    assert count.total(clocks.until("2026-03-05T00:20Z")) == 0


def test_a_rolling_window_that_becomes_a_calendar_keeps_all_that_counts() -> None:
    clocks = Clocks()
    rolling, count = RollingCount(60.0), PeriodCount(clocks.end_of)
    rolling.add(900.0)
    slot = rolling.hold(990.0, 10)
    rolling.add(999.0)
    count.adopt(rolling.give_slots(1000.0), 1000.0)

    assert (rolling.total(1000.0), rolling.slots()) == (0, 0)
    assert (count.total(1000.0), count.held(1000.0)) == (11, 10)

    slot.settle(10, 3)

    assert (count.total(1000.0 + HOUR_S), rolling.total(1000.0)) == (4, 0)
    assert count.total(clocks.until("2026-03-05T00:00Z")) == 0


def test_a_calendar_that_becomes_a_rolling_window_keeps_all_that_counts_for_a_whole_one() -> None:
    clocks = Clocks()
    count, rolling = PeriodCount(clocks.end_of), RollingCount(60.0)
    slot = count.hold(1000.0, 10)
    rolling.adopt(count.give_slots(5000.0), 5000.0)

    assert (count.total(5000.0), rolling.held(5000.0)) == (0, 10)

    slot.settle(10, 3)

    assert (rolling.total(5059.9), rolling.total(5060.0)) == (3, 0)


def test_a_period_that_is_over_gives_nothing_to_a_rolling_window() -> None:
    clocks = Clocks()
    count = PeriodCount(clocks.end_of)
    count.add(1000.0)

    assert count.give_slots(clocks.until("2026-03-05T00:00Z")) == deque()


@given(
    st.lists(st.tuples(st.floats(0, 20_000), st.integers(-1, 3)), max_size=40),
    st.sampled_from(CALENDARS),
    st.sampled_from(ZONES),
)
def test_the_count_is_that_of_the_log_of_its_period(
    steps: list[tuple[float, int]], calendar: Calendar, zone: str
) -> None:
    clocks = Clocks(calendar=calendar, zone=zone)
    count = PeriodCount(clocks.end_of)
    log: list[tuple[int, int]] = []
    now_s = 1000.0
    for pause_s, spent in steps:
        now_s += pause_s
        which = clocks.end_of(now_s).unix_s
        slot = count.hold(now_s, 3)
        if spent >= 0:
            slot.settle(3, spent)
        log.append((which, 3 if spent < 0 else spent))

        assert count.total(now_s) == sum(amount for period, amount in log if period == which)
        assert 0 < count.wait_for_newest(now_s) < inf
