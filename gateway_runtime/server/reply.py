"""The way back to a caller, as the rooms behind `front` know it. `hot` and `plain` give one each."""

from collections.abc import Mapping
from typing import Protocol


class CallerGone(Exception):
    """The caller's connection is closed."""


class Reply(Protocol):
    """Each raises CallerGone when nobody listens."""

    async def send(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        """A whole answer."""

    async def begin(self, status: int, headers: Mapping[str, str]) -> None:
        """A stream; `write` as often as there is something, then `end` or `cut`."""

    async def write(self, data: bytes) -> None: ...

    def write_now(self, data: bytes) -> bool:
        """The same without waiting. False: nothing more until `drain` is over, or memory grows."""

    async def drain(self) -> None:
        """Returns when the caller has taken enough of what was written."""

    async def end(self) -> None: ...

    def cut(self) -> None:
        """Closes the connection without a clean end, so that nobody takes the answer for whole."""
