"""The loads of the report, in its order: what is sent to whom, and what is asked of the figures.

In: a `Bench`. Out: tables. Called by the command; `streams` and `growth` hold the loads that need more than
requests per second. A load that needs another's figures gets them as `Known`.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from bench.speed.bodies import build_body
from bench.speed.contestants import HEADGATE, HEADGATE_LOG, HEADGATE_ROUTES, UPSTREAM
from bench.speed.figures import cpu_us, latency_ms, memory_mb, per_core, rate
from bench.speed.goals import NOTHING_ASKED, Judged, all_of, at_least_times, at_most_times, below
from bench.speed.programs import Order
from bench.speed.rounds import Bench, Shot
from bench.speed.tables import Column, Table, build_table, show, tabulate, tell_errors

KILOBYTE = 1024
CONNECTIONS = 64
THROUGHPUT = (
    Column("requests/s per core", per_core),
    Column("CPU µs per request", cpu_us, 1),
    Column("requests/s", rate),
    Column("p50 ms", latency_ms("p50"), 2),
    Column("p99 ms", latency_ms("p99"), 2),
    Column("memory MB", memory_mb),
)


@dataclass(slots=True)
class Known:
    """What earlier loads of this run have found."""

    highest_rate: dict[str, float] = field(default_factory=dict)
    """Requests per second in a closed loop, by contestant."""


@dataclass(frozen=True, slots=True)
class Load:
    name: str
    shots: int
    """Runs of the loader in one round, for the estimate of the time."""
    run: Callable[[Bench, Known], list[Table]]
    seconds: float = 0.0
    """Of one such run, where it isn't the usual; for the estimate."""
    once_s: float = 0.0
    """What it takes beside its rounds."""


def measure_chat(bench: Bench, known: Known) -> list[Table]:
    gateways = (
        HEADGATE,
        HEADGATE_LOG,
        "nginx",
        "Envoy",
        "sgl-model-gateway",
        "bare aiohttp",
        "LiteLLM proxy",
    )
    order = Order(body=build_body(KILOBYTE), seconds=bench.seconds, connections=CONNECTIONS)
    rows = (*gateways, UPSTREAM)
    results = bench.measure("1 KB", [Shot(name, name, order) for name in rows])
    for name in rows:
        highest = results.median(name, rate)
        if highest is not None:
            known.highest_rate[name] = highest

    def against(name: str, factor: float) -> Judged:
        return at_least_times(factor, results.median(HEADGATE, per_core), results.median(name, per_core))

    judged = {
        "Envoy": against("Envoy", 1.0),
        "bare aiohttp": against("bare aiohttp", 3.0),
        "LiteLLM proxy": against("LiteLLM proxy", 150.0),
    }
    return [tabulate("1 KB chat body, 64 connections", results, rows, THROUGHPUT, judged)]


def measure_half_load(bench: Bench, known: Known) -> list[Table]:
    """Each at half of its own highest rate, beside the upstream alone at the same rate: the difference is
    what the gateway adds.
    """
    gateways = (HEADGATE, HEADGATE_LOG, "Envoy", "sgl-model-gateway", "bare aiohttp")
    names = [name for name in gateways if name in known.highest_rate]
    shots = []
    for name in names:
        half = known.highest_rate[name] / 2
        order = Order(
            body=build_body(KILOBYTE), seconds=bench.seconds, connections=CONNECTIONS, rate=round(half)
        )
        shots += [Shot(name, name, order), Shot(_alone(name), UPSTREAM, order)]
    results = bench.measure("half of its maximum", shots)
    rows = []
    for name in names:
        added = {}
        cells = [show(results.median(name, rate))]
        for quantile in ("p50", "p99"):
            through = results.median(name, latency_ms(quantile))
            alone = results.median(_alone(name), latency_ms(quantile))
            added[quantile] = None if through is None or alone is None else through - alone
            cells += [show(through, 2), show(alone, 2), show(added[quantile], 2)]
        judged = all_of(below(0.3, added["p50"], "ms added p50"), below(1.0, added["p99"], "ms added p99"))
        rows.append((name, *cells, *(judged if name == HEADGATE else NOTHING_ASKED)))
    head = [
        "",
        "requests/s",
        *(f"{quantile} ms{what}" for quantile in ("p50", "p99") for what in ("", " without", " added")),
        "goal",
        "verdict",
    ]
    note = "Latency counts from the moment at which a request was to be sent, at a fixed rate."
    missing = [f"{name} is left out: it has no highest rate." for name in gateways if name not in names]
    title = "1 KB chat body at half of its own maximum"
    return [build_table(title, head, rows, (note, *missing, *tell_errors(results, names)))]


def measure_larger_bodies(bench: Bench, _known: Known) -> list[Table]:
    tables = []
    for kilobytes in (10, 100):
        rows = (HEADGATE, "nginx", "Envoy", "sgl-model-gateway", "bare aiohttp", "bare copy")
        body = build_body(kilobytes * KILOBYTE)
        order = Order(body=body, seconds=bench.seconds, connections=CONNECTIONS)
        results = bench.measure(f"{kilobytes} KB", [Shot(name, name, order) for name in rows])
        ours, theirs = results.median(HEADGATE, per_core), results.median("Envoy", per_core)
        judged = {"Envoy": at_least_times(1.0, ours, theirs)}
        if kilobytes == 100:
            copying = results.median("bare copy", cpu_us)
            judged["bare copy"] = at_most_times(1.5, results.median(HEADGATE, cpu_us), copying)
        title = f"{kilobytes} KB chat body, {CONNECTIONS} connections"
        tables.append(tabulate(title, results, rows, THROUGHPUT, judged))
    return tables


def measure_routes(bench: Bench, _known: Known) -> list[Table]:
    rows = (HEADGATE, HEADGATE_ROUTES)
    order = Order(body=build_body(KILOBYTE), seconds=bench.seconds, connections=CONNECTIONS)
    results = bench.measure("routes", [Shot(name, name, order) for name in rows])
    few, many = results.median(HEADGATE, per_core), results.median(HEADGATE_ROUTES, per_core)
    judged = Judged("within 5 % of 10 routes", at_least_times(0.95, many, few).verdict)
    return [tabulate("10,000 routes in the table", results, rows, THROUGHPUT, {HEADGATE_ROUTES: judged})]


def _alone(name: str) -> str:
    return f"{UPSTREAM}, at the rate of {name}"
