"""Worlds, one after the other, until there were as many operations as were asked for: a seed in, a Report
out.

A world is short, since most of what can go wrong does so around a beginning: of a gateway, of a memory, of a
root. Each has the seed that follows on the last.
"""

from collections import Counter
from collections.abc import Callable
from typing import Final

from headgate.verify.report import LimitResult, Report, build_report, judge
from headgate.verify.world import BEGAN_S, Parts, World

STEPS: Final = 2_000
"""Of a world: half a minute of its time."""
_TOLD: Final = (
    "admitted", "refused", "killed", "stopped", "cut off", "lost", "away", "forgotten", "failed over",
    "clock set", "edited",
)  # fmt: skip


def run_virtual(
    *,
    operations: int,
    gateways: int,
    seed: int,
    parts: Parts | None = None,
    progress: Callable[[int], None] = lambda _: None,
) -> Report:
    """progress: called with the operations that are done."""
    total: Counter[str] = Counter()
    limits: list[LimitResult] = []
    problems: list[str] = []
    seconds = 0.0
    number = 0
    while (left := operations - total["steps"]) > 0:
        world = World(seed + number, gateways=gateways, parts=parts or Parts())
        number += 1
        world.run(min(STEPS, left))
        seconds += world.now_s - BEGAN_S
        world.finish()
        total += world.done
        limits += map(judge, world.logs.values())
        problems += [f"world {world.seed}, at its end: {left}" for left in world.list_left()]
        progress(total["steps"])
    return build_report(
        store="in process, in virtual time",
        gateways=gateways,
        seed=seed,
        seconds=seconds,
        done={"operations": total["steps"], **{name: total[name] for name in _TOLD}},
        limits=limits,
        problems=problems,
    )
