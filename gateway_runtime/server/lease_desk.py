"""Limits that gateways share through a store: what `book` makes where there is one, and who talks to it.

    request is short of room -> ask --.
    every BEAT_S, what was spent -----+-> one exchange for each turn of the loop -> grants -> requests go on
    every PEERS_S -> beat: who else is there, and who waits for us to assert

`express` presses, and `admission` awaits `ask`, when limits say that the store might have room; everything
else happens beside them. What is said and what follows is decided in `engine.lease_root`, which sees one call
at a time for each root.

Who presses is told in the very step in which the answer comes, first come, first served: what was granted for
those who wait is theirs before a newcomer sees it.

The one subtle rule: while the store is away nobody waits for it. Requests live on what was granted before, to
the end of its term, and are then refused; one attempt in each beat finds out whether it is back.
"""

import asyncio
import secrets
from collections.abc import Callable, Collection, Iterable, Sequence
from math import inf
from typing import Final

import structlog

from gateway_runtime.contract.stream import Share
from gateway_runtime.contract.tenant import Limit, Tenant
from gateway_runtime.engine.book import LimitIdentity
from gateway_runtime.engine.lease import LeasedLimit
from gateway_runtime.engine.lease_call import RECOVERY_MS, LeaseCall
from gateway_runtime.engine.lease_grant import Term
from gateway_runtime.engine.lease_root import LeaseRoot
from gateway_runtime.engine.limits import Claim, TenantLimit
from gateway_runtime.server.endpoint import Clock
from gateway_runtime.server.leased_limits import LeasedLimits
from gateway_runtime.stores.store import LimitStore, Recovery, StoreAway

log = structlog.get_logger()

BEAT_S: Final = 0.1
PEERS_S: Final = 0.25
ASK_S: Final = 3.0
"""The longest that a request waits for grants, while other gateways assert. A guess: until all have beaten
twice.
"""
SETTLE_S: Final = 1.0
"""So old a store's memory has to be before a gateway that begins asks anything of it: then all others have
beaten, and are known.
"""
CALLS_AT_ONCE: Final = 100
"""In one exchange. Each keeps the store busy for some 0.1 ms, and thousands of tenants must not make it look
as if it were away.
"""
_SWEEP_S: Final = 30.0
_REMEMBERED_S: Final = RECOVERY_MS / 1000


class Turn:
    """Of one request that waits for the store's answers."""

    __slots__ = ("_go_on", "_missing")

    def __init__(self, answers: int, go_on: Callable[[], None]) -> None:
        self._missing = answers
        self._go_on: Callable[[], None] | None = go_on

    def note_answer(self) -> None:
        """Of one root, or that there is none to be had."""
        self._missing -= 1
        if self._missing == 0 and self._go_on is not None:
            self._go_on()

    def cancel(self) -> None:
        """Nobody waits any more."""
        self._go_on = None


