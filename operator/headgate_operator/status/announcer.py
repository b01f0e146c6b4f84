"""Kubernetes Events for transitions, few and never in the way: `kubectl describe` shows them.

In: transitions of statuses that have been written. Out: core/v1 Events. An Event is a courtesy; when there
are too many, or the API server has other things to do, they are counted and dropped. The status has the
truth.
"""

import asyncio
import secrets
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Final

import structlog

from headgate_operator.api.kinds import API_VERSION
from headgate_operator.api.manifest import Meta
from headgate_operator.kube import Kube, KubeError
from headgate_operator.metrics import Metrics
from headgate_operator.status.bucket import TokenBucket
from headgate_operator.status.transitions import Transition

log = structlog.get_logger()

COMPONENT: Final = "headgate-operator"
RATE_PER_S: Final = 2.0
BURST: Final = 50.0
"""client-go allows 25 at once and one in five minutes, per object; ours are transitions already. A guess."""
_BACKLOG: Final = 100
_MESSAGE_LIMIT: Final = 1024


class Announcer:
    def __init__(self, kube: Kube, instance: str, metrics: Metrics) -> None:
        """`instance`: name of this replica."""
        self._kube = kube
        self._instance = instance
        self._metrics = metrics
        self._queue: asyncio.Queue[tuple[Meta, Transition]] = asyncio.Queue(_BACKLOG)
        self._bucket: TokenBucket | None = None

    def announce(self, meta: Meta, transitions: Iterable[Transition]) -> None:
        now = asyncio.get_running_loop().time()
        if self._bucket is None:
            self._bucket = TokenBucket(RATE_PER_S, BURST, now)
        for transition in transitions:
            if self._queue.full() or not self._bucket.take(now):
                self._metrics.events_dropped.inc()
            else:
                self._queue.put_nowait((meta, transition))

    async def run(self) -> None:
        """For ever."""
        while True:
            meta, transition = await self._queue.get()
            try:
                await self._kube.create_event(meta.namespace, build_event(meta, transition, self._instance))
            except KubeError as error:
                self._metrics.events_failed.inc()
                log.warning("event could not be posted", object=str(meta), error=str(error))
            else:
                self._metrics.events_posted.inc()


def build_event(meta: Meta, transition: Transition, instance: str) -> Mapping[str, object]:
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    message = transition.message
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"namespace": meta.namespace, "name": f"{meta.name}.{secrets.token_hex(8)}"},
        "involvedObject": {
            "apiVersion": API_VERSION,
            "kind": meta.kind,
            "namespace": meta.namespace,
            "name": meta.name,
            "uid": meta.uid,
        },
        "type": transition.type,
        "reason": transition.reason,
        "message": message if len(message) <= _MESSAGE_LIMIT else f"{message[: _MESSAGE_LIMIT - 1]}…",
        "count": 1,
        "firstTimestamp": now,
        "lastTimestamp": now,
        "source": {"component": COMPONENT},
        "reportingComponent": COMPONENT,
        "reportingInstance": instance,
    }
