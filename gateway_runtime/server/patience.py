"""How long one attempt may keep us waiting, phase by phase.

    connect (the transport's own) -> first byte -> idle, again and again -> total, over all of it

`attempt` moves it from phase to phase. The subtle rule: while we wait for the *caller* to take bytes, only
the total counts. A slow reader must not look like a silent provider.
"""

import asyncio
import time
from types import TracebackType
from typing import Final, Protocol

from gateway_runtime.contract.table import Provider, Route, RouteTimeouts, Timeouts
from gateway_runtime.server.log import log_bug

TICK_S: Final = 0.05
"""A deadline is noticed so much late at most; deadlines are seconds."""


def choose_timeouts(route: Route, provider: Provider) -> Timeouts:
    """The route's value where it has one. Its total bounds the whole request, which `request` sees to."""
    ours, theirs = route.timeouts, provider.timeouts
    if ours == _NO_OPINION:
        return theirs
    return Timeouts(
        connect_s=theirs.connect_s if ours.connect_s is None else ours.connect_s,
        first_token_s=theirs.first_token_s if ours.first_token_s is None else ours.first_token_s,
        idle_s=theirs.idle_s if ours.idle_s is None else ours.idle_s,
        total_s=theirs.total_s if ours.total_s is None else ours.total_s,
    )


class Waiting(Protocol):
    at_s: float
    """When its patience ends, on the clock of `time.monotonic`."""

    def expire(self) -> None:
        """Called once, when it has ended."""


class Timekeeper:
    """Looks at every attempt that waits, twenty times a second: a timer of its own for each would cost more
    than the rest of the attempt's bookkeeping. Asleep while nobody waits.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self._waiting: set[Waiting] = set()
        self._timer: asyncio.TimerHandle | None = None

    def watch(self, patience: Waiting) -> None:
        self._waiting.add(patience)
        if self._timer is None:
            self._timer = self.loop.call_later(TICK_S, self._look)

    def forget(self, patience: Waiting) -> None:
        self._waiting.discard(patience)

    def _look(self) -> None:
        now_s = time.monotonic()
        late = [patience for patience in self._waiting if patience.at_s <= now_s]
        for patience in late:
            self._waiting.discard(patience)
            try:
                patience.expire()
            except Exception:  # all others wait for their deadlines, too
                log_bug("deadline failed by a bug")
        self._timer = self.loop.call_later(TICK_S, self._look) if self._waiting else None


class Patience:
    """`with patience:` around the attempt, in a task. Raises TimeoutError when the time is up, as
    `asyncio.timeout` does; `reason` then says in which phase.
    """

    __slots__ = (
        "_cancelling",
        "_heard",
        "_keeper",
        "_now",
        "_task",
        "_timeouts",
        "_total_at_s",
        "at_s",
        "expired",
    )

    def __init__(self, timeouts: Timeouts, total_at_s: float, keeper: Timekeeper) -> None:
        self._timeouts = timeouts
        self._total_at_s = total_at_s
        self._keeper = keeper
        self._now = time.monotonic
        self._heard = False
        self._task: asyncio.Task[object] | None = None
        self._cancelling = 0
        self.at_s = total_at_s
        """When the present phase ends."""
        self.expired = False

    def __enter__(self) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._task = task
        self._cancelling = task.cancelling()
        self._keeper.watch(self)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._keeper.forget(self)
        if self.expired and self._task is not None:
            # Somebody else may have cancelled the task as well, and that must not be lost.
            nobody_else = self._task.uncancel() <= self._cancelling
            if nobody_else and kind is asyncio.CancelledError:
                raise TimeoutError from error

    def expire(self) -> None:
        """Called by the keeper."""
        self.expired = True
        if self._task is not None:
            self._task.cancel()

    def expect_first_byte(self, sent_s: float | None = None) -> None:
        """The request goes out, or has at `sent_s`."""
        began_s = self._now() if sent_s is None else sent_s
        self.at_s = min(began_s + self._timeouts.first_token_s, self._total_at_s)

    def expect_more(self) -> None:
        """Bytes have come before."""
        self._heard = True
        self.at_s = min(self._now() + self._timeouts.idle_s, self._total_at_s)

    def rest(self) -> None:
        """It is not the provider that we wait for."""
        self.at_s = self._total_at_s

    def reason(self) -> str:
        return explain_lateness(self._timeouts, total=self._now() >= self._total_at_s, heard=self._heard)


def explain_lateness(timeouts: Timeouts, *, total: bool, heard: bool) -> str:
    """Which of them was over, in a clause. heard: bytes had come."""
    if total:
        return f"not finished within {timeouts.total_s:g} s"
    if heard:
        return f"silent for {timeouts.idle_s:g} s in the middle of its answer"
    return f"no first byte within {timeouts.first_token_s:g} s"


_NO_OPINION = RouteTimeouts()
