"""Real gateways, each a process, over a real store, and what befalls them: settings in, a Report out.

    calm   ask, settle, finish          the store has counted what was settled, to the last token
    storm  the same, and `weather`      never over, and nothing is left at the end

All keys have a prefix of this run alone, and are deleted at its end; what others keep there is never touched.
"""

import asyncio
import secrets
import time
from collections.abc import Callable, Mapping
from math import inf
from typing import Final, NamedTuple

from gateway_runtime.engine.lease_call import ScopeAnswer
from gateway_runtime.server.endpoint import Clock
from gateway_runtime.stores.redis import open_redis_store
from gateway_runtime.stores.url import parse_store_url
from headgate.verify.audit import LATE_S, Audit
from headgate.verify.fleet import Fleet
from headgate.verify.gateway_process import TERM
from headgate.verify.messages import Begin
from headgate.verify.report import Report, build_report, judge
from headgate.verify.scenario import SUMMED, build_tenants
from headgate.verify.standing import read_standings
from headgate.verify.turnstile import Turnstile
from headgate.verify.weather import Weather

_CALM: Final = 0.15
"""Of all operations."""
_LOOK_S: Final = 0.05
_REQUESTS: Final = 0.7
"""For each operation: a request may be asked twice, and is settled in the end."""
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


class Storm:
    def __init__(self, settings: StormSettings, progress: Callable[[int], None] = lambda _: None) -> None:
        """progress: called with the operations that are done. Raises WrongStore."""
        self._settings = settings
        self._progress = progress
        prefix = f"{parse_store_url(settings.url).prefix}-verify-{secrets.token_hex(4)}"
        self._store = open_redis_store(settings.url, settings.password, prefix=prefix)
        self._reader = Turnstile(self._store, "reader", Clock(time.monotonic, time.time), TERM)
        self._reader.book.configure(list(build_tenants({}).values()))
        self._audit = Audit()
        pace = settings.operations * _REQUESTS / settings.seconds / settings.gateways
        begin = Begin(settings.url, prefix, "", settings.seed, pace, False, {})
        self._fleet = Fleet(begin, self._audit)
        self._weather = Weather(self._fleet, self._store, settings.seed)
        self._problems: list[str] = []

    async def run(self) -> Report:
        """Raises StoreAway: the store was away at the beginning or at the end; GatewayFell."""
        began_s = time.monotonic()
        await self._store.leave("nobody")  # whether it is there
        try:
            await self._spend_calm()
            await self._spend_storm()
        finally:
            await self._fleet.kill_all()
            await self._store.clear()
            await self._store.close()
        done = {"operations": self._audit.operations}
        done.update((name, self._audit.done[name]) for name in _TOLD)
        return build_report(
            store=self._settings.url,
            gateways=self._settings.gateways,
            seed=self._settings.seed,
            seconds=time.monotonic() - began_s,
            done=done,
            limits=map(judge, self._audit.logs.values()),
            problems=self._problems,
        )

    async def _spend_calm(self) -> None:
        await self._fleet.populate(self._settings.gateways, faults=False)
        while self._audit.operations < self._settings.operations * _CALM:
            await self._look()
        await self._finish("in the calm", is_exact=True)

    async def _spend_storm(self) -> None:
        await self._fleet.populate(self._settings.gateways, faults=True)
        self._weather.begin()
        while self._audit.operations < self._settings.operations:
            await self._look()
            await self._weather.pass_by()
        await self._finish("at the end", is_exact=False)

    async def _look(self) -> None:
        await asyncio.sleep(_LOOK_S)
        self._audit.take_until(time.monotonic() - LATE_S)
        self._fleet.check()
        self._progress(self._audit.operations)

    async def _finish(self, when: str, *, is_exact: bool) -> None:
        """is_exact: nobody was killed and nothing was lost, as far as that was up to us."""
        living = self._fleet.names()
        self._problems += await self._fleet.finish_all()
        self._audit.take_until(inf)
        standings = await self._read_when_ended()
        for key, standing in standings.items():
            if standing.held or standing.leased:
                self._problems.append(f"{key}: {standing.held} held and {standing.leased} leased {when}")
            settled = self._audit.sum_settled(key, living)
            if not key.endswith(SUMMED) or standing.total == settled:
                continue
            if standing.total < settled or (is_exact and self._audit.is_exact):
                self._problems.append(
                    f"{key}: {settled} settled, {standing.total} counted by the store {when}"
                )

    async def _read_when_ended(self) -> Mapping[str, ScopeAnswer]:
        """What a killed gateway held is charged when its term ends; that is waited for."""
        give_up_s = time.monotonic() + 3 * TERM.term_s
        while True:
            standings = await read_standings(self._store, self._reader, list(build_tenants({}).values()))
            is_over = not any(standing.leased or standing.held for standing in standings.values())
            if is_over or time.monotonic() > give_up_s:
                return standings
            await asyncio.sleep(_LOOK_S)
