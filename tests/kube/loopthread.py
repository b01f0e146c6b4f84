"""An event loop in a thread of its own, so that a proxy serves while a test blocks, sync or async.

In: coroutines and functions from any other thread. Out: their results. Called by `FaultProxy` and `ApiProxy`.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")

ANSWERS_WITHIN_S = 30.0
"""Everything asked of a proxy takes milliseconds. The limit of pytest does not help when a proxy hangs while
it is
closed after a failed test: pytest-timeout stops its clock at the failure."""


class LoopThread:
    """Runs from construction to `close`, which cancels what is left and waits for its end."""

    def __init__(self, name: str) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run it there, wait for it here. Raises `TimeoutError`."""
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(ANSWERS_WITHIN_S)

    def call(self, function: Callable[[], T]) -> T:
        """The same for a function that must be on the loop's thread but has nothing to await."""

        async def called() -> T:
            return function()

        return self.run(called())

    def close(self) -> None:
        self.run(_cancel_the_rest())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()
        self.loop.close()

    def _run(self) -> None:
        asyncio.set_event_loop(self.loop)
        self.loop.run_forever()


async def _cancel_the_rest() -> None:
    rest = asyncio.all_tasks() - {asyncio.current_task()}
    for task in rest:
        task.cancel()
    await asyncio.gather(*rest, return_exceptions=True)
