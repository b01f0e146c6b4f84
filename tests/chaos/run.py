"""Hundreds of scenarios at one gateway: scenarios in, complaints by seed out.

    warm up -> calm batch -> baseline -> batch -> at rest? -> batch -> … -> the innocent's figures

The tests and `__main__` call `ChaosRun`. Each scenario has its own routes and providers, so that no circuit,
learnt limit or retry budget of one decides for another; pools, connections and the loop are everybody's. The
one subtle rule: caller, provider and gateway share one loop, and whoever is late there is late for all; the
loop's lateness while a scenario ran is added to its tolerance, and a scenario that ran beside a stall is not
held to `good`.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Final

import msgspec

from gateway_runtime.contract.ids import ProviderId
from gateway_runtime.contract.keys import hash_key
from gateway_runtime.contract.table import (
    FallbackRule,
    Hedge,
    Provider,
    Route,
    RouteTimeouts,
    RoutingTable,
    Target,
    Timeouts,
)
from gateway_runtime.server.relay import LAST_WORDS_S
from gateway_runtime.upstream.transport import PooledTransport
from tests.chaos.caller import Client, Visit
from tests.chaos.innocent import KEY, MODEL, Innocent, find_p99
from tests.chaos.judge import judge
from tests.chaos.rest import NOTHING, Holdings, count_holdings, count_under_way, wait_for_rest
from tests.chaos.scenario import Caller, Fault, Layout, Scenario
from tests.chaos.upstream import ChaosUpstream
from tests.contract.tables import build_target, build_tenant
from tests.server.rig import SALT, Rig, provider, route, serving, settings, table, tenant

TOTAL_S: Final = 1.2
"""The routes' deadline; three silent attempts and a good one fit into it."""
ATTEMPT_S: Final = 0.3
"""Of one attempt, where the route has no deadline: four are made at most."""
SILENCE_S: Final = 0.2
"""First token, idle, and a caller's body."""
TOLERANCE_S: Final = 0.5
"""How much later than its deadline an answer may end, beside the loop's own lateness."""
SLOWNESS_S: Final = 2.0
"""More for callers who read slowly, and so find the end later than it was written."""
SILENT_S: Final = TOTAL_S + TOLERANCE_S + LAST_WORDS_S
"""For those who never read, from the last start of a request."""
AT_ONCE: Final = 40
SPACING_S: Final = 0.004
"""Between two starts: a burst would only show how slow this machine is."""
STALL_S: Final = 0.03
"""A good answer takes some six turns of the loop; where one was so late, a good provider may look silent."""
RATIO: Final = 4.0
FLOOR_S: Final = 0.02
"""The innocent's p99 beside faults stays below RATIO times that beside as many good requests, plus this."""

_TIMEOUTS: Final = Timeouts(connect_s=SILENCE_S, first_token_s=SILENCE_S, idle_s=SILENCE_S, total_s=ATTEMPT_S)
_LOOK_S: Final = 0.01


@dataclass(slots=True)
class Report:
    scenarios: int = 0
    unjudged: int = 0
    """Not held to `good`, since the machine was late."""
    complaints: dict[int, list[str]] = field(default_factory=dict)
    """By seed."""
    leaks: list[str] = field(default_factory=list)
    innocent_requests: int = 0
    innocent_complaints: list[str] = field(default_factory=list)
    calm_p99_s: float = 0.0
    p99_s: float = 0.0

    @property
    def bound_s(self) -> float:
        return self.calm_p99_s * RATIO + FLOOR_S

    @property
    def passed(self) -> bool:
        return not (self.complaints or self.leaks or self.innocent_complaints or self.p99_s > self.bound_s)


