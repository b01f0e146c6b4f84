"""Whether limits hold: processes that share one Redis are offered five times of what one tenant may have.

    scenario, contestant -> Redis, processes -> callers, provider, an outage -> Trial

In: cores, a Python, a folder. Out: what callers got and what the provider saw, for `exact_report` to judge.
Called by `__main__`. Provider and callers are tasks of this process, so that all times are of one clock.
"""

import asyncio
import random
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple

from bench.limits.offer import Outcome, offer
from bench.limits.peer import WAYS, spell_litellm
from bench.limits.processes import Program, spell_gateway, start_all
from bench.limits.quota import MINUTE_S, build_quota_table
from bench.limits.scenarios import GATEWAYS, Outage, Scenario
from bench.limits.store import StoreServer
from bench.limits.upstream import Arrival, Upstream
from bench.speed.environment import Python
from bench.speed.installs import Missing
from bench.speed.machine import Cores
from bench.speed.process import NotStarted, spell_folder

_SEED: Final = 1


class Place(NamedTuple):
    """Where a contestant's processes may work."""

    upstream: int
    store: StoreServer
    folder: Path
    python: Python


class Contestant(NamedTuple):
    name: str
    spell: Callable[[Scenario, Place], Sequence[Program] | Missing]
    counts_minutes: bool = False
    """Of the clock, so that callers begin in the middle of one: at its beginning nobody could tell."""


class Trial(NamedTuple):
    contestant: str
    scenario: Scenario
    began_s: float = 0.0
    """Of the monotonic clock, as all times are."""
    offset_s: float = 0.0
    """From it to the clock on the wall."""
    arrivals: Sequence[Arrival] = ()
    outcomes: Sequence[Outcome] = ()
    away: tuple[float, float] | None = None
    """When Redis was killed, and when it answered again."""
    absent: str | None = None
    """Why there is nothing of the above."""


def spell_gateways(scenario: Scenario, place: Place) -> Sequence[Program]:
    table = build_quota_table(scenario.limits, place.upstream, place.folder / "manifests")
    options = ("--limit-store", place.store.build_url("bench"))
    names = [f"gateway-{number}" for number in range(1, GATEWAYS + 1)]
    return [spell_gateway(name, table, place.folder / name, place.python, options) for name in names]


def spell_litellms(way: str, scenario: Scenario, place: Place) -> Sequence[Program] | Missing:
    programs = []
    for number in range(1, GATEWAYS + 1):
        name = f"litellm-{number}"
        ports = place.upstream, place.store.port
        program = spell_litellm(name, way, scenario, *ports, place.folder / name, place.python)
        if isinstance(program, Missing):
            return program
        programs.append(program)
    return programs


HEADGATE: Final = Contestant("Headgate", spell_gateways)
PEERS: Final = tuple(
    Contestant(name, partial(spell_litellms, way), counts_minutes=True) for name, way in WAYS.items()
)


def run_trial(
    contestant: Contestant, scenario: Scenario, cores: Cores, python: Python, folder: Path
) -> Trial:
    """Takes the scenario's time, and some seconds. Raises NoStore."""
    where = folder / spell_folder(f"{contestant.name} {scenario.name}")
    with (
        closing(Upstream(scenario.script, random.Random(_SEED))) as upstream,
        StoreServer(where / "store", cores) as store,
    ):
        programs = contestant.spell(scenario, Place(upstream.port, store, where, python))
        if isinstance(programs, Missing):
            return Trial(contestant.name, scenario, absent=programs.reason)
        try:
            with start_all(programs, cores):
                ports = [program.port for program in programs]
                return asyncio.run(_offer(contestant, scenario, ports, store, upstream))
        except NotStarted as error:
            return Trial(contestant.name, scenario, absent=str(error))


async def _offer(
    contestant: Contestant, scenario: Scenario, ports: Sequence[int], store: StoreServer, upstream: Upstream
) -> Trial:
    await upstream.start()
    if contestant.counts_minutes:
        await asyncio.sleep((1.5 * MINUTE_S - time.time() % MINUTE_S) % MINUTE_S)
    began_s, offset_s = time.monotonic(), time.time() - time.monotonic()
    async with asyncio.TaskGroup() as group:
        away = None
        if scenario.outage is not None:
            away = group.create_task(_break_store(store, scenario.outage, began_s))
        offering = group.create_task(
            offer(
                ports,
                scenario.body,
                scenario.rate_per_s,
                began_s,
                scenario.duration_s,
                streams=scenario.streams,
            )
        )
    await upstream.stop()
    return Trial(
        contestant.name,
        scenario,
        began_s,
        offset_s,
        tuple(upstream.arrivals),
        offering.result(),
        None if away is None else away.result(),
    )


async def _break_store(store: StoreServer, outage: Outage, began_s: float) -> tuple[float, float]:
    await asyncio.sleep(began_s + outage.kill_s - time.monotonic())
    killed_s = time.monotonic()
    await asyncio.to_thread(store.kill)
    await asyncio.sleep(began_s + outage.back_s - time.monotonic())
    await asyncio.to_thread(store.start)
    return killed_s, time.monotonic()
