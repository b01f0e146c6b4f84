"""Several gateways, one store, some limits, and everything that can go wrong, in virtual time: a seed in,
what was admitted out.

A world draws what happens: requests, their endings, beats, edits of the amounts, gateways that are killed,
stopped for a while or cut off, answers that are lost, a store that forgets, falls back to an older memory or
has its clock set. Each admission is held against the amount by a LimitLog for each limit, which knows no
buckets, no leases and no store.

The engine is the gateway's own (`LeasedLimit`, `LeaseRoot`, `reserve`), and so are the rules of the store; a
test holds the script for Redis to them.
"""

import copy
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

import msgspec

from gateway_runtime.contract.tenant import LimitResource
from gateway_runtime.engine.amounts import Bound, Spent
from gateway_runtime.engine.hold import Hold, reserve
from gateway_runtime.engine.lease import LeasedLimit
from gateway_runtime.engine.lease_call import LeaseAnswer, LeaseCall
from gateway_runtime.engine.lease_grant import Term
from gateway_runtime.engine.lease_root import LeaseRoot
from gateway_runtime.engine.lease_store import MemoryStore
from gateway_runtime.engine.limits import Refused
from headgate.verify.limit_log import LimitLog

TERM: Final = Term(2.0, 0.2)
STOPPED_S: Final = 9.0
_REMEMBERED_S: Final = 120.0
"""For so long a gateway that is gone is known to the others, as `LeaseDesk` does."""
BEGAN_S: Final = 1000.0


class Rule(NamedTuple):
    name: str
    resource: LimitResource
    amount: int
    window_s: float


