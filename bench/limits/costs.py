"""What limits and the ledger add to a request: CPU time, beside a tenant that has neither.

    rows -> gateways, one each -> round after round, each row in turn -> differences within a round -> Table

In: cores, programs, rounds. One core has the gateway that is asked, and the others idle on it; the other has
the loader, the provider and Redis. The one subtle rule: the ledger's thread writes up to 50 ms later, so that
CPU time is read a little after the last answer, for all rows alike.
"""

import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

from bench.limits.processes import Program, Running, spell_gateway, start_all
from bench.limits.quota import DAY_S, HOUR_S, MINUTE_S, MODEL, PICOS_PER_USD, build_quota_table
from bench.limits.store import StoreServer
from bench.providers.bodies import build_chat
from bench.providers.figures import find_added
from bench.speed.environment import Python
from bench.speed.figures import Results, Sample, cpu_us, rate
from bench.speed.goals import NOTHING_ASKED, at_most
from bench.speed.loads import CONNECTIONS
from bench.speed.machine import Cores, read_cpu_s
from bench.speed.process import NotStarted, spell_folder
from bench.speed.programs import LoadFailed, Order, Programs
from bench.speed.tables import Table, build_table, show, tell_errors
from gateway_runtime.contract.tenant import Limit

PLAIN: Final = "no limits, no ledger"
_LIMITS: Final = (
    Limit(name="requests", amount=10**9, window_s=MINUTE_S),
    Limit(name="tokens", amount=10**12, window_s=HOUR_S, resource="TotalTokens"),
    Limit(name="money", amount=10**6 * PICOS_PER_USD, window_s=DAY_S, resource="USD"),
)
"""Never reached."""
_WARM_UP_S: Final = 1.0
_REST_S: Final = 0.2
"""After the last answer: see above."""


class Row(NamedTuple):
    name: str
    limits: tuple[Limit, ...] = _LIMITS
    keeps_ledger: bool = True
    shares: bool = False
    """Through the store."""
    strict: bool = False
    """Nothing is held in advance: each request asks the store."""
    goal_us: float | None = None


ROWS: Final = (
    Row(PLAIN, limits=(), keeps_ledger=False),
    Row("three limits", keeps_ledger=False),
    Row("three limits, ledger", goal_us=8.0),
    Row("the same, leased from Redis", shares=True, goal_us=12.0),
    Row("the same, Redis asked by each request", shares=True, strict=True, goal_us=25.0),
)


@dataclass(frozen=True, slots=True)
class Stage:
    programs: Programs
    cores: Cores
    python: Python
    folder: Path
    say: Callable[[str], None]

    def measure(self, rounds: int, seconds: float) -> Results:
        """seconds: of one run of the loader. Raises NoStore."""
        absent: dict[str, str] = {}
        with ExitStack() as stack:
            upstream = stack.enter_context(self.programs.start_mock(self.cores.load, self.folder))[0]
            store = stack.enter_context(StoreServer(self.folder / "store", [self.cores.load]))
            running: dict[str, Running] = {}
            for row in ROWS:
                program = spell_row(row, upstream, store, self.folder / spell_folder(row.name), self.python)
                try:
                    (running[row.name],) = stack.enter_context(start_all([program], [self.cores.gateway]))
                except NotStarted as error:
                    absent[row.name] = str(error)
            return self._run_rounds(running, absent, rounds, seconds)

    def _run_rounds(
        self, running: Mapping[str, Running], absent: dict[str, str], rounds: int, seconds: float
    ) -> Results:
        samples: dict[str, list[Sample]] = {name: [] for name in running}
        names = list(running)
        for name in names:
            self._try(name, running, _WARM_UP_S, absent)
        for number in range(rounds):
            first = number % len(names)  # nobody is always the one behind a busy neighbour
            for name in (*names[first:], *names[:first]):
                sample = self._try(name, running, seconds, absent)
                if sample is not None:
                    samples[name].append(sample)
            told = (f"{name} {cpu_us(taken[-1]) or 0:.1f} µs" for name, taken in samples.items() if taken)
            self.say(f"round {number + 1} of {rounds}: {'; '.join(told)}")
        return Results({name: tuple(taken) for name, taken in samples.items() if taken}, absent)

    def _try(
        self, name: str, running: Mapping[str, Running], seconds: float, absent: dict[str, str]
    ) -> Sample | None:
        """A row that fails once is left out from then on, so that samples of one place are of one round."""
        if name in absent:
            return None
        try:
            return self._fire(running[name], seconds)
        except LoadFailed as error:
            absent[name] = f"it failed: {error}"
            return None

    def _fire(self, gateway: Running, seconds: float) -> Sample:
        order = Order(body=build_chat(MODEL), seconds=seconds, connections=CONNECTIONS)
        began_s = read_cpu_s(gateway.pid)
        load = self.programs.run_load(gateway.port, order, self.cores.load, self.folder)
        time.sleep(_REST_S)
        cpu_s = read_cpu_s(gateway.pid) - began_s
        return Sample(load=load, cpu_s=cpu_s, memory_before_mb=0.0, memory_peak_mb=0.0)


def spell_row(row: Row, upstream: int, store: StoreServer, folder: Path, python: Python) -> Program:
    table = build_quota_table(row.limits, upstream, folder / "manifests", deny_without_store=row.strict)
    options: list[str | Path] = []
    if row.keeps_ledger:
        options += ["--ledger", folder / "usage.db"]
    if row.shares:
        options += ["--limit-store", store.build_url(spell_folder(row.name))]
    return spell_gateway(spell_folder(row.name), table, folder, python, options)


def describe_costs(rounds: int, seconds: float) -> str:
    return (
        "Limits of requests per minute, total tokens per hour and US dollars per day, with amounts that "
        "are never reached; the ledger is a SQLite file. 1 KB chat bodies. One core has the gateway, the "
        "other has loader, provider and Redis; rows in turn, round after round. What is more is the median "
        "of the rounds' own differences; beside it the difference of the least that each row had in any "
        f"round. {rounds} rounds of {seconds:g} s."
    )


def tabulate_costs(results: Results) -> Table:
    lines = []
    for row in ROWS:
        if row.name in results.absent:
            reason = results.absent[row.name].replace("|", "/").replace("\n", " ")
            lines.append((row.name, f"absent: {reason}", "", "", "", "", *NOTHING_ASKED))
            continue
        is_plain = row.name == PLAIN
        added = None if is_plain else find_added(results, row.name, PLAIN, cpu_us)
        least, least_plain = find_least(results, row.name), find_least(results, PLAIN)
        least_added = None if is_plain or least is None or least_plain is None else least - least_plain
        lines.append(
            (
                row.name,
                show(results.median(row.name, cpu_us), 1),
                _show_added(added),
                show(least, 1),
                _show_added(least_added),
                show(results.median(row.name, rate)),
                *(NOTHING_ASKED if row.goal_us is None else at_most(row.goal_us, added, "µs more")),
            )
        )
    head = ("", "CPU µs", "more", "least CPU µs", "more", "requests/s", "goal", "verdict")
    names = [row.name for row in ROWS]
    title = f"1 KB chat body, {CONNECTIONS} connections: CPU µs per request"
    return build_table(title, head, lines, tell_errors(results, names))


def find_least(results: Results, row: str) -> float | None:
    """Of all rounds: what disturbs only ever adds."""
    return min((us for sample in results.samples.get(row, ()) if (us := cpu_us(sample))), default=None)


def _show_added(added: float | None) -> str:
    return "" if added is None else f"{added:+,.1f}"
