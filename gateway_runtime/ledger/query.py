"""What may be asked of the ledger: texts from a command line or a URL in, a UsageQuery out.

    >>> parse_moment("30d", now_unix_s=2_592_000.0)
    0

Days are those of UTC, here as everywhere. Wrong texts raise WrongQuery, with a sentence for whoever asked.
"""

import re
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Final, Literal, TypeAlias, get_args

import msgspec

By: TypeAlias = Literal[
    "tenant", "user", "key", "route", "provider", "model", "upstream-model", "operation", "day"
]
BY: Final[tuple[By, ...]] = get_args(By)
TAG: Final = "tag:"
"""Before the name of a tag: `tag:team`."""
DEFAULT_SINCE: Final = "30d"

_UNITS_S: Final = {"m": 60, "h": 3600, "d": 86_400, "w": 7 * 86_400}
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND: Final = timedelta(milliseconds=1)
_TAG_NAME: Final = re.compile(r"[^\x00-\x1f\"\\,]{1,200}")
"""A claim of a token is called anything, a URL even; these signs would be read as something else."""
_AGE: Final = re.compile(r"([1-9][0-9]{0,5})([mhdw])")


class WrongQuery(Exception):
    """The message is a sentence."""


class UsageQuery(msgspec.Struct, frozen=True, kw_only=True):
    by: tuple[str, ...]
    """Of BY, or TAG and a name. Empty: everything is one sum."""
    since_unix_ms: int
    until_unix_ms: int
    """Requests that ended then are out already."""
    tenant: str | None = None
    """None: all of them."""


def build_query(
    by: Iterable[str], since: str | None, until: str | None, tenant: str | None, now_unix_s: float
) -> UsageQuery:
    """by: names, each perhaps several with commas between. since, until: as `parse_moment` takes them; None
    for the last 30 days, and for now. Raises WrongQuery.
    """
    since_ms = parse_moment(since or DEFAULT_SINCE, now_unix_s)
    # One ahead of now: what ended in this very millisecond is in.
    until_ms = int(now_unix_s * 1000) + 1 if until is None else parse_moment(until, now_unix_s)
    if until_ms <= since_ms:
        raise WrongQuery("`until` is not after `since`: nothing lies between them.")
    return UsageQuery(by=parse_by(by), since_unix_ms=since_ms, until_unix_ms=until_ms, tenant=tenant)


def parse_by(texts: Iterable[str]) -> tuple[str, ...]:
    """Each once, in the order in which they are named first. Raises WrongQuery."""
    found: dict[str, None] = {}
    for name in (name.strip() for text in texts for name in text.split(",")):
        is_tag = name.startswith(TAG) and _TAG_NAME.fullmatch(name.removeprefix(TAG)) is not None
        if name not in BY and not is_tag:
            raise WrongQuery(
                f'Sums cannot be made by "{name[:50]}". They can by: {", ".join(BY)}, {TAG}NAME.'
            )
        found[name] = None
    return tuple(found)


def parse_moment(text: str, now_unix_s: float) -> int:
    """Milliseconds of Unix time. text: how long ago (`90m`, `12h`, `30d`, `4w`), a day (`2026-11-01`, its
    beginning) or a moment in ISO 8601, in UTC where it names no zone. Raises WrongQuery.
    """
    if (age := _AGE.fullmatch(text)) is not None:
        return max(0, int(now_unix_s * 1000) - int(age[1]) * _UNITS_S[age[2]] * 1000)
    try:
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        return max(0, (moment - _EPOCH) // _MILLISECOND)  # a float would be a millisecond off, at times
    except (ValueError, OverflowError) as error:
        raise WrongQuery(
            f'"{text[:50]}" is no time: write how long ago (12h, 30d, 4w), a day (2026-11-01) or a moment '
            "(2026-11-01T12:00:00Z)."
        ) from error


def format_moment(unix_ms: int) -> str:
    """In UTC, as `parse_moment` reads it again; milliseconds only where there are any."""
    moment = datetime.fromtimestamp(unix_ms // 1000, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    return f"{moment}.{unix_ms % 1000:03d}Z" if unix_ms % 1000 else f"{moment}Z"
