"""Writes statuses: within the budget, one at a time per object, and only while we lead.

In: jobs from `Board`. Out: server-side applies; the store learns what was written before the watch tells
it, so that nothing is written twice. `Board` hears of each end (`on_done`) and works the object out anew.

Rules. An object that is gone (404) or has changed (409) is no error: the watch is about to say so. After
another failure everything waits a little, and the board tries again; what the API server refuses for good (a
schema of another version) is tried again with the next full pass.
"""

import asyncio
import contextlib
from collections.abc import Callable
from typing import Final

import structlog

from headgate_operator.api.kinds import KINDS
from headgate_operator.kube import Conflict, Kube, KubeError, NotFound
from headgate_operator.metrics import Metrics
from headgate_operator.settings import StatusTimes
from headgate_operator.status.announcer import Announcer
from headgate_operator.status.bucket import TokenBucket
from headgate_operator.status.queue import Job, WriteQueue
from headgate_operator.status.transitions import find_transitions
from headgate_operator.store import Store

log = structlog.get_logger()

AT_ONCE: Final = 4
"""Writes under way. With 20 ms each that is more than the budget allows."""
_FIRST_PAUSE_S: Final = 0.5
_LONGEST_PAUSE_S: Final = 15.0


class Writer:
    def __init__(
        self,
        kube: Kube,
        store: Store,
        announcer: Announcer,
        times: StatusTimes,
        leading: Callable[[], bool],
        metrics: Metrics,
    ) -> None:
        self._kube = kube
        self._store = store
        self._announcer = announcer
        self._times = times
        self._leading = leading
        self._metrics = metrics
        self._queue = WriteQueue(times.object_s)
        self._wake = asyncio.Event()
        self._under_way: set[str] = set()
        self._pause_s = 0.0
        self.on_done: Callable[[str], None] = lambda key: None

    @property
    def idle(self) -> bool:
        """Nothing is due or under way; what waits for its ten seconds does not count."""
        loop_time = asyncio.get_running_loop().time()
        return not self._under_way and (self._queue.next_due() or loop_time + 1) > loop_time

    def put(self, job: Job) -> None:
        """While the object is being written, nothing is queued: `on_done` makes the board look again."""
        if job.key not in self._under_way:
            self._queue.put(job, asyncio.get_running_loop().time())
            self._metrics.status_queue.set(len(self._queue))
            self._wake.set()

    def drop(self, key: str) -> None:
        self._queue.drop(key)

    def forget(self, key: str) -> None:
        self._queue.forget(key)

    async def run(self) -> None:
        """For a term of leadership; what is queued or under way at its end is given up."""
        self._queue = WriteQueue(self._times.object_s)
        loop = asyncio.get_running_loop()
        bucket = TokenBucket(self._times.writes_per_s, self._times.writes_per_s, loop.time())
        slots = asyncio.Semaphore(AT_ONCE)
        try:
            async with asyncio.TaskGroup() as tasks:
                while True:
                    job = await self._next_job(bucket)
                    await slots.acquire()
                    self._under_way.add(job.key)
                    task = tasks.create_task(self._write(job))
                    task.add_done_callback(lambda _: slots.release())
        finally:
            self._under_way.clear()

    async def _next_job(self, bucket: TokenBucket) -> Job:
        loop = asyncio.get_running_loop()
        while True:
            if self._pause_s:
                await asyncio.sleep(self._pause_s)
            await asyncio.sleep(bucket.wait_s(loop.time()))
            self._wake.clear()
            job = self._queue.take(loop.time())
            self._metrics.status_queue.set(len(self._queue))
            if job is not None:
                bucket.take(loop.time())
                return job
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout_at(self._queue.next_due()):
                    await self._wake.wait()

    async def _write(self, job: Job) -> None:
        look_again = False
        try:
            if self._leading():
                look_again = await self._apply(job)
        finally:
            self._under_way.discard(job.key)
        if look_again:
            self.on_done(job.key)

    async def _apply(self, job: Job) -> bool:
        """Whether the board should look at the object again without waiting for the watch."""
        kind, namespace, name = job.key.split("/")
        stored = self._store.get(job.key)
        before = stored.status if stored else None
        try:
            written = await self._kube.apply_status(KINDS[kind], namespace, name, job.version, job.status)
        except (NotFound, Conflict):
            self._metrics.status_gone.inc()
            return False
        except KubeError as error:
            self._metrics.status_failed.inc()
            if error.retryable:
                if not self._pause_s:
                    log.warning("statuses can't be written; trying until they can", error=str(error))
                self._pause_s = min(max(2 * self._pause_s, _FIRST_PAUSE_S), _LONGEST_PAUSE_S)
            else:
                log.warning("status refused", object=job.key, error=str(error))
                return False
        else:
            self._pause_s = 0.0
            self._metrics.status_written.inc()
            status = written.get("status") or {}
            self._store.note_written(written)
            if stored is not None:
                self._announcer.announce(stored.manifest.meta, find_transitions(before, status))
        return True
