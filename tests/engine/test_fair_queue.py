"""Who goes next where tenants wait for the same place, and who gives way when no more may wait."""

from collections.abc import Iterable
from itertools import combinations
from random import Random

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from gateway_runtime.contract.ids import TenantId
from gateway_runtime.engine.fair_queue import FairQueue, Rank

A, B, C, D = (Rank(TenantId(name), 0) for name in "abcd")
HIGH = Rank(TenantId("high"), 5)


def queue_of(*waiters: tuple[Rank, str]) -> FairQueue[str]:
    queue: FairQueue[str] = FairQueue()
    for rank, item in waiters:
        queue.push(rank, item)
    return queue


def drain(queue: FairQueue[str]) -> str:
    return " ".join(queue.pop() for _ in range(len(queue)))


def numbered(rank: Rank, count: int) -> Iterable[tuple[Rank, str]]:
    return [(rank, f"{rank.tenant}{number}") for number in range(count)]


def test_one_tenants_waiters_go_in_the_order_in_which_they_came() -> None:
    assert drain(queue_of(*numbered(A, 4))) == "a0 a1 a2 a3"


def test_tenants_take_turns() -> None:
    queue = queue_of(*numbered(A, 4), *numbered(B, 2), *numbered(C, 1))

    assert drain(queue) == "a0 b0 c0 a1 b1 a2 a3"


def test_who_begins_to_wait_comes_last_in_the_round() -> None:
    queue = queue_of(*numbered(A, 3), *numbered(B, 3))
    assert queue.pop() == "a0"
    queue.push(C, "c0")

    assert drain(queue) == "b0 a1 c0 b1 a2 b2"


def test_a_higher_priority_goes_first_whenever_it_comes() -> None:
    queue = queue_of(*numbered(A, 3))
    assert queue.pop() == "a0"
    queue.push(HIGH, "h0")
    queue.push(HIGH, "h1")

    assert drain(queue) == "h0 h1 a1 a2"


def test_all_waiters_of_a_tenant_move_with_its_priority() -> None:
    queue = queue_of(*numbered(A, 2), *numbered(B, 1))
    queue.push(B._replace(priority=1), "b1")

    assert drain(queue) == "b0 b1 a0 a1"


def test_a_tenant_whose_priority_sank_keeps_its_order_too() -> None:
    queue = queue_of(*numbered(HIGH, 2), *numbered(A, 2))
    queue.push(HIGH._replace(priority=-1), "h2")

    assert drain(queue) == "a0 a1 high0 high1 h2"


def test_who_leaves_from_the_middle_is_passed_over() -> None:
    queue = queue_of(*numbered(A, 3), *numbered(B, 1))
    queue.discard(A.tenant, "a1")
    queue.discard(B.tenant, "b0")

    assert drain(queue) == "a0 a2"


def test_to_discard_what_does_not_wait_is_nothing() -> None:
    queue = queue_of((A, "a0"))
    queue.discard(A.tenant, "other")
    queue.discard(B.tenant, "a0")

    assert drain(queue) == "a0"


def test_nobody_waits_in_an_empty_queue() -> None:
    queue = queue_of((A, "a0"))
    queue.pop()

    assert (len(queue), bool(queue.lines), queue.displace(A)) == (0, False, None)
    with pytest.raises(IndexError):
        queue.pop()


@pytest.mark.parametrize(
    ("waiting", "newcomer", "gives_way"),
    [
        pytest.param([*numbered(A, 3), *numbered(B, 1)], B, "a2", id="who-has-most-loses-its-last"),
        pytest.param([*numbered(A, 3)], A, None, id="a-tenant-that-has-most-goes-itself"),
        pytest.param([*numbered(A, 2), *numbered(B, 2)], A, None, id="as-many-as-the-newcomer-is-not-more"),
        pytest.param([*numbered(A, 1)], B, "a0", id="nobody-shuts-another-out-of-a-queue-of-one"),
        pytest.param([*numbered(A, 1), *numbered(B, 1)], C, "b0", id="of-equals-the-last"),
        pytest.param([*numbered(HIGH, 9), *numbered(A, 2)], B, "a1", id="the-lowest-priority-first"),
        pytest.param([*numbered(HIGH, 9), *numbered(A, 2)], HIGH, None, id="a-queue-is-not-for-one-priority"),
        pytest.param([*numbered(HIGH, 9)], A, "high8", id="nor-may-a-high-one-fill-it"),
    ],
)
def test_who_gives_way_in_a_full_queue(
    waiting: list[tuple[Rank, str]], newcomer: Rank, gives_way: str | None
) -> None:
    queue = queue_of(*waiting)

    assert queue.displace(newcomer) == gives_way
    assert len(queue) == len(waiting) - (gives_way is not None)


