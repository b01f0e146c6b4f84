"""A spell of weather, fair or foul: gateways are started, ask until there were enough operations, and finish;
then the store is read, and held against what they say they settled.

The one subtle rule: a store whose memory is lost when nobody is left to tell it again cannot be blamed for
what it does not know. So it is asked which memory it has.
"""

import asyncio
import secrets
import time
from collections import Counter
from collections.abc import Callable, Mapping
from math import inf
from typing import Final, NamedTuple

from gateway_runtime.engine.lease_call import ScopeAnswer
from gateway_runtime.server.endpoint import Clock
from gateway_runtime.stores.redis import open_redis_store
from gateway_runtime.stores.store import StoreAway
from gateway_runtime.stores.url import parse_store_url
from headgate.verify.audit import LATE_S, Audit
from headgate.verify.fleet import Fleet
from headgate.verify.gateway_process import TERM
from headgate.verify.messages import Begin
from headgate.verify.report import LimitResult, judge
from headgate.verify.scenario import SUMMED, build_tenants
from headgate.verify.standing import read_standings
from headgate.verify.turnstile import Turnstile
from headgate.verify.weather import Weather

_LOOK_S: Final = 0.05
_REQUESTS: Final = 0.7
"""For each operation: a request may be asked twice, and is settled in the end."""


class Outcome(NamedTuple):
    done: Counter[str]
    limits: list[LimitResult]
    problems: list[str]


class Spell:
    def __init__(
        self, url: str, password: str | None, gateways: int, seed: int, pace: float, *, faults: bool
    ) -> None:
        """pace: operations a second, of all gateways. Raises WrongStore."""
        prefix = f"{parse_store_url(url).prefix}-verify-{secrets.token_hex(4)}"
        self._gateways = gateways
        self._faults = faults
        self._tenants = list(build_tenants({}).values())
        self._store = open_redis_store(url, password, prefix=prefix)
        self._reader = Turnstile(self._store, "reader", Clock(time.monotonic, time.time), TERM)
        self._reader.book.configure(self._tenants)
        self._audit = Audit()
        requests_per_s = pace * _REQUESTS / gateways
        self._fleet = Fleet(Begin(url, prefix, "", seed, requests_per_s, faults, {}), self._audit)
        self._weather = Weather(self._fleet, self._store, seed)
        self._problems: list[str] = []

    async def run(self, operations: int, progress: Callable[[int], None]) -> Outcome:
        """Raises StoreAway, GatewayFell."""
        audit = self._audit
        await self._store.read_memory()  # whether it is there
        try:
            await self._fleet.populate(self._gateways)
            self._weather.begin()
            while audit.operations < operations:
                await asyncio.sleep(_LOOK_S)
                audit.take_until(time.monotonic() - LATE_S)
                self._fleet.check()
                progress(audit.operations)
                if self._faults:
                    await self._weather.pass_by()
            living = self._fleet.names()
            self._problems += await self._fleet.finish_all()
            audit.take_until(inf)
            self._judge(await self._read_when_ended(), living, await self._store.read_memory())
        finally:
            await self._fleet.kill_all()
            await self._store.clear()
            await self._store.close()
        done = Counter({"operations": audit.operations}) + audit.done
        return Outcome(done, [judge(log) for log in audit.logs.values()], self._problems)

    def _judge(self, standings: Mapping[str, ScopeAnswer], living: set[str], memory: str) -> None:
        when = "in the storm" if self._faults else "in the calm"
        for key, standing in standings.items():
            if standing.held or standing.leased:
                self._problems.append(
                    f"{key}: {standing.held} held and {standing.leased} leased when all was over {when}"
                )
            settled = self._audit.sum_settled(key, living)
            if not key.endswith(SUMMED) or self._audit.memories != {memory}:
                continue
            is_exact = self._audit.is_exact and not self._faults
            if standing.total < settled or (is_exact and standing.total > settled):
                self._problems.append(f"{key}: {settled} settled {when}, {standing.total} in the store")

    async def _read_when_ended(self) -> Mapping[str, ScopeAnswer]:
        """What a killed gateway held is charged when its term ends; that is waited for."""
        give_up_s = time.monotonic() + 3 * TERM.term_s
        while True:
            try:
                standings = await read_standings(self._store, self._reader, self._tenants)
            except StoreAway:
                if time.monotonic() > give_up_s:
                    raise
            else:
                is_over = not any(standing.leased or standing.held for standing in standings.values())
                if is_over or time.monotonic() > give_up_s:
                    return standings
            await asyncio.sleep(_LOOK_S)
