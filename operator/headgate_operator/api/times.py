"""Moments and time zones: the two kinds of text that are more than their pattern.

In: text that matches its pattern. Out: the same text, or a ValueError that says what to write; `parse_moment`
turns what has passed into Unix time. The models use the types, `compile` the parser. The API server checks
the same by `format: date-time` and by asking Go's copy of the zones.
"""

from collections.abc import Set as AbstractSet
from datetime import datetime
from difflib import get_close_matches
from functools import cache
from importlib.resources import files
from typing import Annotated, Final

from pydantic import AfterValidator, Field, StringConstraints

from headgate_operator.api.fields import DATE_TIME, FORMS, LONGEST_SHOWN, TIME_ZONE

_KNOWN_ZONE: Final = "self != 'Local' && timestamp('2000-06-01T00:00:00Z').getFullYear(self) == 2000"
"""True for every zone that CEL knows; of another it tells an error, which refuses the object and names the
zone. `Local` is the server's own, which we do not know.
"""


def parse_moment(text: str) -> float:
    """Seconds since 1970. `text` is a `Moment`; raises ValueError for anything else."""
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(f"{text!r} has no offset: add Z for UTC")
    return moment.timestamp()


@cache
def known_zones() -> AbstractSet[str]:
    """Those of the database that is installed with us, so that every machine knows the same: a system's own
    has `localtime` and `posix/...` besides.
    """
    return frozenset(files("tzdata").joinpath("zones").read_text(encoding="utf-8").split())


def _check_moment(text: str) -> str:
    try:
        parse_moment(text)
    except ValueError as error:  # such as the 30th of February
        raise ValueError(f'must be {FORMS[DATE_TIME].words}, not "{text}"') from error
    return text


def _check_zone(text: str) -> str:
    zones = known_zones()
    if text in zones:
        return text
    near = get_close_matches(text, zones, n=1)
    meant = f'. Did you mean "{near[0]}"?' if near else ""
    # What is neither short nor like a zone may be an API key in the wrong place.
    given = f', not "{text}"' if near or len(text) <= LONGEST_SHOWN else ""
    raise ValueError(f"must be {FORMS[TIME_ZONE].words}{given}{meant}")


Moment = Annotated[
    str,
    StringConstraints(max_length=35, pattern=DATE_TIME),
    AfterValidator(_check_moment),
    Field(json_schema_extra={"format": "date-time"}),
]
"""A date and time of RFC 3339. CEL knows it as a timestamp."""

TimeZone = Annotated[
    str,
    StringConstraints(min_length=1, max_length=32, pattern=TIME_ZONE),
    AfterValidator(_check_zone),
    Field(
        json_schema_extra={
            "x-kubernetes-validations": [
                {"rule": _KNOWN_ZONE, "message": f"must be {FORMS[TIME_ZONE].words}"}
            ]
        }
    ),
]
"""A name of the IANA database."""
