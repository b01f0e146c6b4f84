"""Keeps the table that runs on disk, beside the traffic.

`reload` sets `to_save` whenever there is something new; a burst of edits makes one write. A full disk is
reported, counted and tried again with the next table: it costs the next start its head start, and no request
anything.
"""

import asyncio
from pathlib import Path
from typing import Final

import structlog

from gateway_runtime.server.disk import TableStore, load_bootstrap
from gateway_runtime.server.metrics import Metrics
from gateway_runtime.server.reload import Reloader

log = structlog.get_logger()

REST_S: Final = 0.5
"""Between two writes: a table of 10,000 objects takes some 100 ms of CPU to compress."""


class TableKeeper:
    def __init__(
        self, state_dir: Path | None, bootstrap_dir: Path | None, reloader: Reloader, metrics: Metrics
    ) -> None:
        self._store = TableStore(state_dir) if state_dir else None
        self._bootstrap_dir = bootstrap_dir
        self._reloader = reloader
        self._metrics = metrics
        self._saving: asyncio.Task[None] | None = None

    async def restore(self) -> None:
        """Applies the newer of what the disk and the bootstrap hold, if either holds anything."""
        kept = await asyncio.to_thread(self._store.load) if self._store else None
        sent = await asyncio.to_thread(load_bootstrap, self._bootstrap_dir) if self._bootstrap_dir else None
        found = [saved for saved in (kept, sent) if saved is not None]
        for saved in sorted(found, key=lambda saved: saved.version, reverse=True):
            log.info(
                "table found", version=str(saved.version), source="disk" if saved is kept else "bootstrap"
            )
            await self._reloader.restore(saved)
            if self._reloader.running is not None:
                return

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await self._reloader.to_save.wait()
            await self._save_once()
            await asyncio.sleep(REST_S)

    async def finish(self) -> None:
        """Returns when what runs is on disk. `run` was cancelled before, perhaps in the middle of a write."""
        if self._saving is not None:
            await asyncio.shield(self._saving)
        await self._save_once()

    async def _save_once(self) -> None:
        """Shielded: a cancelled thread writes on, and two of them must not write the same file."""
        self._saving = asyncio.create_task(self._save())
        await asyncio.shield(self._saving)

    async def _save(self) -> None:
        if not self._reloader.to_save.is_set():
            return
        self._reloader.to_save.clear()
        saved = self._reloader.export()
        if saved is None or self._store is None:
            return
        try:
            await asyncio.to_thread(self._store.save, saved)
        except OSError as error:
            self._metrics.saves_failed.inc()
            log.warning("table not saved", path=str(self._store.path), error=str(error))
