"""`python -m bench.speed`: the whole benchmark, or the set-up of the peers.

Progress goes to stderr, tables to stdout. A whole run replaces the section "Speed" of `RESULTS.md`; a run of
some loads only prints.
"""

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from bench.results import write_section
from bench.speed.contestants import list_contestants
from bench.speed.environment import Python, prepare_python
from bench.speed.growth import measure_memory, measure_one_reload, measure_workers
from bench.speed.installs import install_all
from bench.speed.interpreter import Interpreter, describe_interpreter
from bench.speed.loads import (
    Known,
    Load,
    measure_chat,
    measure_half_load,
    measure_larger_bodies,
    measure_routes,
)
from bench.speed.machine import TooFewCores, describe_noise, find_cores
from bench.speed.programs import NoGo, build_programs, find_cache
from bench.speed.rounds import Bench
from bench.speed.streams import LONG_STREAM_S, measure_bursts, measure_many_streams
from bench.speed.tables import Table

_START_S = 1.5
"""A contestant's start and its warm-up, for the estimate."""
_BETWEEN_S = 0.4
"""From one run of the loader to the next."""


def list_loads(requests: int) -> dict[str, Load]:
    """By the name under which `--loads` asks for them, in the report's order."""
    return {
        "chat": Load("chat", 8, measure_chat, once_s=30),
        "half": Load("half", 10, measure_half_load),
        "bodies": Load("bodies", 12, measure_larger_bodies),
        "streams": Load("streams", 6, measure_bursts),
        "many-streams": Load("many-streams", 5, measure_many_streams, seconds=LONG_STREAM_S),
        "routes": Load("routes", 2, measure_routes, once_s=20),
        "reload": Load("reload", 0, measure_one_reload, once_s=60),
        "workers": Load("workers", 2, measure_workers),
        # A guess at 20,000 requests per second; a slower gateway takes longer.
        "memory": Load("memory", 0, partial(measure_memory, requests), once_s=requests / 20_000),
    }


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.speed", description=__doc__)
    parser.add_argument("--setup", action="store_true", help="install the peers, measure nothing")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2.0, help="of one run of the loader")
    parser.add_argument("--requests", type=int, default=1_000_000, help="of the load that looks at memory")
    parser.add_argument("--loads", nargs="+", choices=list(list_loads(0)), help="only these, and only print")
    parser.add_argument("--print", action="store_true", help="leave RESULTS.md as it is")
    options = parser.parse_args()
    if options.setup:
        sys.exit(1 if install_all(prepare_python(say).interpreter, say) else 0)
    loads = choose_loads(options.loads, options.requests)
    python = prepare_python(say)
    try:
        tables = measure(loads, options.rounds, options.seconds, python)
    except (NoGo, TooFewCores) as error:
        sys.exit(f"speed: {error}")
    lines = [
        *describe(options.rounds, options.seconds, python.interpreter),
        *(line for table in tables for line in table.render()),
    ]
    sys.stdout.write("\n".join((*lines, "")))
    if not (options.loads or options.print):
        write_section("Speed", "python -m bench.speed", lines)


def choose_loads(names: Sequence[str] | None, requests: int) -> list[Load]:
    """In the report's order. None: all."""
    loads = list_loads(requests)
    wanted = set(names or loads)
    if "half" in wanted:
        wanted.add("chat")  # half of what it finds
    return [load for name, load in loads.items() if name in wanted]


def measure(loads: Sequence[Load], rounds: int, seconds: float, python: Python) -> list[Table]:
    cores = find_cores()
    os.sched_setaffinity(0, {cores.load})
    if (noise := describe_noise()) is not None:
        say(noise)
    programs = build_programs(find_cache())
    tables: list[Table] = []
    known = Known()
    with tempfile.TemporaryDirectory() as folder, programs.start_mock(cores.load, Path(folder)) as upstreams:
        bench = Bench(programs, cores, python, Path(folder), upstreams, rounds, seconds, say)
        say(f"{len(loads)} loads, about {sum(estimate_s(load, bench) for load in loads) / 60:.0f} minutes")
        for number, load in enumerate(loads):
            began_s = time.monotonic()
            left_s = sum(estimate_s(later, bench) for later in loads[number:])
            say(f"{load.name}: {number + 1} of {len(loads)}, about {left_s / 60:.0f} minutes to the end")
            tables += load.run(bench, known)
            say(f"{load.name}: done in {time.monotonic() - began_s:.0f} s")
    return tables


def estimate_s(load: Load, bench: Bench) -> float:
    shot_s = (load.seconds or bench.seconds) + _BETWEEN_S
    return load.shots * (bench.rounds * shot_s + _START_S) + load.once_s


def describe(rounds: int, seconds: float, interpreter: Interpreter) -> list[str]:
    """What is behind the tables."""
    return [
        "One core has the gateway, the other the upstream and the callers; peers in turn, round after round. "
        f"Median of {rounds} rounds of {seconds:g} s. Requests per second per core is requests by the CPU "
        "time of the gateway's processes.",
        "",
        *(f"- {peer.name}: {peer.what}" for peer in list_contestants().values()),
        "",
        f"Headgate, bare aiohttp, bare copy and LiteLLM proxy run on {describe_interpreter(interpreter)}.",
        "",
    ]


def say(line: str) -> None:
    sys.stderr.write(f"speed: {line}\n")
    sys.stderr.flush()


if __name__ == "__main__":
    main()
