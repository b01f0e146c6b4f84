"""A gateway of a storm, in a process of its own: commands on stdin, events on stdout.

    python -m headgate.verify.gateway_process

It asks at a pace through a real LeaseDesk: requests that end at once and streams that run for seconds,
callers that leave while they wait, callers that come again. It ends when it is told to, or when nobody is
there to tell it any more.

The one subtle rule: an event is written before the store can know of what it tells. A gateway that is killed
has then never given back anything that its log still holds.
"""

import asyncio
import logging
import os
import random
import sys
import time
from collections import Counter
from contextlib import suppress
from functools import partial
from typing import Final

import structlog

from gateway_runtime.engine.amounts import NOTHING, Bound, Spent
from gateway_runtime.engine.hold import Reserved
from gateway_runtime.engine.lease_call import PICOS_PER_UNIT
from gateway_runtime.engine.lease_grant import Term
from gateway_runtime.engine.limits import Refused
from gateway_runtime.server.endpoint import Clock
from gateway_runtime.stores import STORE_PASSWORD
from gateway_runtime.stores.redis import open_redis_store
from headgate.verify.flaky_store import FlakyStore
from headgate.verify.messages import (
    Admitted,
    Begin,
    Configured,
    Edit,
    Event,
    Finish,
    Finished,
    Settled,
    Tally,
    Unheard,
    commands,
    encode_line,
)
from headgate.verify.scenario import CALLERS, SHARED, build_tenants
from headgate.verify.turnstile import Turnstile

TERM: Final = Term(2.0, 0.2)
_TICK_S: Final = 0.01
_TALLY_S: Final = 0.1
_AT_ONCE: Final = 200
"""Requests that ask or wait. A gateway that cannot keep up asks less, and is not buried."""
_STREAMS: Final = 0.1
_LEAVERS: Final = 0.03
_CANCELLED: Final = 0.1
_RETRIES: Final = 0.3


