"""The monotonic clock of the config stream. An asyncio event loop is one; tests bring one that they turn."""

from collections.abc import Callable
from typing import Protocol


class Alarm(Protocol):
    def cancel(self) -> None: ...


class Clock(Protocol):
    def time(self) -> float:
        """Seconds; the same as `time.monotonic` where it is the event loop's."""

    def call_at(self, when: float, callback: Callable[[], object], /) -> Alarm: ...
