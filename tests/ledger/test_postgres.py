"""The ledger in PostgreSQL: its months, a server that goes away, passwords and TLS. What every store does is
in `test_stores`.
"""

import os
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from gateway_runtime.ledger.journal import Journal
from gateway_runtime.ledger.ledger import Ledger, Pace
from gateway_runtime.ledger.place import find_spool, make_store
from gateway_runtime.ledger.postgres import PostgresStore
from gateway_runtime.ledger.postgres_url import PASSWORD as PASSWORD_VARIABLE
from gateway_runtime.ledger.postgres_url import PostgresUrl, WrongPlace, parse_postgres_url
from gateway_runtime.ledger.row import UsageRow
from gateway_runtime.ledger.store import Store, StoreFailed
from tests.ledger.postgres_server import PASSWORD, PostgresServer
from tests.ledger.rows import DAY_MS, NOON_MS, ask, build_row, build_rows
from tests.ledger.test_ledger import unix

SOON = Pace(batch_s=0.001, retry_s=0.01, longest_retry_s=0.05)
LONG_S = 30.0
"""Longer than any test."""


class WatchedStore(PostgresStore):
    """Tells how many rows it was given."""

    def __init__(self, url: PostgresUrl) -> None:
        super().__init__(url)
        self._rows = 0
        self._changed = threading.Condition()

    def write(self, rows: Sequence[UsageRow]) -> None:
        super().write(rows)
        with self._changed:
            self._rows += len(rows)
            self._changed.notify_all()

    def wait_for_rows(self, rows: int) -> None:
        with self._changed:
            assert self._changed.wait_for(lambda: self._rows >= rows, LONG_S)


@pytest.fixture
def place(postgres: PostgresServer) -> str:
    return postgres.make_place()


@pytest.fixture
def store(place: str) -> Iterator[Store]:
    store = make_store(place, {})
    yield store
    store.close()


def count(store: Store) -> int:
    return sum(one.requests for one in store.sum_usage(ask()))


def list_months(postgres: PostgresServer, place: str) -> list[str]:
    schema = place.partition("search_path=")[2].partition("&")[0]
    found = postgres.execute(
        f"SELECT tablename FROM pg_tables WHERE schemaname = '{schema}' "
        "AND tablename LIKE 'headgate_usage_%' ORDER BY 1"
    )
    return [name.removeprefix("headgate_usage_") for name in found.splitlines()]


def test_a_month_is_made_with_the_first_row_of_the_one_before(
    postgres: PostgresServer, place: str, store: Store
) -> None:
    store.write(build_rows(1))
    november = list_months(postgres, place)
    store.write([build_row("later", ended_unix_ms=NOON_MS + 45 * DAY_MS)])

    assert november == ["2026_11", "2026_12"]
    assert list_months(postgres, place) == ["2026_11", "2026_12", "2027_01"]


def test_months_that_are_over_are_dropped_whole_and_the_last_one_row_by_row(
    postgres: PostgresServer, place: str, store: Store
) -> None:
    months_ago = [build_row(f"old-{n}", ended_unix_ms=NOON_MS - n * 30 * DAY_MS) for n in (2, 3, 4)]
    store.write([*months_ago, *build_rows(3)])
    deleted = store.prune(NOON_MS + 1, 1000)

    assert deleted == 3
    assert list_months(postgres, place) == ["2026_11", "2026_12"]
    assert count(store) == 0


def test_a_row_of_a_month_that_another_gateway_has_dropped_is_kept(place: str, store: Store) -> None:
    other = make_store(place, {})
    other.write([build_row("1", ended_unix_ms=NOON_MS - 60 * DAY_MS)])
    store.prune(NOON_MS, 1000)
    other.write([build_row("2", ended_unix_ms=NOON_MS - 60 * DAY_MS)])
    other.close()

    assert count(store) == 1


def test_a_month_that_somebody_reads_is_dropped_another_time(
    postgres: PostgresServer, place: str, store: Store
) -> None:
    store.write([build_row(f"{n:04d}", ended_unix_ms=NOON_MS - 60 * DAY_MS + n) for n in range(3000)])
    reading = store.list_rows(ask())
    next(reading)
    deleted = store.prune(NOON_MS, 1000)
    rows = [row for batch in reading for row in batch]

    assert deleted == 0
    assert len(rows) == 2000
    assert store.prune(NOON_MS, 1000) == 0
    assert "2026_09" not in list_months(postgres, place)


def test_a_schema_of_a_later_headgate_is_left_alone(
    postgres: PostgresServer, place: str, store: Store
) -> None:
    store.write(build_rows(1))
    store.close()
    schema = place.partition("search_path=")[2].partition("&")[0]
    postgres.execute(f"UPDATE {schema}.headgate_ledger SET schema = 7")
    with pytest.raises(StoreFailed) as writing:
        store.write(build_rows(1, "new"))
    with pytest.raises(StoreFailed) as reading:
        store.sum_usage(ask())

    assert str(writing.value).endswith("has schema 7, which a later Headgate made; this one knows 1")
    assert str(reading.value) == str(writing.value)


def test_reading_makes_nothing(postgres: PostgresServer, place: str, store: Store) -> None:
    with pytest.raises(StoreFailed, match="has no ledger yet"):
        store.sum_usage(ask())
    with pytest.raises(StoreFailed, match="has no ledger yet"):
        next(store.list_rows(ask()))

    assert list_months(postgres, place) == []


def test_a_connection_that_was_cut_is_dialled_anew(postgres: PostgresServer, store: Store) -> None:
    store.write(build_rows(1, "a"))
    postgres.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'headgate'"
    )
    with pytest.raises(StoreFailed) as error:
        store.write(build_rows(1, "b"))
    store.write(build_rows(1, "b"))

    assert str(error.value).startswith(f"postgresql://headgate@127.0.0.1:{postgres.port}/postgres: ")
    assert count(store) == 2