class LeaseDesk:
    def __init__(
        self, store: LimitStore, name: str, clock: Clock, share: Share, *, term: Term | None = None
    ) -> None:
        """name: of the gateway."""
        self._store = store
        # Another process under the same name must not pass for this one: see `lease_root`.
        self.name: Final = f"{name}-{secrets.token_hex(4)}"
        self._clock = clock
        self.share = share
        self._term = term or Term()
        self._roots: dict[str, LeaseRoot] = {}
        self._limits = LeasedLimits(clock, self._term, self._note, self._unnote)
        self._waiting: dict[str, list[Turn]] = {}
        """For the next call of a root."""
        self._asking: dict[str, list[Turn]] = {}
        """For the answer to the one that is under way."""
        self._pressed: set[str] = set()
        self._exchanges: set[asyncio.Task[None]] = set()
        self._is_due = False
        self.is_away = False
        """The last exchange failed."""
        self.sweep: Callable[[float], None] = lambda _: None
        """Called now and then: what nothing counts any more may be forgotten. `state` sets it."""
        self._stuck: set[str] = set()
        """Roots for which somebody has waited in vain, since other gateways have not asserted."""
        self._seen: dict[str, float] = {}
        """When each gateway that shares was alive, lately: those that left or died, too, since a store that
        forgets has forgotten what they spent.
        """
        self.alive: tuple[str, ...] = (self.name,)
        """Gateways that share, this one included, as the store told last."""
        self.memory: str | None = None
        """Which one the store has; None: it has not told yet."""
        self._forgot_s = -inf
        """When it had another one."""
        self._asks_from_s = inf
        """Nothing is asked before; see `SETTLE_S`."""

    # What the book asks: see `book.Maker`.

    def build(self, owner: Tenant, limit: Limit, key: LimitIdentity) -> LeasedLimit:
        return self._limits.build(owner, limit, key)

    def update(self, built: TenantLimit, owner: Tenant, limit: Limit) -> None:
        assert isinstance(built, LeasedLimit), "the book has only what this has built"
        self._limits.update(built, owner, limit)

    def forget(self, built: TenantLimit) -> None:
        assert isinstance(built, LeasedLimit), "the book has only what this has built"
        self._limits.forget(built)

    def forget_left(self, now_s: float) -> None:
        """Limits that left the table and of which nothing counts any more, and roots without limits. now_s:
        of the clock, or later.
        """
        self._limits.drop_left(now_s, self._is_lost)
        for root in list(self._roots.values()):
            is_awaited = root.id in self._pressed or root.id in self._waiting or root.id in self._asking
            if not self._limits.has_any(root.id) and not root.is_asking and not is_awaited:
                del self._roots[root.id]
                self._note_recovered(root.id)

    @property
    def roots(self) -> Collection[str]:
        """Of which something is known here."""
        return self._roots.keys()

    # What requests ask.

    def press(self, claims: Sequence[Claim], go_on: Callable[[], None]) -> Turn | None:
        """go_on: called once, when the store has answered or is away: ask the limits again. It must not
        raise. None: nobody can be asked, and it is not called. claims: what `limits.find_askable` has found:
        of a tenant, of its parent, or of both.
        """
        asked = self._sort_by_root(claims)
        if not asked or self.is_away:
            return None
        return self._press(asked, go_on)

    async def ask(self, claims: Sequence[Claim]) -> bool:
        """Returns when the store has answered: ask the limits again. False: it is away, or recovers for
        too long. claims: as `press` has it.
        """
        asked = self._sort_by_root(claims)
        if not asked or self.is_away:
            return False
        give_up_s = self._clock.now() + ASK_S
        while True:
            answered = asyncio.Event()
            self._press(asked, answered.set)
            await answered.wait()
            if self._knows_more(asked):
                return not self.is_away
            left_s = give_up_s - self._clock.now()
            if left_s <= 0:
                self._note_stuck(root for root, _ in asked if root.is_recovering)
                return False
            # Grants come when all gateways have asserted, or a window has passed; the next beat may tell.
            await asyncio.sleep(min(left_s, BEAT_S))

    # What runs beside them.

    async def run(self) -> None:
        """Until it is cancelled."""
        await self._beat()
        next_peers_s = next_sweep_s = self._clock.now()
        while True:
            await asyncio.sleep(BEAT_S)
            now_s = self._clock.now()
            if now_s >= next_peers_s or self.is_away:
                next_peers_s = now_s + PEERS_S
                await self._beat()
            if now_s >= next_sweep_s:
                next_sweep_s = now_s + _SWEEP_S
                self.sweep(now_s)
                self.forget_left(now_s)
            self._flush(every=True)

    async def finish(self) -> None:
        """What was spent is told, and what is left is given back; nobody waits for us after that."""
        for _ in range(3):  # what an answer brings may have to be told again
            self._flush(every=True, recall=True)
            if not self._exchanges:
                break
            await asyncio.gather(*self._exchanges)
        try:
            if not self.is_away:
                await self._store.leave(self.name)
        except StoreAway as error:
            log.warning("limit store is away", reason=str(error))
        await self._store.close()

    async def _beat(self) -> None:
        recoveries = [Recovery(root.id, root.epoch) for root in self._roots.values() if root.is_recovering]
        try:
            beat = await self._store.beat(self.name, recoveries)
        except StoreAway as error:
            self._note_away(error)
            return
        self._note_back()
        now_s = self._clock.now()
        if self.memory is None:
            self._asks_from_s = now_s + max(0.0, SETTLE_S - beat.memory_age_s)
        elif beat.memory != self.memory or not beat.was_known:
            self._forgot_s = now_s
        self.memory = beat.memory
        self.alive = beat.alive
        for peer in beat.peers:
            self._seen.setdefault(peer, now_s)
        self._seen.update(dict.fromkeys(beat.alive, now_s))
        self._seen = {peer: at_s for peer, at_s in self._seen.items() if now_s - at_s < _REMEMBERED_S}
        for root_id, epoch in beat.recoveries:
            if self._find_root(root_id).expect(epoch):
                self._pressed.add(root_id)
                self._flush_soon()

    def _find_root(self, root_id: str) -> LeaseRoot:
        root = self._roots.get(root_id)
        if root is None:
            root = self._roots[root_id] = LeaseRoot(root_id, self.name)
        return root

    def _note(self, limit: LeasedLimit) -> None:
        """It has something to say."""
        if self._limits.has(limit):
            self._find_root(limit.root).note(limit)

    def _unnote(self, limit: LeasedLimit) -> None:
        limit.is_noted = False  # whoever uses it all the same is heard
        root = self._roots.get(limit.root)
        if root is not None:
            root.forget(limit)

    def _is_lost(self, limit: LeasedLimit) -> bool:
        root = self._roots.get(limit.root)
        return self.is_away and not (root is not None and root.is_asking)

    def _press(self, asked: Sequence[tuple[LeaseRoot, Sequence[Claim]]], go_on: Callable[[], None]) -> Turn:
        turn = Turn(len(asked), go_on)
        for root, claims in asked:
            root.press(claims)
            self._waiting.setdefault(root.id, []).append(turn)
            self._pressed.add(root.id)
        self._flush_soon()
        return turn

    def _knows_more(self, asked: Sequence[tuple[LeaseRoot, Sequence[Claim]]]) -> bool:
        return self.is_away or not any(root.is_recovering for root, _ in asked)

    def _sort_by_root(self, claims: Sequence[Claim]) -> list[tuple[LeaseRoot, list[Claim]]]:
        by_root: dict[str, list[Claim]] = {}
        for one in claims:
            if isinstance(one.limit, LeasedLimit) and self._limits.has(one.limit):
                by_root.setdefault(one.limit.root, []).append(one)
        return [(self._find_root(root_id), theirs) for root_id, theirs in by_root.items()]

    def _flush_soon(self) -> None:
        """In this turn of the loop, with whatever else wants to be said in it."""
        if not self._is_due:
            self._is_due = True
            asyncio.get_running_loop().call_soon(self._flush)

    def _flush(self, *, every: bool = False, recall: bool = False) -> None:
        self._is_due = False
        now_s = self._clock.now()
        if now_s < self._asks_from_s:
            return
        if every:
            wanted = [root.id for root in self._roots.values() if root.has_something or root.has_to_assert]
        else:
            wanted = [root_id for root_id in self._pressed if root_id in self._roots]
        calls: list[tuple[LeaseRoot, LeaseCall]] = []
        for root_id in wanted:
            root = self._roots[root_id]
            if root.is_asking or self.is_away:
                continue
            self._pressed.discard(root_id)
            if recall:
                root.recall()
            call = root.build_call(
                now_s, max(self.share.gateways, len(self.alive)), self._list_peers(root), self._term
            )
            if call is None:
                self._tell(self._waiting.pop(root_id, ()))
                continue
            calls.append((root, call))
            if not call.asserts:
                self._asking[root_id] = self._waiting.pop(root_id, [])
        for first in range(0, len(calls), CALLS_AT_ONCE):
            some = calls[first : first + CALLS_AT_ONCE]
            task = asyncio.get_running_loop().create_task(self._exchange(some))
            self._exchanges.add(task)
            task.add_done_callback(self._exchanges.discard)

    def _list_peers(self, root: LeaseRoot) -> tuple[str, ...]:
        """Those that have to assert before a store without a memory grants anything."""
        if not root.was_forgotten and self._clock.now() - self._forgot_s > _REMEMBERED_S:
            return self.alive  # it has forgotten nothing: nobody has ever used this root
        return tuple(self._seen)

    async def _exchange(self, calls: Sequence[tuple[LeaseRoot, LeaseCall]]) -> None:
        try:
            answers = await self._store.exchange([(root.id, call) for root, call in calls])
        except StoreAway as error:
            for root, _ in calls:
                root.fail()
            self._note_away(error)
        except BaseException:
            for root, _ in calls:
                root.fail()
            raise
        else:
            self._note_back()
            now_s = self._clock.now()
            for (root, _), answer in zip(calls, answers, strict=True):
                root.apply(answer, now_s)
                if root.has_to_assert:
                    self._pressed.add(root.id)
                elif not root.is_recovering:
                    self._note_recovered(root.id)
        for root, call in calls:
            self._tell(self._asking.pop(root.id, ()))
            if call.asserts and root.id in self._waiting:
                self._pressed.add(root.id)
        if self._pressed and not self.is_away:
            self._flush_soon()

    @staticmethod
    def _tell(waiting: Iterable[Turn]) -> None:
        for turn in waiting:
            turn.note_answer()

    def _note_away(self, error: StoreAway) -> None:
        if not self.is_away:
            self.is_away = True
            log.error("limit store is away", reason=str(error))
        waiting = [*self._waiting.values(), *self._asking.values()]
        self._waiting.clear()
        self._asking.clear()
        for turns in waiting:
            self._tell(turns)

    def _note_back(self) -> None:
        if self.is_away:
            self.is_away = False
            log.info("limit store is back")

    def _note_stuck(self, roots: Iterable[LeaseRoot]) -> None:
        was_any = bool(self._stuck)
        self._stuck.update(root.id for root in roots)
        if self._stuck and not was_any:
            missing = sorted(set(self._seen) - set(self.alive))
            log.warning("limit store is recovering", roots=sorted(self._stuck), missing=missing)

    def _note_recovered(self, root_id: str) -> None:
        if root_id in self._stuck:
            self._stuck.remove(root_id)
            if not self._stuck:
                log.info("limit store has recovered")
