"""What the ledger costs: rows a second into SQLite, alone and beside a busy event loop, and what a request
pays on its way.

    python -m bench.ledger            a minute, and its section of bench/RESULTS.md
    python -m bench.ledger --quick    some seconds, to look at

Rows are those of ordinary chats. "Per core" is by the CPU time that the process spent. Beside a busy loop the
writer has to share the interpreter with it: that is where a statement for each row would wait.
"""

import argparse
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from bench.results import write_section
from gateway_runtime.contract.ids import KeyHash
from gateway_runtime.ledger.ledger import Ledger
from gateway_runtime.ledger.query import UsageQuery
from gateway_runtime.ledger.row import UsageRow
from gateway_runtime.ledger.sqlite import SqliteStore
from gateway_runtime.ledger.usd import format_usd
from gateway_runtime.providers.models.facts import find_facts
from gateway_runtime.providers.usage import Usage
from gateway_runtime.server.account import build_row
from gateway_runtime.server.record import Record
from tests.contract.tables import build_provider, build_route, build_tenant

BATCH = 1000
"""What comes in 50 ms at 20,000 requests a second."""
USED = Usage(1200, 300, 200)
GOAL_ROWS = 20_000


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
        summed_s = measure_sum(Path(folder) / "alone.db")
        taken = measure_steps(Path(folder) / "steps.db", calls)
    return (
        "| | measured | goal |",
        "|---|---|---|",
        f"| rows a second per core, {rows:,} rows | {alone:,.0f} | >= {GOAL_ROWS:,} |",
        f"| rows a second beside a busy event loop | {beside:,.0f} | >= {GOAL_ROWS:,} |",
        f"| all of them added up, by tenant and model | {summed_s:.2f} s | |",
        *(f"| per request: {name} | {us:.2f} µs | |" for name, us in taken.items()),
        f"| per request, together | {sum(taken.values()):.2f} µs | <= 2 µs |",
        f"| per row, in the writer's thread | {1e6 / alone:.2f} µs | |",
    )


def measure_steps(path: Path, calls: int) -> dict[str, float]:
    """µs of each that a request pays."""
    facts = find_facts("openai", "gpt-4o-mini")
    record = make_record()
    ledger = Ledger(_Nowhere(path), time.time, keep_days=None)
    ledger.start()

    def note() -> None:
        record.usage = record.cost_usd_picos = None
        record.note_usage(USED, facts and facts.prices)

    def hand_over() -> None:
        row = build_row(record, 0.9, time.time())
        if row is not None:
            ledger.record(row)

    taken = {
        "usage and its cost": time_calls(note, calls),
        "the header": time_calls(lambda: format_usd(record.cost_usd_picos or 0), calls),
        "the row, handed over": time_calls(hand_over, calls),
    }
    ledger.close()
    return taken


class _Nowhere(SqliteStore):
    """The writer's own work is measured by itself."""

    def write(self, rows: Sequence[UsageRow]) -> None:
        pass


def make_record() -> Record:
    record = Record("0" * 24, "/v1/chat/completions", 0.0)
    record.tenant, record.route, record.provider = build_tenant("key"), build_route("gpt"), build_provider()
    record.key_hash = KeyHash("f" * 64)
    record.model, record.upstream_model = "gpt-4o-mini", "gpt-4o-mini-2024-07-18"
    record.attempts, record.status, record.first_byte_s = 1, 200, 0.8
    return record


def make_rows(first: int, count: int) -> list[UsageRow]:
    record = make_record()
    record.note_usage(USED, None)
    rows = []
    for number in range(first, first + count):
        record.request_id = f"{number:024x}"
        row = build_row(record, 0.9, 1_700_000_000.0 + number / 1000)
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


def measure_sum(path: Path) -> float:
    query = UsageQuery(by=("tenant", "model"), since_unix_ms=0, until_unix_ms=2**60)
    began_s = time.perf_counter()
    SqliteStore(path).sum_usage(query)
    return time.perf_counter() - began_s


def time_calls(step: Callable[[], object], calls: int) -> float:
    """µs each, the best of five: what disturbs only ever adds."""
    best_s = float("inf")
    for _ in range(5):
        began_s = time.perf_counter()
        for _call in range(calls // 5):
            step()
        best_s = min(best_s, time.perf_counter() - began_s)
    return best_s / (calls // 5) * 1e6


if __name__ == "__main__":
    main()
