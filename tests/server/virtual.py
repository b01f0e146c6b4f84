"""An event loop on which time passes at once: whatever waits for a moment waits no time at all.

In: coroutines that wait for each other and for moments. Not for sockets, nor for threads: where nothing is
left to happen, it says so instead of waiting for ever.
"""

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from functools import wraps
from typing import Any


class _Leaping(selectors.SelectSelector):
    """Does not wait until the next moment, but leaps there."""

    def __init__(self) -> None:
        super().__init__()
        self.now_s = 0.0

    def select(self, timeout: float | None = None) -> Any:
        if timeout is None:
            raise RuntimeError("everything waits, and nothing is left to happen")
        self.now_s += max(0.0, timeout)
        return super().select(0)


class VirtualLoop(asyncio.SelectorEventLoop):
    """Begins at 0."""

    def __init__(self) -> None:
        self._leaping = _Leaping()
        super().__init__(self._leaping)

    def time(self) -> float:
        return self._leaping.now_s


def virtually(test: Callable[..., Coroutine[None, None, None]]) -> Callable[..., None]:
    """A test that is run on such a loop."""

    @wraps(test)
    def run(*fixtures: Any, **named: Any) -> None:
        with asyncio.Runner(loop_factory=VirtualLoop) as runner:
            runner.run(test(*fixtures, **named))

    return run
