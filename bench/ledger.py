"""What the ledger costs: rows a second into SQLite and PostgreSQL, alone and beside a busy event loop, and
what a request pays on its way.

    python -m bench.ledger            some minutes, and its section of bench/RESULTS.md
    python -m bench.ledger --quick    some seconds, to look at

Rows are those of ordinary chats. "Per core" is by the CPU time that the process spent. Beside a busy loop the
writer has to share the interpreter with it: that is where a statement for each row would wait. PostgreSQL is
a server of its own on this machine, with its usual settings but for its port; its rows a second are by the
clock, since most of the work is the server's.
"""

import argparse
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from bench.results import write_section
from gateway_runtime.contract.usd import format_usd
from gateway_runtime.ledger.journal import Journal
from gateway_runtime.ledger.ledger import Ledger
from gateway_runtime.ledger.place import make_store
from gateway_runtime.ledger.query import UsageQuery
from gateway_runtime.ledger.row import UsageRow
from gateway_runtime.ledger.sqlite import SqliteStore
from gateway_runtime.ledger.store import Store
from gateway_runtime.providers.models.facts import find_facts
from gateway_runtime.providers.usage import Usage
from gateway_runtime.server.account import Books, build_row
from gateway_runtime.server.endpoint import Clock
from gateway_runtime.server.record import Record
from tests.contract.tables import build_provider, build_route, build_tenant
from tests.ledger.postgres_server import PostgresServer, running_postgres

BATCH = 1000
"""What comes in 50 ms at 20,000 requests a second."""
USED = Usage(1200, 300, 200)
GOAL_ROWS = 20_000
GOAL_POSTGRES_ROWS = 50_000
POSTGRES_BATCH = 2000
"""What the ledger's thread takes at most."""


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.ledger", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer rows, and nothing is written down")
    quick = parser.parse_args().quick
    lines = measure(rows=100_000 if quick else 2_000_000, calls=50_000 if quick else 1_000_000)
    sys.stdout.write("\n".join((*lines, "")))
    if not quick:
        write_section("Ledger", "python -m bench.ledger", lines)


