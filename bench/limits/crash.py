"""What `kill -9` loses: a gateway under full load, all of it killed at a chance moment, again and again, and
every answer held against the ledger.

    gateway with two workers, loaders that note ids -> kill -9 -> a gateway that takes over -> Crash

In: programs, a Python, a folder. Out: a `Crash` for each time. All have one ledger, so that rows of an
earlier time may not come again. The one subtle rule: a request was answered once its caller has all of it, to
the last chunk of a stream; a row may be there without that, never the other way round.
"""

import os
import signal
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

from bench.limits.processes import Running, spell_gateway, start_all
from bench.limits.quota import MODEL
from bench.providers.bodies import build_chat
from bench.speed.environment import Python
from bench.speed.machine import Cores, find_tree
from bench.speed.programs import LoadResult, Order, Programs
from gateway_runtime.contract.table import RoutingTable
from gateway_runtime.ledger.place import SPOOL_SUFFIX

WORKERS: Final = 2
CHATS: Final = 48
STREAMS: Final = 16
"""Connections."""
STREAM_CHUNKS: Final = 20
_BEHIND_S: Final = 0.5
"""Loaders go on for so long after the kill, so that it comes under full load."""
_POLL_S: Final = 0.02
_PATIENCE_S: Final = 120.0


class NotOver(RuntimeError):
    """Somebody did not die, or left some of the journals of the dead where they were."""


class Crash(NamedTuple):
    served_s: float
    """Until the kill."""
    answered: int
    rows: int
    """That came into the ledger."""
    missing: int
    """Of those that were answered."""
    twice: int
    replay_s: float
    """From the start of the next gateway until it had all that the dead had left."""
    errors: dict[str, int]
    """What callers got instead of an answer."""

    @property
    def unanswered(self) -> int:
        """Rows of requests whose callers have not got all of the answer."""
        return self.rows - (self.answered - self.missing)


@dataclass(frozen=True, slots=True, kw_only=True)
class NotedOrder(Order):
    """The loader writes the ids of what was answered into a file."""

    ids: Path

    def arguments(self) -> Iterator[str]:
        yield from Order.arguments(self)
        yield from ("-ids", str(self.ids))


@dataclass(frozen=True, slots=True)
class Stage:
    """Where one crash after the other happens."""

    programs: Programs
    cores: Cores
    python: Python
    folder: Path
    table: RoutingTable

    @property
    def ledger(self) -> Path:
        return self.folder / "usage.db"

    @property
    def spool(self) -> Path:
        return Path(f"{self.ledger}{SPOOL_SUFFIX}")

    def crash(self, number: int, served_s: float) -> Crash:
        """Raises LoadFailed, NotStarted, NotOver."""
        before = count_rows(self.ledger)
        answered, errors = self._serve_and_kill(number, served_s)
        replay_s = self._take_over(number)
        rows = count_rows(self.ledger) - before
        missing, twice = compare(self.ledger, answered)
        return Crash(served_s, len(answered), rows, missing, twice, replay_s, errors)

    def _serve_and_kill(self, number: int, served_s: float) -> tuple[list[str], dict[str, int]]:
        """The ids of what was answered, and what else callers got."""
        with (
            self._start(f"crash-{number}", "--workers", str(WORKERS)) as (gateway,),
            ThreadPoolExecutor(2) as threads,
        ):
            seconds = served_s + _BEHIND_S
            orders = (
                self._order(f"chats-{number}", seconds, CHATS, 0),
                self._order(f"streams-{number}", seconds, STREAMS, STREAM_CHUNKS),
            )
            loading = [threads.submit(self._load, gateway.port, order) for order in orders]
            time.sleep(served_s)
            kill_all(gateway.pid)
            results = [one.result() for one in loading]
        errors: dict[str, int] = {}
        for result in results:
            for kind, count in result.errors.items():
                errors[kind] = errors.get(kind, 0) + count
        return [request_id for order in orders for request_id in order.ids.read_text().split()], errors

    def _take_over(self, number: int) -> float:
        left = set(os.listdir(self.spool))
        began_s = time.monotonic()
        with self._start(f"heir-{number}"):
            wait_until(lambda: not left & set(os.listdir(self.spool)), f"{self.spool} has still {left}")
            return time.monotonic() - began_s

    def _start(self, name: str, *options: str) -> AbstractContextManager[list[Running]]:
        ledger = ("--ledger", self.ledger)
        program = spell_gateway(name, self.table, self.folder / name, self.python, (*options, *ledger))
        return start_all([program], self.cores)

    def _order(self, name: str, seconds: float, connections: int, chunks: int) -> NotedOrder:
        return NotedOrder(
            body=build_chat(MODEL, chunks=chunks),
            seconds=seconds,
            connections=connections,
            chunks=chunks,
            ids=self.folder / f"{name}.ids",
        )

    def _load(self, port: int, order: Order) -> LoadResult:
        return self.programs.run_load(port, order, self.cores.load, self.folder)


def kill_all(pid: int) -> None:
    """-9, of the process and all that it has started; itself first, or it would start others. Returns when
    all are dead, so that the kernel has taken their locks.
    """
    tree = find_tree(pid)
    for one in tree:
        with suppress(ProcessLookupError):  # a worker whose parent is gone may be faster
            os.kill(one, signal.SIGKILL)
    wait_until(lambda: all(map(_is_dead, tree)), f"{tree} did not die")


def count_rows(ledger: Path) -> int:
    if not ledger.exists():
        return 0
    with closing(_open(ledger)) as connection:
        (count,) = connection.execute("SELECT COUNT(*) FROM usage").fetchone()
    return int(count)


def compare(ledger: Path, answered: Sequence[str]) -> tuple[int, int]:
    """How many of these ids the ledger does not have, and how many are in either of the two twice."""
    with closing(_open(ledger)) as connection:
        connection.execute("CREATE TEMP TABLE answered (id TEXT PRIMARY KEY)")
        connection.executemany("INSERT OR IGNORE INTO answered VALUES (?)", ((one,) for one in answered))
        (missing,) = connection.execute(
            "SELECT COUNT(*) FROM answered WHERE id NOT IN (SELECT request_id FROM usage)"
        ).fetchone()
        (different,) = connection.execute("SELECT COUNT(*) FROM answered").fetchone()
        (twice,) = connection.execute(
            "SELECT COUNT(*) FROM (SELECT 1 FROM usage GROUP BY request_id HAVING COUNT(*) > 1)"
        ).fetchone()
    return int(missing), int(twice) + len(answered) - int(different)


def wait_until(holds: Callable[[], bool], otherwise: str) -> None:
    """Raises NotOver. There is no event to wait for: it is another process that does it."""
    deadline_s = time.monotonic() + _PATIENCE_S
    while not holds():
        if time.monotonic() > deadline_s:
            raise NotOver(otherwise)
        time.sleep(_POLL_S)


def _is_dead(pid: int) -> bool:
    """Also one that nobody has asked for its exit code yet."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return True
    return stat.rpartition(")")[2].split()[0] in ("Z", "X")


def _open(ledger: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"{ledger.absolute().as_uri()}?mode=ro", uri=True)
