"""Where a ledger is, as people write it: the path of a file, or a URL of PostgreSQL; a Store out.

`server` opens one to write and read, the command line to read. What is wrong with a place is told before
anything is opened.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from gateway_runtime.ledger.journal import Journal
from gateway_runtime.ledger.ledger import Ledger
from gateway_runtime.ledger.postgres_url import SCHEMES, PostgresUrl, WrongPlace, parse_postgres_url
from gateway_runtime.ledger.sqlite import SqliteStore
from gateway_runtime.ledger.store import Store

SPOOL_SUFFIX: Final = "-spool"
"""Of the journal's folder, beside the file: `usage.db-spool`."""


def is_url(place: str) -> bool:
    return "://" in place


def make_store(place: str, environment: Mapping[str, str]) -> Store:
    """Nothing is touched or dialled yet. Raises WrongPlace."""
    if not is_url(place):
        return SqliteStore(Path(place))
    url = parse_url(place, environment)
    try:
        from gateway_runtime.ledger.postgres import PostgresStore
    except ImportError as error:
        raise WrongPlace(
            "A ledger in PostgreSQL needs the package asyncpg: pip install 'headgate[postgres]'."
        ) from error
    return PostgresStore(url)


def open_ledger(
    place: str,
    environment: Mapping[str, str],
    unix: Callable[[], float],
    *,
    owner: str,
    keep_days: int | None,
    spool: Path,
    spool_bytes: int,
) -> Ledger:
    """To write. owner: a word that no other process has. Raises WrongPlace."""
    journal = Journal(spool, owner, unix, spool_bytes=spool_bytes)
    return Ledger(make_store(place, environment), journal, unix, keep_days=keep_days)


def parse_url(place: str, environment: Mapping[str, str]) -> PostgresUrl:
    """Raises WrongPlace."""
    if not place.startswith(SCHEMES):
        scheme = place.partition("://")[0]
        raise WrongPlace(
            f"A ledger cannot be at {scheme[:20]}://: write postgresql://… or the path of a file."
        )
    return parse_postgres_url(place, environment)


def find_spool(place: str, spool: Path | None, state_dir: Path | None) -> Path:
    """Where the journal is: as it is said, else beside the file, else in the gateway's own folder. Raises
    WrongPlace.
    """
    if spool is not None:
        return spool
    if not is_url(place):
        return Path(f"{place}{SPOOL_SUFFIX}")
    if state_dir is None:
        raise WrongPlace(
            "A ledger in PostgreSQL needs a folder where rows are safe until they are written: name one with "
            "--ledger-spool."
        )
    return state_dir / "ledger-spool"
