"""What may be asked: times and groups as people write them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway_runtime.ledger.query import (
    UsageQuery,
    WrongQuery,
    build_query,
    format_moment,
    parse_by,
    parse_moment,
)
from tests.ledger.rows import DAY_MS, NOON_MS

NOW_S = NOON_MS / 1000


@pytest.mark.parametrize(
    ("text", "unix_ms"),
    [
        ("30m", NOON_MS - 30 * 60_000),
        ("12h", NOON_MS - DAY_MS // 2),
        ("1d", NOON_MS - DAY_MS),
        ("2w", NOON_MS - 14 * DAY_MS),
        ("999999w", 0),
        ("2026-11-01", NOON_MS - DAY_MS // 2),
        ("2026-11-01T12:00:00Z", NOON_MS),
        ("2026-11-01T13:00:00+01:00", NOON_MS),
        ("2026-11-01T12:00:00.250", NOON_MS + 250),
        ("1960-01-01", 0),
    ],
)
def test_a_time_is_an_age_a_day_or_a_moment(text: str, unix_ms: int) -> None:
    assert parse_moment(text, NOW_S) == unix_ms


@pytest.mark.parametrize(
    "text", ["", "yesterday", "30", "d", "0d", "-1d", "1.5h", "2026-13-01", "1234567d", "9" * 99]
)
def test_any_other_time_is_told_how_to_write_one(text: str) -> None:
    with pytest.raises(WrongQuery) as error:
        parse_moment(text, NOW_S)

    assert str(error.value) == (
        f'"{text[:50]}" is no time: write how long ago (12h, 30d, 4w), a day (2026-11-01) or a moment '
        "(2026-11-01T12:00:00Z)."
    )


@given(st.integers(0, 4_000_000_000_000))
def test_a_moment_that_is_shown_is_read_again(unix_ms: int) -> None:
    assert parse_moment(format_moment(unix_ms), NOW_S) == unix_ms


def test_groups_are_named_with_commas_or_one_by_one_and_count_once() -> None:
    assert parse_by(["tenant, model", "day", "model"]) == ("tenant", "model", "day")


@pytest.mark.parametrize("text", ["colour", "", "tenant,", "tenant; DROP TABLE usage"])
def test_an_unknown_group_is_told_those_that_there_are(text: str) -> None:
    with pytest.raises(WrongQuery) as error:
        parse_by([text])

    assert str(error.value).endswith(
        "They can by: tenant, user, key, route, provider, model, upstream-model, operation, day, tag:NAME."
    )


def test_without_times_it_is_about_the_last_thirty_days_up_to_this_millisecond() -> None:
    assert build_query([], None, None, None, NOW_S) == UsageQuery(
        by=(), since_unix_ms=NOON_MS - 30 * DAY_MS, until_unix_ms=NOON_MS + 1
    )


@pytest.mark.parametrize("until", ["2026-10-01", "2026-09-30"])
def test_an_end_that_is_not_after_the_beginning_is_refused(until: str) -> None:
    with pytest.raises(WrongQuery, match="`until` is not after `since`: nothing lies between them"):
        build_query([], "2026-10-01", until, None, NOW_S)