class Lateness:
    """Of the loop: looks at it that came late, with the time of each."""

    def __init__(self) -> None:
        self._looks: deque[tuple[float, float]] = deque(maxlen=1000)

    async def run(self) -> None:
        """Until it is cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            due_s = loop.time() + _LOOK_S
            await asyncio.sleep(_LOOK_S)
            self._looks.append((due_s, loop.time() - due_s))

    def since(self, began_s: float) -> list[float]:
        return [late_s for due_s, late_s in self._looks if due_s >= began_s]


class ChaosRun:
    def __init__(self, rig: Rig, transport: PooledTransport, upstream: ChaosUpstream) -> None:
        self._rig = rig
        self._transport = transport
        self._upstream = upstream
        self._lateness = Lateness()
        self._baseline: Holdings | None = None
        self._places = asyncio.Semaphore(AT_ONCE)
        self._times_s: list[float] = []
        self.report = Report()

    @property
    def port(self) -> int:
        return self._rig.gateway.port

    async def prepare(self, scenarios: Sequence[Scenario]) -> None:
        """From now on they can be asked."""
        self._upstream.know([*scenarios, _INNOCENT])
        await self._rig.apply(build_routes(scenarios, self._upstream))

    async def calm(self, scenarios: Sequence[Scenario]) -> None:
        """The same without faults: what the innocent's figures are compared with, and a warm gateway."""
        quiet = [
            replace(
                scenario,
                fault=Fault.NONE,
                caller=Caller.PATIENT,
                answer_bytes=min(scenario.answer_bytes, 200_000),
            )
            for scenario in scenarios
        ]
        innocent = await self._run_beside(quiet)
        self.report.calm_p99_s = find_p99(innocent.times_s)
        await self._rest("calm")
        self._baseline = count_holdings(self._transport, self._upstream)

    async def batch(self, scenarios: Sequence[Scenario]) -> None:
        innocent = await self._run_beside(scenarios)
        report = self.report
        self._times_s += innocent.times_s
        report.scenarios += len(scenarios)
        report.innocent_requests += len(innocent.times_s)
        report.p99_s = find_p99(self._times_s)
        await self._rest(f"seeds {scenarios[0].seed} to {scenarios[-1].seed}")

    async def _run_beside(self, scenarios: Sequence[Scenario]) -> Innocent:
        await self.prepare(scenarios)
        innocent = Innocent(self._rig.gateway.port)
        beside = [asyncio.create_task(innocent.run()), asyncio.create_task(self._lateness.run())]
        silent: list[tuple[Scenario, Client]] = []
        try:
            async with asyncio.TaskGroup() as group:
                for scenario in scenarios:
                    await self._places.acquire()
                    group.create_task(self._play(scenario, silent))
                    await asyncio.sleep(SPACING_S)
            await self._end_silences(silent)
        finally:
            for task in beside:
                task.cancel()
            for result in await asyncio.gather(*beside, return_exceptions=True):
                if isinstance(result, Exception):
                    self.report.innocent_complaints.append(repr(result))
        self.report.innocent_complaints += innocent.complaints
        return innocent

    async def _play(self, scenario: Scenario, silent: list[tuple[Scenario, Client]]) -> None:
        began_s = asyncio.get_running_loop().time()
        client = Client(scenario, self._rig.gateway.port)
        limit_s = 3 * (TOTAL_S + TOLERANCE_S) + SLOWNESS_S
        try:
            visit = await client.run(limit_s)
        except TimeoutError:
            self._complain(scenario, [f"no end within {limit_s:g} s; so far {client.visit}"[:400]])
            return
        finally:
            self._places.release()
        if scenario.caller is Caller.SILENT:
            silent.append((scenario, client))
            return
        late_s = self._lateness.since(began_s)
        allowed_s = TOTAL_S + TOLERANCE_S + sum(late_s)
        if scenario.caller is Caller.SLOW:
            allowed_s += SLOWNESS_S
        if visit.took_s > allowed_s:
            self._complain(scenario, [f"answered after {visit.took_s:.2f} s, which is too late"])
        self._judge(scenario, visit, on_time=max(late_s, default=0.0) < STALL_S)

    async def _end_silences(self, silent: list[tuple[Scenario, Client]]) -> None:
        """The gateway must be done with those who never read while they are still there."""

        # The innocent may have a request under way at any moment.
        left = await wait_for_rest(
            lambda: count_under_way(self._rig, self._transport), (1, 0, 1000, 1), SILENT_S
        )
        if left is not None:
            seeds = [scenario.seed for scenario, _ in silent]
            self.report.leaks.append(
                f"under way after all deadlines: {left}; callers who never read: {seeds}"
            )
        for scenario, client in silent:
            try:
                visit = await client.end_silence()
            except TimeoutError:
                self._complain(scenario, ["its connection is still open long after its deadline"])
                continue
            self._judge(scenario, visit, on_time=False)

    def _judge(self, scenario: Scenario, visit: Visit, *, on_time: bool) -> None:
        if not on_time and scenario.caller is not Caller.SILENT:
            self.report.unjudged += 1
        found = judge(scenario, visit, on_time=on_time)
        if found:
            decided = [
                reading.headers.get(b"x-headgate-decisions", b"").decode() for reading in visit.readings
            ]
            self._complain(scenario, found, decided)

    def _complain(self, scenario: Scenario, found: list[str], decisions: Sequence[str] = ()) -> None:
        legs = self._upstream.legs.get(scenario.seed)
        found = [*found, *decisions]
        self.report.complaints[scenario.seed] = [*found, f"asked at {legs}", repr(scenario)]

    async def _rest(self, what: str) -> None:
        least = Holdings(0, 0, 10**6, 10**6) if self._baseline is None else self._baseline
        for left in (
            await wait_for_rest(
                lambda: count_under_way(self._rig, self._transport), NOTHING, TOTAL_S + TOLERANCE_S
            ),
            await wait_for_rest(lambda: count_holdings(self._transport, self._upstream), least, 3.0),
        ):
            if left is not None:
                self.report.leaks.append(f"{what}: {left} instead of {least}")


