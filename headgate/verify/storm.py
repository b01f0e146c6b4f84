"""Real gateways, each a process, over a real store, and what befalls them: settings in, a Report out.

    calm   ask, settle, finish          the store has counted what was settled, to the last token
    storm  the same, and `weather`      never over, and nothing is left at the end

Each of the two has gateways and a prefix of its own, whose keys are deleted at its end. What others keep
there is never touched.
"""

import time
from collections import Counter
from collections.abc import Callable
from typing import Final, NamedTuple

from headgate.verify.report import LimitResult, Report, build_report
from headgate.verify.spell import Spell

_CALM: Final = 0.15
"""Of all operations."""
_TOLD: Final = (
    "admitted", "settled", "refused", "refused without a store", "tried again", "killed", "stopped",
    "cut off", "lost", "unanswered", "forgotten", "edited",
)  # fmt: skip


class StormSettings(NamedTuple):
    url: str
    password: str | None
    operations: int
    gateways: int
    seconds: float
    """Over which the operations are spread."""
    seed: int


async def run_storm(settings: StormSettings, progress: Callable[[int], None] = lambda _: None) -> Report:
    """progress: called with the operations that are done. Raises WrongStore; StoreAway: the store was away at
    the beginning or at the end; GatewayFell.
    """
    began_s = time.monotonic()
    calm = int(settings.operations * _CALM)
    pace = settings.operations / settings.seconds
    done: Counter[str] = Counter()
    limits: list[LimitResult] = []
    problems: list[str] = []
    for operations, faults in ((calm, False), (settings.operations - calm, True)):
        spell = Spell(settings.url, settings.password, settings.gateways, settings.seed, pace, faults=faults)
        outcome = await spell.run(operations, _count_on(progress, done["operations"]))
        done += outcome.done
        limits += outcome.limits
        problems += outcome.problems
    return build_report(
        store=settings.url,
        gateways=settings.gateways,
        seed=settings.seed,
        seconds=time.monotonic() - began_s,
        done={"operations": done["operations"], **{name: done[name] for name in _TOLD}},
        limits=limits,
        problems=problems,
    )


def _count_on(progress: Callable[[int], None], before: int) -> Callable[[int], None]:
    return lambda more: progress(before + more)
