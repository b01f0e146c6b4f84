"""`python -m bench.providers`: the whole run. Progress goes to stderr, tables to stdout; the section
"Providers" of `RESULTS.md` is replaced.
"""

import argparse
import os
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from bench.providers.gateways import ALONE, BEFORE, Started, start_gateways
from bench.providers.in_process import Costs, run_module
from bench.providers.report import InProcess, Look, tabulate_chat, tabulate_memory, tabulate_streams
from bench.providers.rounds import Rounds, list_rows, measure_both
from bench.results import write_section
from bench.speed.environment import Python, prepare_python
from bench.speed.interpreter import Interpreter, describe_interpreter
from bench.speed.machine import TooFewCores, describe_noise, find_cores
from bench.speed.programs import NoGo, build_programs, find_cache
from bench.speed.tables import Table

_OWN = "bench.providers.own"
_LITELLM = "bench.providers_litellm"
_BETWEEN_S = 0.4
"""From one run of the loader to the next."""
_BESIDE_S = 45
"""Starting the gateways, warming them up, and the translations by themselves."""


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.providers", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=1.5, help="of one run of the loader")
    parser.add_argument("--before", metavar="COMMIT", help="pass-through of its gateway is measured beside")
    parser.add_argument("--print", action="store_true", help="leave RESULTS.md as it is")
    options = parser.parse_args()
    python = prepare_python(say)
    try:
        tables, litellm = measure(options.rounds, options.seconds, options.before, python)
    except (NoGo, TooFewCores) as error:
        sys.exit(f"providers: {error}")
    lines = [
        *describe(options.rounds, options.seconds, options.before, litellm, python.interpreter),
        *(line for table in tables for line in table.render()),
    ]
    sys.stdout.write("\n".join((*lines, "")))
    if not options.print:
        write_section("Providers", "python -m bench.providers", lines)


def measure(count: int, seconds: float, before: str | None, python: Python) -> tuple[list[Table], Costs]:
    cores = find_cores()
    os.sched_setaffinity(0, {cores.load})
    if (noise := describe_noise()) is not None:
        say(noise)
    programs = build_programs(find_cache())
    rows = [row for row in list_rows() if before is not None or row.gateway != BEFORE]
    wait_s = 2 * len(rows) * count * (seconds + _BETWEEN_S) + _BESIDE_S
    say(f"{len(rows)} rows, about {wait_s / 60:.0f} minutes")
    with tempfile.TemporaryDirectory() as name, programs.start_mock(cores.load, Path(name)) as upstreams:
        folder, upstream = Path(name), upstreams[0]
        by_themselves = InProcess(
            run_module(_OWN, upstream, cores.gateway, python),
            run_module(_LITELLM, upstream, cores.gateway, python),
        )
        with start_gateways(before, upstream, cores, folder, python) as (gateways, absent):
            for gateway, reason in absent.items():
                say(f"absent: a gateway with {gateway}: {reason}")
            unmeasured = dict.fromkeys(absent, "its gateway is, see below")
            rounds = Rounds(programs, cores, folder, gateways, unmeasured, count, seconds, say)
            chat, streams = measure_both(rounds)
            looks = [look_at(gateway, started) for gateway, started in gateways.items()]
    tables = [
        tabulate_chat(chat, by_themselves),
        tabulate_streams(streams, by_themselves),
        tabulate_memory(looks, tell_absent(absent), ALONE),
    ]
    return tables, by_themselves.litellm


def look_at(gateway: str, started: Started) -> Look:
    return Look(
        gateway, started.read_memory_mb(), started.count_litellm_modules(), started.count_litellm_files()
    )


def tell_absent(absent: Mapping[str, str]) -> list[str]:
    return [f"A gateway with {gateway} is absent: {reason}." for gateway, reason in absent.items()]


def describe(
    rounds: int, seconds: float, before: str | None, litellm: Costs, interpreter: Interpreter
) -> list[str]:
    """What is behind the tables."""
    version = litellm.version or "none"
    return [
        "One core has the gateway, the other the upstream and the callers. All rows but the last ones go to "
        "one process, in turn, round after round; callers speak OpenAI's API unless it says otherwise. "
        f"Median of {rounds} rounds of {seconds:g} s; what is more than pass-through is taken within each "
        "round.",
        "",
        "By itself: request and answer, or a chunk, from bytes to bytes without a gateway, on the same core; "
        f"litellm's ({version}) are its transformers as pure functions, without its client.",
        "",
        *([f"Before is commit {before}.", ""] if before is not None else []),
        f"All of it runs on {describe_interpreter(interpreter)}.",
        "",
    ]


def say(line: str) -> None:
    sys.stderr.write(f"providers: {line}\n")
    sys.stderr.flush()


if __name__ == "__main__":
    main()
