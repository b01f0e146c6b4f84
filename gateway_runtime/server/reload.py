"""Hot reload: a version offered, the table that runs replaced, or a refusal that says why.

    Delta parts | SavedTable | RoutingTable -> build aside -> check -> swap one reference

`stream` offers parts, `main` what the disk holds, an embedding process whole tables. Building happens aside, in
a thread when it is big; the swap happens without an await between judging the offer and taking it. A request
keeps the `Running` it began with.

The one subtle rule: an offer whose digest does not come out right is not the sender's fault alone, it may mean
that we start from other buckets than it thinks (`OutOfStep`): dial again and take everything.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import structlog

from gateway_runtime.contract.codec import (
    BUCKET_COUNT,
    MalformedTable,
    Snapshot,
    assemble_table,
    bucket_digest,
    bucket_index,
    build_snapshot,
    parse_bucket,
    snapshot_digest,
)
from gateway_runtime.contract.ids import KeyHash
from gateway_runtime.contract.keys import hash_key
from gateway_runtime.contract.saved import SavedTable
from gateway_runtime.contract.stream import Ack, Counts, Delta, Fault, Nack, Share, Version, judge_offer
from gateway_runtime.contract.table import Resource, RoutingTable, resource_key
from gateway_runtime.engine.lookup import LiveTable, build_live_table
from gateway_runtime.server.check import check_table
from gateway_runtime.server.state import WHOLE, LiveState

log = structlog.get_logger()

INLINE_BYTES: Final = 64 * 1024
"""Changed payloads below this are built on the loop: a thread costs more than they do. A guess."""

CACHED_KEYS: Final = 4096
"""Callers' keys whose hash is remembered: hashing costs 4 µs a request, a look-up 0.1."""


class OutOfStep(Exception):
    """The changed buckets do not make the version's table together with ours."""


@dataclass(frozen=True, slots=True, eq=False)
class Running:
    """What a request holds on to."""

    live: LiveTable
    version: Version
    digest: str
    counts: Counts
    applied_unix_s: float
    hash_key: Callable[[str], KeyHash]
    """With a bounded cache, which goes with the table when the salt changes."""


@dataclass(frozen=True, slots=True, eq=False)
class _Buckets:
    """The table as it travelled, bucket by bucket: only changed ones are parsed again."""

    payloads: tuple[bytes, ...]
    digests: tuple[str, ...]
    resources: tuple[tuple[Resource, ...], ...]


@dataclass(frozen=True, slots=True, eq=False)
class _Built:
    buckets: _Buckets
    digest: str
    live: LiveTable
    counts: Counts


class Reloader:
    def __init__(self, state: LiveState) -> None:
        self.running: Running | None = None
        self.on_applied: Callable[[Running], None] = lambda _: None
        self.changed = asyncio.Event()
        """Set after each change of table or share, for whoever keeps it on disk."""
        self._share: Share | None = None
        self._buckets: _Buckets | None = None
        self._snapshot: Snapshot | None = None
        self._parts: dict[int, Delta] = {}
        self._lock = asyncio.Lock()
        self._state = state

    @property
    def version(self) -> Version | None:
        return self.running.version if self.running else None

    @property
    def bucket_digests(self) -> tuple[str, ...]:
        return self._buckets.digests if self._buckets else ()

    def export(self) -> SavedTable | None:
        """What runs, as it is kept on disk."""
        if self.running is None or self._buckets is None:
            return None
        return SavedTable(
            version=self.running.version,
            digest=self.running.digest,
            payloads=self._buckets.payloads,
            share=self._share,
        )

    async def offer_part(self, delta: Delta) -> Ack | Nack | None:
        """None until the last part has come. Raises OutOfStep."""
        if any(part.version != delta.version for part in self._parts.values()):
            self._parts.clear()  # the operator has moved on to a newer version
        self._parts[delta.part] = delta
        if len(self._parts) < delta.parts:
            return None
        changed = {i: bytes(raw) for part in self._parts.values() for i, raw in part.buckets.items()}
        self._parts.clear()
        async with self._lock:
            before = self._buckets
            size = sum(map(len, changed.values()))
            try:
                built = await _run_aside(size, lambda: _build(before, changed, delta.digest))
            except MalformedTable as error:
                return _refuse(delta.version, [Fault(resource="", message=str(error))])
            faults = check_table(built.live.table) if built else ()
            if built is None or faults:
                return _refuse(delta.version, faults)
            objection = self._judge(delta.version, built.counts, shrink_confirmed=delta.shrink_confirmed)
            if objection is not None:
                return _refuse(delta.version, [Fault(resource="", message=objection)])
            self._swap(built, delta.version)
        return Ack(version=delta.version, digest=built.digest)
