"""Gateways that share limits through a store, and all that can befall them: never over, never stuck, in
120,000 steps of which each may be a request, an ending, a kill, a stop, a cut, a lost answer, a store without
its memory or with an older one, a clock that is set, an edit. The mistakes at the end prove that the check
can fail.
"""

import msgspec
import pytest

from gateway_runtime.engine.lease import LeasedLimit
from gateway_runtime.engine.lease_batch import Batch
from gateway_runtime.engine.lease_call import LeaseAnswer, LeaseCall, ScopeAnswer, ScopeAsk, Verdict
from gateway_runtime.engine.lease_store import MemoryStore
from headgate.verify.world import BEGAN_S, RULES, Parts, World

STEPS = 2_000


@pytest.mark.parametrize("seed", range(60))
def test_no_window_ever_holds_more_than_the_amount(seed: int) -> None:
    world = World(seed, gateways=1 + seed % 4)

    world.run(STEPS)
    world.finish()

    assert world.admitted > 5
    assert world.overruns == []
    assert world.list_left() == []


@pytest.mark.parametrize("gateways", [1, 2, 4])
def test_without_faults_nearly_all_of_the_amount_is_used(gateways: int) -> None:
    (requests,) = (rule for rule in RULES if rule.name == "requests")
    world = World(1, gateways=gateways, faults=False, rules=[requests])

    world.run(20_000)

    # The first window begins at once, so that one more of them is used than has passed.
    windows = (world.now_s - BEGAN_S) / requests.window_s
    assert world.admitted >= 0.93 * requests.amount * windows
    assert world.admitted <= requests.amount * (windows + 1)


class GrantsTwice(MemoryStore):
    def exchange(self, root_id: str, call: LeaseCall, clock_ms: int) -> LeaseAnswer:
        answer = super().exchange(root_id, call, clock_ms)
        for scope in self._scopes.values():
            for lease in scope.leases.values():
                lease.amount = lease.amount * 2 // 3
        return answer


class ForgetsTheDead(MemoryStore):
    """A lease that ends is not charged."""

    def exchange(self, root_id: str, call: LeaseCall, clock_ms: int) -> LeaseAnswer:
        for scope in self._scopes.values():
            for name, lease in list(scope.leases.items()):
                if lease.expires_ms <= clock_ms:
                    del scope.leases[name]
        return super().exchange(root_id, call, clock_ms)


class NeedsNoAssertion(MemoryStore):
    def exchange(self, root_id: str, call: LeaseCall, clock_ms: int) -> LeaseAnswer:
        if root_id in self._roots:
            self._roots[root_id].recovering = False
        return super().exchange(root_id, call, clock_ms)


class HearsNoLoss(LeasedLimit):
    """What the store has taken back is spent nevertheless."""

    def apply(
        self, answer: ScopeAnswer, sequence: int, sent_at_s: float, now_s: float, *, withheld: bool
    ) -> None:
        counted = msgspec.structs.replace(answer, verdict=Verdict.COUNTED)
        super().apply(counted, sequence, sent_at_s, now_s, withheld=withheld)


class RefundsTwice(LeasedLimit):
    def settle(self, batch: Batch, held: int, spent: int) -> None:
        super().settle(batch, held, spent)
        if batch.bucket is not None and batch.bucket in self._journal._refunds:
            self._journal._refunds[batch.bucket] += held - spent


class BelievesWhatFailed(LeasedLimit):
    """A call without an answer is taken for one that was counted."""

    def fail(self) -> None:
        super().fail()
        self._grant.is_uncertain = False


class AssertsNothing(LeasedLimit):
    def build_assertion(self, now_s: float, counted: int) -> ScopeAsk:
        self._journal._amounts.clear()
        self._journal._recent.clear()
        return super().build_assertion(now_s, counted)


MISTAKES = {
    "the store forgets a part of what it has granted": Parts(store=GrantsTwice),
    "a lease that ends is free again": Parts(store=ForgetsTheDead),
    "a store without a memory grants at once": Parts(store=NeedsNoAssertion),
    "a lease that was taken back is spent": Parts(limit=HearsNoLoss),
    "a refund is given twice": Parts(limit=RefundsTwice),
    "a call that failed is taken for counted": Parts(limit=BelievesWhatFailed),
    "what was charged is not asserted": Parts(limit=AssertsNothing),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_found(mistake: str) -> None:
    worlds = (World(seed, gateways=1 + seed % 4, parts=MISTAKES[mistake]) for seed in range(60))

    assert any(is_overrun(world) for world in worlds)


def is_overrun(world: World) -> bool:
    world.run(STEPS)
    return bool(world.overruns)
