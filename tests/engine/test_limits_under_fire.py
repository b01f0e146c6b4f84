"""Any mix of requests, endings, pauses and reloads, held against a log of everything that ever happened.

The log is exact and knows no slots. So of a limit it knows two sums: what surely counts, as it is younger
than the window, and what may still count, as its slot may leave a sixtieth of a window late. The limit has to
lie between them, at every moment. The mistakes at the end prove that the check can fail.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from math import inf
from typing import NamedTuple

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from gateway_runtime.contract.stream import Share
from gateway_runtime.contract.tenant import Limit, LimitResource
from gateway_runtime.engine.amounts import NOTHING, Bound, Spent
from gateway_runtime.engine.hold import Charge, Hold, Reserved, reserve
from gateway_runtime.engine.limits import Refused, RollingLimit, TenantLimit
from gateway_runtime.engine.window import RollingCount, Slot
from tests.engine.built import build_limits

NEEDS: dict[LimitResource, Callable[[Bound], int | None]] = {
    "Requests": lambda _: 1,
    "InputTokens": lambda bound: bound.input_tokens,
    "OutputTokens": lambda bound: bound.output_tokens,
    "TotalTokens": lambda bound: bound.input_tokens + bound.output_tokens,
    "USD": lambda bound: bound.usd_picos,
    "Concurrency": lambda _: 1,
}
COSTS: dict[LimitResource, Callable[[Spent], int]] = {
    "Requests": lambda _: 1,
    "InputTokens": lambda spent: spent.input_tokens,
    "OutputTokens": lambda spent: spent.output_tokens,
    "TotalTokens": lambda spent: spent.input_tokens + spent.output_tokens,
    "USD": lambda spent: spent.usd_picos,
    "Concurrency": lambda _: 0,
}


@dataclass
class Entry:
    """One request, as one limit sees it."""

    admitted_s: float
    bound: int
    value: int
    is_held: bool
    surely: bool = True
    maybe: bool = True


@dataclass
class Book:
    """All that one limit ever saw."""

    rule: Limit
    amount: int
    limit: RollingLimit
    longest_s: float = 0.0
    """Of the windows it has had."""
    entries: list[Entry] = field(default_factory=list)
    windows: list[tuple[int, list[Entry]]] = field(default_factory=list)
    """At each admission: the amount, and what was in the window that ended then. No other window holds more:
    one that ends between two admissions holds a part of that which ends with the first.
    """

    @property
    def window_s(self) -> float:
        return inf if self.rule.resource == "Concurrency" else self.rule.window_s

    def age(self, now_s: float) -> None:
        late_s = 0.0 if self.window_s == inf else self.longest_s / 60 + 1e-6
        for entry in self.entries:
            entry.surely = entry.surely and entry.admitted_s + self.window_s > now_s
            entry.maybe = entry.maybe and entry.admitted_s + self.window_s + late_s > now_s

    def least(self) -> int:
        return sum(entry.value for entry in self.entries if entry.surely)

    def most(self) -> int:
        return sum(entry.value for entry in self.entries if entry.maybe)

    def surely_lacks_room(self, need: int) -> bool:
        return need > 0 and self.least() + need > self.amount

    def may_lack_room(self, need: int) -> bool:
        return need > 0 and self.most() + need > self.amount

    def admit(self, bound: int, now_s: float) -> Entry:
        entry = Entry(now_s, bound, bound, is_held=self.rule.resource != "Requests")
        self.entries.append(entry)
        if not self.rule.shadow and bound > 0:
            self.windows.append((self.amount, [other for other in self.entries if other.surely]))
        return entry

    def check(self, now_s: float) -> None:
        self.age(now_s)
        state = self.limit.state(now_s)
        held = [entry for entry in self.entries if entry.is_held]

        assert self.least() <= state.used + state.held <= self.most()
        assert sum(entry.value for entry in held if entry.surely) <= state.held
        assert state.held <= sum(entry.value for entry in held if entry.maybe)
        assert state.remaining == max(0, state.amount - state.used - state.held)
        assert all(sum(entry.value for entry in entries) <= amount for amount, entries in self.windows)


class Running(NamedTuple):
    hold: Hold
    entries: list[tuple[Book, Entry]]


class World(NamedTuple):
    """What is tested, or a part of it with a mistake."""

    count: type[RollingCount] = RollingCount
    hold: type[Hold] = Hold
    reserve: Callable[..., Reserved | Refused] = reserve
    build: Callable[..., tuple[RollingLimit, ...]] = build_limits


RESOURCES: tuple[LimitResource, ...] = tuple(NEEDS)


def build_rule(name: str, resource: LimitResource, size: int, window_s: float, shadow: bool) -> Limit:
    """size: 0 to 6, in requests; a request has some twenty tokens."""
    amount = size if resource in ("Requests", "Concurrency") else 20 * size
    return Limit(name=name, amount=amount, window_s=window_s, resource=resource, shadow=shadow)


rules = st.lists(
    st.builds(
        build_rule,
        name=st.sampled_from("abcd"),
        resource=st.sampled_from(RESOURCES),
        size=st.integers(0, 6),
        window_s=st.sampled_from([3.0, 10.0, 60.0]),
        shadow=st.sampled_from([False, False, False, True]),
    ),
    min_size=1,
    max_size=4,
    unique_by=lambda limit: limit.name,
)
shares = st.sampled_from([Share(index=0, gateways=1), Share(index=0, gateways=1), Share(index=1, gateways=2)])
tokens = st.integers(0, 25)
bounds = st.builds(Bound, tokens, tokens, st.one_of(tokens, tokens, tokens, st.none()))


class LimitsUnderFire(RuleBasedStateMachine):
    def __init__(self, world: World = World()) -> None:  # noqa: B008  it is frozen
        super().__init__()
        self.world = world
        self.now_s = 1000.0
        self.limits: tuple[RollingLimit, ...] = ()
        self.books: list[Book] = []
        """Of the present limits, in their order."""
        self.gone: list[Book] = []
        self.running: list[Running] = []
        self.ended: list[Hold] = []

    @initialize(rules=rules, share=shares)
    def load(self, rules: list[Limit], share: Share) -> None:
        self.reload(rules, share)

    @rule(rules=rules, share=shares)
    def reload(self, rules: list[Limit], share: Share) -> None:
        self.limits = self.world.build(rules, self.limits, share)
        before = {(book.rule.name, book.rule.resource): book for book in self.books}
        self.books = []
        for wanted, limit in zip(rules, self.limits, strict=True):
            if limit.count.__class__ is not self.world.count:
                limit.count = self.world.count(limit.count.window_s)
            amount = (wanted.amount + 1 - share.index) // 2 if share.gateways == 2 else wanted.amount
            book = before.pop((wanted.name, wanted.resource), None) or Book(wanted, amount, limit)
            book.rule, book.amount, book.limit = wanted, amount, limit
            book.longest_s = max(book.longest_s, wanted.window_s)
            book.age(self.now_s)
            self.books.append(book)

            assert limit.amount == amount
        self.gone += before.values()

    @rule(size=st.integers(0, 6), data=st.data())
    def change_an_amount(self, size: int, data: st.DataObject) -> None:
        place = data.draw(st.integers(0, len(self.books) - 1))
        rules = [book.rule for book in self.books]
        old = rules[place]
        rules[place] = build_rule(old.name, old.resource, size, old.window_s, old.shadow)
        self.reload(rules, Share(index=0, gateways=1))

    @rule(pause_s=st.sampled_from([0.01, 0.3, 1.0, 2.7, 9.0, 61.0]))
    def pass_time(self, pause_s: float) -> None:
        self.now_s += pause_s

    @rule(data=st.data(), early_s=st.sampled_from([0.0, 0.001]))
    def pass_time_until_one_leaves_its_window(self, data: st.DataObject, early_s: float) -> None:
        entries = [(book, entry) for book in self.books for entry in book.entries if entry.surely]
        if entries:
            book, entry = entries[data.draw(st.integers(0, len(entries) - 1))]
            if book.window_s < inf:
                self.now_s = max(self.now_s, entry.admitted_s + book.window_s - early_s)

    @rule(
        bounds=st.lists(bounds, min_size=1, max_size=4),
        apart_s=st.sampled_from([0.0, 0.02]),
        allow_unpriced=st.booleans(),
    )
    def request(self, bounds: list[Bound], apart_s: float, allow_unpriced: bool) -> None:
        for bound in bounds:
            self.now_s += apart_s
            for book in self.books:
                book.age(self.now_s)
            answer = self.world.reserve(self.limits, bound, self.now_s, allow_unpriced=allow_unpriced)
            if isinstance(answer, Reserved):
                self.note_admission(answer, bound, allow_unpriced)
            else:
                self.note_refusal(answer, bound, allow_unpriced)

    def note_admission(self, answer: Reserved, bound: Bound, allow_unpriced: bool) -> None:
        shadow = {name for name, sure in self.find_lacking(bound, allow_unpriced, shadow=True) if sure}
        maybe = {name for name, _ in self.find_lacking(bound, allow_unpriced, shadow=True)}

        assert not any(sure for _, sure in self.find_lacking(bound, allow_unpriced, shadow=False))
        assert shadow <= set(answer.shadow) <= maybe
        assert answer.unpriced is any(NEEDS[book.rule.resource](bound) is None for book in self.books)

        entries = [
            (book, book.admit(need, self.now_s))
            for book in self.books
            if (need := NEEDS[book.rule.resource](bound)) is not None
        ]
        self.running.append(Running(self.world.hold(answer.hold.charges), entries))

    def note_refusal(self, answer: Refused, bound: Bound, allow_unpriced: bool) -> None:
        lacking = self.find_lacking(bound, allow_unpriced, shadow=False)

        assert answer.standing.name in {name for name, _ in lacking}
        assert answer.retry_after_s >= 0.0

        book = next(book for book in self.books if book.rule.name == answer.standing.name)
        need = NEEDS[book.rule.resource](bound)
        is_large = need is not None and need > book.amount

        assert answer.unpriced is (need is None)
        assert answer.never is (
            need is None or (is_large and book.rule.resource not in ("Requests", "Concurrency"))
        )

    def find_lacking(self, bound: Bound, allow_unpriced: bool, *, shadow: bool) -> Sequence[tuple[str, bool]]:
        """Limits that may lack room for it, and whether they surely do."""
        found = []
        for book in self.books:
            if book.rule.shadow is not shadow:
                continue
            need = NEEDS[book.rule.resource](bound)
            if need is None:
                if not allow_unpriced:
                    found.append((book.rule.name, True))
            elif book.may_lack_room(need):
                found.append((book.rule.name, book.surely_lacks_room(need)))
        return found

    @rule(data=st.data(), spent=st.one_of(st.none(), st.builds(Spent, tokens, tokens, tokens)))
    def end(self, data: st.DataObject, spent: Spent | None) -> None:
        """spent: None releases it. It may be above the bound."""
        if self.running:
            self.finish(self.running.pop(data.draw(st.integers(0, len(self.running) - 1))), spent)

    def finish(self, running: Running, spent: Spent | None) -> None:
        hold = running.hold

        assert not hold.ended
        assert hold.release(self.now_s) if spent is None else hold.settle(spent, self.now_s)
        assert hold.ended

        cut = []
        for book, entry in running.entries:
            cost = COSTS[book.rule.resource](spent or NOTHING)
            if cost > entry.bound:
                cut.append(book.rule.name)
            entry.value = min(cost, entry.bound)
            entry.is_held = False

        assert list(hold.cut) == cut
        self.ended.append(hold)

    @rule(data=st.data(), releases=st.booleans())
    def end_again(self, data: st.DataObject, releases: bool) -> None:
        if self.ended:
            hold = self.ended[data.draw(st.integers(0, len(self.ended) - 1))]
            again = hold.release(self.now_s) if releases else hold.settle(NOTHING, self.now_s)

            assert not again

    @rule(spent=st.builds(Spent, tokens, tokens, tokens))
    def end_all_and_wait(self, spent: Spent) -> None:
        """After everything has ended nothing is held; a window later nothing is used."""
        while self.running:
            self.finish(self.running.pop(), spent)
        for book in self.all_books():
            book.check(self.now_s)

            assert book.limit.state(self.now_s).held == 0
        self.now_s += 100.0
        for book in self.all_books():
            assert book.limit.state(self.now_s).used == 0

    @invariant()
    def every_limit_holds_what_the_log_says(self) -> None:
        for book in self.all_books():
            book.check(self.now_s)

    def all_books(self) -> Iterator[Book]:
        yield from self.books
        yield from self.gone


TestLimitsUnderFire = LimitsUnderFire.TestCase
TestLimitsUnderFire.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)


class GivesNothingBack(RollingCount):
    def settle(self, slot: Slot, held: int, spent: int) -> None:
        slot.held -= held


class GivesBackWhatHasLeft(RollingCount):
    def settle(self, slot: Slot, held: int, spent: int) -> None:
        slot.has_left = False
        super().settle(slot, held, spent)


class HoldsForEver(RollingCount):
    def settle(self, slot: Slot, held: int, spent: int) -> None:
        super().settle(slot, held, spent)
        slot.held += held - spent


class StampsWithTheFirst(RollingCount):
    """A slot leaves with its first event, so that the others leave too early."""

    def hold(self, now_s: float, amount: int) -> Slot:
        slot = super().hold(now_s, amount)
        slot.last_s = slot.first_s
        return slot


class HoldsHalf(RollingCount):
    def hold(self, now_s: float, amount: int) -> Slot:
        slot = super().hold(now_s, amount)
        super().settle(slot, amount // 2, 0)
        return slot


class EndsAgain(Hold):
    def settle(self, spent: Spent, now_s: float) -> bool:
        is_first = self.ended_s is None
        self.ended_s = None
        super().settle(spent, now_s)
        return is_first


class SettlesAboveTheBound(Hold):
    def settle(self, spent: Spent, now_s: float) -> bool:
        if self.ended_s is not None:
            return False
        self.ended_s = now_s
        amounts = spent.by_place()
        for limit, slot, held in self.charges:
            slot.settle(held, amounts[limit.place])
        self.cut = tuple(limit.name for limit, _, held in self.charges if amounts[limit.place] > held)
        return True


class CutsInSilence(Hold):
    def settle(self, spent: Spent, now_s: float) -> bool:
        ended = super().settle(spent, now_s)
        self.cut = ()
        return ended


class ReleasesNothing(Hold):
    def release(self, now_s: float) -> bool:
        is_first = self.ended_s is None
        self.ended_s = now_s
        return is_first


def charge_before_checking(
    limits: Sequence[TenantLimit], bound: Bound, now_s: float, *, allow_unpriced: bool
) -> Reserved | Refused:
    charges: list[Charge] = []
    shadow: tuple[str, ...] = ()
    unpriced = False
    for limit in limits:
        answer = reserve([limit], bound, now_s, allow_unpriced=allow_unpriced)
        if isinstance(answer, Refused):
            return answer
        charges += answer.hold.charges
        shadow += answer.shadow
        unpriced = unpriced or answer.unpriced
    return Reserved(Hold(charges), None, None, shadow, unpriced)


def check_all_but_the_last(
    limits: Sequence[TenantLimit], bound: Bound, now_s: float, *, allow_unpriced: bool
) -> Reserved | Refused:
    last = limits[-1]
    amount, last.amount = last.amount, 10**6
    answer = reserve(limits, bound, now_s, allow_unpriced=allow_unpriced)
    last.amount = amount
    return answer


def refuse_in_shadow(
    limits: Sequence[TenantLimit], bound: Bound, now_s: float, *, allow_unpriced: bool
) -> Reserved | Refused:
    shadows = [limit for limit in limits if limit.shadow]
    for limit in shadows:
        limit.shadow = False
    answer = reserve(limits, bound, now_s, allow_unpriced=allow_unpriced)
    for limit in shadows:
        limit.shadow = True
    return answer


def forget_at_reloads(
    wanted: Sequence[Limit], before: Sequence[RollingLimit], share: Share
) -> tuple[RollingLimit, ...]:
    return build_limits(wanted, (), share)


MISTAKES = {
    "settling gives nothing back": World(count=GivesNothingBack),
    "settling gives back what has left": World(count=GivesBackWhatHasLeft),
    "what is given back is held for ever": World(count=HoldsForEver),
    "a slot leaves with its first event": World(count=StampsWithTheFirst),
    "half of the bound is held": World(count=HoldsHalf),
    "a second ending gives back again": World(hold=EndsAgain),
    "settling goes above the bound": World(hold=SettlesAboveTheBound),
    "settling cuts and does not tell": World(hold=CutsInSilence),
    "releasing gives nothing back": World(hold=ReleasesNothing),
    "limits are charged before all are checked": World(reserve=charge_before_checking),
    "the last limit is not checked": World(reserve=check_all_but_the_last),
    "limits in shadow refuse": World(reserve=refuse_in_shadow),
    "a reload forgets what was used": World(build=forget_at_reloads),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_found(mistake: str) -> None:
    many = settings(
        max_examples=1000,
        stateful_step_count=40,
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        report_multiple_bugs=False,
        print_blob=False,
        suppress_health_check=list(HealthCheck),
    )

    with pytest.raises(AssertionError):
        run_state_machine_as_test(lambda: LimitsUnderFire(MISTAKES[mistake]), settings=many)
