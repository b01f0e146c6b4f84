"""Who leads: a Lease that one replica holds and renews, by optimistic writes and the local clock alone.

    follower --the Lease is free, or unchanged for longer than it lasts--> leader
    leader --somebody else holds it, or no renewal for deadline_s--> follower, at once
    leader --SIGTERM--> the Lease is released, so that the next one need not wait

`main` runs it with what a leader does (`serve`); the probes and the status writer ask `leading`. The one
subtle rule: nobody's clock but our own counts. A follower measures how long the Lease has not changed since
it saw that itself, so clocks may differ; a leader counts its deadline from before it sent the renewal, so
it stops first.

Why not `kubernetes.aio.leaderelection`: it reads before every write (twice the requests, and at rest the
Lease is most of what we ask), measures by the wall clock, keeps its record in an annotation or with a text
time, and cannot release.
"""

import asyncio
import contextlib
import time
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime
from typing import Any, Final, TypeAlias

import structlog

from headgate_operator.kube import Conflict, Kube, KubeError, NotFound
from headgate_operator.metrics import Metrics
from headgate_operator.settings import LeaseTimes

log = structlog.get_logger()

RELEASE_TIMEOUT_S: Final = 3.0
Serve: TypeAlias = Callable[[int], Coroutine[Any, Any, None]]


class Leader:
    def __init__(
        self, kube: Kube, namespace: str, name: str, identity: str, times: LeaseTimes, metrics: Metrics
    ) -> None:
        """`identity`: unique among the replicas, also over restarts of one."""
        self._kube = kube
        self._namespace = namespace
        self._name = name
        self.identity = identity
        self._times = times
        self._gauge = metrics.leader.labels(name)
        self._lease: dict[str, Any] | None = None
        self._changed_at = 0.0
        self._renewed_at = 0.0
        self._failing = False
        self.leading = False
        self.holder = ""
        """Who leads, as far as we know."""

    def explain(self) -> str:
        """For /readyz and the log."""
        if self.leading:
            return f"leader: {self.identity} holds Lease {self._namespace}/{self._name}"
        holder = self.holder or "nobody yet"
        return f"follower: Lease {self._namespace}/{self._name} is held by {holder}"

    async def run(self, serve: Serve) -> None:
        """For ever. `serve(term)` runs while we lead and is cancelled when we no longer do; `term` grows
        with each leader. When it ends by itself or raises, so does this.
        """
        try:
            while True:
                await self._acquire()
                await self._lead(serve)
        finally:
            if self.leading:
                self._step_down("stopping")
                await self._release()

    async def _acquire(self) -> None:
        while True:
            if await self._try_acquire():
                break
            await asyncio.sleep(self._times.poll_s)
        self.leading = True
        self.holder = self.identity
        self._gauge.set(1)
        log.info("became leader", identity=self.identity, term=self._term())

    async def _try_acquire(self) -> bool:
        now = time.monotonic()
        try:
            found = await self._kube.read_lease(self._namespace, self._name)
            if found is None:
                self._lease = await self._kube.create_lease(self._namespace, self._name, self._spec(0))
            else:
                self._failing = False
                self._observe(found)
                if not self._is_free(found):
                    return False
                spec = self._spec(int(found["spec"].get("leaseTransitions") or 0) + 1)
                now = time.monotonic()
                self._lease = await self._kube.replace_lease({**found, "spec": {**found["spec"], **spec}})
        except Conflict:
            return False
        except KubeError as error:
            if not self._failing:
                log.warning("lease can be neither read nor taken; trying again", error=str(error))
            self._failing = True
            return False
        self._failing = False
        self._renewed_at = now
        return True

    def _observe(self, found: dict[str, Any]) -> None:
        version = found["metadata"]["resourceVersion"]
        if self._lease is None or self._lease["metadata"]["resourceVersion"] != version:
            self._changed_at = time.monotonic()
        self._lease = found
        holder = str(found["spec"].get("holderIdentity") or "")
        if holder != self.holder:
            self.holder = holder
            log.info("leader seen", holder=holder)

    def _is_free(self, found: dict[str, Any]) -> bool:
        if found["spec"].get("holderIdentity") in (None, "", self.identity):
            return True
        lasts_s = max(self._times.duration_s, float(found["spec"].get("leaseDurationSeconds") or 0))
        return time.monotonic() - self._changed_at > lasts_s

    async def _lead(self, serve: Serve) -> None:
        serving = asyncio.create_task(serve(self._term()), name="leading")
        renewing = asyncio.create_task(self._renew_until_lost(), name="lease renewal")
        try:
            await asyncio.wait((serving, renewing), return_when=asyncio.FIRST_COMPLETED)
            if serving.done():
                serving.result()
                raise RuntimeError("what a leader does has ended by itself")
            self._step_down(renewing.result())
        finally:
            for task in (renewing, serving):
                task.cancel()
            await asyncio.gather(renewing, serving, return_exceptions=True)

    async def _renew_until_lost(self) -> str:
        """Why it is lost."""
        pause_s = self._times.renew_s
        while True:
            deadline = self._renewed_at + self._times.deadline_s
            await asyncio.sleep(max(0.0, min(pause_s, deadline - time.monotonic())))
            if time.monotonic() >= deadline:
                return f"not renewed for {self._times.deadline_s:g} s"
            pause_s = self._times.retry_s
            now = time.monotonic()
            try:
                async with asyncio.timeout(deadline - now):
                    if not await self._renew():
                        return f"taken by {self.holder or 'nobody'}"
            except TimeoutError:
                continue
            except KubeError as error:
                if not self._failing:
                    log.warning(
                        "lease not renewed; trying again", error=str(error), left_s=round(deadline - now, 1)
                    )
                self._failing = True
                continue
            self._failing = False
            self._renewed_at = now
            pause_s = self._times.renew_s

    async def _renew(self) -> bool:
        """One write; a read only when somebody else has written. Raises KubeError."""
        assert self._lease is not None
        renewed = {**self._lease["spec"], "renewTime": _micro_time()}
        try:
            self._lease = await self._kube.replace_lease({**self._lease, "spec": renewed})
        except (Conflict, NotFound):
            # Our own write whose answer was lost, an administrator's label, or a rival.
            found = await self._kube.read_lease(self._namespace, self._name)
            if found is None:
                self._lease = await self._kube.create_lease(
                    self._namespace, self._name, self._spec(self._term())
                )
                return True
            self._observe(found)
            if self.holder != self.identity:
                return False
            self._lease = await self._kube.replace_lease({**found, "spec": {**found["spec"], **renewed}})
        return True

    def _step_down(self, reason: str) -> None:
        self.leading = False
        self._gauge.set(0)
        log.info("no longer leader", identity=self.identity, reason=reason)

    async def _release(self) -> None:
        assert self._lease is not None
        spec = {**self._lease["spec"], "holderIdentity": "", "renewTime": _micro_time()}
        with contextlib.suppress(KubeError, TimeoutError):  # it runs out by itself, only later
            async with asyncio.timeout(RELEASE_TIMEOUT_S):
                await self._kube.replace_lease({**self._lease, "spec": spec})

    def _term(self) -> int:
        assert self._lease is not None
        return int(self._lease["spec"].get("leaseTransitions") or 0)

    def _spec(self, transitions: int) -> dict[str, object]:
        now = _micro_time()
        return {
            "holderIdentity": self.identity,
            "leaseDurationSeconds": max(1, round(self._times.duration_s)),
            "acquireTime": now,
            "renewTime": now,
            "leaseTransitions": transitions,
        }


def _micro_time() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
