"""Which objects' statuses may have changed, and what they should say now.

In: verdicts and versions (`update`), hints about gateways (`note_*`), statuses that somebody wrote
(`touch`). Out: jobs for the writer where the meaning differs from what the object says. `main` runs it
while we lead.

The one subtle rule: little is worked out for little news. An acknowledgement concerns only objects that are
not programmed everywhere yet; a report its provider and the routes to it; what was used its quota, gathered
for a second, since every gateway tells of every busy tenant once a second; who comes or goes concerns all.
What changes by time alone (reports that grow stale) is left to a full pass, in chunks, now and then.
"""

import asyncio
import contextlib
from collections.abc import Collection, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Final

import structlog

from gateway_runtime.contract.ids import EndpointId, ProviderId, TenantId
from headgate_operator.api.kinds import PROVIDER, QUOTA
from headgate_operator.compile.verdict import Verdict
from headgate_operator.metrics import Metrics
from headgate_operator.rollup.views import Published
from headgate_operator.settings import StatusTimes
from headgate_operator.status.bucket import TokenBucket
from headgate_operator.status.desk import Desk, Fleet, is_programmed, rank_change
from headgate_operator.status.queue import Job, Rank
from headgate_operator.status.writer import Writer
from headgate_operator.store import Store

log = structlog.get_logger()

QUIET_S: Final = 0.02
"""The acknowledgements of all gateways come within milliseconds; they make one status."""
MEMBERSHIP_S: Final = 1.0
"""A gateway that dials in acknowledges right after; without waiting, every object would be written twice."""
USE_S: Final = 1.0
"""What gateways tell of tenants is gathered for so long at least: twenty gateways then cost what one does."""
_USE_PAUSES: Final = 9
"""And for so many times what it took to work the last of it out, since a thousand busy tenants at twenty
gateways take half a second; but not for longer than the values of a status wait anyway.
"""
_CHUNK: Final = 50
"""Objects between two pauses: some 5 ms."""
_BREATH_S: Final = 0.005
"""The pause: a pass over 10,000 objects must not hold up an edit, whose compile wants the same processor."""