def measure(rows: int, calls: int) -> Sequence[str]:
    with tempfile.TemporaryDirectory() as folder:
        alone = measure_store(Path(folder) / "alone.db", rows)
        beside = measure_beside(Path(folder) / "beside.db", rows // 10)
        summed_s = measure_sum(SqliteStore(Path(folder) / "alone.db"))
        journal_ns = measure_journal(Path(folder) / "journal", calls)
        taken = measure_steps(Path(folder) / "steps", calls)
    with running_postgres(careful=True) as server:
        by_clock, by_cpu, postgres_summed_s = measure_postgres(server, rows // 4)
    return (
        "| | measured | goal |",
        "|---|---|---|",
        f"| rows a second per core, {rows:,} rows | {alone:,.0f} | >= {GOAL_ROWS:,} |",
        f"| rows a second beside a busy event loop | {beside:,.0f} | >= {GOAL_ROWS:,} |",
        f"| all of them added up, by tenant and model | {summed_s:.2f} s | |",
        f"| rows a second into PostgreSQL, {rows // 4:,} rows | {by_clock:,.0f} "
        f"| >= {GOAL_POSTGRES_ROWS:,} |",
        f"| the same, per core of the gateway | {by_cpu:,.0f} | |",
        f"| all of them added up | {postgres_summed_s:.2f} s | |",
        f"| per row: encoded and safe in the journal | {journal_ns:.0f} ns | <= 1,000 ns |",
        *(f"| per request: {name} | {us:.2f} µs | |" for name, us in taken.items()),
        f"| per request, together | {sum(taken.values()):.2f} µs | <= 4 µs |",
        f"| per row, in the writer's thread | {1e6 / alone:.2f} µs | |",
    )


def measure_steps(folder: Path, calls: int) -> dict[str, float]:
    """µs of each that a request pays."""
    facts = find_facts("openai", "gpt-4o-mini")
    prices = facts and facts.prices
    record = make_record()
    ledger = open_ledger_to_nowhere(folder)
    books = Books(ledger, Clock(time.monotonic, time.time))

    def note() -> None:
        record.usage = record.cost_usd_picos = None
        record.note_usage(USED, prices)

    def keep() -> None:
        record.is_kept, record.used = False, None
        books.keep(record, 200)

    taken = {
        "usage and its cost": time_calls(note, calls),
        "the header": time_calls(lambda: format_usd(record.cost_usd_picos or 0), calls),
        "the row, made and safe in the journal": time_calls(keep, calls),
    }
    ledger.close()
    return taken


def measure_journal(folder: Path, calls: int) -> float:
    """ns of this thread's CPU time to encode a row and to copy it into a mapped file, while the ledger's
    thread reads it again: the median of nine.
    """
    rows = make_rows(0, 100)
    ledger = open_ledger_to_nowhere(folder)
    found = []
    for _ in range(9):
        began_s = time.thread_time()
        for _call in range(calls // 900):
            for row in rows:
                ledger.record(row)
        found.append((time.thread_time() - began_s) / (calls // 900 * 100) * 1e9)
    ledger.close()
    return statistics.median(found)


def open_ledger_to_nowhere(folder: Path) -> Ledger:
    """The writer's own work is measured by itself."""
    ledger = Ledger(
        _Nowhere(folder / "nowhere.db"), Journal(folder, "bench", time.time), time.time, keep_days=None
    )
    ledger.start()
    return ledger


class _Nowhere(SqliteStore):
    def write(self, rows: Sequence[UsageRow]) -> None:
        pass


def make_record() -> Record:
    record = Record("0" * 24, "/v1/chat/completions", 0.0)
    record.tenant, record.route, record.provider = build_tenant("key"), build_route("gpt"), build_provider()
    record.key_id = "f" * 12
    record.model, record.upstream_model = "gpt-4o-mini", "gpt-4o-mini-2024-07-18"
    record.attempts, record.status, record.first_byte_s = 1, 200, 0.8
    return record


def make_rows(first: int, count: int) -> list[UsageRow]:
    record = make_record()
    record.note_usage(USED, None)
    rows = []
    for number in range(first, first + count):
        record.request_id = f"{number:024x}"
        row = build_row(record, 0.9, 1_700_000_000.0 + number / 1000, whole=True)
        assert row is not None
        rows.append(row)
    return rows


def measure_store(path: Path, rows: int) -> float:
    """Per second of CPU time, of all of the process."""
    store = SqliteStore(path)
    spent_s = 0.0
    for first in range(0, rows, BATCH):
        batch = make_rows(first, BATCH)
        began_s = time.process_time()
        store.write(batch)
        spent_s += time.process_time() - began_s
    store.close()
    return rows / spent_s


def measure_beside(path: Path, rows: int) -> float:
    """Per second of time, while this thread computes without a pause."""
    store = SqliteStore(path)
    batches = [make_rows(first, BATCH) for first in range(0, rows, BATCH)]
    done = threading.Event()

    def write() -> None:
        for batch in batches:
            store.write(batch)
        store.close()
        done.set()

    began_s = time.perf_counter()
    threading.Thread(target=write).start()
    while not done.is_set():
        sum(range(200))
    return rows / (time.perf_counter() - began_s)


def measure_postgres(server: PostgresServer, rows: int) -> tuple[float, float, float]:
    """Per second of time, and of this process' CPU time; and how long they take to add up."""
    store = make_store(server.make_place(), {})
    store.open()
    spent_s = cpu_s = 0.0
    for first in range(0, rows, POSTGRES_BATCH):
        batch = make_rows(first, POSTGRES_BATCH)
        began_s, cpu_began_s = time.perf_counter(), time.process_time()
        store.write(batch)
        spent_s += time.perf_counter() - began_s
        cpu_s += time.process_time() - cpu_began_s
    store.close()
    return rows / spent_s, rows / cpu_s, measure_sum(store)


def measure_sum(store: Store) -> float:
    query = UsageQuery(by=("tenant", "model"), since_unix_ms=0, until_unix_ms=2**60)
    began_s = time.perf_counter()
    store.sum_usage(query)
    return time.perf_counter() - began_s


def time_calls(step: Callable[[], object], calls: int) -> float:
    """µs of this thread's CPU time, the best of five: what disturbs only ever adds."""
    best_s = float("inf")
    for _ in range(5):
        began_s = time.thread_time()
        for _call in range(calls // 5):
            step()
        best_s = min(best_s, time.thread_time() - began_s)
    return best_s / (calls // 5) * 1e6


if __name__ == "__main__":
    main()