RULES: Final = (
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


class Running(NamedTuple):
    number: int
    hold: Hold
    bound: Bound


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
        self.running: list[Running] = []
        self.stopped_until_s = 0.0
        self.is_cut = False
        self.heard_s = world.now_s
        """When the store last counted what it said, and it knew of it."""

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
            if answer.asserted:
                self.heard_s = world.now_s
            self.root.apply(answer, world.now_s)
            if not self.root.has_to_assert:
                return

    def request(self, bound: Bound) -> bool:
        for _ in range(3):
            outcome = reserve(self.limits, bound, self.world.now_s, allow_unpriced=False)
            if not isinstance(outcome, Refused):
                self.running.append(Running(self.world.note_admitted(self, bound), outcome.hold, bound))
                return True
            if not outcome.askable:
                return False
            self.root.press(outcome.askable)
            self.beat()
        return False

    def settle(self, spent_share: float) -> None:
        if not self.running:
            return
        number, hold, bound = self.running.pop(self.world.rng.randrange(len(self.running)))
        asked, answered = int(bound.input_tokens * spent_share), int(bound.output_tokens * spent_share)
        assert bound.usd_picos is not None, "all that is drawn has a price"
        spent = Spent(asked, answered, int(bound.usd_picos * spent_share))
        hold.settle(spent, self.world.now_s)
        self.world.note_settled(number, spent)


@dataclass
class World:
    seed: int
    gateways: int = 3
    parts: Parts = field(default_factory=Parts)
    faults: bool = True
    rules: Sequence[Rule] = RULES

    def __post_init__(self) -> None:
        self.rng = random.Random(self.seed)
        self.now_s = BEGAN_S
        self.clock_s = 5_000_000.0
        """The store's, which may be set."""
        self.store = self.parts.store()
        self.is_away_until_s = 0.0
        self.older: MemoryStore | None = None
        self.members: list[Member] = []
        self.born = 0
        self.died: list[tuple[str, float]] = []
        self.logs = {rule.name: LimitLog(rule.name, rule.resource, rule.window_s) for rule in self.rules}
        self.amounts = {rule.name: rule.amount for rule in self.rules}
        self.done: Counter[str] = Counter()
        """How often what happened."""
        for _ in range(self.gateways):
            self.add_member()

    @property
    def admitted(self) -> int:
        return self.done["admitted"]

    @property
    def overruns(self) -> list[str]:
        """Of each limit that was overrun, the first."""
        return [f"{log.name}: {log.first_overrun}" for log in self.logs.values() if log.first_overrun]

    def add_member(self) -> None:
        self.born += 1
        member = Member(f"g{self.born}", self)
        for limit, rule in zip(member.limits, self.rules, strict=True):
            limit.configure(self.amounts[rule.name], rule.window_s)
            self.logs[rule.name].set_amount(member.name, self.amounts[rule.name], self.now_s)
        self.members.append(member)

    def peers(self) -> list[str]:
        recent = [name for name, at_s in self.died if at_s > self.now_s - _REMEMBERED_S]
        return [*(member.name for member in self.members), *recent]

    def exchange(self, member: Member, call: LeaseCall) -> LeaseAnswer | None:
        """None: no answer came; whether it was counted is drawn."""
        if self.now_s < self.is_away_until_s or member.is_cut:
            return None
        lost = self.faults and self.rng.random() < 0.01
        if lost:
            self.done["lost"] += 1
            if self.rng.random() < 0.5:
                return None
        call = msgspec.structs.replace(call, server=self.store.server)
        answer = self.store.exchange("root", call, int(self.clock_s * 1000))
        return None if lost else answer

    def run(self, steps: int) -> None:
        for _ in range(steps):
            self.step()

    def step(self) -> None:
        rng = self.rng
        self.done["steps"] += 1
        passed_s = rng.expovariate(60)
        self.now_s += passed_s
        self.clock_s += passed_s
        awake = [member for member in self.members if member.stopped_until_s <= self.now_s]
        if not awake:
            return
        member = rng.choice(awake)
        choice = rng.random()
        if choice < 0.45:
            is_in = member.request(
                Bound(rng.randrange(1, 1500), rng.randrange(0, 1500), rng.randrange(10**6))
            )
            self.done["admitted" if is_in else "refused"] += 1
        elif choice < 0.75:
            member.settle(rng.random())
        elif choice < 0.99 or not self.faults:
            member.beat()
        else:
            self.break_something(member)

    def break_something(self, member: Member) -> None:
        rng = self.rng
        match rng.randrange(9):
            case 0:  # kill -9: its requests die with it
                self.done["killed"] += 1
                self.members.remove(member)
                self.died.append((member.name, self.now_s))
                for log in self.logs.values():
                    log.end_gateway(member.name, self.now_s)
                self.add_member()
            case 1:
                self.done["stopped"] += 1
                member.stopped_until_s = self.now_s + rng.uniform(0, STOPPED_S)
            case 2:
                self.done["cut off"] += not member.is_cut
                member.is_cut = not member.is_cut
            case 3:
                self.done["forgotten"] += 1
                self.store.forget()
            case 4:
                self.older = copy.deepcopy(self.store)
            case 5 if self.older is not None:
                self.done["failed over"] += 1
                self.store, self.older = self.older, None
                self.store.server = f"server-{self.done['steps']}"
            case 6:
                self.set_clock(rng.uniform(-100, 100))
            case 7:
                self.done["away"] += 1
                self.is_away_until_s = self.now_s + rng.uniform(0, 4)
            case _:
                self.edit()

    def set_clock(self, by_s: float) -> None:
        """Somebody who knows what it showed asks first: a step that only newcomers see cannot be known."""
        able = [m for m in self.members if m.stopped_until_s <= self.now_s and not m.is_cut and m.root.epoch]
        if able and self.now_s >= self.is_away_until_s:
            self.done["clock set"] += 1
            self.clock_s += by_s
            faults, self.faults = self.faults, False  # and is heard
            for member in able:
                member.root.expect(-1)
                member.beat()
            self.faults = faults

    def edit(self) -> None:
        self.done["edited"] += 1
        rule = self.rng.choice(self.rules)
        amount = int(rule.amount * self.rng.uniform(0.5, 1.5))
        self.amounts[rule.name] = amount
        for member in self.members:
            at = [limit.name for limit in member.limits].index(rule.name)
            member.limits[at].configure(amount, rule.window_s)
            self.logs[rule.name].set_amount(member.name, amount, self.now_s)

    def note_admitted(self, member: Member, bound: Bound) -> int:
        """Gives the request's number."""
        number = self.done["numbered"] = self.done["numbered"] + 1
        for one in self.members:
            if self.now_s - one.heard_s >= TERM.term_s - TERM.margin_s:
                self._lapse(one)
        needs = bound.by_place()
        for limit in member.limits:
            self.logs[limit.name].admit(member.name, number, needs[limit.place] or 0, self.now_s)
        return number

    def note_settled(self, number: int, spent: Spent) -> None:
        amounts = spent.by_place()
        for limit in self.members[0].limits:
            self.logs[limit.name].settle(number, amounts[limit.place])

    def _lapse(self, member: Member) -> None:
        for log in self.logs.values():
            log.lapse(member.name, self.now_s)

    def finish(self) -> None:
        """Everything ends, and a window and a term pass: nothing may be held or leased after that."""
        for member in self.members:
            member.stopped_until_s, member.is_cut = 0.0, False
            while member.running:
                member.settle(0.5)
        self.is_away_until_s = 0.0
        faults, self.faults = self.faults, False
        for _ in range(400):
            self.now_s += 0.1
            self.clock_s += 0.1
            for member in self.members:
                member.beat()
        for member in [*self.members, *self.members]:  # the first call has the store take back what is over
            member.root.recall()
            for limit in member.limits:
                limit.state(self.now_s)
            self.now_s += 2.0
            self.clock_s += 2.0
            member.beat()
        self.faults = faults

    def list_left(self) -> list[str]:
        """What is still held or leased: after `finish`, nothing is."""
        states = [
            (member.name, limit.state(self.now_s)) for member in self.members for limit in member.limits
        ]
        held = [f"{state.name}: {state.held} held at {name}" for name, state in states if state.held]
        return [*held, *(f"leased: {scope.leases}" for scope in self.store.scopes() if scope.leases)]