class Board:
    def __init__(
        self, store: Store, fleet: Fleet, writer: Writer, times: StatusTimes, metrics: Metrics
    ) -> None:
        self._store = store
        self._fleet = fleet
        self._writer = writer
        self._times = times
        self._metrics = metrics
        self._verdicts: Mapping[str, Verdict] = {}
        self._published: Published | None = None
        self._routes: dict[ProviderId, list[str]] = {}
        self._unprogrammed: set[str] = set()
        self._dirty: set[str] = set()
        self._all_at: float | None = None
        self._used: set[str] = set()
        """Quotas whose turn comes at `_used_at`."""
        self._used_at: float | None = None
        self._gather_s = USE_S
        self._busy = True
        self._wake = asyncio.Event()
        writer.on_done = self.touch

    @property
    def idle(self) -> bool:
        """Everything that was marked has been worked out."""
        return not (self._busy or self._dirty or self._used)

    def update(self, verdicts: Mapping[str, Verdict], published: Published | None) -> None:
        """After each compile. `published` is None while we do not lead."""
        before, self._verdicts = self._verdicts, verdicts
        for key in before.keys() - verdicts.keys():
            self._writer.forget(key)
            self._unprogrammed.discard(key)
        changed = {key for key, new in verdicts.items() if (old := before.get(key)) is not new and old != new}
        if changed:
            self._routes = _index_routes(verdicts.values())
        providers = [key.split("/", 1)[1] for key in changed if key.startswith(f"{PROVIDER.name}/")]
        changed.update(self._routes_of(providers))
        since = self._published.since if self._published else {}
        self._published = published
        if published is not None and published.since is not since:
            changed.update(
                key for key, verdict in verdicts.items()
                if published.since.get(verdict.resource_key) != since.get(verdict.resource_key)
            )  # fmt: skip
        self._mark(changed)

    def note_answer(self) -> None:
        """A gateway acknowledged or refused a version."""
        self._mark(self._unprogrammed)

    def note_report(self, endpoints: Iterable[EndpointId]) -> None:
        """A gateway sees these endpoints differently than before."""
        providers = {endpoint.rsplit("/", 1)[0] for endpoint in endpoints}
        self._mark(
            {f"{PROVIDER.name}/{provider}" for provider in providers}.union(self._routes_of(providers))
        )

    def note_use(self, tenants: Iterable[TenantId]) -> None:
        """A gateway says that these have used something, or that some of it is free again."""
        self._used.update(f"{QUOTA.name}/{tenant}" for tenant in tenants)
        if self._used and self._used_at is None:
            self._used_at = asyncio.get_running_loop().time() + self._gather_s
            self._wake.set()

    def note_membership(self) -> None:
        """A gateway came or went, or all are known now."""
        if self._all_at is None:
            self._all_at = asyncio.get_running_loop().time() + MEMBERSHIP_S
        self._wake.set()

    def touch(self, key: str) -> None:
        """Something but the spec was written, by us or by somebody else."""
        self._mark((key,))

    async def run(self) -> None:
        """For a term of leadership."""
        loop = asyncio.get_running_loop()
        refreshes = TokenBucket(self._times.refreshes_per_minute / 60, 1, loop.time())
        full_at = loop.time() + self._times.full_pass_s
        self._begin_term()
        while True:
            full_due = full_at if self._all_at is None else min(full_at, self._all_at)
            due = full_due if self._used_at is None else min(full_due, self._used_at)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout_at(due):
                    await self._wake.wait()
            await asyncio.sleep(QUIET_S)
            self._wake.clear()
            began_s, took_use = loop.time(), False
            if self._used_at is not None and began_s >= self._used_at:
                took_use = True
                self._dirty.update(self._used)
                self._used.clear()
                self._used_at = None
            if loop.time() >= full_due:
                self._all_at = None
                self._dirty.update(self._verdicts)
                full_at = loop.time() + self._times.full_pass_s
            if self._published is not None:
                await self._roll(self._published, refreshes)
            if took_use:
                self._gather_s = self._find_pause(loop.time() - began_s)

    def _find_pause(self, took_s: float) -> float:
        return max(USE_S, min(self._times.object_s, _USE_PAUSES * took_s))

    def _begin_term(self) -> None:
        self._published = None  # of an earlier term; what holds now comes with the next `update`
        self._busy = True
        self._mark(self._verdicts)

    async def _roll(self, published: Published, refreshes: TokenBucket) -> None:
        self._busy = True
        keys, self._dirty = self._dirty, set()
        now_s = asyncio.get_running_loop().time()
        desk = Desk(self._verdicts, published, self._fleet, now_s, datetime.now(UTC))
        for i, key in enumerate(sorted(keys), start=1):
            try:
                self._roll_object(key, desk, refreshes)
            except Exception:  # one object must not stop the others
                self._metrics.object_errors.labels("rollup").inc()
                log.exception("status could not be worked out", object=key)
            if i % _CHUNK == 0:
                await asyncio.sleep(_BREATH_S)
        self._busy = False

    def _roll_object(self, key: str, desk: Desk, refreshes: TokenBucket) -> None:
        verdict, stored = self._verdicts.get(key), self._store.get(key)
        if verdict is None or stored is None or verdict.meta.uid != stored.manifest.meta.uid:
            return  # deleted, or so new that its compile is still to come
        status = desk.roll_up(verdict, stored.status)
        if is_programmed(status):
            self._unprogrammed.discard(key)
        else:
            self._unprogrammed.add(key)
        rank = rank_change(stored.status, status)
        if rank is None and desk.is_stale(stored.status, status, self._times.refresh_age_s):
            rank = Rank.REFRESH if refreshes.take(desk.now_s) else None
        if rank is None:
            self._writer.drop(key)
        else:
            self._writer.put(Job(key, stored.resource_version, status, rank))

    def _mark(self, keys: Collection[str]) -> None:
        if keys:
            self._dirty.update(keys)
            self._wake.set()

    def _routes_of(self, providers: Iterable[str]) -> Iterator[str]:
        for provider in providers:
            yield from self._routes.get(ProviderId(provider), ())


def _index_routes(verdicts: Iterable[Verdict]) -> dict[ProviderId, list[str]]:
    routes: dict[ProviderId, list[str]] = {}
    for verdict in verdicts:
        for provider in dict.fromkeys(verdict.providers):
            routes.setdefault(provider, []).append(verdict.key)
    return routes
