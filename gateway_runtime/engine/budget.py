"""How many retries a route can afford: its requests in, yes or no out.

Retries and hedges together stay below a share of the requests of the last ten seconds, as in Finagle and
Linkerd: when a provider fails altogether, the load on it grows by that share and not by the number of
attempts. A floor lets little traffic retry too.

`server` keeps one RetryBudget per route, across reloads; it notes each request once, `retry` and `hedge`
withdraw.
"""

from typing import Final

from gateway_runtime.engine.window import RollingCount

WINDOW_S: Final = 10.0
"""Finagle's and Linkerd's."""
FLOOR_PER_S: Final = 3
"""Always free. Linkerd has 10; an LLM request is heavier than most. A guess."""


class RetryBudget:
    """With each retry, in the `WINDOW_S` seconds before it:

        retries <= requests x percent / 100 + FLOOR_PER_S x WINDOW_S

    Requests are counted up to a sixtieth of the window too long (see `window`), retries never too short.
    """

    __slots__ = ("_requests", "_retries", "percent")

    def __init__(self, percent: int) -> None:
        self.percent = percent
        """A reload may change it; what was counted stays."""
        self._requests = RollingCount(WINDOW_S)
        self._retries = RollingCount(WINDOW_S)

    def note_request(self, now_s: float) -> None:
        """One that a caller sent, however many attempts it takes."""
        self._requests.add(now_s)

    def withdraw(self, now_s: float) -> bool:
        """Asks for one more attempt; True has counted it."""
        affordable = self._requests.total(now_s) * self.percent / 100 + FLOOR_PER_S * WINDOW_S
        if self._retries.total(now_s) + 1 > affordable:
            return False
        self._retries.add(now_s)
        return True

    def __repr__(self) -> str:
        return f"<RetryBudget {self.percent} % and {FLOOR_PER_S} a second>"
