"""`python -m bench.limits [costs|exact|crash] [--quick]`. Progress goes to stderr, tables to stdout; each run
but a quick one replaces its section of `RESULTS.md`.
"""

import argparse
import os
import random
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from bench.limits import costs, crash
from bench.limits.crash_report import describe_crash, tabulate_crashes
from bench.limits.exact import HEADGATE, PEERS, Trial, run_trial
from bench.limits.exact_report import describe_exact, describe_peers, tabulate_limits, tabulate_outcomes
from bench.limits.quota import MINUTE_S, build_quota_table
from bench.limits.scenarios import PEER_TIMES, list_scenarios, offer_requests, offer_streams
from bench.limits.store import NoStore
from bench.results import write_section
from bench.speed.environment import Python, prepare_python
from bench.speed.interpreter import describe_interpreter
from bench.speed.machine import Cores, TooFewCores, describe_noise, find_cores
from bench.speed.process import NotStarted
from bench.speed.programs import LoadFailed, NoGo, build_programs, find_cache
from bench.speed.tables import Table

_SEED: Final = 1
_QUICK_WINDOW_S: Final = 10.0


def main() -> None:
    runs = {"costs": run_costs, "exact": run_exact, "crash": run_crash}
    parser = argparse.ArgumentParser(prog="python -m bench.limits", description=__doc__)
    parser.add_argument("run", nargs="?", choices=list(runs), help="default: all three")
    parser.add_argument("--quick", action="store_true", help="smaller, and nothing is written down")
    options = parser.parse_args()
    python = prepare_python(say)
    names = [options.run] if options.run else list(runs)
    try:
        for name in names:
            cores = find_cores()
            if (noise := describe_noise()) is not None:
                say(noise)
            with tempfile.TemporaryDirectory() as folder:
                about, tables = runs[name](cores, python, Path(folder), quick=options.quick)
            lines = [about, "", f"All of it runs on {describe_interpreter(python.interpreter)}.", ""]
            lines += [line for table in tables for line in table.render()]
            sys.stdout.write("\n".join((*lines, "")))
            if not options.quick:
                write_section(f"Limits: {name}", f"python -m bench.limits {name}", lines)
    except (NoGo, NoStore, TooFewCores, NotStarted, LoadFailed, crash.NotOver) as error:
        sys.exit(f"limits: {error}")


def run_costs(cores: Cores, python: Python, folder: Path, *, quick: bool) -> tuple[str, Sequence[Table]]:
    usable = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {cores.load})
    rounds, seconds = (3, 0.7) if quick else (9, 2.0)
    try:
        stage = costs.Stage(build_programs(find_cache()), cores, python, folder, say)
        results = stage.measure(rounds, seconds)
    finally:
        os.sched_setaffinity(0, usable)
    return costs.describe_costs(rounds, seconds), [costs.tabulate_costs(results)]


def run_exact(cores: Cores, python: Python, folder: Path, *, quick: bool) -> tuple[str, Sequence[Table]]:
    ours = list_scenarios(_QUICK_WINDOW_S if quick else MINUTE_S)
    # A peer counts minutes of the clock, so that even a short run of it needs one.
    theirs = [offer_requests(MINUTE_S, windows=1, times=PEER_TIMES)]
    if not quick:
        theirs = [offer(MINUTE_S, times=PEER_TIMES) for offer in (offer_requests, offer_streams)]
    planned = [(HEADGATE, scenario) for scenario in ours]
    planned += [(peer, scenario) for peer in PEERS for scenario in theirs]
    trials: list[Trial] = []
    for contestant, scenario in planned:
        say(f"{contestant.name}: {scenario.name}, {scenario.duration_s:.0f} s")
        trials.append(run_trial(contestant, scenario, cores, python, folder))
    return f"{describe_exact()}\n\n{describe_peers()}", [tabulate_limits(trials), tabulate_outcomes(trials)]


def run_crash(cores: Cores, python: Python, folder: Path, *, quick: bool) -> tuple[str, Sequence[Table]]:
    times, requests, least_s, most_s = (3, 0, 1.0, 2.0) if quick else (10, 1_000_000, 12.0, 24.0)
    programs = build_programs(find_cache())
    draw = random.Random(_SEED)
    crashes: list[crash.Crash] = []
    with programs.start_mock(cores.load, folder) as upstreams:
        table = build_quota_table((), upstreams[0], folder / "manifests")
        stage = crash.Stage(programs, cores, python, folder, table)
        while len(crashes) < times or sum(one.answered for one in crashes) < requests:
            crashes.append(stage.crash(len(crashes) + 1, draw.uniform(least_s, most_s)))
            say(f"{len(crashes)}: {crashes[-1]}")
    return describe_crash(), [tabulate_crashes(crashes)]


def say(line: str) -> None:
    sys.stderr.write(f"limits: {line}\n")
    sys.stderr.flush()


if __name__ == "__main__":
    main()
