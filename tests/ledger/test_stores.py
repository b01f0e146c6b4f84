"""What every store does, asked of each: exact sums, each row once, rows as they were, old ones deleted."""

import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings

from gateway_runtime.ledger.place import make_store
from gateway_runtime.ledger.report import Sum
from gateway_runtime.ledger.row import LARGEST, UsageRow
from gateway_runtime.ledger.store import Store, StoreFailed
from tests.ledger.postgres_server import PostgresServer
from tests.ledger.rows import DAY_MS, NOON_MS, ask, build_row, build_rows, some_groups, some_rows

KINDS = ("sqlite", "postgres")


@pytest.fixture(params=KINDS)
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return str(tmp_path / "state" / "usage.db")
    server: PostgresServer = request.getfixturevalue("postgres")
    return server.make_place()


@pytest.fixture
def store(place: str) -> Iterator[Store]:
    store = make_store(place, {})
    yield store
    store.close()


def count(store: Store) -> int:
    (total,) = store.sum_usage(ask())
    return total.requests


def read_rows(store: Store) -> list[UsageRow]:
    return [row for rows in store.list_rows(ask()) for row in rows]


def sum_slowly(rows: Sequence[UsageRow], by: Sequence[str]) -> dict[tuple[str | None, ...], dict[str, int]]:
    """As it is meant, in plain Python."""
    sums: dict[tuple[str | None, ...], Counter[str]] = {}
    for row in rows:
        tags = {} if row.tags is None else msgspec.json.decode(row.tags)
        day = datetime.fromtimestamp(row.ended_unix_ms / 1000, UTC).date().isoformat()
        names = {"key": row.key_id, "upstream-model": row.upstream_model, "day": day}
        names |= {f"tag:{name}": text for name, text in tags.items()}
        found = sums.setdefault(tuple(names.get(name) or getattr(row, name, None) for name in by), Counter())
        found["requests"] += 1
        found["errors"] += row.error is not None or row.status in (429, 502)
        found["unpriced"] += not row.priced
        found["uncounted"] += row.input_tokens is None and row.error is None and row.status == 200
        found["estimated"] += row.estimated
        for name in ("input_tokens", "output_tokens", "cached_tokens", "cache_write_tokens"):
            found[name] += getattr(row, name) or 0
        found["cost_usd_picos"] += row.cost_usd_picos or 0
    return {group: {name: n for name, n in numbers.items() if n} for group, numbers in sums.items()}


def show(found: Sequence[Sum]) -> dict[tuple[str | None, ...], dict[str, int]]:
    """Without what is 0."""
    return {
        one.group: {name: value for name in Sum.__struct_fields__[1:] if (value := getattr(one, name))}
        for one in found
        if one.requests
    }


@settings(max_examples=50, deadline=None)
@given(some_rows(), some_groups)
def test_sums_are_exact_to_the_picodollar_whatever_their_size(rows: list[UsageRow], by: list[str]) -> None:
    with TemporaryDirectory() as folder:
        store = make_store(f"{folder}/usage.db", {})
        store.write(rows)
        found = store.sum_usage(ask(*by))
        store.close()

    assert show(found) == sum_slowly(rows, by)


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(some_rows(least=1), some_groups)
def test_both_stores_add_up_to_the_same(
    postgres: PostgresServer, rows: list[UsageRow], by: list[str]
) -> None:
    store = make_store(postgres.make_place(), {})
    store.write(rows)
    found, kept = store.sum_usage(ask(*by)), read_rows(store)
    store.close()

    assert show(found) == sum_slowly(rows, by)
    assert kept == sorted(rows, key=lambda row: (row.ended_unix_ms, row.request_id))


def test_sums_come_sorted_with_those_who_have_no_name_first(store: Store) -> None:
    store.write([build_row("1", user="b"), build_row("2"), build_row("3", user="a")])

    assert [one.group for one in store.sum_usage(ask("user"))] == [(None,), ("a",), ("b",)]


def test_a_sum_beyond_64_bits_does_not_overflow(store: Store) -> None:
    store.write([build_row(str(n), cost_usd_picos=LARGEST, input_tokens=2**53 - 1) for n in range(2000)])
    (total,) = store.sum_usage(ask())

    assert (total.cost_usd_picos, total.input_tokens) == (2000 * LARGEST, 2000 * (2**53 - 1))


def test_a_query_is_about_its_time_and_its_tenant(store: Store) -> None:
    moments = [NOON_MS - 1, NOON_MS, NOON_MS + 999, NOON_MS + 1000]
    store.write([build_row(f"{at}", ended_unix_ms=at) for at in moments])
    store.write([build_row("other", tenant="chat/other")])
    asked = ask(tenant="chat/team", since=NOON_MS, until=NOON_MS + 1000)

    (within,) = store.sum_usage(asked)
    assert within.requests == 2
    assert [row.request_id for rows in store.list_rows(asked) for row in rows] == [
        str(NOON_MS),
        str(NOON_MS + 999),
    ]
    assert [one.group for one in store.sum_usage(ask("tenant"))] == [("chat/other",), ("chat/team",)]


