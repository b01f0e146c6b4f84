"""What befalls the gateways of a storm and their store, as drawn from a seed.

    kill -9 and a new one | SIGSTOP for up to two terms | the store forgets | an amount is edited

What only a network can do, lost answers and lost ways, each gateway draws for itself: see `flaky_store`. The
store forgets by losing keys of this run, in one step, as a server does that starts anew.
"""

import random
import time
from typing import Final

from gateway_runtime.stores.redis import RedisStore
from gateway_runtime.stores.store import StoreAway
from headgate.verify.child import Child
from headgate.verify.fleet import Fleet
from headgate.verify.gateway_process import TERM
from headgate.verify.scenario import EDITABLE, ROOTS

_PAUSE_S: Final = 0.7
"""Between two, on average. A guess: most of the time most gateways are well, as in life."""
_MEMORY_S: Final = 15.0
"""Between two losses of memory: behind each nothing is granted for a window, as some have been killed."""
_FIRST: Final = ("kill", "forget", "stop", "edit")
"""So that the shortest run has one of each."""
_LATER: Final = ("kill", "stop", "stop", "edit", "edit", "forget")


class Weather:
    def __init__(self, fleet: Fleet, store: RedisStore, seed: int) -> None:
        self._fleet = fleet
        self._store = store
        self._rng = random.Random(seed)
        self._first = list(_FIRST)
        self._next_s = 0.0
        self._forgot_s = 0.0
        self._stopped: list[tuple[float, Child]] = []

    def begin(self) -> None:
        self._next_s = time.monotonic() + _PAUSE_S

    async def pass_by(self) -> None:
        """What is due by now."""
        now_s = time.monotonic()
        for until_s, child in self._stopped:
            if now_s >= until_s:
                child.go_on()
        self._stopped = [entry for entry in self._stopped if now_s < entry[0]]
        if now_s < self._next_s:
            return
        self._next_s = now_s + self._rng.expovariate(1 / _PAUSE_S)
        kind = self._first.pop(0) if self._first else self._rng.choice(_LATER)
        await self._break(kind, now_s)

    async def _break(self, kind: str, now_s: float) -> None:
        rng, fleet = self._rng, self._fleet
        match kind:
            case "kill":
                await fleet.kill(rng.choice(fleet.children))
                fleet.audit.done["killed"] += 1
            case "stop":
                child = rng.choice(fleet.children)
                if not child.is_stopped:
                    child.stop()
                    self._stopped.append((now_s + rng.uniform(0, 2 * TERM.term_s), child))
                    fleet.audit.done["stopped"] += 1
            case "forget" if now_s > self._forgot_s + _MEMORY_S:
                try:
                    await self._store.forget(ROOTS)
                except StoreAway:
                    return  # it is away as it is
                self._forgot_s = now_s
                fleet.audit.done["forgotten"] += 1
            case "edit":
                shared = rng.choice(EDITABLE)
                await fleet.edit(shared.key, max(1, int(shared.amount * rng.uniform(0.5, 1.5))))
                fleet.audit.done["edited"] += 1
