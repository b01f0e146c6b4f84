"""Gateways at one store, on a clock that the test moves: what `server.lease_desk` does, without a loop."""

from collections.abc import Callable, Sequence

import msgspec

from gateway_runtime.contract.tenant import LimitResource
from gateway_runtime.engine.amounts import Bound
from gateway_runtime.engine.hold import Hold, Reserved, reserve
from gateway_runtime.engine.lease import LeasedLimit
from gateway_runtime.engine.lease_call import LeaseAnswer, LeaseCall
from gateway_runtime.engine.lease_demand import REFUSED_S
from gateway_runtime.engine.lease_grant import Term
from gateway_runtime.engine.lease_news import NEWS_S
from gateway_runtime.engine.lease_root import LeaseRoot
from gateway_runtime.engine.lease_scope import Periods
from gateway_runtime.engine.lease_store import MemoryStore, ScopeState
from gateway_runtime.engine.limits import Refused, TenantLimit

TERM = Term(10.0, 1.0)


class Days:
    """Of a calendar: days of UTC, or shorter ones."""

    def __init__(self, unix: Callable[[], float], length_s: int = 86_400) -> None:
        self._unix = unix
        self._length_s = length_s

    def told(self) -> tuple[int, ...]:
        start = int(self._unix()) // self._length_s * self._length_s
        moments = (start, start + self._length_s, start + self._length_s, start + 2 * self._length_s)
        return tuple(moment * 1000 for moment in moments)

    def passed_s(self) -> float:
        return self._unix() % self._length_s

    def left_s(self) -> float:
        return self._length_s - self._unix() % self._length_s


class Shop:
    """A store with its clock, and the gateways that share it."""

    def __init__(self) -> None:
        self.store = MemoryStore()
        self.now_s = 1_000.0
        self.is_away = False
        self.loses_answers = False
        """It counts what it is told, and nobody hears of that."""
        self.gateways: list[Gateway] = []
        self.calls: list[LeaseCall] = []

    def unix(self) -> float:
        """What the store's own clock says, too."""
        return 1_000_000_000.0 + self.now_s

    def pass_time(self, seconds: float, *, beats: bool = False) -> None:
        """beats: all gateways beat ten times a second meanwhile."""
        if not beats:
            self.now_s += seconds
            return
        until_s = self.now_s + seconds
        while self.now_s < until_s - 1e-9:
            self.now_s = min(self.now_s + 0.1, until_s)
            for gateway in self.gateways:
                gateway.beat()

    def exchange(self, call: LeaseCall, root_id: str = "root") -> LeaseAnswer | None:
        self.calls.append(call)
        if self.is_away:
            return None
        call = msgspec.structs.replace(call, server=self.store.server)
        answer = self.store.exchange(root_id, call, int(self.unix() * 1000))
        return None if self.loses_answers else answer

    def open(self, name: str = "a") -> "Gateway":
        gateway = Gateway(self, name)
        self.gateways.append(gateway)
        return gateway

    def scope(self, key: str = "tokens") -> ScopeState:
        """As the store has it since the last call."""
        return self.store._scopes["root", key]


class Gateway:
    def __init__(self, shop: Shop, name: str) -> None:
        self.shop = shop
        self.root = LeaseRoot("root", name)

    def limit(
        self,
        resource: LimitResource = "TotalTokens",
        amount: int = 1000,
        window_s: float = 60.0,
        *,
        name: str = "tokens",
        shadow: bool = False,
        periods: Periods | None = None,
        strict: bool = False,
    ) -> LeasedLimit:
        return LeasedLimit(
            name,
            amount,
            resource,
            window_s,
            key=name,
            root="root",
            shadow=shadow,
            periods=periods,
            strict=strict,
            term=TERM,
            on_use=self.root.note,
        )

    def send(self) -> LeaseCall | None:
        """What there is to say; nobody has heard it yet."""
        peers = [gateway.root._gateway for gateway in self.shop.gateways]
        return self.root.build_call(self.shop.now_s, len(peers), peers, TERM)

    def hear(self, call: LeaseCall) -> bool:
        """Whether an answer came."""
        answer = self.shop.exchange(call)
        if answer is None:
            self.root.fail()
            return False
        self.root.apply(answer, self.shop.now_s)
        return True

    def beat(self) -> int:
        """All that there is to say. How many calls it took."""
        calls = 0
        while calls < 5:
            call = self.send()
            if call is None:
                break
            calls += 1
            if not self.hear(call) or not (call.asserts or self.root.has_to_assert):
                break
        if self.root.is_recovering:
            for other in self.shop.gateways:
                if other.root.expect(self.root.epoch):
                    other.beat()
        return calls

    def look(self, limit: LeasedLimit) -> ScopeState:
        """What the store has by now."""
        self.shop.pass_time(NEWS_S + 0.1)
        limit.state(self.shop.now_s)
        self.beat()
        return self.shop.scope(limit.key)

    def ask(
        self, limits: Sequence[TenantLimit], tokens: int = 1, *, one_over: bool = False
    ) -> Reserved | Refused:
        """As a request does: here, then at the store, then here again."""
        bound = Bound(tokens, 0, tokens * 1_000_000)
        for _ in range(8):
            outcome = reserve(limits, bound, self.shop.now_s, allow_unpriced=False, one_over=one_over)
            if isinstance(outcome, Reserved) or not outcome.askable:
                break
            self.root.press(outcome.askable)
            self.beat()
            if self.root.is_recovering:
                self.shop.pass_time(REFUSED_S)  # others have asserted in the next beat
        return outcome

    def take(self, limits: Sequence[TenantLimit], tokens: int = 1) -> Hold:
        outcome = self.ask(limits, tokens)
        assert isinstance(outcome, Reserved)
        return outcome.hold
