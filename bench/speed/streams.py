"""The loads of streams: as fast as they come, and a thousand of them at once.

In: a `Bench`. Out: tables. The delay of a chunk is the time from the mock's writing to the loader's reading;
the same without a gateway, in the same run, is taken off.
"""

from bench.speed.bodies import build_body
from bench.speed.contestants import HEADGATE, UPSTREAM
from bench.speed.figures import chunk_ms, cpu_us_per_chunk, latency_ms, memory_mb, rate
from bench.speed.goals import NOTHING_ASKED, all_of, at_most, at_most_times, below
from bench.speed.loads import CONNECTIONS, KILOBYTE, Known
from bench.speed.programs import Order
from bench.speed.rounds import Bench, Shot
from bench.speed.tables import Column, Table, build_table, show, tabulate, tell_errors

CHUNKS = 200
STREAMS = 1000
BETWEEN_CHUNKS_US = 20_000
RAMP_S = 1.0
LONG_STREAM_S = RAMP_S + CHUNKS * BETWEEN_CHUNKS_US / 1e6
_PEERS = ("Envoy", "sgl-model-gateway", "bare aiohttp")

_BURST = (
    Column("CPU µs per chunk", cpu_us_per_chunk, 2),
    Column("streams/s", rate),
    Column("p50 ms of a stream", latency_ms("p50"), 1),
    Column("p99 ms of a stream", latency_ms("p99"), 1),
    Column("memory MB", memory_mb),
)


def measure_bursts(bench: Bench, _known: Known) -> list[Table]:
    rows = (HEADGATE, "nginx", *_PEERS, UPSTREAM)
    body = build_body(KILOBYTE, chunks=CHUNKS)
    order = Order(body=body, seconds=bench.seconds, connections=CONNECTIONS, chunks=CHUNKS)
    results = bench.measure("streams", [Shot(name, name, order) for name in rows])
    ours = results.median(HEADGATE, cpu_us_per_chunk)
    theirs = results.median("sgl-model-gateway", cpu_us_per_chunk)
    judged = {
        HEADGATE: at_most(4.0, ours, "µs per chunk"),
        "sgl-model-gateway": at_most_times(0.5, ours, theirs),
    }
    title = f"Streams of {CHUNKS} chunks, {CONNECTIONS} at a time, as fast as they come"
    return [tabulate(title, results, rows, _BURST, judged)]


def measure_many_streams(bench: Bench, _known: Known) -> list[Table]:
    rows = (HEADGATE, *_PEERS, UPSTREAM)
    body = build_body(KILOBYTE, chunks=CHUNKS, delay_us=BETWEEN_CHUNKS_US)
    order = Order(body=body, seconds=0, connections=STREAMS, chunks=CHUNKS, ramp_s=RAMP_S)
    results = bench.measure("1,000 streams", [Shot(name, name, order) for name in rows])
    alone = results.median(UPSTREAM, chunk_ms("p99"))
    lines = []
    for name in rows:
        if name in results.absent:
            lines.append((name, f"absent: {results.absent[name]}", *[""] * 6, *NOTHING_ASKED))
            continue
        p99, grown = results.median(name, chunk_ms("p99")), results.grown_mb(name)
        added = None if p99 is None or alone is None or name == UPSTREAM else p99 - alone
        per_stream_kb = None if grown is None or name == UPSTREAM else grown * 1024 / STREAMS
        lost = results.lost_chunks(name)
        judged = NOTHING_ASKED
        if name == HEADGATE:
            judged = all_of(
                below(5.0, added, "ms added p99"),
                at_most(0, lost, "chunks lost"),
                below(40, per_stream_kb, "KB a stream"),
            )
        lines.append(
            (
                name,
                *_show_streams(results.median(name, chunk_ms("p50")), p99, added),
                str(lost),
                show(per_stream_kb),
                show(results.median(name, cpu_us_per_chunk), 2),
                *judged,
            )
        )
    head = (
        "",
        "chunk delay p50 ms",
        "p99 ms",
        "added p99 ms",
        "chunks lost",
        "KB a stream",
        "CPU µs per chunk",
        "goal",
        "verdict",
    )
    notes = (
        f"All begin within {RAMP_S:g} s, at chance moments. The delay is from the upstream's writing of a "
        "chunk to the caller's reading. Memory is what a fresh process grew by, the kernel's socket buffers "
        "not included.",
        *tell_errors(results, rows),
    )
    return [build_table(f"{STREAMS:,} streams at once, 20 ms between chunks", head, lines, notes)]


def _show_streams(p50: float | None, p99: float | None, added: float | None) -> tuple[str, str, str]:
    return show(p50, 2), show(p99, 2), show(added, 2)
