"""The ledger's file: what happens to one that is full, broken, moved, of another age or somebody else's. What
every store does is in `test_stores`.
"""

import os
import resource
import sqlite3
import stat
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from gateway_runtime.ledger.row import UsageRow
from gateway_runtime.ledger.sqlite import SqliteStore
from gateway_runtime.ledger.store import StoreFailed
from tests.ledger.rows import ask, build_row, build_rows


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


def test_the_file_is_for_its_owner_alone(store: SqliteStore, path: Path) -> None:
    store.write(build_rows(1))

    assert {stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()} == {0o600}
    assert len(list(path.parent.iterdir())) == 3
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


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

    assert str(writing.value) == (f"{path} has schema 7, which a later Headgate made; this one knows 2")
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


OLD = """\
CREATE TABLE usage (
    request_id TEXT NOT NULL PRIMARY KEY, ended_unix_ms INTEGER NOT NULL, tenant TEXT NOT NULL, user TEXT,
    key_id TEXT, route TEXT NOT NULL, provider TEXT NOT NULL, model TEXT NOT NULL,
    upstream_model TEXT NOT NULL, operation TEXT NOT NULL, status INTEGER NOT NULL, error TEXT,
    stream INTEGER NOT NULL, input_tokens INTEGER, output_tokens INTEGER, cached_tokens INTEGER,
    cache_write_tokens INTEGER, reasoning_tokens INTEGER, cost_usd_picos INTEGER, priced INTEGER NOT NULL,
    estimated INTEGER NOT NULL, duration_ms INTEGER NOT NULL, first_token_ms INTEGER,
    attempts INTEGER NOT NULL, fallback TEXT
);
CREATE INDEX usage_by_time ON usage (ended_unix_ms);
INSERT INTO usage VALUES ('old', 1793534400000, 'chat/team', NULL, NULL, 'r', 'p', 'm', 'u', '/v1', 200,
    NULL, 0, 10, 4, 0, 0, 0, 3900000, 1, 0, 12, 12, 1, NULL);
PRAGMA user_version = 1;
"""
"""As the first Headgate made it."""


@pytest.fixture
def old(path: Path) -> Path:
    path.parent.mkdir()
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(OLD)
    return path


def read_rows(store: SqliteStore) -> list[UsageRow]:
    return [row for rows in store.list_rows(ask()) for row in rows]


def test_a_file_of_an_earlier_schema_is_read_as_it_is(store: SqliteStore, old: Path) -> None:
    before = old.read_bytes()
    sums, rows = store.sum_usage(ask("tenant", "tag:team")), read_rows(store)

    assert [(one.group, one.requests) for one in sums] == [(("chat/team", None), 1)]
    assert [(row.request_id, row.end, row.tags, row.input_usd_picos) for row in rows] == [
        ("old", "", None, None)
    ]
    assert old.read_bytes() == before


def test_a_file_of_an_earlier_schema_is_brought_up_with_the_first_row(store: SqliteStore, old: Path) -> None:
    store.write([build_row("new", end="answered", tags='{"a":"b"}')])
    with closing(sqlite3.connect(old)) as connection:
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        columns = [name for _, name, *_ in connection.execute("PRAGMA table_info(usage)")]
    found = {row.request_id: row for row in read_rows(store)}

    assert version == 2
    assert tuple(columns) == UsageRow.__struct_fields__
    assert found["new"] == build_row("new", end="answered", tags='{"a":"b"}')
    assert (found["old"].cost_usd_picos, found["old"].end) == (3_900_000, "")