def test_while_the_server_is_away_rows_wait_on_disk_and_then_are_written_once(
    postgres: PostgresServer, place: str, tmp_path: Path
) -> None:
    """The processes that had them are gone by then."""
    stores = [WatchedStore(parse_postgres_url(place, {})) for _ in range(3)]
    first, second, third = (
        Ledger(store, Journal(tmp_path, f"{at}", unix), unix, keep_days=None, pace=SOON)
        for at, store in enumerate(stores)
    )
    with capture_logs() as logs:
        first.start()
        first.record(build_row("before"))
        stores[0].wait_for_rows(1)
        postgres.stop()
        try:
            for row in build_rows(100):
                first.record(row)
            first.close()
            second.start()
            second.record(build_row("later"))
            second.close()
        finally:
            postgres.start()
        third.start()
        stores[2].wait_for_rows(101)
        third.close()
    rows = [row.request_id for batch in make_store(place, {}).list_rows(ask()) for row in batch]

    assert sorted(rows) == sorted(["before", "later", *(f"r{n}" for n in range(100))])
    assert "ledger cannot be written" in [line["event"] for line in logs]
    assert list(tmp_path.iterdir()) == []


def test_a_password_comes_from_the_environment_and_is_never_shown(postgres: PostgresServer) -> None:
    plain = postgres.make_place("guarded")
    referring = plain.replace("guarded@", "guarded:${DB_PASSWORD}@")
    for place, environment in (
        (plain, {PASSWORD_VARIABLE: PASSWORD}),
        (referring, {"DB_PASSWORD": PASSWORD}),
    ):
        store = make_store(place, environment)
        store.open()
        shown = f"{store!r} {store._url} {store._url!r}"  # type: ignore[attr-defined]
        store.close()

        assert PASSWORD not in shown
        assert "127.0.0.1" in shown


def test_a_wrong_password_is_told_without_it(postgres: PostgresServer) -> None:
    store = make_store(postgres.make_place("guarded"), {PASSWORD_VARIABLE: "wrong-planted-password"})
    with pytest.raises(StoreFailed) as error:
        store.open()
    store.close()

    assert str(error.value) == (
        f"postgresql://guarded@127.0.0.1:{postgres.port}/postgres: "
        'password authentication failed for user "guarded"'
    )


def test_with_tls_the_server_has_to_be_the_one_its_authority_vouches_for(
    postgres: PostgresServer, tmp_path: Path
) -> None:
    authority = tmp_path / "authority.pem"
    authority.write_bytes(postgres.authority.read_bytes())
    good = make_store(postgres.make_place(ssl=f"verify-full&sslrootcert={authority}"), {})
    good.write(build_rows(1))
    other = make_store(postgres.make_place(ssl="verify-full"), {})
    with pytest.raises(StoreFailed) as error:
        other.write(build_rows(1))
    elsewhere = good._url.text.replace("127.0.0.1", "localhost")  # type: ignore[attr-defined]
    third = make_store(elsewhere, {})
    with pytest.raises(StoreFailed, match="Hostname mismatch"):
        third.open()

    assert count(good) == 1
    assert "root" in str(error.value)
    for store in (good, other, third):
        store.close()


def test_a_server_that_is_not_there_is_named() -> None:
    store = make_store("postgresql://headgate@127.0.0.1:1/usage?sslmode=disable", {})
    with pytest.raises(StoreFailed) as error:
        store.open()
    store.close()

    assert str(error.value).startswith("postgresql://headgate@127.0.0.1:1/usage: ")
    assert "Connect" in str(error.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "postgresql://me:planted-secret@db/usage",
            "The ledger's URL has a password in it: write ${NAME} in",
        ),
        ("postgresql://me@db/usage?password=planted-secret", "The ledger's URL has a password in it: write"),
        (
            "postgresql://me:${NOBODY}@db/usage",
            "The ledger's URL takes its password from NOBODY, which is not",
        ),
        ("postgresql://me@db", "The ledger's URL names no database: write postgresql://USER@HOST/DATABASE."),
        ("postgresql://me@db:many/usage", "The ledger's URL has a port that is no number."),
        (
            "postgresql://me@db/usage?sslmode=on",
            "The ledger's URL has an unknown sslmode: write one of disable,",
        ),
        (
            "mysql://me@db/usage",
            "A ledger cannot be at mysql://: write postgresql://… or the path of a file.",
        ),
    ],
)
def test_what_is_wrong_with_a_url_is_said_without_its_secrets(text: str, message: str) -> None:
    with pytest.raises(WrongPlace) as error:
        make_store(text, {})

    assert str(error.value).startswith(message)
    assert "planted-secret" not in str(error.value)


@pytest.mark.parametrize("text", ["postgresql://me@[::1]:5432,other/usage", "postgres:///usage?host=/run/pg"])
def test_urls_that_are_as_they_should_be_pass(text: str) -> None:
    assert parse_postgres_url(text, {}).text == text


def test_a_journal_for_postgresql_is_where_it_is_said_or_in_the_gateways_folder() -> None:
    url = "postgresql://me@db/usage"

    assert find_spool(url, Path("/spool"), Path("/state")) == Path("/spool")
    assert find_spool(url, None, Path("/state")) == Path("/state/ledger-spool")
    assert find_spool("/var/usage.db", None, None) == Path("/var/usage.db-spool")
    with pytest.raises(WrongPlace, match="name one with --ledger-spool"):
        find_spool(url, None, None)


def test_a_store_of_postgresql_is_made_without_dialling() -> None:
    assert isinstance(make_store("postgresql://me@db.invalid/usage", os.environ), PostgresStore)
