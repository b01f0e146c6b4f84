"""Has the hot path become slower? CPU per request and per chunk, as ratios to the bare aiohttp proxy in the
same run, against the figures recorded last; in about a minute.

    python -m bench.quick             compare with bench/quick.json
    python -m bench.quick --record    and write it anew

A ratio holds from machine to machine better than any figure in seconds: what slows one slows the other. A
report, never a failing test: the exit code is always 0.
"""

import argparse
import os
import statistics
import sys
import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from bench.speed.bodies import build_body
from bench.speed.contestants import HEADGATE
from bench.speed.environment import Python, prepare_python
from bench.speed.figures import Results, cpu_us, cpu_us_per_chunk
from bench.speed.interpreter import describe_interpreter
from bench.speed.loads import CONNECTIONS, KILOBYTE
from bench.speed.machine import TooFewCores, describe_noise, find_cores
from bench.speed.programs import NoGo, Order, build_programs, find_cache
from bench.speed.rounds import Bench, Shot
from bench.speed.streams import CHUNKS
from bench.speed.tables import Figure

RECORD = Path(__file__).with_name("quick.json")
BARE = "bare aiohttp"
LOSS = 0.15
"""From which on a higher ratio is called a loss. A guess, above what medians of five rounds wander."""
ROUNDS = 5
SECONDS = 1.5


class NotMeasured(RuntimeError):
    """One of the two did not run."""


class Ratios(msgspec.Struct, frozen=True):
    """Headgate's CPU time by the bare proxy's: less is better."""

    chat: float
    """Per request, 1 KB body."""
    streams: float
    """Per chunk, streams as fast as they come."""
    day: str


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.quick", description=__doc__)
    parser.add_argument(
        "--record", action="store_true", help="write the figures of this run to bench/quick.json"
    )
    record = parser.parse_args().record
    python = prepare_python(say)
    try:
        now = measure(python)
    except (NoGo, TooFewCores, NotMeasured) as error:
        say(f"nothing measured: {error}")
        return
    before = msgspec.json.decode(RECORD.read_bytes(), type=Ratios) if RECORD.exists() else None
    sys.stdout.write("\n".join((*compare(before, now), "")))
    if record:
        RECORD.write_bytes(msgspec.json.format(msgspec.json.encode(now)) + b"\n")
        say(f"recorded in {RECORD.name}")


def measure(python: Python) -> Ratios:
    cores = find_cores()
    os.sched_setaffinity(0, {cores.load})
    if (noise := describe_noise()) is not None:
        say(noise)
    say(f"both on {describe_interpreter(python.interpreter)}")
    programs = build_programs(find_cache())
    chat = Order(body=build_body(KILOBYTE), seconds=SECONDS, connections=CONNECTIONS)
    stream = Order(
        body=build_body(KILOBYTE, chunks=CHUNKS), seconds=SECONDS, connections=CONNECTIONS, chunks=CHUNKS
    )
    with tempfile.TemporaryDirectory() as folder, programs.start_mock(cores.load, Path(folder)) as upstreams:
        bench = Bench(programs, cores, python, Path(folder), upstreams, ROUNDS, SECONDS, say)
        return Ratios(
            chat=find_ratio(bench.measure("1 KB", [Shot(n, n, chat) for n in (HEADGATE, BARE)]), cpu_us),
            streams=find_ratio(
                bench.measure("streams", [Shot(n, n, stream) for n in (HEADGATE, BARE)]), cpu_us_per_chunk
            ),
            day=datetime.now(UTC).date().isoformat(),
        )


def find_ratio(results: Results, figure: Figure) -> float:
    """The median of the rounds' own ratios: two runs one after the other saw the same machine. Raises
    NotMeasured.
    """
    pairs = zip(results.samples.get(HEADGATE, ()), results.samples.get(BARE, ()), strict=False)
    ratios = [ours / bare for mine, its in pairs if (ours := figure(mine)) and (bare := figure(its))]
    if not ratios:
        why = "; ".join(f"{name}: {reason}" for name, reason in results.absent.items())
        raise NotMeasured(why or "no request was answered")
    return statistics.median(ratios)


def compare(before: Ratios | None, now: Ratios) -> Sequence[str]:
    """A line for each of the two, and which record they were held against."""
    return [
        f"CPU per request, 1 KB: {_judge(now.chat, before.chat if before else None)}",
        f"CPU per chunk: {_judge(now.streams, before.streams if before else None)}",
        f"recorded on {before.day}" if before else "nothing recorded yet: --record does",
    ]


def _judge(now: float, was: float | None) -> str:
    line = f"{now:.2f} x the bare aiohttp proxy"
    if was is None:
        return line
    change = now / was - 1
    verdict = "LOSS: look at what changed on the hot path" if change > LOSS else "no loss"
    return f"{line}, recorded {was:.2f} x ({change:+.0%}): {verdict}"


def say(line: str) -> None:
    sys.stderr.write(f"quick: {line}\n")
    sys.stderr.flush()


if __name__ == "__main__":
    main()
