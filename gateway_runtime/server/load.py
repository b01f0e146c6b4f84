"""How much is under way, and when it is too much: refusals that cost microseconds, before the loop is late.

`front` asks `admit` for each request and calls `release` at its end; `request` asks `begin_stream`. Counted
are requests, streams and the bytes of bodies, each against its bound, so that memory stays bounded whatever
callers do. A body that does not tell its length counts as the longest that is allowed.

The one subtle rule is the lateness of the event loop: it is what a new request would wait before anything
happens to it. A pause (a garbage collection, a large table) makes one look late; only a queue makes all looks
of a tenth of a second late, and then new requests are refused until one is in time again.
"""

import asyncio
import time
from collections import deque
from typing import Final

from gateway_runtime.contract.errors import GatewayError
from gateway_runtime.server.refusal import refuse_when_busy
from gateway_runtime.server.settings import GatewaySettings

LOOK_S: Final = 0.02
LOOKS: Final = 5
"""As CoDel does it (RFC 8289): a queue that stands for a whole interval is one, a burst is not."""


class Lateness:
    """Looks at how late the loop is, in; what a new request must expect to wait, out."""

    def __init__(self) -> None:
        self._looks: deque[float] = deque([0.0] * LOOKS, LOOKS)
        self.standing_s = 0.0
        """The least of the last looks: a queue that has stood all the time."""

    @property
    def last_s(self) -> float:
        return self._looks[-1]

    def note(self, late_s: float) -> None:
        self._looks.append(max(0.0, late_s))
        self.standing_s = min(self._looks)


class Load:
    def __init__(self, settings: GatewaySettings) -> None:
        self._settings = settings
        self.requests = 0
        self.streams = 0
        self.bytes = 0
        """Of bodies, held or promised."""
        self.idle = asyncio.Event()
        """Set while no request is under way."""
        self.idle.set()
        self.shed = {"requests": 0, "streams": 0, "bytes": 0, "lateness": 0}
        """Refusals since the start, by what there was too much of."""
        self.lateness = Lateness()
        """Of the event loop."""
        self._loop = asyncio.get_running_loop()
        self._due_s = 0.0
        self._timer: asyncio.TimerHandle
        self._look_again()

    def admit(self, length: int | None) -> int:
        """length: of the body, if it was told. The bytes that are charged; to be given back to `release`.
        Raises GatewayError.
        """
        size = self._settings.max_body_bytes if length is None else min(length, self._settings.max_body_bytes)
        if not self.try_admit(size):
            raise self._refuse(*self._find_excess())
        return size

    def try_admit(self, size: int) -> bool:
        """size: of the body, in bytes. True has charged it, and `release` must follow."""
        settings = self._settings
        if (
            self.lateness.standing_s > settings.max_lateness_s
            or self.requests >= settings.max_requests
            or (self.bytes + size > settings.max_request_bytes and self.requests)
        ):
            return False
        if not self.requests:
            self.idle.clear()
        self.requests += 1
        self.bytes += size
        return True

    def begin_stream(self) -> None:
        """Raises GatewayError. Each is ended by `end_stream`."""
        if self.streams >= self._settings.max_streams:
            raise self._refuse("streams", f"{self.streams} streams are under way")
        self.streams += 1

    def end_stream(self) -> None:
        self.streams -= 1

    def release(self, size: int) -> None:
        self.bytes -= size
        self.requests -= 1
        if not self.requests:
            self.idle.set()

    def close(self) -> None:
        self._timer.cancel()

    def _find_excess(self) -> tuple[str, str]:
        """Why nothing more is admitted: one of `shed`, and a clause."""
        late_s = self.lateness.standing_s
        if late_s > self._settings.max_lateness_s:
            return "lateness", f"new requests would wait {late_s * 1000:.0f} ms"
        if self.requests >= self._settings.max_requests:
            return "requests", f"{self.requests} requests are under way"
        return "bytes", f"{self.bytes} bytes of requests are under way"

    def _refuse(self, what: str, clause: str) -> GatewayError:
        self.shed[what] += 1
        return refuse_when_busy(clause)

    def _look(self) -> None:
        self.lateness.note(time.monotonic() - self._due_s)
        self._look_again()

    def _look_again(self) -> None:
        self._due_s = time.monotonic() + LOOK_S
        self._timer = self._loop.call_later(LOOK_S, self._look)
