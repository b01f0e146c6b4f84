"""How slow an endpoint is of late: times to answer in, one figure that leans to the worst out.

Peak EWMA, as Finagle has it: a slower answer than the average takes its place at once, a quicker one pulls it
down slowly, and without answers it fades, so that an endpoint which was slow once is tried again. `server`
keeps one per endpoint and notes good answers alone: a failure that comes fast must not look quick.
"""

from math import exp
from typing import Final

DECAY_S: Final = 10.0
"""After so long a figure has faded to 37 %. Finagle's default."""


class PeakEwma:
    __slots__ = ("_at_s", "_latency_s")

    def __init__(self) -> None:
        self._latency_s: float | None = None
        self._at_s = 0.0

    def note(self, now_s: float, latency_s: float) -> None:
        """`now_s` never goes back."""
        before_s = self._latency_s
        if before_s is None or latency_s >= before_s:
            self._latency_s = latency_s
        else:
            kept = exp((self._at_s - now_s) / DECAY_S)
            self._latency_s = before_s * kept + latency_s * (1 - kept)
        self._at_s = now_s

    def value(self, now_s: float) -> float | None:
        """Seconds; None before the first answer."""
        if self._latency_s is None:
            return None
        return self._latency_s * exp((self._at_s - now_s) / DECAY_S)

    def __repr__(self) -> str:
        known = "nothing known" if self._latency_s is None else f"{self._latency_s:g} s at {self._at_s:g} s"
        return f"<PeakEwma {known}>"
