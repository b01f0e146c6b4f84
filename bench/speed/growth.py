"""The loads of growth: reloads of a large table, two workers, and memory after a million requests.

In: a `Bench`. Out: tables. Each starts processes of its own.
"""

import statistics
from collections.abc import Callable
from functools import partial

from bench.speed.bodies import build_body
from bench.speed.contestants import HEADGATE, HEADGATE_WORKERS, start_field
from bench.speed.goals import Judged, at_most_times, below
from bench.speed.loads import CONNECTIONS, KILOBYTE, THROUGHPUT, Known
from bench.speed.machine import read_memory_mb
from bench.speed.ours import has_workers
from bench.speed.programs import Order
from bench.speed.reload import RATE, measure_reloads
from bench.speed.rounds import Bench, Shot
from bench.speed.tables import Table, build_table, show, tabulate

EARLY = 10_000
"""Requests after which memory is first looked at."""


def measure_one_reload(bench: Bench, _known: Known) -> list[Table]:
    order = Order(body=build_body(KILOBYTE), seconds=2 * bench.seconds, connections=CONNECTIONS, rate=RATE)
    bench.say("reload: starting a gateway with 10,000 routes")
    folder = bench.folder / "reload"
    reloads = measure_reloads(bench.programs, order, bench.upstreams, bench.cores, folder, bench.python)
    median_ms = statistics.median(reloads.loop_ms)
    bench.say(f"reload: {median_ms:.1f} ms of loop time")
    goal = below(20.0, median_ms, "ms")

    def worst(figure: Callable[[], float]) -> str:
        return show(figure() / 1000, 1)

    rows = [
        ("loop time of a reload", show(median_ms, 1), show(max(reloads.loop_ms), 1), *goal),
        (
            "from sending the version to its Ack",
            show(statistics.median(reloads.applied_ms), 1),
            show(max(reloads.applied_ms), 1),
            "",
            "",
        ),
        (
            f"a caller's latency at {RATE:.0f} requests/s, without reloads",
            worst(lambda: reloads.calm.latency_us.p50),
            worst(lambda: reloads.calm.latency_us.max),
            "",
            "",
        ),
        (
            "the same while one route after the other is reloaded",
            worst(lambda: reloads.busy.latency_us.p50),
            worst(lambda: reloads.busy.latency_us.max),
            "",
            "",
        ),
    ]
    notes = (
        "Loop time is the CPU time of the gateway's main thread from the version's arrival to its Ack, "
        f"over {len(reloads.loop_ms)} reloads without other traffic.",
    )
    head = ("", "p50 ms", "worst ms", "goal", "verdict")
    return [build_table("Reload of one route among 10,000", head, rows, notes)]


def measure_workers(bench: Bench, _known: Known) -> list[Table]:
    title = "Two workers on two cores"
    if not has_workers(bench.python):
        bench.say("2 workers: not yet, `headgate gateway` has no --workers")
        row = (HEADGATE_WORKERS, "not yet: `headgate gateway` has no --workers", *[""] * 5, "", "")
        head = ("", *(column.title for column in THROUGHPUT), "goal", "verdict")
        return [build_table(title, head, [row])]
    rows = (HEADGATE, HEADGATE_WORKERS)
    order = Order(body=build_body(KILOBYTE), seconds=bench.seconds, connections=CONNECTIONS)
    results = bench.measure("2 workers", [Shot(name, name, order) for name in rows])
    note = "Callers and upstream run on the same two cores, so that the two workers do not have them alone."
    return [tabulate(title, results, rows, THROUGHPUT, {}, (note,))]


def measure_memory(requests: int, bench: Bench, _known: Known) -> list[Table]:
    folder = bench.folder / "memory"
    order = partial(Order, body=build_body(KILOBYTE), seconds=3600.0, connections=CONNECTIONS)
    with start_field([HEADGATE], bench.upstreams, bench.cores, folder, bench.python) as field:
        title = "Memory after many requests"
        head = ("", "memory MB", "errors", "goal", "verdict")
        if HEADGATE in field.absent:
            return [build_table(title, head, [(HEADGATE, f"absent: {field.absent[HEADGATE]}", "", "", "")])]
        running = field.running[HEADGATE]
        assert running.pid is not None
        seen = []
        for count in (EARLY, requests - EARLY):
            bench.say(f"memory: {count:,} requests")
            load = bench.programs.run_load(
                running.port, order(requests=count), bench.cores.load, bench.folder
            )
            seen.append((read_memory_mb(running.pid), sum(load.errors.values())))
    (early_mb, early_errors), (late_mb, late_errors) = seen
    judged = Judged("equal, within 5 %", at_most_times(1.05, late_mb, early_mb).verdict)
    rows = [
        (f"after {EARLY:,} requests", show(early_mb, 1), str(early_errors), "", ""),
        (f"after {requests:,} requests", show(late_mb, 1), str(late_errors), *judged),
    ]
    return [build_table(title, head, rows)]
