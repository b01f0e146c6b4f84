"""Moments and time zones: what their text comes to, and what is none."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate_operator.api.times import known_zones, parse_moment


@pytest.mark.parametrize(
    ("text", "unix_s"),
    [
        ("2026-12-31T23:59:59Z", 1798761599.0),
        ("2027-01-01T00:59:59+01:00", 1798761599.0),
        ("2026-12-31T12:59:59.5-11:00", 1798761599.5),
        ("2000-01-01T00:00:00+00:00", 946684800.0),
    ],
)
def test_a_moment_is_the_same_wherever_its_clock_stands(text: str, unix_s: float) -> None:
    assert parse_moment(text) == unix_s


@given(st.datetimes(datetime(2000, 1, 1), datetime(2999, 12, 31), timezones=st.timezones()))
def test_a_moment_as_computers_write_it_is_read_back(moment: datetime) -> None:
    in_utc = moment.astimezone(UTC)

    assert parse_moment(in_utc.isoformat()) == moment.timestamp()
    assert parse_moment(in_utc.isoformat().replace("+00:00", "Z")) == moment.timestamp()


def test_a_moment_without_an_offset_is_none() -> None:
    with pytest.raises(ValueError, match="'2026-12-31T23:59:59' has no offset: add Z for UTC"):
        parse_moment("2026-12-31T23:59:59")


def test_every_known_zone_can_be_opened() -> None:
    names = known_zones()

    assert {"UTC", "Europe/Berlin", "America/St_Johns", "Asia/Kathmandu"} <= names
    assert {ZoneInfo(name).key for name in names} == names
