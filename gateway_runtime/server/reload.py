"""Hot reload: a version offered, the table that runs replaced, or a refusal that says why.

    Delta parts | SavedTable | RoutingTable -> build aside -> check -> swap one reference

`stream` offers parts, `main` what the disk holds, an embedding process whole tables. Building happens aside,
in a thread when it is big; between judging an offer and swapping nothing is awaited. A request keeps the
`Running` it began with.

The one subtle rule: an offer that does not add up to its own digest may mean that we start from other buckets
than the sender thinks (`OutOfStep`): dial again, and take everything.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import structlog

from gateway_runtime.contract.codec import Snapshot, build_snapshot
from gateway_runtime.contract.ids import KeyHash
from gateway_runtime.contract.keys import hash_key
from gateway_runtime.contract.saved import SavedTable
from gateway_runtime.contract.stream import Ack, Counts, Delta, Fault, Nack, Share, Version, judge_offer
from gateway_runtime.contract.table import RoutingTable
from gateway_runtime.engine.lookup import LiveTable
from gateway_runtime.server.build import (
    BuiltTable,
    UnservableTable,
    build_from_buckets,
    build_from_table,
)
from gateway_runtime.server.state import WHOLE, LiveState

log = structlog.get_logger()

INLINE_BYTES: Final = 64 * 1024
"""Changed buckets below this are built on the loop, where a thread would cost more than they do. A guess."""
INLINE_RESOURCES: Final = 1_000
"""Tables above this are built in a thread, however little has changed: look-ups are made anew, which takes
35 ms for 10,000 routes. Swapping then takes 8 ms of the loop.
"""

CACHED_KEYS: Final = 4096
"""Callers' keys whose hash is remembered: hashing takes some 4 µs of each request, a look-up 0.1."""


@dataclass(frozen=True, slots=True, eq=False)
class Running:
    """What a request holds on to."""

    live: LiveTable
    version: Version
    digest: str
    counts: Counts
    applied_unix_s: float
    hash_key: Callable[[str], KeyHash]
    """Remembers a bounded number of keys."""


class Reloader:
    def __init__(self, state: LiveState) -> None:
        self.running: Running | None = None
        self.on_applied: Callable[[Running], None] = lambda _: None
        self.to_save = asyncio.Event()
        """Set by each change of what `export` gives."""
        self._share: Share | None = None
        self._built: BuiltTable | None = None
        self._snapshot: Snapshot | None = None
        self._parts: dict[int, Delta] = {}
        self._lock = asyncio.Lock()
        self._state = state

    @property
    def version(self) -> Version | None:
        return self.running.version if self.running else None

    @property
    def bucket_digests(self) -> tuple[str, ...]:
        return self._built.digests if self._built else ()

    def export(self) -> SavedTable | None:
        """What runs, as it is kept on disk; None before the first table."""
        if self.running is None or self._built is None:
            return None
        return SavedTable(
            version=self.running.version,
            digest=self.running.digest,
            payloads=self._built.payloads,
            share=self._share,
        )

    async def offer_part(self, delta: Delta) -> Ack | Nack | None:
        """None until the last part of the version has come. Raises OutOfStep."""
        if any(part.version != delta.version for part in self._parts.values()):
            self._parts.clear()  # the operator has moved on before it had sent all of the older one
        self._parts[delta.part] = delta
        if len(self._parts) < delta.parts:
            return None
        changed = {index: bytes(raw) for part in self._parts.values() for index, raw in part.buckets.items()}
        self._parts.clear()
        async with self._lock:
            return await self._apply(
                delta.version,
                lambda: build_from_buckets(self._built, changed, delta.digest),
                aside=self._is_large(delta.counts)
                or sum(map(len, changed.values())) > INLINE_BYTES
                or any(b'"litellm"' in payload for payload in changed.values()),  # to import it takes seconds
                shrink_confirmed=delta.shrink_confirmed,
            )

    async def restore(self, saved: SavedTable) -> Ack | Nack:
        """A table from the disk or from the bootstrap."""
        if saved.share is not None:
            self.apply_share(saved.share)
        async with self._lock:
            return await self._apply(
                saved.version,
                lambda: build_from_buckets(None, dict(enumerate(saved.payloads)), saved.digest),
                aside=True,
                shrink_confirmed=True,
            )

    async def apply_table(self, table: RoutingTable, version: Version | None = None) -> Ack | Nack:
        """A whole table from the process that embeds us; what it lost, it lost on purpose. version: None
        counts up.
        """
        async with self._lock:
            if version is None:
                running = self.version or Version(0, 0)
                version = Version(running.epoch, running.sequence + 1)
            snapshot = await asyncio.to_thread(build_snapshot, table, self._snapshot)
            self._snapshot = snapshot
            return await self._apply(
                version, lambda: build_from_table(table, snapshot), aside=True, shrink_confirmed=True
            )

    def apply_share(self, share: Share) -> None:
        if share == self._share:
            return
        log.info("share of the limits", index=share.index, gateways=share.gateways)
        self._share = share
        if self.running is not None:
            self._state.configure(self.running.live, share)
        self.to_save.set()

    @staticmethod
    def _is_large(counts: Counts) -> bool:
        return counts.providers + counts.routes + counts.tenants > INLINE_RESOURCES

    async def _apply(
        self, version: Version, build: Callable[[], BuiltTable], *, aside: bool, shrink_confirmed: bool
    ) -> Ack | Nack:
        try:
            built = await asyncio.to_thread(build) if aside else build()
        except UnservableTable as error:
            return _refuse(version, *error.faults)
        running = (self.running.version, self.running.counts) if self.running else None
        objection = judge_offer(running, version, built.counts, shrink_confirmed=shrink_confirmed)
        if objection is not None:
            return _refuse(version, Fault(resource="", message=objection))
        self._swap(version, built)
        return Ack(version=version, digest=built.digest)

    def _swap(self, version: Version, built: BuiltTable) -> None:
        salt = built.live.table.installation.key_salt
        before = self.running
        if before is not None and before.live.table.installation.key_salt == salt:
            hash_caller_key = before.hash_key
        else:
            hash_caller_key = lru_cache(CACHED_KEYS)(lambda key: hash_key(key, salt))
        running = Running(
            live=built.live,
            version=version,
            digest=built.digest,
            counts=built.counts,
            applied_unix_s=self._state.clock.unix(),
            hash_key=hash_caller_key,
        )
        self._state.configure(built.live, self._share or WHOLE)
        self._built = built
        self.running = running
        self.to_save.set()
        counts = built.counts
        log.info(
            "table applied",
            version=str(version),
            digest=built.digest[:12],
            providers=counts.providers,
            routes=counts.routes,
            tenants=counts.tenants,
        )
        self.on_applied(running)


def _refuse(version: Version, *faults: Fault) -> Nack:
    for fault in faults:
        log.error("table refused", version=str(version), resource=fault.resource, reason=fault.message)
    return Nack(version=version, faults=faults)
