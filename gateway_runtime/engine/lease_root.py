"""What a gateway shares with others for one root: its leased limits in, LeaseCalls and what follows from
their answers out.

    note, press -> build_call -> (the store) -> apply | fail

`server.lease_desk` sends the calls, one at a time for each root; simulations do the same in virtual time.

The one subtle rule: a store that has lost its memory says `asserted: False`. Nothing of that call was done,
and the next one asserts: it tells all that this gateway has charged and holds.
"""

from collections.abc import Sequence
from typing import Final

from gateway_runtime.engine.lease import LeasedLimit
from gateway_runtime.engine.lease_call import LeaseAnswer, LeaseCall, ScopeAsk
from gateway_runtime.engine.lease_grant import Term
from gateway_runtime.engine.limits import Claim

SCOPES_AT_ONCE: Final = 200
"""In one call, which keeps the store busy for a millisecond or two. The rest goes with the next."""
_TRUSTED_S: Final = 900.0
"""For how long we know what the store's clock says: two clocks may differ by some 0.01 %."""


class LeaseRoot:
    __slots__ = (
        "_acknowledged",
        "_asked",
        "_asserting",
        "_counted",
        "_epoch",
        "_first",
        "_gateway",
        "_is_expected",
        "_known",
        "_noted",
        "_sent_at_s",
        "_sequence",
        "_store_at_s",
        "_store_ms",
        "_uncertain_ms",
        "id",
        "is_asking",
        "is_recovering",
        "was_forgotten",
    )

    def __init__(self, root_id: str, gateway: str) -> None:
        """gateway: of this process alone; one that is started again under its name needs another."""
        self.id = root_id
        self.is_asking = False
        """A call is under way."""
        self.is_recovering = False
        """Nothing is granted before other gateways have asserted, too."""
        self.was_forgotten = False
        """The store knew us once, and did not when we asked last."""
        self._gateway = gateway
        self._noted: dict[str, LeasedLimit] = {}
        """Those that may have something to say."""
        self._known: dict[str, LeasedLimit] = {}
        """All that have ever said something; they assert."""
        self._first: dict[str, int] = {}
        """What the first needs that waits."""
        self._asked: list[LeasedLimit] = []
        self._asserting: list[LeasedLimit] | None = None
        """Those that have to assert yet; None: the store knows us."""
        self._is_expected = False
        """It may not know us any more: the next call has it say how much it remembers."""
        self._epoch = self._sequence = self._acknowledged = self._counted = 0
        self._sent_at_s = 0.0
        self._store_ms: int | None = None
        self._store_at_s = 0.0
        self._uncertain_ms = 0

    @property
    def epoch(self) -> int:
        return self._epoch

    @property
    def has_something(self) -> bool:
        """To look at in each beat."""
        return bool(self._noted)

    @property
    def has_to_assert(self) -> bool:
        return self._asserting is not None

    def expect(self, epoch: int) -> bool:
        """Others wait in this epoch of the store's memory until all have asserted. Whether we have to."""
        if epoch == self._epoch or self.is_asking:
            return False
        if self._epoch != 0:
            self._is_expected = True
        elif self._asserting is None:
            self._asserting = list(self._known.values())
        return True

    def recall(self) -> None:
        """Before the end: what was granted goes back."""
        for limit in self._known.values():
            limit.recall()

    def note(self, limit: LeasedLimit) -> None:
        """It may have something to say: an `on_use`."""
        limit.is_noted = True
        self._noted[limit.key] = limit
        if limit.key not in self._known:
            self._known[limit.key] = limit

    def forget(self, limit: LeasedLimit) -> None:
        """It is idle, and out of use."""
        self._noted.pop(limit.key, None)
        self._known.pop(limit.key, None)

    def press(self, claims: Sequence[Claim]) -> None:
        """Somebody waits for these."""
        is_first = not self._first
        for limit, need in claims:
            if isinstance(limit, LeasedLimit):
                limit.press(need)
                if is_first:
                    self._first[limit.key] = need

    def build_call(self, now_s: float, gateways: int, peers: Sequence[str], term: Term) -> LeaseCall | None:
        """None: there is nothing to say. Else `apply` or `fail` has to follow before the next."""
        asserts = 0
        if self._epoch == 0 and self._asserting is None:
            if not self._noted:
                return None
            self._asserting = list(self._known.values())
        scopes: list[ScopeAsk] = []
        if self._asserting is not None:
            self._asked = self._asserting[:SCOPES_AT_ONCE]
            asserts = 2 if len(self._asserting) <= SCOPES_AT_ONCE else 1
            scopes = [limit.build_assertion(now_s, self._counted) for limit in self._asked]
        elif not self._is_expected:
            scopes = self._collect(now_s)
            if not scopes:
                return None
        self._sequence += 1
        self._sent_at_s = now_s
        self.is_asking = True
        return LeaseCall(
            self._gateway,
            gateways,
            int(term.term_s * 1000),
            self._estimate(now_s),
            "",
            self._epoch,
            self._sequence,
            self._acknowledged,
            asserts,
            tuple(peers),
            tuple(scopes),
            self._uncertain_ms,
        )

    def apply(self, answer: LeaseAnswer, now_s: float) -> None:
        asked, self._asked, self.is_asking = self._asked, [], False
        self._is_expected = False
        self._store_ms, self._store_at_s = answer.now_ms, now_s
        self._uncertain_ms = int((now_s - self._sent_at_s) * 1000) + 1
        self.is_recovering = answer.recovering
        if not answer.asserted:
            for limit in asked:
                limit.unsend()
            self.was_forgotten = self._epoch != 0
            self._epoch, self._acknowledged, self._counted = answer.epoch, 0, answer.counted
            self._asserting = list(self._known.values())
            return
        if answer.epoch != self._epoch:
            # It forgot while we asserted to what it was before: those that did have to do it again.
            self._epoch = answer.epoch
            self._asserting = None if self._asserting is None else list(self._known.values())
        self._acknowledged = self._sequence
        for limit, found in zip(asked, answer.scopes, strict=True):
            limit.apply(found, self._sequence, self._sent_at_s, now_s, withheld=answer.recovering)
        if self._asserting is not None:
            told = {limit.key for limit in asked}
            self._asserting = [limit for limit in self._asserting if limit.key not in told] or None

    def fail(self) -> None:
        """No answer came, so that nobody knows what was counted."""
        asked, self._asked, self.is_asking = self._asked, [], False
        for limit in asked:
            limit.fail()

    def _collect(self, now_s: float) -> list[ScopeAsk]:
        first, self._first = self._first, {}
        scopes: list[ScopeAsk] = []
        self._asked = []
        awaited = [key for key in first if key in self._noted]
        for key in [*awaited, *(key for key in self._noted if key not in first)]:
            if len(scopes) == SCOPES_AT_ONCE:
                break
            limit = self._noted[key]
            ask = limit.build_ask(now_s, first.get(key, 0))
            if ask is not None:
                scopes.append(ask)
                self._asked.append(limit)
            elif not limit.has_something():
                limit.is_noted = False
                del self._noted[key]
        if len(scopes) == SCOPES_AT_ONCE:
            for limit in self._asked:  # the others come first next time
                self._noted[limit.key] = self._noted.pop(limit.key)
        return scopes

    def _estimate(self, now_s: float) -> int:
        if self._store_ms is None or now_s - self._store_at_s > _TRUSTED_S:
            return -1
        return self._store_ms + int((now_s - self._store_at_s) * 1000)

    def __repr__(self) -> str:
        return f"<LeaseRoot {self.id}: {len(self._noted)} of {len(self._known)} limits at work>"
