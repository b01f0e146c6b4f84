"""One limit of a tenant, at a gateway that shares it with others through a store: requests charge it without
asking anybody, as long as what the store has granted lasts.

    store --grant--> balance --hold--> open batch --ask--> counted in a bucket --settle--> refund
                        ^------------settle-----'   (the balance again, while nobody was told)

`hold` and `limits` charge it like any other limit; `lease_root` calls `build_ask` and `apply` for it, and
`fail` when no answer came. The store's side of the rules is in `lease_store`. Its parts:

    Grant     what is at hand, and until when
    Batches   what is on its way to the store
    Journal   what the store has counted, and what it is to give back
    Demand    how much to ask for
    Scope     how the store counts it
    News      what the store told of all gateways

Rules. What is charged was granted before, and the grant has a term that ends before the store would take it
back. So nothing that this gateway does, or fails to do, brings the sum over the amount: not when it is
stopped, cut off or killed.
A call without an answer may have been counted or not. What is left may be spent until its term, since either
way the store has it down as granted; then all of it is void, and a new generation begins with nothing. What
the old one had is charged, as a whole, by the store.

The subtle rule: of Concurrency nothing is spent. Its lease is what is running, and what may still begin.
"""

from collections.abc import Callable
from math import inf
from typing import Final

from gateway_runtime.contract.ids import TenantId
from gateway_runtime.contract.tenant import LimitResource
from gateway_runtime.engine.amounts import CONCURRENCY, PLACES, USD
from gateway_runtime.engine.lease_batch import Batch, Batches
from gateway_runtime.engine.lease_call import PICOS_PER_UNIT, ScopeAnswer, ScopeAsk, Verdict
from gateway_runtime.engine.lease_demand import Demand, Wish
from gateway_runtime.engine.lease_grant import Grant, Term
from gateway_runtime.engine.lease_journal import Journal
from gateway_runtime.engine.lease_news import News
from gateway_runtime.engine.lease_scope import Periods, Scope
from gateway_runtime.engine.limits import NOBODY, UNKNOWN_WAIT_S, LimitState, Standing


