"""One limit of a tenant, at a gateway that shares it with others through a store: requests charge it without
asking anybody, as long as what the store has granted lasts.

    store --grant--> balance --hold--> open batch --ask--> counted in a bucket --settle--> refund
                        ^------------settle-----'   (the balance again, while nobody was told)

`hold` and `limits` charge it like any other limit; `server.lease_desk` calls `build_ask` and `apply` for it,
and `fail` when no answer came. The store's side of the rules is in `lease_store`.

Rules. What is charged was granted before, and the grant has a term: `usable_until_s` is counted from when the
call that renewed it was *sent*, and ends `margin_s` before the store would take it back. So nothing that this
gateway does, or fails to do, brings the sum over the amount: not when it is stopped, cut off or killed.
A call without an answer may have been counted or not. What is left may be spent until its term, since either
way the store has it down as granted; then all of it is void, and a new generation begins with nothing. What
the old one had is charged, as a whole, by the store.

The subtle rule: of Concurrency nothing is spent. Its lease is what is running, and what may still begin.
"""

from collections import deque
from collections.abc import Callable, Iterable
from math import ceil, inf
from typing import Final, NamedTuple, Protocol

from gateway_runtime.contract.ids import TenantId
from gateway_runtime.contract.table import LimitResource
from gateway_runtime.engine.amounts import CONCURRENCY, PLACES, USD
from gateway_runtime.engine.lease_call import (
    LARGEST,
    PICOS_PER_UNIT,
    RECOVERY_MS,
    ScopeAnswer,
    ScopeAsk,
    Shape,
    Verdict,
    find_shape,
)
from gateway_runtime.engine.limits import NOBODY, UNKNOWN_WAIT_S, LimitState, Standing

AHEAD_S: Final = 0.3
"""So much of its own use a gateway holds in advance: three beats of the desk."""
REFUSED_S: Final = 0.1
"""After a refusal a gateway refuses by itself for so long: a storm of refused requests costs the store
nothing.
"""
NEWS_S: Final = 1.0
"""What the store told may be so old when somebody looks."""
_RATE_SHARE: Final = 0.3
"""Of the newest beat in the average of what is used. A guess: a burst is followed within half a second."""


class Term(NamedTuple):
    """How long a grant holds. Both are guesses: long enough for a store that restarts, short enough for what
    a dead gateway held to be free again soon.
    """

    term_s: float = 10.0
    margin_s: float = 1.0
    """The store's clock may run faster than ours by a tenth."""


class Batch:
    """What was charged between two calls. A hold keeps its batch, to settle it there."""

    __slots__ = ("amount", "bucket", "is_void", "limit", "refund", "was_sent")

    def __init__(self, limit: "LeasedLimit") -> None:
        self.limit = limit
        self.amount = 0
        self.refund = 0
        """Settled after the call was sent and before its answer came."""
        self.bucket: int | None = None
        """In which the store has counted it. None: that is not known."""
        self.was_sent = False
        self.is_void = False
        """Its generation is over: it is charged as a whole, and nothing is given back."""

    def settle(self, held: int, spent: int) -> None:
        self.limit.settle(self, held, spent)


class Periods(Protocol):
    """Of a calendar, by the wall clock of whoever made it."""

    def told(self) -> tuple[int, ...]:
        """As ScopeAsk has them."""

    def left_s(self) -> float:
        """Of this period."""


