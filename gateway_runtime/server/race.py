"""Hedging: copies of one slow request at several endpoints, the first good answer to the caller, the others
stopped.

`journey` calls `run_race` for requests of a route that hedges. `engine.hedge` says when a copy goes out and
where to. The one subtle rule: an answer that is good goes out by itself, in its own task; the one that gets
to `send` first has won, and whoever comes after it in the same step is stopped there. So a copy that was
stopped is no sign that the request was.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence

from gateway_runtime.contract.ids import EndpointId
from gateway_runtime.contract.table import Hedge
from gateway_runtime.engine.budget import RetryBudget
from gateway_runtime.engine.hedge import pick_hedge, wait_before_hedge
from gateway_runtime.engine.plan import Choice
from gateway_runtime.engine.trace import Why
from gateway_runtime.server.call import Call, Ended
from gateway_runtime.server.reply import Reply

Send = Callable[[Choice, Call], Awaitable[Ended | None]]


async def run_race(
    first: Choice,
    call: Call,
    hedge: Hedge,
    send: Send,
    order: Callable[[], Sequence[Choice]],
    budget: RetryBudget,
    deadline_s: float,
) -> tuple[Choice, Ended] | None:
    """The copy that answered, else the last one that failed; None when the first could not be sent."""
    race = _Race(call, send)
    record, now = call.record, call.clock.now
    began_s, waited_s = now(), record.waited_s
    race.start(first)
    lost: tuple[Choice, Ended] | None = None
    try:
        while race.copies:
            wait_s = wait_before_hedge(hedge, stream=False, copies=race.started, left_s=deadline_s - now())
            done, _ = await asyncio.wait(race.copies, timeout=wait_s, return_when=asyncio.FIRST_COMPLETED)
            for copy in done:
                choice = race.copies.pop(copy)
                ended = None if copy.cancelled() else copy.result()
                if ended is not None:
                    lost = choice, ended
                    if ended.answered:
                        return lost
            if not done:
                now_s = now()
                # Copies wait at the same time; what they wait together counts once.
                record.waited_s = max(record.waited_s, waited_s + now_s - began_s)
                hedged = pick_hedge(order(), race.tried, budget, now_s)
                if hedged is not None:
                    call.metrics.count_hedge(hedged.provider.id)
                    if record.trace is not None:
                        record.trace.note(Why.HEDGED, hedged.endpoint.id, hedge.after_s)
                race.start(hedged)
        return lost
    finally:
        await race.stop()


class _Race:
    def __init__(self, call: Call, send: Send) -> None:
        self._call = call
        self._send = send
        self._won: asyncio.Task[Ended | None] | None = None
        self.copies: dict[asyncio.Task[Ended | None], Choice] = {}
        self.started = 0
        """Copies that were to be sent, also where nothing was left to send them to."""
        self.tried: set[EndpointId] = set()

    def start(self, choice: Choice | None) -> None:
        self.started += 1
        if choice is not None:
            self.tried.add(choice.endpoint.id)
            call = self._call._replace(reply=_FirstReply(self._call.reply, self.claim))
            copy = asyncio.ensure_future(self._send(choice, call))
            self.copies[copy] = choice

    def claim(self) -> bool:
        """Whether the present task has won."""
        task = asyncio.current_task()
        if self._won is None:
            self._won = next((copy for copy in self.copies if copy is task), None)
            for copy in self.copies:
                if copy is not task:
                    copy.cancel()
        return self._won is task

    async def stop(self) -> None:
        for copy in self.copies:
            copy.cancel()
        if self.copies:
            await asyncio.wait(self.copies)


class _FirstReply:
    """A Reply for one of several who want to answer."""

    def __init__(self, reply: Reply, claim: Callable[[], bool]) -> None:
        self._reply = reply
        self._claim = claim

    async def send(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        if not self._claim():
            raise asyncio.CancelledError
        await self._reply.send(status, headers, body)

    async def begin(self, status: int, headers: Mapping[str, str]) -> None:
        raise AssertionError("streams are not hedged")

    async def write(self, data: bytes) -> None:
        raise AssertionError("streams are not hedged")

    def write_now(self, data: bytes) -> bool:
        raise AssertionError("streams are not hedged")

    async def drain(self) -> None:
        raise AssertionError("streams are not hedged")

    async def end(self) -> None:
        raise AssertionError("streams are not hedged")

    def cut(self) -> None:
        """Of an answer that was sent, so this one has won."""
        self._reply.cut()
