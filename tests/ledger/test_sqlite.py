"""The ledger's file: exact sums, each row once, and what happens to a file that is full, broken, moved, or
somebody else's.
"""

import os
import resource
import sqlite3
import stat
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given

from gateway_runtime.ledger.query import By
from gateway_runtime.ledger.report import Sum
from gateway_runtime.ledger.row import LARGEST, UsageRow
from gateway_runtime.ledger.sqlite import SqliteStore
from gateway_runtime.ledger.store import StoreFailed
from tests.ledger.rows import DAY_MS, NOON_MS, ask, build_row, build_rows, some_groups, some_rows


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "usage.db"


@pytest.fixture
def store(path: Path) -> Iterator[SqliteStore]:
    store = SqliteStore(path)
    yield store
    store.close()


def count(store: SqliteStore) -> int:
    (total,) = store.sum_usage(ask())
    return total.requests


def sum_slowly(rows: Sequence[UsageRow], by: Sequence[By]) -> dict[tuple[str | None, ...], Counter[str]]:
    """As it is meant, in plain Python."""
    sums: dict[tuple[str | None, ...], Counter[str]] = {}
    for row in rows:
        day = datetime.fromtimestamp(row.ended_unix_ms / 1000, UTC).date().isoformat()
        names = {"key": row.key_id, "upstream-model": row.upstream_model, "day": day}
        found = sums.setdefault(tuple(names.get(name) or getattr(row, name, None) for name in by), Counter())
        found["requests"] += 1
        found["errors"] += row.error is not None or row.status in (429, 502)
        found["unpriced"] += not row.priced
        found["uncounted"] += row.input_tokens is None and row.error is None and row.status == 200
        found["estimated"] += row.estimated
        for name in ("input_tokens", "output_tokens", "cached_tokens", "cache_write_tokens"):
            found[name] += getattr(row, name) or 0
        found["cost_usd_picos"] += row.cost_usd_picos or 0
    return sums


@given(some_rows(), some_groups)
def test_sums_are_exact_to_the_picodollar_whatever_their_size(rows: list[UsageRow], by: list[By]) -> None:
    with TemporaryDirectory() as folder:
        store = SqliteStore(Path(folder) / "usage.db")
        store.write(rows)
        found = store.sum_usage(ask(*by))
        store.close()
    expected = sum_slowly(rows, by)

    assert {
        one.group: {name: value for name in Sum.__struct_fields__[1:] if (value := getattr(one, name))}
        for one in found
        if one.requests
    } == {group: {name: n for name, n in sums.items() if n} for group, sums in expected.items()}


def test_sums_come_sorted_with_those_who_have_no_name_first(store: SqliteStore) -> None:
    store.write([build_row("1", user="b"), build_row("2"), build_row("3", user="a")])

    assert [one.group for one in store.sum_usage(ask("user"))] == [(None,), ("a",), ("b",)]


def test_a_sum_beyond_64_bits_does_not_overflow(store: SqliteStore) -> None:
    store.write([build_row(str(n), cost_usd_picos=LARGEST, input_tokens=2**53 - 1) for n in range(2000)])
    (total,) = store.sum_usage(ask())

    assert (total.cost_usd_picos, total.input_tokens) == (2000 * LARGEST, 2000 * (2**53 - 1))


def test_a_query_is_about_its_time_and_its_tenant(store: SqliteStore) -> None:
    moments = [NOON_MS - 1, NOON_MS, NOON_MS + 999, NOON_MS + 1000]
    store.write([build_row(f"{at}", ended_unix_ms=at) for at in moments])
    store.write([build_row("other", tenant="chat/other")])

    (within,) = store.sum_usage(ask(tenant="chat/team", since=NOON_MS, until=NOON_MS + 1000))
    assert within.requests == 2
    assert [one.group for one in store.sum_usage(ask("tenant"))] == [("chat/other",), ("chat/team",)]


def test_days_are_those_of_utc(store: SqliteStore) -> None:
    midnight = NOON_MS + DAY_MS // 2
    store.write([build_row("1", ended_unix_ms=midnight - 1), build_row("2", ended_unix_ms=midnight)])

    assert [one.group for one in store.sum_usage(ask("day"))] == [("2026-11-01",), ("2026-11-02",)]


def test_a_row_that_comes_twice_is_kept_once_as_it_came_first(store: SqliteStore) -> None:
    store.write([build_row("1"), build_row("2"), build_row("1", cost_usd_picos=9)])
    store.write([build_row("2", cost_usd_picos=9), build_row("3")])
    (total,) = store.sum_usage(ask())

    assert (total.requests, total.cost_usd_picos) == (3, 3 * 3_900_000)


def test_every_member_of_a_row_is_kept_as_it_was(store: SqliteStore, path: Path) -> None:
    row = build_row(user="ü", stream=True, error="HG1016", fallback="claude", estimated=True)
    bare = build_row("bare", key_id=None, input_tokens=None, cost_usd_picos=None, first_token_ms=None)
    store.write([row, bare])
    with closing(sqlite3.connect(path)) as connection:
        cursor = connection.execute("SELECT * FROM usage ORDER BY request_id DESC")
        names = tuple(column[0] for column in cursor.description)
        kept = [UsageRow(*values) for values in cursor.fetchall()]

    assert names == UsageRow.__struct_fields__
    assert kept == [row, bare]


