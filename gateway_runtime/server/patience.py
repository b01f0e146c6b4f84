"""How long one attempt may keep us waiting, phase by phase, on a single timer.

    connect (the transport's own) -> first byte -> idle, again and again -> total, over all of it

`attempt` moves it from phase to phase. The subtle rule: while we wait for the *caller* to take bytes, only
the total counts. A slow reader must not look like a silent provider.
"""

import asyncio
from collections.abc import Callable

from gateway_runtime.contract.table import Provider, Route, RouteTimeouts, Timeouts


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


class Patience:
    """`async with patience.scope:` around the attempt; when that times out, `reason` says in which phase."""

    __slots__ = ("_heard", "_now", "_timeouts", "_total_at_s", "scope")

    def __init__(self, timeouts: Timeouts, total_at_s: float, now: Callable[[], float]) -> None:
        self._timeouts = timeouts
        self._total_at_s = total_at_s
        self._now = now
        self._heard = False
        self.scope = asyncio.timeout_at(total_at_s)

    def expect_first_byte(self) -> None:
        """The request goes out."""
        self._wait_at_most(self._timeouts.first_token_s)

    def expect_more(self) -> None:
        """Bytes have come before."""
        self._heard = True
        self._wait_at_most(self._timeouts.idle_s)

    def rest(self) -> None:
        """It is not the provider that we wait for."""
        self.scope.reschedule(self._total_at_s)

    def reason(self) -> str:
        if self._now() >= self._total_at_s:
            return f"not finished within {self._timeouts.total_s:g} s"
        if self._heard:
            return f"silent for {self._timeouts.idle_s:g} s in the middle of its answer"
        return f"no first byte within {self._timeouts.first_token_s:g} s"

    def _wait_at_most(self, seconds: float) -> None:
        self.scope.reschedule(min(self._now() + seconds, self._total_at_s))


_NO_OPINION = RouteTimeouts()
