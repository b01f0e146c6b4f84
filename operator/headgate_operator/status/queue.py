"""Which status is written next: pure; `now` is an argument, on any monotonic clock.

    put -> waiting, by time -> due, by rank -> take

Rules. One job per object, the newest. A transition is due at once; other changes not before `object_s`
after the object's last write. Of what is due, edits go first, then transitions, then values, then refreshes
of `observedAt`: an edit must not wait behind 10,000 refreshes.
"""

import heapq
from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum


class Rank(IntEnum):
    EDIT = 0
    """The status is about another generation than before."""
    TRANSITION = 1
    """A condition's status or reason differs."""
    VALUES = 2
    """Only live values or a message differ."""
    REFRESH = 3
    """Nothing differs but the time of observation."""


@dataclass(frozen=True, slots=True)
class Job:
    key: str
    """`<Kind>/<namespace>/<name>`."""
    version: int
    """The object's resourceVersion that the status was worked out for."""
    status: Mapping[str, object]
    rank: Rank


class WriteQueue:
    def __init__(self, object_s: float) -> None:
        self._object_s = object_s
        self._jobs: dict[str, tuple[int, Job]] = {}
        self._written: dict[str, float] = {}
        self._waiting: list[tuple[float, int, str]] = []
        self._due: list[tuple[Rank, int, str]] = []
        self._count = 0

    def __len__(self) -> int:
        return len(self._jobs)

    def put(self, job: Job, now: float) -> None:
        before = self._jobs.get(job.key)
        if before is not None and before[1].rank <= job.rank:
            # It keeps its place, and its rank: the transition that was waiting is in the newer status too.
            self._jobs[job.key] = (before[0], Job(job.key, job.version, job.status, before[1].rank))
            return
        self._count += 1
        self._jobs[job.key] = (self._count, job)
        due = (
            now
            if job.rank <= Rank.TRANSITION
            else max(now, self._written.get(job.key, -self._object_s) + self._object_s)
        )
        heapq.heappush(self._waiting, (due, self._count, job.key))

    def drop(self, key: str) -> None:
        """There is nothing to write any more."""
        self._jobs.pop(key, None)

    def forget(self, key: str) -> None:
        """The object is gone."""
        self.drop(key)
        self._written.pop(key, None)

    def take(self, now: float) -> Job | None:
        self._wake(now)
        while self._due:
            _, count, key = heapq.heappop(self._due)
            if self._jobs.get(key, (0, None))[0] == count:
                self._written[key] = now
                return self._jobs.pop(key)[1]
        return None

    def next_due(self) -> float | None:
        """When to ask again after `take` gave None; None: not before the next `put`."""
        while self._waiting and self._jobs.get(self._waiting[0][2], (0, None))[0] != self._waiting[0][1]:
            heapq.heappop(self._waiting)
        return self._waiting[0][0] if self._waiting else None

    def _wake(self, now: float) -> None:
        while self._waiting and self._waiting[0][0] <= now:
            _, count, key = heapq.heappop(self._waiting)
            number, job = self._jobs.get(key, (0, None))
            if job is not None and number == count:
                heapq.heappush(self._due, (job.rank, count, key))
