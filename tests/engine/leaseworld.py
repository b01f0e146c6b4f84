"""Several gateways, one store, some limits, and everything that can go wrong, in virtual time.

A world draws what happens from a seed: requests, their endings, beats, edits of the amount, gateways that are
killed, stopped for a while or cut off, answers that are lost, a store that forgets, falls back to an older
memory or has its clock set. After each admission it adds up what was truly admitted in the window that ends
then, and holds it against the amount: a log that knows no buckets, no leases and no store.
"""

import copy
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import msgspec

from gateway_runtime.contract.table import LimitResource
from gateway_runtime.engine.amounts import Bound, Spent
from gateway_runtime.engine.hold import Hold, reserve
from gateway_runtime.engine.lease import LeasedLimit, Term
from gateway_runtime.engine.lease_call import LeaseAnswer, LeaseCall
from gateway_runtime.engine.lease_root import LeaseRoot
from gateway_runtime.engine.lease_store import MemoryStore
from gateway_runtime.engine.limits import Refused

TERM = Term(2.0, 0.2)
STOPPED_S = 9.0


class Rule(NamedTuple):
    name: str
    resource: LimitResource
    amount: int
    window_s: float


RULES = (
    Rule("requests", "Requests", 40, 6.0),
    Rule("tokens", "TotalTokens", 20_000, 6.0),
    Rule("spend", "USD", 30_000_000, 12.0),
    Rule("at-once", "Concurrency", 12, 0.0),
)


class Parts(NamedTuple):
    """What the world is made of: a test puts mistakes in their place."""

    store: type[MemoryStore] = MemoryStore
    limit: type[LeasedLimit] = LeasedLimit
    root: type[LeaseRoot] = LeaseRoot


@dataclass
class Entry:
    at_s: float
    costs: dict[str, int]
    running: bool = True


class Member:
    """A gateway."""

    def __init__(self, name: str, world: "World") -> None:
        self.name = name
        self.world = world
        self.root = world.parts.root("root", name)
        self.limits = [
            world.parts.limit(
                rule.name,
                rule.amount,
                rule.resource,
                rule.window_s,
                key=rule.name,
                root="root",
                term=TERM,
                on_use=self.root.note,
            )
            for rule in world.rules
        ]
        self.holds: list[tuple[Hold, Entry]] = []
        self.stopped_until_s = 0.0
        self.is_cut = False

    def beat(self) -> None:
        world = self.world
        for _ in range(3):
            if self.root.is_asking:
                return
            call = self.root.build_call(world.now_s, len(world.members), world.peers(), TERM)
            if call is None:
                return
            answer = world.exchange(self, call)
            if answer is None:
                self.root.fail()
                return
            self.root.apply(answer, world.now_s)
            if not self.root.has_to_assert:
                return

    def request(self, bound: Bound) -> bool:
        for _ in range(3):
            outcome = reserve(self.limits, bound, self.world.now_s, allow_unpriced=False)
            if not isinstance(outcome, Refused):
                entry = self.world.note_admitted(bound)
                self.holds.append((outcome.hold, entry))
                return True
            if not outcome.askable:
                return False
            self.root.press(outcome.askable)
            self.beat()
        return False

    def settle(self, spent_share: float) -> None:
        if not self.holds:
            return
        hold, entry = self.holds.pop(self.world.rng.randrange(len(self.holds)))
        bound = entry.costs
        tokens = int(bound["tokens"] * spent_share)
        picos = bound["spend"] * tokens // max(1, bound["tokens"])
        hold.settle(Spent(tokens, 0, picos), self.world.now_s)
        entry.costs = {**bound, "tokens": tokens, "spend": picos}
        entry.running = False


