"""Lists of our own: they fill the store at the start, and find what the watches did not tell.

In: `Kube`. Out: a store that agrees with a fresh list. `main` calls `fill` once, then runs `run`;
`reconcile` calls `read_secrets` before each compile and `confirm` before it publishes a table that lost
most of a kind.

Why: Kopf gives no sign when its first list is through, and it does not tell of objects that were deleted
while a watch was away (410, a new list, an outage). Such ghosts would be served for ever. A sweep lists
metadata only, a fifth of the bytes, and reads the few objects that differ.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Final, TypeVar

import structlog

from headgate_operator.api.kinds import KINDS, Kind
from headgate_operator.compile.resources import SecretId
from headgate_operator.kube import Gone, Kube, KubeError
from headgate_operator.kube.client import WATCHED_LABEL
from headgate_operator.metrics import Metrics
from headgate_operator.settings import WatchTimes
from headgate_operator.store import Listed, Store
from headgate_operator.store.objects import object_key, parse_version

log = structlog.get_logger()

AT_ONCE: Final = 16
"""Reads by name in parallel: 3,000 unlabelled Secrets at the start take about a second. A guess."""
Item = TypeVar("Item")

SETTLE_S: Final = 1.0
"""After a hint, so that one sweep answers the hints of all watches that an outage cut together."""


class Sweeper:
    def __init__(
        self, kube: Kube, store: Store, scopes: Sequence[str | None], times: WatchTimes, metrics: Metrics
    ) -> None:
        """`scopes`: namespaces, or None for the whole cluster."""
        self._kube = kube
        self._store = store
        self._scopes = scopes
        self._times = times
        self._metrics = metrics
        self._hint = asyncio.Event()
        self._lock = asyncio.Lock()

    async def fill(self) -> None:
        """The sync gate: lists every kind, then the labelled Secrets, then reads what is referenced
        besides. Raises KubeError; may be called again, and goes on from what is there.
        """
        for scope in self._scopes:
            for kind in KINDS.values():
                await _restart_when_gone(partial(self._fill_kind, kind, scope))
            await _restart_when_gone(partial(self._fill_secrets, scope))
        await self.read_secrets()
        self._store.synced = True
        log.info("store filled", **self._store.statistics())
        self._store.on_dirty()

    def soon(self) -> None:
        """A watch had to list anew: it may have missed deletions."""
        self._hint.set()

    async def run(self) -> None:
        """For ever: a sweep now and then, and soon after a hint."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._run_sweeps(), name="sweep")
            tasks.create_task(self._run_rereads(), name="secrets")

    async def _run_sweeps(self) -> None:
        failing = False
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._times.sweep_s):
                    await self._hint.wait()
                    await asyncio.sleep(SETTLE_S)
            self._hint.clear()
            try:
                await self.confirm()
                failing = False
            except KubeError as error:
                if not failing:
                    log.warning("sweep failed; trying until one succeeds", error=str(error))
                failing = True
                self._hint.set()

    async def _run_rereads(self) -> None:
        while True:
            await asyncio.sleep(self._times.secrets_s)
            await self._read_all(self._store.secrets.unwatched)

    async def confirm(self) -> None:
        """Makes the store agree with a list made now: all that it lacks is added, all ghosts are gone.
        Raises KubeError when that can't be said.
        """
        async with self._lock:
            for scope in self._scopes:
                for kind in KINDS.values():
                    await _restart_when_gone(partial(self._sweep_kind, kind, scope))
                await _restart_when_gone(partial(self._sweep_secrets, scope))
            await self.read_secrets()

    async def read_secrets(self) -> None:
        """Reads what is referenced and not known. What can't be read now stays asked for; `reconcile`
        compiles with what is there.
        """
        await self._read_all(sorted(self._store.secrets.unread))

    async def _fill_kind(self, kind: Kind, scope: str | None) -> None:
        async for page in self._kube.list_objects(kind, scope):
            for raw in page.items:
                self._store.upsert(raw)

    async def _fill_secrets(self, scope: str | None) -> None:
        async for page in self._kube.list_labelled_secrets(scope):
            for raw in page.items:
                self._store.upsert_secret(raw, watched=True)

    async def _sweep_kind(self, kind: Kind, scope: str | None) -> None:
        listed: dict[str, Listed] = {}
        version = 0
        async for page in self._kube.list_objects(kind, scope, metadata_only=True):
            version = parse_version(page.resource_version)
            for raw in page.items:
                metadata = raw["metadata"]
                listed[object_key(raw)] = Listed(
                    metadata["uid"], metadata["generation"], parse_version(metadata["resourceVersion"])
                )
        differences = self._store.compare(kind.name, scope, listed, version)
        for key in differences.gone:
            self._store.remove_key(key, version)
        self._metrics.ghosts.inc(len(differences.gone))
        self._metrics.missed.inc(len(differences.stale))
        if differences.gone or differences.stale:
            log.info(
                "sweep found differences",
                gone=len(differences.gone),
                stale=len(differences.stale),
                kind=kind.name,
            )
        await _for_each(differences.stale, partial(self._read_object, kind))

    async def _sweep_secrets(self, scope: str | None) -> None:
        """Doubts are read by name afterwards, and tell themselves what has become of them."""
        listed: dict[SecretId, int] = {}
        async for page in self._kube.list_labelled_secrets(scope, metadata_only=True):
            for raw in page.items:
                metadata = raw["metadata"]
                secret = SecretId(metadata["namespace"], metadata["name"])
                listed[secret] = parse_version(metadata["resourceVersion"])
        self._store.compare_secrets(listed, scope)

    async def _read_object(self, kind: Kind, key: str) -> None:
        _, namespace, name = key.split("/")
        raw = await self._kube.read_object(kind, namespace, name)
        if raw is not None:
            self._store.upsert(raw)

    async def _read_all(self, secrets: Sequence[SecretId]) -> None:
        await _for_each(secrets, self._read_secret)

    async def _read_secret(self, secret: SecretId) -> None:
        try:
            found = await self._kube.read_secret(secret.namespace, secret.name)
        except KubeError as error:
            log.warning("secret could not be read", secret=str(secret), error=str(error))
            return
        if found is None:
            self._store.put_missing_secret(secret)
        else:
            watched = found.labels.get(WATCHED_LABEL) == "true"
            version = parse_version(found.resource_version)
            self._store.put_secret(secret, found.data, version, watched=watched)


async def _restart_when_gone(call: Callable[[], Awaitable[None]]) -> None:
    """A list that took so long that the server forgot its beginning. Once is enough: the next failure is
    the caller's.
    """
    try:
        await call()
    except Gone:
        await call()


async def _for_each(items: Sequence[Item], call: Callable[[Item], Awaitable[None]]) -> None:
    """Some at once. Raises what the first failing call raised."""
    remaining = iter(items)

    async def work() -> None:
        for item in remaining:
            await call(item)

    try:
        async with asyncio.TaskGroup() as tasks:
            for _ in range(min(AT_ONCE, len(items))):
                tasks.create_task(work())
    except ExceptionGroup as group:
        raise group.exceptions[0] from group
