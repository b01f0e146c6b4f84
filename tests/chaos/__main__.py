"""The long run: `python -m tests.chaos --scenarios 10000 --seed 1 --seconds 240`.

Prints a line per batch on stderr, and at the end what failed, each with its seed; `--only SEED` repeats one.
Exit codes: 0 all held, 1 something did not, 2 wrong usage, 130 after Ctrl-C.
"""

import argparse
import asyncio
import sys
import time

from gateway_runtime.server.log import configure_logging
from tests.chaos.run import ChaosRun, Report, chaos
from tests.chaos.scenario import draw

BATCH = 250
CALM = 150


async def run(first: int, count: int, seconds: float) -> Report:
    began_s = time.monotonic()
    async with chaos() as among:
        await among.calm([draw(first + i) for i in range(CALM)])
        for at in range(0, count, BATCH):
            await among.batch([draw(first + i) for i in range(at, min(at + BATCH, count))])
            took_s = time.monotonic() - began_s
            print(describe(among, took_s), file=sys.stderr, flush=True)
            if took_s > seconds:
                print(f"stopped after {seconds:g} s", file=sys.stderr)
                break
        return among.report


async def repeat(seed: int) -> Report:
    async with chaos() as among:
        await among.calm([draw(seed)] * 1)
        await among.batch([draw(seed)])
        return among.report


def describe(among: ChaosRun, took_s: float) -> str:
    report = among.report
    return (
        f"{took_s:6.1f} s  {report.scenarios} scenarios, {len(report.complaints)} failed, "
        f"{len(report.leaks)} leaks; the innocent: {report.innocent_requests} requests, "
        f"p99 {report.p99_s * 1000:.1f} ms (calm {report.calm_p99_s * 1000:.1f} ms)"
    )


def conclude(report: Report) -> int:
    for seed, complaints in sorted(report.complaints.items()):
        print(f"FAILED  python -m tests.chaos --only {seed}")
        for complaint in complaints:
            print(f"        {complaint}")
    for leak in report.leaks:
        print(f"LEAK    {leak}")
    for complaint in report.innocent_complaints[:10]:
        print(f"INNOCENT {complaint}")
    if report.p99_s > report.bound_s:
        print(f"INNOCENT p99 {report.p99_s * 1000:.1f} ms, bound {report.bound_s * 1000:.1f} ms")
    print(
        f"{report.scenarios} scenarios, {len(report.complaints)} failed, {len(report.leaks)} leaks, "
        f"{report.unjudged} beside a stall of the machine and so not held to a good answer"
    )
    return 0 if report.passed else 1


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos")
    parser.add_argument("--scenarios", type=int, default=1000, help="how many")
    parser.add_argument("--seed", type=int, default=1, help="of the first; the others follow")
    parser.add_argument("--seconds", type=float, default=240.0, help="begin no batch after so long")
    parser.add_argument("--only", type=int, metavar="SEED", help="repeat this one")
    asked = parser.parse_args()
    configure_logging()
    try:
        if asked.only is not None:
            report = asyncio.run(repeat(asked.only))
        else:
            report = asyncio.run(run(asked.seed, asked.scenarios, asked.seconds))
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    return conclude(report)


if __name__ == "__main__":
    sys.exit(main())
