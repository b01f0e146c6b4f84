"""A store that loses calls and answers, and is out of reach for a while: what a network does, drawn."""

import random
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Final

from gateway_runtime.engine.lease_call import LeaseAnswer, LeaseCall
from gateway_runtime.engine.lease_grant import Term
from gateway_runtime.stores.store import Beat, LimitStore, Recovery, StoreAway

_LOST: Final = 0.004
"""Of all exchanges: half of them on the way to the store, half on the way back."""
_CUT: Final = 0.01
"""Of all beats: with each the gateway may be cut off, for up to two terms."""


class FlakyStore:
    """See `store.LimitStore`."""

    def __init__(
        self,
        store: LimitStore,
        rng: random.Random,
        now: Callable[[], float],
        term: Term,
        note_unheard: Callable[[str, float, float], None],
        *,
        faults: bool,
    ) -> None:
        """note_unheard: called with a root, since when nothing of it was heard, and until when; where that
        is so long that its lease may have ended meanwhile.
        """
        self.done: Counter[str] = Counter()
        self._store = store
        self._rng = rng
        self._now = now
        self._term = term
        self._note_unheard = note_unheard
        self._faults = faults
        self._cut_until_s = 0.0
        self._heard_s: dict[str, float] = {}
        """By root: when a call was sent that has been answered."""

    async def exchange(self, calls: Sequence[tuple[str, LeaseCall]]) -> Sequence[LeaseAnswer]:
        self._refuse_while_cut()
        sent_s = self._now()
        lost = self._faults and self._rng.random() < _LOST
        if lost:
            self.done["lost"] += 1
            if self._rng.random() < 0.5:
                raise StoreAway("the call was lost, as drawn")
        try:
            answers = await self._store.exchange(calls)
        except StoreAway:
            self.done["unanswered"] += 1
            raise
        if lost:
            raise StoreAway("the answer was lost, as drawn")
        for (root, _), answer in zip(calls, answers, strict=True):
            if answer.asserted:
                self._note_heard(root, sent_s)
        return answers

    async def beat(self, gateway: str, recoveries: Sequence[Recovery]) -> Beat:
        self._refuse_while_cut()
        if self._faults and self._rng.random() < _CUT:
            self.done["cut off"] += 1
            self._cut_until_s = self._now() + self._rng.uniform(0, 2 * self._term.term_s)
        try:
            return await self._store.beat(gateway, recoveries)
        except StoreAway:
            self.done["unanswered"] += 1
            raise

    async def leave(self, gateway: str) -> None:
        await self._store.leave(gateway)

    async def close(self) -> None:
        await self._store.close()

    def end_faults(self) -> None:
        self._faults = False
        self._cut_until_s = 0.0

    def _refuse_while_cut(self) -> None:
        if self._now() < self._cut_until_s:
            raise StoreAway("cut off, as drawn")

    def _note_heard(self, root: str, sent_s: float) -> None:
        before_s = self._heard_s.get(root, sent_s)
        self._heard_s[root] = sent_s
        now_s = self._now()
        if now_s - before_s >= self._term.term_s - self._term.margin_s:
            self._note_unheard(root, before_s, now_s)