@dataclass
class World:
    seed: int
    gateways: int = 3
    parts: Parts = field(default_factory=Parts)
    faults: bool = True
    rules: Sequence[Rule] = RULES

    def __post_init__(self) -> None:
        self.rng = random.Random(self.seed)
        self.now_s = 1000.0
        self.clock_s = 5_000_000.0
        """The store's, which may be set."""
        self.store = self.parts.store()
        self.is_away_until_s = 0.0
        self.older: MemoryStore | None = None
        self.members: list[Member] = []
        self.born = 0
        self.died: list[tuple[str, float]] = []
        self.log: list[Entry] = []
        self.amounts = {rule.name: rule.amount for rule in self.rules}
        self.lowered_s = dict.fromkeys(self.amounts, -1e9)
        self.refused = self.admitted = self.steps = 0
        for _ in range(self.gateways):
            self.add_member()

    def add_member(self) -> None:
        self.born += 1
        member = Member(f"g{self.born}", self)
        for limit, rule in zip(member.limits, self.rules, strict=True):
            limit.configure(self.amounts[rule.name], rule.window_s)
        self.members.append(member)

    def peers(self) -> list[str]:
        recent = [name for name, at_s in self.died if at_s > self.now_s - 120]
        return [*(member.name for member in self.members), *recent]

    def exchange(self, member: Member, call: LeaseCall) -> LeaseAnswer | None:
        """None: no answer came; whether it was counted is drawn."""
        if self.now_s < self.is_away_until_s or member.is_cut:
            return None
        lost = self.faults and self.rng.random() < 0.01
        if lost and self.rng.random() < 0.5:
            return None
        call = msgspec.structs.replace(call, server=self.store.server)
        answer = self.store.exchange("root", call, int(self.clock_s * 1000))
        return None if lost else answer

    def run(self, steps: int) -> None:
        for _ in range(steps):
            self.step()
            self.steps += 1

    def step(self) -> None:
        rng = self.rng
        passed_s = rng.expovariate(60)
        self.now_s += passed_s
        self.clock_s += passed_s
        awake = [member for member in self.members if member.stopped_until_s <= self.now_s]
        if not awake:
            return
        member = rng.choice(awake)
        choice = rng.random()
        if choice < 0.45:
            done = member.request(Bound(rng.randrange(1, 1500), rng.randrange(0, 1500), rng.randrange(10**6)))
            self.admitted += done
            self.refused += not done
        elif choice < 0.75:
            member.settle(rng.random())
        elif choice < 0.985 or not self.faults:
            member.beat()
        else:
            self.break_something(member)

    def break_something(self, member: Member) -> None:
        rng = self.rng
        match rng.randrange(9):
            case 0:  # kill -9: its requests die with it
                self.members.remove(member)
                self.died.append((member.name, self.now_s))
                for _, entry in member.holds:
                    entry.running = False
                self.add_member()
            case 1:
                member.stopped_until_s = self.now_s + rng.uniform(0, STOPPED_S)
            case 2:
                member.is_cut = not member.is_cut
            case 3:
                self.store.forget()
            case 4:
                self.older = copy.deepcopy(self.store)
            case 5 if self.older is not None:
                self.store, self.older = self.older, None
                self.store.server = f"server-{self.steps}"
            case 6:
                self.set_clock(rng.uniform(-100, 100))
            case 7:
                self.is_away_until_s = self.now_s + rng.uniform(0, 4)
            case _:
                self.edit()

    def set_clock(self, by_s: float) -> None:
        """Somebody who knows what it showed asks first: a step that only newcomers see cannot be known."""
        able = [m for m in self.members if m.stopped_until_s <= self.now_s and not m.is_cut and m.root.epoch]
        if able and self.now_s >= self.is_away_until_s:
            self.clock_s += by_s
            for member in able:
                member.root.expect(-1)
                member.beat()

    def edit(self) -> None:
        rule = self.rng.choice(self.rules)
        amount = int(rule.amount * self.rng.uniform(0.5, 1.5))
        if amount < self.amounts[rule.name]:
            self.lowered_s[rule.name] = self.now_s
        self.amounts[rule.name] = amount
        for member in self.members:
            at = [limit.name for limit in member.limits].index(rule.name)
            member.limits[at].configure(amount, rule.window_s)

    def note_admitted(self, bound: Bound) -> Entry:
        tokens = bound.input_tokens + bound.output_tokens
        assert bound.usd_picos is not None
        entry = Entry(self.now_s, {"requests": 1, "tokens": tokens, "spend": bound.usd_picos, "at-once": 1})
        self.log.append(entry)
        longest_s = max(rule.window_s for rule in self.rules)
        while self.log and self.log[0].at_s < self.now_s - 3 * longest_s and not self.log[0].running:
            self.log.pop(0)
        self.check()
        return entry

    def check(self) -> None:
        """No window that ends now holds more than the amount. Raises AssertionError."""
        for rule in self.rules:
            if rule.resource == "Concurrency":
                continue
            if self.lowered_s[rule.name] > self.now_s - rule.window_s - TERM.term_s:
                continue  # what was admitted under the larger amount counts still
            used = sum(e.costs[rule.name] for e in self.log if e.at_s > self.now_s - rule.window_s)
            assert used <= self.amounts[rule.name], f"{rule.name}: {used} of {self.amounts[rule.name]}"

    def finish(self) -> None:
        """Everything ends, and a window and a term pass: nothing may be held or leased after that."""
        for member in self.members:
            member.stopped_until_s, member.is_cut = 0.0, False
            while member.holds:
                member.settle(0.5)
        self.is_away_until_s = 0.0
        faults, self.faults = self.faults, False
        for _ in range(400):
            self.now_s += 0.1
            self.clock_s += 0.1
            for member in self.members:
                member.beat()
        for member in [*self.members, *self.members]:  # the first look has the store take back what is over
            for limit in member.limits:
                limit.state(self.now_s)
            self.now_s += 2.0
            self.clock_s += 2.0
            member.beat()
        self.faults = faults