def test_a_tenant_that_has_risen_is_no_more_the_one_that_has_most_of_the_lowest_priority() -> None:
    queue = queue_of(*numbered(A, 3), *numbered(B, 1), (A._replace(priority=1), "a3"))

    assert queue.displace(C) == "b0"
    assert drain(queue) == "a0 a1 a2 a3"


def test_it_shows_who_waits() -> None:
    assert repr(queue_of(*numbered(B, 2), *numbered(A, 1))) == "<FairQueue {'a': 1, 'b': 2}>"


class Counted:
    """A waiter that counts how often it is looked at."""

    looks = 0

    def __init__(self, number: int) -> None:
        self.number = number

    def __hash__(self) -> int:
        Counted.looks += 1
        return hash(self.number)

    def __eq__(self, other: object) -> bool:
        Counted.looks += 1
        return self is other


def test_what_leaving_costs_does_not_grow_with_the_queue() -> None:
    costs = []
    for size in (100, 5000):
        queue: FairQueue[Counted] = FairQueue()
        waiters = [Counted(number) for number in range(size)]
        for waiter in waiters:
            queue.push(A, waiter)
        Random(1).shuffle(waiters)
        Counted.looks = 0
        for waiter in waiters:
            queue.discard(A.tenant, waiter)
        costs.append(Counted.looks / size)

    assert costs[1] <= costs[0] + 1


class Waiting(RuleBasedStateMachine):
    """Any order of events, beside lists that say who waits."""

    def __init__(self) -> None:
        super().__init__()
        self.queue: FairQueue[int] = FairQueue()
        self.lists: dict[TenantId, list[int]] = {}
        self.priorities: dict[TenantId, int] = {}
        self.turns: dict[tuple[TenantId, TenantId], int] = {}
        """Of two that wait, since both do and with equal priority: the first's less the second's."""
        self.pushed = 0

    ranks = st.builds(Rank, st.sampled_from("abcd").map(TenantId), st.sampled_from((0, 0, 0, 7)))

    def take(self, item: int, index: int) -> TenantId:
        """item: has to be the tenant's, at that place of its list."""
        (tenant,) = (tenant for tenant, items in self.lists.items() if item in items)
        assert self.lists[tenant].pop(index) == item
        if not self.lists[tenant]:
            del self.lists[tenant]
        return tenant

    @rule(rank=ranks)
    def somebody_comes(self, rank: Rank) -> None:
        self.queue.push(rank, self.pushed)
        self.lists.setdefault(rank.tenant, []).append(self.pushed)
        self.priorities[rank.tenant] = rank.priority
        self.pushed += 1

    @precondition(lambda self: self.lists)
    @rule()
    def somebody_has_its_turn(self) -> None:
        highest = max(self.priorities[tenant] for tenant in self.lists)
        tenant = self.take(self.queue.pop(), 0)

        assert self.priorities[tenant] == highest
        for pair in self.turns:
            self.turns[pair] += (pair[0] == tenant) - (pair[1] == tenant)

    @precondition(lambda self: self.lists)
    @rule(data=st.data())
    def somebody_leaves(self, data: st.DataObject) -> None:
        tenant = data.draw(st.sampled_from(sorted(self.lists)))
        index = data.draw(st.integers(0, len(self.lists[tenant]) - 1))
        item = self.lists[tenant][index]
        self.queue.discard(tenant, item)
        self.take(item, index)

    @rule(rank=ranks)
    def somebody_comes_and_no_more_may_wait(self, rank: Rank) -> None:
        lowest = min((self.priorities[tenant] for tenant in self.lists), default=0)
        low = {t: len(items) for t, items in self.lists.items() if self.priorities[t] == lowest}
        own = len(self.lists.get(rank.tenant, ()))
        most = max(low.values(), default=0)
        item = self.queue.displace(rank)

        assert (item is None) == (most <= own)
        if item is not None:
            tenant = self.take(item, -1)
            assert low[tenant] == most
            self.somebody_comes(rank)

    @invariant()
    def nobody_is_lost(self) -> None:
        assert len(self.queue) == sum(map(len, self.lists.values()))
        assert set(self.queue.lines) == set(self.lists)

    @invariant()
    def equal_tenants_have_equal_turns(self) -> None:
        together = {
            pair
            for pair in combinations(sorted(self.lists), 2)
            if self.priorities[pair[0]] == self.priorities[pair[1]]
        }
        self.turns = {pair: self.turns.get(pair, 0) for pair in together}

        assert all(abs(difference) <= 1 for difference in self.turns.values())

    def teardown(self) -> None:
        while self.lists:
            self.somebody_has_its_turn()
        assert len(self.queue) == 0


TestWaiting = Waiting.TestCase
TestWaiting.settings = settings(max_examples=150, stateful_step_count=60, deadline=None)