def test_days_are_those_of_utc(store: Store) -> None:
    midnight = NOON_MS + DAY_MS // 2
    store.write([build_row("1", ended_unix_ms=midnight - 1), build_row("2", ended_unix_ms=midnight)])

    assert [one.group for one in store.sum_usage(ask("day"))] == [("2026-11-01",), ("2026-11-02",)]


def test_sums_may_be_by_a_tag_whatever_it_is_called(store: Store) -> None:
    claim = "https://example.com/team's [1].name"
    rows = [
        build_row("1", tags=f'{{"{claim}":"a","team":"x"}}'),
        build_row("2", tags=f'{{"{claim}":"b","team":"x"}}'),
        build_row("3"),
    ]
    store.write(rows)

    assert [one.group for one in store.sum_usage(ask(f"tag:{claim}", "tenant"))] == [
        (None, "chat/team"),
        ("a", "chat/team"),
        ("b", "chat/team"),
    ]
    assert [(one.group, one.requests) for one in store.sum_usage(ask("tag:team"))] == [
        ((None,), 1),
        (("x",), 2),
    ]


def test_a_row_that_comes_twice_is_kept_once_as_it_came_first(store: Store) -> None:
    store.write([build_row("1"), build_row("2"), build_row("1", cost_usd_picos=9)])
    store.write([build_row("2", cost_usd_picos=9), build_row("3")])
    (total,) = store.sum_usage(ask())

    assert (total.requests, total.cost_usd_picos) == (3, 3 * 3_900_000)


def test_every_member_of_a_row_is_kept_as_it_was(store: Store) -> None:
    row = build_row(
        user="ü",
        stream=True,
        error="HG1016",
        fallback="claude",
        estimated=True,
        end="broke-off",
        tags='{"team":"x"}',
        input_usd_picos=LARGEST,
        output_usd_picos=2,
        cached_input_usd_picos=3,
        cache_write_usd_picos=4,
        reasoning_usd_picos=5,
    )
    bare = build_row("a", key_id=None, input_tokens=None, cost_usd_picos=None, first_token_ms=None)
    store.write([row, bare])

    assert read_rows(store) == [bare, row]


def test_rows_are_listed_the_oldest_first_however_many(store: Store) -> None:
    rows = [build_row(f"{n:04d}", ended_unix_ms=NOON_MS + n // 2) for n in range(2500)]
    store.write(rows[::-1])
    batches = list(store.list_rows(ask()))

    assert [row for batch in batches for row in batch] == rows
    assert max(map(len, batches)) < len(rows)


def test_a_batch_is_kept_whole_or_not_at_all(store: Store) -> None:
    with pytest.raises(Exception, match=r"(?i)null") as error:
        store.write([*build_rows(150), build_row("bad", tenant=None)])
    store.write([build_row("later")])

    assert not isinstance(error.value, StoreFailed)
    assert count(store) == 1


def test_old_rows_are_deleted_a_few_at_a_time_the_oldest_first(store: Store) -> None:
    store.write([build_row(f"{n}", ended_unix_ms=NOON_MS + n) for n in range(10)])

    assert [store.prune(NOON_MS + 5, 3) for _ in range(3)] == [3, 2, 0]
    assert [row.request_id for row in read_rows(store)] == ["5", "6", "7", "8", "9"]


def test_one_that_was_only_opened_has_sums_of_nothing(store: Store) -> None:
    store.open()

    assert count(store) == 0
    assert store.sum_usage(ask("tenant")) == []
    assert read_rows(store) == []


def test_after_it_was_closed_it_may_be_used_again(store: Store) -> None:
    store.write(build_rows(1, "a"))
    store.close()
    store.write(build_rows(1, "b"))

    assert count(store) == 2


WRITER = """
import sys
from gateway_runtime.ledger.place import make_store
from tests.ledger.rows import NOON_MS, DAY_MS, build_row
store = make_store(sys.argv[1], {})
names = [*(f"{sys.argv[2]}{n}" for n in range(2000)), *(f"shared-{n}" for n in range(200))]
rows = [build_row(name, ended_unix_ms=NOON_MS + at % 5 * 30 * DAY_MS) for at, name in enumerate(names)]
for start in range(0, len(rows), 50):
    store.write(rows[start : start + 50])
store.close()
"""


def test_two_processes_write_to_one_and_no_row_is_lost_or_twice(place: str, store: Store) -> None:
    """Both make it, and the months in it, at the same time."""
    arguments: list[Any] = [sys.executable, "-c", WRITER, place]
    writers = [subprocess.Popen([*arguments, name]) for name in ("a-", "b-")]
    codes = [writer.wait(60) for writer in writers]

    assert codes == [0, 0]
    assert count(store) == 4200
