"""The tables of this run: pure text out of `Results`, `Costs` and what was seen of the processes.

What is asked of a row stands beside it, and whether it holds, as in `bench.speed`.
"""

from collections.abc import Sequence
from typing import NamedTuple

from bench.providers.cases import NATIVE, Case
from bench.providers.figures import find_added, find_ratio
from bench.providers.in_process import Cost, Costs
from bench.providers.rounds import ALONE_ROW, BEFORE_ROW, PASSING, list_rows
from bench.speed.figures import Results, cpu_us, cpu_us_per_chunk, rate
from bench.speed.goals import NOTHING_ASKED, Judged, at_most, at_most_times
from bench.speed.loads import CONNECTIONS
from bench.speed.streams import CHUNKS
from bench.speed.tables import Figure, Table, build_table, show, tell_errors

_ALLOWED_BEFORE = 1.03


class Look(NamedTuple):
    """At a gateway's process after all loads."""

    gateway: str
    memory_mb: float
    litellm_modules: int
    litellm_files: int


class InProcess(NamedTuple):
    own: Costs
    litellm: Costs


def tabulate_chat(results: Results, in_process: InProcess) -> Table:
    return _tabulate(
        f"1 KB chat body, {CONNECTIONS} connections: CPU µs per request",
        results,
        cpu_us,
        in_process,
        streams=False,
    )


def tabulate_streams(results: Results, in_process: InProcess) -> Table:
    return _tabulate(
        f"Streams of {CHUNKS} chunks, {CONNECTIONS} at a time: CPU µs per chunk",
        results,
        cpu_us_per_chunk,
        in_process,
        streams=True,
    )


def tabulate_memory(looks: Sequence[Look], absent: Sequence[str], needs_none: str) -> Table:
    """absent: a sentence for each gateway that is not there. needs_none: the gateway that must do without
    litellm.
    """
    rows = [
        (
            look.gateway,
            show(look.memory_mb),
            f"{look.litellm_modules:,}",
            *(judge_without(look) if look.gateway == needs_none else NOTHING_ASKED),
        )
        for look in looks
    ]
    head = (
        "providers in the table",
        "memory MB",
        "litellm modules imported",
        "goal",
        "verdict",
    )
    note = (
        "Memory is resident, after all loads. Modules are counted in what Python lists with importtime, "
        "mapped files in /proc/<pid>/maps."
    )
    return build_table("Memory, and what of litellm is in it", head, rows, (note, *absent))


def judge_without(look: Look) -> Judged:
    """Mapped files are asked of this one alone: litellm has machine code, but maps it late."""
    found = f"modules: {look.litellm_modules}, mapped files: {look.litellm_files}"
    holds = not (look.litellm_modules or look.litellm_files)
    return Judged("nothing of litellm", f"{'met' if holds else '**missed**'}, {found}")


def _tabulate(title: str, results: Results, figure: Figure, in_process: InProcess, *, streams: bool) -> Table:
    digits = 2 if streams else 1
    lines = []
    for row in list_rows():
        if row.name in results.absent:
            reason = results.absent[row.name].replace("|", "/").replace("\n", " ")
            lines.append((row.name, f"absent: {reason}", "", "", "", "", *NOTHING_ASKED))
            continue
        if row.name not in results.samples:
            continue
        added = None if row.name == PASSING else find_added(results, row.name, PASSING, figure)
        judged = NOTHING_ASKED
        own = litellm = ""
        if row.case in NATIVE and not row.anthropic:
            own = show(_pick(in_process.own, row.case, streams=streams), digits)
            litellm = show(_pick(in_process.litellm, row.case, streams=streams), digits)
            judged = judge_added(row.case, added, streams=streams)
        elif row.name == ALONE_ROW and BEFORE_ROW in results.samples:
            ratio = find_ratio(results, ALONE_ROW, BEFORE_ROW, figure)
            judged = Judged(
                f"<= {_ALLOWED_BEFORE:g} x before", at_most_times(_ALLOWED_BEFORE, ratio, 1.0).verdict
            )
        lines.append(
            (
                row.name,
                show(results.median(row.name, figure), digits),
                _show_added(added, digits),
                show(results.median(row.name, rate)),
                own,
                litellm,
                *judged,
            )
        )
    head = (
        "",
        "CPU µs",
        "more than pass-through",
        "streams/s" if streams else "requests/s",
        "translation by itself",
        "litellm's by itself",
        "goal",
        "verdict",
    )
    notes = [
        f"{which} by itself is absent: {costs.absent}."
        for which, costs in (("Translation", in_process.own), ("litellm's", in_process.litellm))
        if costs.absent is not None
    ]
    names = [row.name for row in list_rows()]
    return build_table(title, head, lines, (*notes, *tell_errors(results, names)))


def judge_added(case: Case, added: float | None, *, streams: bool) -> Judged:
    goal, what = (
        (case.chunk_goal_us, "µs more per chunk")
        if streams
        else (case.request_goal_us, "µs more per request")
    )
    return NOTHING_ASKED if goal is None else at_most(goal, added, what)


def _pick(costs: Costs, case: Case, *, streams: bool) -> float | None:
    cost: Cost | None = costs.by_case.get(case.wire)
    if cost is None:
        return None
    return cost.chunk if streams else cost.request + cost.answer


def _show_added(added: float | None, digits: int) -> str:
    return "" if added is None else f"{added:+,.{digits}f}"