class GatewayProcess:
    def __init__(self, begin: Begin) -> None:
        self._rng = random.Random(begin.seed)
        self._clock = Clock(time.monotonic, time.time)
        store = open_redis_store(begin.url, os.environ.get(STORE_PASSWORD), prefix=begin.prefix)
        self._store = FlakyStore(
            store, self._rng, self._clock.now, TERM, self._note_unheard, faults=begin.faults
        )
        self._turnstile = Turnstile(self._store, begin.name, self._clock, TERM)
        self._amounts = dict(begin.amounts)
        self._tenants = build_tenants(self._amounts)
        self._requests_per_s = begin.requests_per_s
        self._asking: set[asyncio.Task[None]] = set()
        self._running: dict[int, tuple[Reserved, Bound, asyncio.TimerHandle]] = {}
        self._done: Counter[str] = Counter()
        self._numbers = 0

    def start(self) -> None:
        for shared in SHARED:
            self._emit(Configured(self._clock.now(), shared.key, self._amounts[shared.key]))
        self._turnstile.start(list(self._tenants.values()))

    def edit(self, edit: Edit) -> None:
        self._amounts[edit.key] = edit.amount
        self._tenants = build_tenants(self._amounts)
        self._emit(Configured(self._clock.now(), edit.key, edit.amount))
        self._turnstile.book.configure(list(self._tenants.values()))

    async def run(self) -> None:
        """Until it is cancelled."""
        next_s = tally_s = self._clock.now()
        while True:
            self._turnstile.check()
            now_s = self._clock.now()
            next_s = max(next_s, now_s - 1.0)  # what was missed while it was stopped is not made up for
            while next_s <= now_s:
                next_s += 1 / self._requests_per_s
                if len(self._asking) < _AT_ONCE:
                    self._spawn()
            if now_s >= tally_s:
                tally_s = now_s + _TALLY_S
                self._tell_tally()
            await asyncio.sleep(_TICK_S)

    async def finish(self) -> None:
        self._store.end_faults()
        for task in self._asking:
            task.cancel()
        await asyncio.gather(*self._asking, return_exceptions=True)
        for number in list(self._running):
            self._settle(number, 0.5)
        await self._turnstile.stop()
        self._tell_tally()
        self._emit(Finished(self._clock.now(), self._turnstile.desk.memory or ""))

    def _spawn(self) -> None:
        task = asyncio.get_running_loop().create_task(self._request())
        self._asking.add(task)
        task.add_done_callback(self._asking.discard)
        if self._rng.random() < _LEAVERS:
            asyncio.get_running_loop().call_later(self._rng.uniform(0, 0.005), task.cancel)

    async def _request(self) -> None:
        rng = self._rng
        caller = rng.randrange(len(CALLERS))
        bound = Bound(
            rng.randrange(1, 1500), rng.randrange(1500), rng.randrange(1, 2_000_000) * PICOS_PER_UNIT
        )
        for _ in range(2):
            outcome = await self._turnstile.admit(self._tenants[CALLERS[caller]], bound)
            if isinstance(outcome, Reserved):
                self._note_admitted(self._turnstile.asked_s, caller, bound, outcome)
                return
            self._done["refused" if isinstance(outcome, Refused) else "refused without a store"] += 1
            if rng.random() > _RETRIES:
                return
            self._done["tried again"] += 1
            await asyncio.sleep(rng.uniform(0, 0.2))

    def _note_admitted(self, at_s: float, caller: int, bound: Bound, reserved: Reserved) -> None:
        assert bound.usd_picos is not None, "all that is drawn has a price"
        self._numbers = number = self._numbers + 1
        self._emit(Admitted(at_s, number, caller, bound.input_tokens, bound.output_tokens, bound.usd_picos))
        rng = self._rng
        runs_s = rng.uniform(0.5, 3.0) if rng.random() < _STREAMS else rng.expovariate(40)
        share = 0.0 if rng.random() < _CANCELLED else rng.random()
        timer = asyncio.get_running_loop().call_later(runs_s, partial(self._settle, number, share))
        self._running[number] = (reserved, bound, timer)

    def _settle(self, number: int, share: float) -> None:
        reserved, bound, timer = self._running.pop(number)
        timer.cancel()
        assert bound.usd_picos is not None, "all that is drawn has a price"
        spent = NOTHING
        if share:
            units = int(bound.usd_picos // PICOS_PER_UNIT * share)
            tokens = (int(bound.input_tokens * share), int(bound.output_tokens * share))
            spent = Spent(*tokens, units * PICOS_PER_UNIT)
        now_s = self._clock.now()
        self._emit(Settled(now_s, number, spent.input_tokens, spent.output_tokens, spent.usd_picos))
        reserved.hold.settle(spent, now_s)

    def _note_unheard(self, root: str, since_s: float, until_s: float) -> None:
        self._emit(Unheard(since_s, until_s, root))

    def _tell_tally(self) -> None:
        counts = self._done + self._store.done
        self._done.clear()
        self._store.done.clear()
        if counts:
            self._emit(Tally(self._clock.now(), counts))

    def _emit(self, event: Event) -> None:
        os.write(sys.stdout.fileno(), encode_line(event))


async def serve() -> None:
    reader = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    begin = commands.decode(await reader.readline())
    assert isinstance(begin, Begin), "the first command says how to begin"
    gateway = GatewayProcess(begin)
    gateway.start()
    running = loop.create_task(gateway.run())
    while line := await reader.readline():
        command = commands.decode(line)
        if isinstance(command, Edit):
            gateway.edit(command)
        elif isinstance(command, Finish):
            running.cancel()
            with suppress(asyncio.CancelledError):
                await running
            await gateway.finish()
            return
    # Nobody is there any more: as if it was killed.


def main() -> None:
    # What goes wrong here is drawn, and counted; lines about it would bury what somebody wants to read.
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    asyncio.run(serve())


if __name__ == "__main__":
    main()