@asynccontextmanager
async def chaos() -> AsyncIterator[ChaosRun]:
    upstream = ChaosUpstream()
    await upstream.start()
    transport = PooledTransport(idle_s=0.3)
    chosen = replace(
        settings(max_body_bytes=1024 * 1024, body_idle_s=SILENCE_S),
        max_lateness_s=60.0,  # callers and providers run on the same loop; shedding has its own tests
        debug_headers=True,
    )
    try:
        async with serving(None, chosen, transport=transport) as rig:
            yield ChaosRun(rig, transport, upstream)
    finally:
        await upstream.stop()


_INNOCENT: Final = Scenario(
    seed=10**15,
    kind="chat",
    way="hot",
    body_bytes=0,
    answer_bytes=100,
    chunked_answer=False,
    pipelined=False,
    caller=Caller.PATIENT,
    moment=0.0,
    fault=Fault.NONE,
    position=0.0,
    status=500,
    retry_after=None,
    layout=Layout.SINGLE,
    bounds_attempts=False,
)


def build_routes(scenarios: Sequence[Scenario], upstream: ChaosUpstream) -> RoutingTable:
    """Of the scenarios, and of the innocent."""
    providers: list[Provider] = [_build_provider("innocent", upstream.url(_INNOCENT, "b"))]
    routes: list[Route] = [
        msgspec.structs.replace(
            route(MODEL, name="innocent", targets=[build_target("innocent")]), timeouts=_ROUTE_TIMEOUTS
        )
    ]
    for scenario in scenarios:
        more_providers, more_routes = _build(scenario, upstream)
        providers += more_providers
        routes += more_routes
    innocent = build_tenant(hash_key(KEY, SALT), name="innocent", models=[MODEL])
    return table(*providers, routes=routes, tenants=[tenant(), innocent])


_ROUTE_TIMEOUTS: Final = RouteTimeouts(
    connect_s=SILENCE_S, first_token_s=SILENCE_S, idle_s=SILENCE_S, total_s=TOTAL_S
)


def _build(scenario: Scenario, upstream: ChaosUpstream) -> tuple[list[Provider], list[Route]]:
    seed, layout = scenario.seed, scenario.layout
    urls = {leg: upstream.url(scenario, leg) for leg in "ab"}
    both = layout in (Layout.ENDPOINTS, Layout.HEDGE)
    providers = [
        _build_provider(f"a-{seed}", urls["a"], *([urls["b"]] if both else ())),
        _build_provider(f"b-{seed}", urls["b"]),
    ]
    targets = [build_target(f"a-{seed}")]
    if layout is Layout.PRIORITIES:
        targets.append(build_target(f"b-{seed}", priority=1))
    good = _build_route(scenario, "g", [build_target(f"b-{seed}")])
    asked = _build_route(scenario, "m", targets)
    if layout is Layout.FALLBACK:
        asked = msgspec.structs.replace(asked, fallbacks=(FallbackRule(model=f"g-{seed}"),))
    if layout is Layout.HEDGE:
        asked = msgspec.structs.replace(asked, hedge=Hedge(after_s=0.05, max_extra=1))
    return providers, [asked, good]


def _build_route(scenario: Scenario, letter: str, targets: Sequence[Target]) -> Route:
    name = f"{letter}-{scenario.seed}"
    timeouts = None if scenario.bounds_attempts else _ROUTE_TIMEOUTS
    return route(name, name=name, targets=targets, timeouts=timeouts)


def _build_provider(name: str, *urls: str) -> Provider:
    return msgspec.structs.replace(
        provider(*urls, name=name, timeouts=_TIMEOUTS, passive_health=False),
        id=ProviderId(f"chat/{name}"),
    )