class LeasedLimit:
    """Amounts are in the limit's own unit (picodollars) towards the gateway, in the store's inside."""

    __slots__ = (
        "_acted_s",
        "_batches",
        "_demand",
        "_grant",
        "_journal",
        "_news",
        "_running",
        "_scope",
        "_sent_need",
        "_strict",
        "_unit",
        "_was_edited",
        "amount",
        "is_noted",
        "is_overdrawn",
        "key",
        "name",
        "on_use",
        "owner",
        "place",
        "resource",
        "root",
        "shadow",
        "whose",
    )

    def __init__(
        self,
        name: str,
        amount: int,
        resource: LimitResource,
        window_s: float,
        *,
        key: str,
        root: str,
        shadow: bool = False,
        periods: Periods | None = None,
        strict: bool = False,
        term: Term | None = None,
        on_use: Callable[["LeasedLimit"], None] = lambda _: None,
        owner: TenantId = NOBODY,
        whose: str = "",
    ) -> None:
        """key: of the scope within its root. periods: of a calendar; then `window_s` says nothing. strict:
        nothing is held in advance, so that nothing is spent while the store is away. on_use: called when
        there is something to say where there was nothing; it sets `is_noted`, and takes it back.
        """
        self.name = name
        self.owner = owner
        self.whose = whose
        self.is_overdrawn = False
        self.amount = amount
        self.resource: Final = resource
        self.place: Final = PLACES[resource]
        self.shadow = shadow
        self.key: Final = key
        self.root: Final = root
        self.on_use = on_use
        self.is_noted = False
        self._unit: Final = PICOS_PER_UNIT if self.place == USD else 1
        self._strict = strict
        self._scope: Final = Scope(key, window_s, periods, concurrency=self.place == CONCURRENCY)
        self._grant: Final = Grant(term or Term())
        self._batches: Final = Batches(self)
        self._journal: Final = Journal()
        self._demand: Final = Demand()
        self._news: Final = News()
        self._was_edited = False
        """While the call was under way: buckets of its answer mean nothing any more."""
        self._sent_need = 0
        """By the call under way, or the last."""
        self._running = 0
        self._acted_s = -inf

    # What requests ask: see `limits.TenantLimit`.

    @property
    def longest_s(self) -> float:
        return self._scope.longest_s

    @property
    def window_s(self) -> float:
        return self._scope.window_s

    def room(self, now_s: float) -> int:
        """Without asking the store. In shadow: what would be left."""
        if self.shadow:
            return self.amount - (self._news.total + self._batches.open.amount) * self._unit
        grant = self._grant
        return grant.balance * self._unit if now_s < grant.usable_until_s else 0

    def may_ask(self, now_s: float, need: int) -> bool:
        """Unless the store has just refused as little."""
        if self.shadow or need > self.amount:
            return False
        return self._demand.may_ask(now_s, self._count_units(need))

    def add(self, now_s: float) -> None:
        self._charge(now_s, 1)

    def hold(self, now_s: float, amount: int) -> Batch:
        units = self._count_units(amount)
        self._charge(now_s, units)
        self._running += units
        return self._batches.open

    def settle(self, batch: Batch, held: int, spent: int) -> None:
        """Called by the batch."""
        held, spent = self._count_units(held), self._count_units(spent)
        self._running -= held
        refund = held - spent
        if self.place == CONCURRENCY:
            self._grant.balance += refund
        elif refund < 0:
            self._batches.open.amount -= refund  # more than was granted, where that may be
        elif refund == 0:
            return
        elif batch.bucket is not None:
            self._journal.note_refund(batch.bucket, refund)
        elif batch.is_void:
            pass  # charged as a whole
        elif batch.was_sent:
            batch.refund += refund
        else:
            batch.amount -= refund
            if not self.shadow:
                self._grant.balance += refund
        self._note_use()

    def wait_for_room(self, now_s: float, need: int = 1) -> float:
        if need <= self.room(now_s):
            return 0.0
        if need > self.amount:
            return self.longest_s
        return self._demand.find_wait(now_s)

    def remaining(self, now_s: float) -> int:
        """Of the whole amount, for all gateways, as far as is known."""
        free = self._news.free
        if free is None or self.shadow:
            return max(0, self.room(now_s))
        return min(self.amount, max(0, free + self._grant.balance) * self._unit)

    def standing(self, now_s: float) -> Standing:
        return Standing(self.name, self.amount, self.remaining(now_s), self._find_reset())

    def overall(self, left: int) -> int:
        """What is at hand here is not all that there is."""
        free = self._news.free
        if free is None or self.shadow:
            return left
        return min(self.amount, max(0, left + free * self._unit))

    def standing_after_take(self, remaining: int, now_s: float) -> Standing:
        return Standing(self.name, self.amount, remaining, self._find_reset())

    def state(self, now_s: float) -> LimitState:
        """Whoever looks has the store asked again, with the next beat."""
        news = self._news
        if news.are_old(now_s):
            news.are_wanted = True
            self._note_use()
        held = max(news.held, self._running)
        used = 0 if self.place == CONCURRENCY else max(0, news.total - news.held)
        return LimitState(
            name=self.name,
            resource=self.resource,
            amount=self.amount,
            used=used * self._unit,
            held=held * self._unit,
            remaining=self.remaining(now_s),
            reset_s=self._find_reset(),
            shadow=self.shadow,
            shared=news.free is not None,
        )

    def is_idle(self, now_s: float) -> bool:
        """Nothing is held and nothing of it counts any more, so that it may be forgotten."""
        forgotten_s = self._acted_s + self._scope.forgotten_s + self._grant.term.term_s
        return not self.has_something() and now_s > forgotten_s

    # What the desk asks.

    def configure(
        self,
        amount: int,
        window_s: float,
        *,
        shadow: bool = False,
        periods: Periods | None = None,
        strict: bool = False,
    ) -> None:
        """A reload. What was granted under a larger amount goes back before anything else is charged."""
        if amount < self.amount or strict > self._strict:
            self.recall()
        self.amount, self.shadow, self._strict = amount, shadow, strict
        if self._scope.configure(window_s, periods):
            self._was_edited = self._batches.is_sent
            self._journal.forget_buckets()
        self._note_use()

    def recall(self) -> None:
        """Whatever was granted and not charged goes back with the next call."""
        self._grant.recall()
        self._note_use()

    def press(self, need: int) -> None:
        """Somebody waits for so much."""
        self._demand.press(self._count_units(need))
        self._note_use()

    def build_ask(self, now_s: float, first_need: int) -> ScopeAsk | None:
        """None: there is nothing to say. first_need: of whoever waits longest; 0: nobody does. Once an ask is
        given, `apply` or `fail` has to follow before the next.
        """
        grant, demand = self._grant, self._demand
        demand.note_rate(now_s)
        if grant.is_uncertain:
            if now_s < grant.usable_until_s and not first_need:
                return None
            self._void()
        if self.place == CONCURRENCY and now_s >= grant.usable_until_s:
            grant.balance = 0  # others may have it by now
        wish = demand.take_wish(
            now_s,
            grant.balance,
            self._count_units(first_need),
            in_advance=not self._strict,
            gives_back=grant.is_recalled,
        )
        if self.shadow:
            wish = Wish(wish.keep, 0, 0)
        if not (
            self._batches.has_unsent
            or self._journal.has_refunds
            or wish.want
            or ((wish.keep or self._running) and grant.wants_renewal(now_s))
            or grant.is_recalled
            or self._news.are_wanted
            or wish.keep != grant.balance
        ):
            return None
        grant.balance = wish.keep
        self._sent_need = wish.need
        return self._build(self._batches.send(), self._journal.take_refunds(), wish, ())

    def build_assertion(self, now_s: float, counted: int) -> ScopeAsk:
        """All that the store has to know of this gateway, which it has forgotten or never knew. counted: the
        last of our calls that it remembers.
        """
        grant = self._grant
        if now_s >= grant.usable_until_s:
            grant.balance = 0
        if grant.is_uncertain:
            self._void()
        grant.generation += 1
        self._sent_need = 0
        spent = self._batches.send() + self._journal.doubtful
        return self._build(spent, (), Wish(grant.balance, 0, 0), self._journal.take_uncounted(counted))

    def apply(
        self, answer: ScopeAnswer, sequence: int, sent_at_s: float, now_s: float, *, withheld: bool
    ) -> None:
        """sequence: of the call. withheld: what was not granted may come when the store has recovered."""
        self._news.note_answer(answer, now_s)
        was_edited, self._was_edited = self._was_edited, False
        journal = self._journal
        journal.note_answer(0 if was_edited else answer.oldest, sequence, now_s)
        is_lost = answer.verdict == Verdict.LOST
        if is_lost or was_edited:
            journal.doubt(self._batches.void_sent())
        else:
            journal.note_counted(self._batches.take_sent(), answer.bucket, sequence, now_s)
        if is_lost:
            self._void()
        if not was_edited:
            journal.note_doubtful(answer.bucket, sequence, now_s)
        self._grant.note_answer(answer.granted, sent_at_s)
        need = 0 if withheld else self._sent_need
        self._demand.note_answer(answer.granted, need, self._grant.balance, answer.wait_ms, now_s)
        self._note_use()

    def fail(self) -> None:
        """No answer came. What is left may be spent until its term."""
        self._was_edited = False
        self._journal.note_failure()
        self._journal.doubt(self._batches.void_sent())  # charged either way, with its lease or by itself
        self._grant.is_uncertain = True
        self._note_use()

    def unsend(self) -> None:
        """The store did not know us, and counted nothing of the call: to be followed by `build_assertion`."""
        self._batches.unsend()
        self._was_edited = False

    def has_something(self) -> bool:
        """Whether it is to be looked at in each beat."""
        return bool(
            self._batches.open.amount
            or self._journal.has_refunds
            or self._grant.balance
            or self._running
            or self._demand.is_any
            or self._grant.is_recalled
            or self._news.are_wanted
            or self._grant.is_uncertain
            or self._batches.is_sent
        )

    def _build(self, spent: int, refunds: tuple[int, ...], wish: Wish, journal: tuple[int, ...]) -> ScopeAsk:
        if self.place == CONCURRENCY:
            wish = wish._replace(keep=wish.keep + self._running)  # see the module
        return self._scope.build_ask(
            self.amount // self._unit,
            spent,
            refunds,
            wish,
            self._running,
            journal,
            generation=self._grant.generation,
            shadow=self.shadow,
        )

    def _charge(self, now_s: float, units: int) -> None:
        self._demand.charged += units
        self._acted_s = now_s
        if not self.shadow:
            self._grant.balance -= units
        if self.place != CONCURRENCY:
            self._batches.open.amount += units
        self._note_use()

    def _note_use(self) -> None:
        if not self.is_noted:
            self.on_use(self)

    def _void(self) -> None:
        """All that was granted to this generation. What is running in it stays charged, as a whole."""
        self._journal.doubt(self._batches.void_unsent())
        self._grant.void()

    def _count_units(self, amount: int) -> int:
        return amount if self._unit == 1 else -(-amount // self._unit)

    def _find_reset(self) -> float:
        return UNKNOWN_WAIT_S if self.place == CONCURRENCY else self.longest_s

    def __repr__(self) -> str:
        return (
            f"<LeasedLimit {self.name}: {self._grant.balance} of {self.amount} at hand, "
            f"until {self._grant.usable_until_s:g} s>"
        )
