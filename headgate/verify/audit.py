"""What gateways of a storm tell, put in order and held against the limits: events in, LimitLogs out.

    event -> (waits LATE_S, since a gateway that is stopped tells late) -> the log of each limit it charges

The one subtle rule: what was settled is added up for each gateway. A store that forgot knows what living
gateways told it again, and so at least that.
"""

import heapq
from collections import Counter
from typing import Final

from gateway_runtime.engine.amounts import Bound, Spent
from headgate.verify.limit_log import LimitLog
from headgate.verify.messages import Admitted, Configured, Event, Finished, Settled, Tally, Unheard
from headgate.verify.scenario import CALLERS, SHARED, SUMMED, list_charged

LATE_S: Final = 20.0
"""Longer than a gateway is stopped, and than its last words take."""

_DOUBTS: Final = frozenset({"lost", "unanswered", "cut off"})
_CHARGED: Final = tuple(list_charged(caller) for caller in CALLERS)


class Audit:
    def __init__(self) -> None:
        self.logs: Final = {
            shared.key: LimitLog(shared.key, shared.resource, shared.window_s) for shared in SHARED
        }
        self.done: Counter[str] = Counter()
        self.memories: set[str] = set()
        """Of the store, as gateways knew it when they finished."""
        self.is_exact = True
        """Nothing was lost, and no lease has ended before its gateway had said all."""
        self._waiting: list[tuple[float, int, str, Event | None]] = []
        self._sequence = 0
        self._callers: dict[tuple[str, int], int] = {}
        """Of what is running."""
        self._settled: dict[str, Counter[str]] = {}
        """By gateway and limit."""

    @property
    def operations(self) -> int:
        done = self.done
        return sum(done[name] for name in ("admitted", "settled", "refused", "refused without a store"))

    def note(self, gateway: str, event: Event) -> None:
        if isinstance(event, Tally):
            self.done.update(event.counts)
            self.is_exact = self.is_exact and not event.counts.keys() & _DOUBTS
        elif isinstance(event, Admitted):
            self.done["admitted"] += 1
        elif isinstance(event, Settled):
            self.done["settled"] += 1
        self._push(event.at_s, gateway, event)

    def note_killed(self, gateway: str, now_s: float) -> None:
        """All it ever said has been noted."""
        self._push(now_s, gateway, None)

    def take_until(self, moment_s: float) -> None:
        """Nothing older comes any more."""
        waiting = self._waiting
        while waiting and waiting[0][0] <= moment_s:
            at_s, _, gateway, event = heapq.heappop(waiting)
            self._take(gateway, event, at_s)

    def sum_settled(self, key: str, gateways: set[str]) -> int:
        """Of the limit, by these: in its own unit."""
        return sum(self._settled[gateway][key] for gateway in gateways if gateway in self._settled)

    def _push(self, at_s: float, gateway: str, event: Event | None) -> None:
        self._sequence += 1
        heapq.heappush(self._waiting, (at_s, self._sequence, gateway, event))

    def _take(self, gateway: str, event: Event | None, at_s: float) -> None:
        if isinstance(event, Admitted):
            needs = Bound(event.input_tokens, event.output_tokens, event.usd_picos).by_place()
            number = (gateway, event.number)
            self._callers[number] = event.caller
            for shared in _CHARGED[event.caller]:
                self.logs[shared.key].admit(gateway, number, needs[shared.place] or 0, at_s)
        elif isinstance(event, Settled):
            self._settle(gateway, event)
        elif isinstance(event, Configured):
            self.logs[event.key].set_amount(gateway, event.amount, at_s)
        elif isinstance(event, Unheard):
            self.is_exact = False
            for shared in SHARED:
                if shared.tenant == event.root:
                    self.logs[shared.key].lapse(gateway, event.until_s)
        elif event is None or isinstance(event, Finished):
            if event is not None:
                self.memories.add(event.memory)
            for log in self.logs.values():
                log.end_gateway(gateway, at_s)

    def _settle(self, gateway: str, event: Settled) -> None:
        number = (gateway, event.number)
        amounts = Spent(event.input_tokens, event.output_tokens, event.usd_picos).by_place()
        settled = self._settled.setdefault(gateway, Counter())
        for shared in _CHARGED[self._callers.pop(number)]:
            self.logs[shared.key].settle(number, amounts[shared.place])
            if shared.name == SUMMED:
                settled[shared.key] += amounts[shared.place]