class LeasedLimit:
    """Amounts are in the limit's own unit (picodollars) towards the gateway, in the store's inside."""

    __slots__ = (
        "_acted_s",
        "_balance",
        "_charged",
        "_doubtful",
        "_generation",
        "_is_asked",
        "_is_uncertain",
        "_journal",
        "_keep_until_s",
        "_known",
        "_known_s",
        "_oldest",
        "_open",
        "_periods",
        "_pressing",
        "_rate",
        "_rated_s",
        "_recall",
        "_recent",
        "_recent_after",
        "_refunds",
        "_refused_need",
        "_refused_until_s",
        "_running",
        "_sent",
        "_sent_need",
        "_sent_refunds",
        "_shape",
        "_strict",
        "_term",
        "_unit",
        "_unsent",
        "_usable_until_s",
        "_wait_until_s",
        "_wants_news",
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
        "window_s",
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
    ) -> None:
        """key: of the scope within its root. periods: of a calendar; then `window_s` says nothing. strict:
        nothing is held in advance, so that nothing is spent while the store is away. on_use: called when
        there is something to say where there was nothing; it sets `is_noted`, and takes it back.
        """
        self.name = name
        self.owner = owner
        self.is_overdrawn = False
        self.amount = amount
        self.resource: Final = resource
        self.place: Final = PLACES[resource]
        self.shadow = shadow
        self.window_s = window_s
        self.key: Final = key
        self.root: Final = root
        self.on_use = on_use
        self.is_noted = False
        self._periods = periods
        self._shape = self._find_shape()
        self._unit: Final = PICOS_PER_UNIT if self.place == USD else 1
        self._strict = strict
        self._term = term or Term()
        self._balance = 0
        self._usable_until_s = -inf
        self._open = Batch(self)
        self._unsent: list[Batch] = []
        """Of a call that the store did not count, for it did not know us."""
        self._sent: list[Batch] = []
        """Of the call under way."""
        self._is_asked = False
        self._was_edited = False
        """While the call was under way: buckets of its answer mean nothing any more."""
        self._sent_need = 0
        self._refunds: dict[int, int] = {}
        self._journal: dict[int, int] = {}
        """What this gateway has charged and may still count, by bucket: for a store that has forgotten."""
        self._recent: deque[tuple[int, float, int, int]] = deque()
        """How the journal came about, lately: the call's number, when, the bucket, how much. For a store that
        has forgotten a part.
        """
        self._recent_after = 0
        """The last call that is not in there."""
        self._sent_refunds: dict[int, int] = {}
        self._doubtful = 0
        """Charged by a generation that is over, and not in the journal yet."""
        self._oldest = 0
        self._generation = 1
        self._is_uncertain = False
        """A call had no answer: see the module."""
        self._recall = False
        """The amount was lowered: what was granted goes back first."""
        self._running = 0
        self._pressing = 0
        """What those need who wait for this limit."""
        self._charged = 0
        """Since the rate was found."""
        self._rate = 0.0
        self._rated_s = self._acted_s = -inf
        self._known: ScopeAnswer | None = None
        self._known_s = 0.0
        self._wants_news = False
        self._keep_until_s = -inf
        """A request that was short of several limits may have to ask for one after the other; what it was
        granted of the first must not go back meanwhile.
        """
        self._refused_until_s = self._wait_until_s = -inf
        self._refused_need = 0

    # What requests ask: see `limits.TenantLimit`.

    @property
    def longest_s(self) -> float:
        return self.window_s if self._periods is None else self._periods.left_s()

    def room(self, now_s: float) -> int:
        """Without asking the store. In shadow: what would be left."""
        if self.shadow:
            total = 0 if self._known is None else self._known.total
            return self.amount - (total + self._open.amount) * self._unit
        return self._balance * self._unit if now_s < self._usable_until_s else 0

    def may_ask(self, now_s: float, need: int) -> bool:
        """Unless the store has just refused as little."""
        if self.shadow or need > self.amount:
            return False
        return now_s >= self._refused_until_s or self._count_units(need) < self._refused_need

    def add(self, now_s: float) -> None:
        self._charge(now_s, 1)

    def hold(self, now_s: float, amount: int) -> Batch:
        units = amount if self._unit == 1 else -(-amount // self._unit)
        self._charge(now_s, units)
        self._running += units
        return self._open

    def settle(self, batch: Batch, held: int, spent: int) -> None:
        """Called by the batch."""
        unit = self._unit
        if unit != 1:
            held, spent = -(-held // unit), -(-spent // unit)
        self._running -= held
        refund = held - spent
        if self.place == CONCURRENCY:
            self._balance += refund
        elif refund < 0:
            self._open.amount -= refund  # more than was granted, where that may be
        elif refund == 0:
            return
        elif batch.bucket is not None:
            if batch.bucket >= self._oldest:
                self._refunds[batch.bucket] = self._refunds.get(batch.bucket, 0) + refund
        elif batch.is_void:
            pass  # charged as a whole
        elif batch.was_sent:
            batch.refund += refund
        else:
            batch.amount -= refund
            if not self.shadow:
                self._balance += refund
        if not self.is_noted:
            self.on_use(self)

    def wait_for_room(self, now_s: float, need: int = 1) -> float:
        if need <= self.room(now_s):
            return 0.0
        if need > self.amount:
            return self.longest_s
        return max(self._wait_until_s - now_s, REFUSED_S)

    def remaining(self, now_s: float) -> int:
        """Of the whole amount, for all gateways, as far as is known."""
        known = self._known
        if known is None or self.shadow:
            return max(0, self.room(now_s))
        return min(self.amount, max(0, known.free + self._balance) * self._unit)

    def standing(self, now_s: float) -> Standing:
        return Standing(self.name, self.amount, self.remaining(now_s), self._find_reset())

    def overall(self, left: int) -> int:
        """What is at hand here is not all that there is."""
        known = self._known
        if known is None or self.shadow:
            return left
        return min(self.amount, max(0, left + known.free * self._unit))

    def standing_after_take(self, remaining: int, now_s: float) -> Standing:
        return Standing(self.name, self.amount, remaining, self._find_reset())

    def state(self, now_s: float) -> LimitState:
        """Whoever looks has the store asked again, with the next beat."""
        known = self._known
        if known is None or (now_s > self._known_s + NEWS_S and (known.total or known.leased)):
            self._wants_news = True
            self._note_use()
        held = self._running if known is None else max(known.held, self._running)
        used = 0 if known is None or self.place == CONCURRENCY else max(0, known.total - known.held)
        return LimitState(
            name=self.name,
            resource=self.resource,
            amount=self.amount,
            used=used * self._unit,
            held=held * self._unit,
            remaining=self.remaining(now_s),
            reset_s=self._find_reset(),
            shadow=self.shadow,
            shared=known is not None,
        )

    def is_idle(self, now_s: float) -> bool:
        """Nothing is held and nothing of it counts any more, so that it may be forgotten."""
        return not self.has_something() and now_s > self._acted_s + 2 * self.longest_s + self._term.term_s

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
        self.amount, self.window_s, self.shadow, self._strict = amount, window_s, shadow, strict
        told, self._periods = self._tell_periods(), periods
        shape = self._find_shape()
        if shape != self._shape or told != self._tell_periods():
            # The store counts on with all that was used; buckets of another width mean nothing to it, nor do
            # those of another calendar. So what is running now stays charged as a whole.
            self._shape = shape
            self._was_edited = self._is_asked
            self._doubtful += sum(self._journal.values())
            self._journal, self._refunds, self._oldest = {}, {}, 0
            self._recent.clear()
            self._recent_after = LARGEST
        self._note_use()

    def recall(self) -> None:
        """Whatever was granted and not charged goes back with the next call."""
        self._recall = True
        self._usable_until_s = -inf
        self._note_use()

    def press(self, need: int) -> None:
        """Somebody waits for so much: all who do, since the last call."""
        self._pressing += self._count_units(need)
        self._note_use()

    def build_ask(self, now_s: float, first_need: int) -> ScopeAsk | None:
        """None: there is nothing to say. first_need: of whoever waits longest; 0: nobody does. Once an ask is
        given, `apply` or `fail` has to follow before the next.
        """
        self._note_rate(now_s)
        if self._is_uncertain:
            if now_s < self._usable_until_s and not first_need:
                return None
            self._void()
        counts_running = self.place == CONCURRENCY
        if counts_running and now_s >= self._usable_until_s:
            self._balance = 0  # others may have it by now
        balance = self._balance
        spare = 0 if self._strict or self._recall else ceil(self._rate * AHEAD_S)
        first = self._count_units(first_need)
        is_awaited = first or now_s < self._keep_until_s
        keep = 0 if self._recall else balance if is_awaited else min(balance, spare)
        need = max(0, first - keep)
        self._sent_need = need
        want = 0
        if first or self._pressing:
            # Not less what is kept: that may be somebody else's by then.
            want = max(need, self._pressing + spare)
            self._pressing = 0
        elif keep < spare:
            want = spare - keep  # the call is made anyway, for what was spent
        if self.shadow:
            self._sent_need = need = want = 0
        running = self._running if counts_running else 0
        renews = (keep or self._running) and now_s > self._usable_until_s - self._term.term_s / 2
        if not (
            self._open.amount
            or self._unsent
            or self._refunds
            or want
            or renews
            or self._recall
            or self._wants_news
            or keep != balance
        ):
            return None
        self._balance = keep
        return self._build(self._send(), self._take_refunds(), keep + running, need, want, ())

    def build_assertion(self, now_s: float, counted: int) -> ScopeAsk:
        """All that the store has to know of this gateway, which it has forgotten or never knew. counted: the
        last of our calls that it remembers.
        """
        self._take_refunds()  # they are in the journal by now
        self._sent_refunds.clear()
        if now_s >= self._usable_until_s:
            self._balance = 0
        if self._is_uncertain:
            self._void()
        doubtful, self._sent_need = self._doubtful, 0
        self._generation += 1
        running = self._running if self.place == CONCURRENCY else 0
        journal = self._list_uncounted(counted)
        return self._build(self._send() + doubtful, (), self._balance + running, 0, 0, journal)

    def apply(self, answer: ScopeAnswer, sequence: int, sent_at_s: float, now_s: float) -> None:
        """sequence: of the call."""
        sent, self._sent, self._is_asked = self._sent, [], False
        self._known, self._known_s, self._wants_news = answer, now_s, False
        was_edited, self._was_edited = self._was_edited, False
        self._oldest = 0 if was_edited else answer.oldest
        self._forget_recent(now_s)
        for bucket, amount in self._sent_refunds.items():
            self._recent.append((sequence, now_s, bucket, -amount))
        self._sent_refunds.clear()
        for bucket in [bucket for bucket in self._journal if bucket < answer.oldest]:
            del self._journal[bucket]
        if answer.verdict == Verdict.LOST:
            self._doubt(sent)
            self._void()
        elif was_edited:
            self._doubt(sent)
        else:
            for batch in sent:
                batch.bucket = answer.bucket
                self._note_charge(answer.bucket, batch.amount, sequence, now_s)
                if batch.refund:
                    self._refunds[answer.bucket] = self._refunds.get(answer.bucket, 0) + batch.refund
        if not was_edited:
            self._note_charge(answer.bucket, self._doubtful, sequence, now_s)
            self._doubtful = 0
        self._balance += answer.granted
        self._usable_until_s = sent_at_s + self._term.term_s - self._term.margin_s
        self._recall = False
        if answer.granted:
            self._keep_until_s = now_s + AHEAD_S
        if answer.granted < self._sent_need:
            self._refused_until_s = now_s + REFUSED_S
            self._refused_need = self._sent_need + self._balance
            self._wait_until_s = now_s + answer.wait_ms / 1000
        elif answer.granted:
            self._refused_until_s = -inf
        self._note_use()

    def fail(self) -> None:
        """No answer came. What is left may be spent until its term."""
        sent, self._sent, self._is_asked = self._sent, [], False
        self._was_edited = False
        self._sent_refunds.clear()
        self._doubt(sent)  # it is charged either way, with its lease or by itself
        self._is_uncertain = True
        self._note_use()

    def unsend(self) -> None:
        """The store did not know us, and counted nothing of the call: to be followed by `build_assertion`."""
        for batch in self._sent:
            batch.was_sent = False
            batch.amount -= batch.refund
            batch.refund = 0
        self._unsent, self._sent, self._is_asked, self._was_edited = self._sent, [], False, False

    def has_something(self) -> bool:
        """Whether it is to be looked at in each beat."""
        return bool(
            self._open.amount
            or self._refunds
            or self._balance
            or self._running
            or self._pressing
            or self._recall
            or self._wants_news
            or self._rate
            or self._is_uncertain
            or self._is_asked
        )

    def _build(
        self, spent: int, refunds: tuple[int, ...], keep: int, need: int, want: int, journal: tuple[int, ...]
    ) -> ScopeAsk:
        shape = self._shape
        return ScopeAsk(
            self.key,
            min(self.amount // self._unit, LARGEST),
            shape.window_ms,
            shape.width_ms,
            self._tell_periods(),
            shape.concurrency,
            self.shadow,
            self._generation,
            spent,
            refunds,
            keep,
            need,
            want,
            self._running,
            journal,
        )

    def _charge(self, now_s: float, units: int) -> None:
        self._charged += units
        self._acted_s = now_s
        if not self.shadow:
            self._balance -= units
        if self.place != CONCURRENCY:
            self._open.amount += units
        if not self.is_noted:
            self.on_use(self)

    def _note_use(self) -> None:
        if not self.is_noted:
            self.on_use(self)

    def _note_charge(self, bucket: int, amount: int, sequence: int, now_s: float) -> None:
        if amount:
            self._journal[bucket] = self._journal.get(bucket, 0) + amount
            self._recent.append((sequence, now_s, bucket, amount))

    def _forget_recent(self, now_s: float) -> None:
        recent = self._recent
        while recent and recent[0][1] < now_s - RECOVERY_MS / 1000:
            self._recent_after = recent.popleft()[0]

    def _list_uncounted(self, counted: int) -> tuple[int, ...]:
        """What the store has not counted, as `ScopeAsk.journal` has it. Too much where it lags by minutes."""
        amounts = self._journal
        if counted > 0 and counted >= self._recent_after:
            amounts = {}
            for sequence, _, bucket, amount in self._recent:
                if sequence > counted:
                    amounts[bucket] = amounts.get(bucket, 0) + amount
        return tuple(part for entry in sorted(amounts.items()) if entry[1] > 0 for part in entry)

    def _send(self) -> int:
        """What was charged since the last call."""
        self._sent, self._unsent, self._open = [*self._unsent, self._open], [], Batch(self)
        self._is_asked = True
        for batch in self._sent:
            batch.was_sent = True
        return sum([batch.amount for batch in self._sent])

    def _doubt(self, batches: Iterable[Batch]) -> None:
        for batch in batches:
            batch.is_void = True
            self._doubtful += batch.amount

    def _void(self) -> None:
        """All that was granted to this generation. What is running in it stays charged, as a whole."""
        self._doubt([*self._unsent, self._open])
        self._unsent, self._open = [], Batch(self)
        self._balance = 0
        self._usable_until_s = -inf
        self._generation += 1
        self._is_uncertain = False

    def _take_refunds(self) -> tuple[int, ...]:
        refunds, self._refunds = self._refunds, {}
        told: list[int] = []
        for bucket, amount in sorted(refunds.items()):
            if bucket >= self._oldest and amount:
                told += (bucket, amount)
                self._journal[bucket] = self._journal.get(bucket, 0) - amount
                self._sent_refunds[bucket] = amount
        return tuple(told)

    def _note_rate(self, now_s: float) -> None:
        passed_s = now_s - self._rated_s
        if passed_s < AHEAD_S / 4:
            return
        self._rate += _RATE_SHARE * (self._charged / min(passed_s, 1.0) - self._rate)
        if self._rate * AHEAD_S < 0.05:
            self._rate = 0.0
        self._charged = 0
        self._rated_s = now_s

    def _find_shape(self) -> Shape:
        return find_shape(
            self.window_s, concurrency=self.place == CONCURRENCY, calendar=self._periods is not None
        )

    def _tell_periods(self) -> tuple[int, ...]:
        return () if self._periods is None else self._periods.told()

    def _count_units(self, amount: int) -> int:
        return amount if self._unit == 1 else -(-amount // self._unit)

    def _find_reset(self) -> float:
        if self.place == CONCURRENCY:
            return UNKNOWN_WAIT_S
        return self.longest_s

    def __repr__(self) -> str:
        return (
            f"<LeasedLimit {self.name}: {self._balance} of {self.amount} at hand, "
            f"until {self._usable_until_s:g} s>"
        )