def test_a_batch_is_kept_whole_or_not_at_all(store: SqliteStore) -> None:
    with pytest.raises(sqlite3.IntegrityError):
        store.write([*build_rows(150), build_row("bad", tenant=None)])

    assert count(store) == 0


def test_old_rows_are_deleted_a_few_at_a_time_the_oldest_first(store: SqliteStore) -> None:
    store.write([build_row(f"{n}", ended_unix_ms=NOON_MS + n) for n in range(10)])

    assert [store.prune(NOON_MS + 5, 3) for _ in range(3)] == [3, 2, 0]
    (left,) = store.sum_usage(ask())
    assert left.requests == 5
    assert store.sum_usage(ask(until=NOON_MS + 5))[0].requests == 0


def test_the_file_is_for_its_owner_alone(store: SqliteStore, path: Path) -> None:
    store.write(build_rows(1))

    assert {stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()} == {0o600}
    assert len(list(path.parent.iterdir())) == 3
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


WRITER = """
import sys
from pathlib import Path
from gateway_runtime.ledger.sqlite import SqliteStore
from tests.ledger.rows import build_rows
store = SqliteStore(Path(sys.argv[1]))
rows = build_rows(2000, sys.argv[2]) + build_rows(200, "shared-")
for start in range(0, len(rows), 20):
    store.write(rows[start : start + 20])
store.close()
"""


def test_two_processes_write_to_one_file_and_no_row_is_lost_or_twice(path: Path) -> None:
    writers = [subprocess.Popen([sys.executable, "-c", WRITER, str(path), name]) for name in ("a-", "b-")]
    codes = [writer.wait(60) for writer in writers]

    assert codes == [0, 0]
    assert count(SqliteStore(path)) == 4200


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """The kernel refuses to let any file of this process grow beyond it, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_on_a_full_disk_a_batch_fails_and_later_the_same_batch_is_kept(
    store: SqliteStore, path: Path
) -> None:
    store.write(build_rows(10))
    size = max(file.stat().st_size for file in path.parent.iterdir())
    batch = build_rows(2000, "more-")
    with largest_file(size + 50_000), pytest.raises(StoreFailed) as error:
        store.write(batch)
    kept_meanwhile = count(store)
    store.write(batch)

    assert str(error.value).startswith(f"{path}: ")
    assert (kept_meanwhile, count(store)) == (10, 2010)


def test_a_broken_file_fails_until_it_is_out_of_the_way(store: SqliteStore, path: Path) -> None:
    path.parent.mkdir()
    path.write_text("This is no database, and it is long enough to be taken for a broken one. " * 20)
    with pytest.raises(StoreFailed, match="file is not a database"):
        store.write(build_rows(1))
    with pytest.raises(StoreFailed, match="file is not a database"):
        store.sum_usage(ask())
    path.rename(path.with_suffix(".broken"))
    store.write(build_rows(1))

    assert count(store) == 1


def test_a_file_that_was_moved_away_gets_no_more_rows(store: SqliteStore, path: Path) -> None:
    store.write(build_rows(1, "a"))
    for file in list(path.parent.iterdir()):
        file.rename(file.with_name(f"old-{file.name}"))
    store.write(build_rows(2, "b"))

    assert count(store) == 2
    assert count(SqliteStore(path.with_name("old-usage.db"))) == 1


def test_a_file_of_a_later_schema_is_left_alone(store: SqliteStore, path: Path) -> None:
    store.write(build_rows(1))
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA user_version = 7")
    store.close()
    with pytest.raises(StoreFailed) as writing:
        store.write(build_rows(1, "new"))
    with pytest.raises(StoreFailed) as reading:
        store.sum_usage(ask())

    assert str(writing.value) == (f"{path} has schema 7, which a later Headgate made; this one knows 1")
    assert str(reading.value) == str(writing.value)


def test_the_database_of_another_program_is_left_alone(store: SqliteStore, path: Path) -> None:
    path.parent.mkdir()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE letters (text)")
    with pytest.raises(StoreFailed, match="is the database of another program"):
        store.write(build_rows(1))
    with pytest.raises(StoreFailed, match="is no ledger"):
        store.sum_usage(ask())


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    store = SqliteStore(tmp_path / "file" / "usage.db")
    with pytest.raises(StoreFailed) as error:
        store.write(build_rows(1))

    assert str(error.value) == f"{tmp_path}/file/usage.db: File exists"


def test_a_file_that_was_only_opened_has_sums_of_nothing(store: SqliteStore) -> None:
    store.open()

    assert count(store) == 0
    assert store.sum_usage(ask("tenant")) == []


def test_reading_makes_no_file(path: Path) -> None:
    with pytest.raises(StoreFailed, match="unable to open database file"):
        SqliteStore(path).sum_usage(ask())

    assert not path.exists()


def test_a_name_with_signs_of_a_url_in_it_is_a_name(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "50% usage?.db")
    store.write(build_rows(1))

    assert count(store) == 1
    assert os.listdir(tmp_path)[0].startswith("50% usage?.db")
    store.close()
