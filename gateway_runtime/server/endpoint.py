"""One endpoint as this gateway knows it: its circuit, what the probes said, how it did lately.

`state.LiveState` keeps one per EndpointId. `request` opens an `Attempt` here for each request that it sends
and ends it exactly once; `probe` tells verdicts; `report` reads.
"""

from collections.abc import Callable
from typing import Final, NamedTuple

import structlog

from gateway_runtime.contract.health import Circuit, EndpointReport, Health
from gateway_runtime.contract.ids import EndpointId
from gateway_runtime.contract.table import Provider
from gateway_runtime.engine.balance import Availability, EndpointView
from gateway_runtime.engine.circuit import LAST_RESORT, Breaker
from gateway_runtime.engine.latency import PeakEwma
from gateway_runtime.engine.retry import Outcome, counts_as_failure
from gateway_runtime.engine.window import RollingCount

log = structlog.get_logger()

RECENT_S: Final = 60.0
_LATENCY_WEIGHT: Final = 0.2
"""Of the newest sample in the moving average: about the last ten requests count. A guess."""


class Clock(NamedTuple):
    now: Callable[[], float]
    """Monotonic: what decisions are made with. The loop's timers run on the same clock."""
    unix: Callable[[], float]
    """What people and other machines are told."""


class EndpointState:
    def __init__(
        self,
        endpoint_id: EndpointId,
        provider: Provider,
        clock: Clock,
        on_change: Callable[["EndpointState"], None],
    ) -> None:
        self.id = endpoint_id
        self.health: Health = "Unknown"
        self.health_reason = ""
        self.ready = True
        """Its circuit is closed and its probe does not fail: as `availability` says it, without a call."""
        self.latency_ms: float | None = None
        self.clock = clock
        self._on_change = on_change
        self._provider = provider
        self._breaker = Breaker(provider.circuit, clock.now())
        self._circuit: Circuit = "Closed"
        self._changed_unix_s = clock.unix()
        self._ewma = PeakEwma()
        self._view = EndpointView()
        self._requests = RollingCount(RECENT_S)
        self._failures = RollingCount(RECENT_S)

    def configure(self, provider: Provider) -> None:
        if self._provider.passive_health and not provider.passive_health:
            # Nothing would ever close an open circuit once outcomes no longer count.
            self._breaker = Breaker(provider.circuit, self.clock.now())
        self._breaker.configure(provider.circuit)
        if provider.probe is None:
            self.set_health("Unknown", "")
        self._provider = provider
        self.look()

    def availability(self, now_s: float) -> Availability:
        availability = self._breaker.availability(now_s)
        if self.health == "Unhealthy" and availability is not Availability.REFUSED:
            return Availability.DOUBTFUL
        return availability

    def begin(self, *, last_resort: bool = False) -> "Attempt | None":
        """None: the circuit refuses. Otherwise the Attempt must be ended."""
        now_s = self.clock.now()
        began = self._breaker.begin(now_s, last_resort=last_resort)
        if self._circuit != "Closed":
            self.look()
        return Attempt(self, now_s, last_resort=last_resort) if began else None

    def end(self, began_s: float, outcome: Outcome, reason: str, took_s: float) -> None:
        """Called by Attempt. began_s: as the breaker wants it."""
        if outcome is Outcome.OK:
            self.succeed(began_s, took_s)
            return
        now_s = self.clock.now()
        breaker = self._breaker
        failed = counts_as_failure(outcome)
        if outcome is Outcome.CANCELLED or not self._provider.passive_health:
            breaker.abandon(now_s, began_s=began_s)
        elif failed:
            breaker.fail(now_s, reason, began_s=began_s, took_s=took_s)
        else:
            breaker.succeed(now_s, began_s=began_s, took_s=took_s)
        if outcome is not Outcome.CANCELLED:
            self._requests.add(now_s)
            if failed:
                self._failures.add(now_s)
        if failed or self._circuit != "Closed" or breaker.is_tripped:
            self.look()

    def succeed(self, began_s: float, took_s: float) -> None:
        """As `end` with OK."""
        now_s = self.clock.now()
        breaker = self._breaker
        if self._provider.passive_health:
            breaker.succeed(now_s, began_s=began_s, took_s=took_s)
        else:
            breaker.abandon(now_s, began_s=began_s)
        self._requests.add(now_s)
        self._ewma.note(now_s, took_s)
        if self._circuit != "Closed" or breaker.is_tripped:
            self.look()

    def view(self) -> EndpointView:
        """As it is now; always the same object."""
        view = self._view
        view.in_flight = self._breaker.under_way
        view.latency_s = self._ewma.value(self.clock.now())
        view.opened_s = self._breaker.opened_s
        return view

    def is_on_trial(self) -> bool:
        return self._circuit == "HalfOpen"

    def note_latency(self, latency_s: float) -> None:
        sample_ms = latency_s * 1000
        before_ms = self.latency_ms
        self.latency_ms = (
            sample_ms if before_ms is None else before_ms + (sample_ms - before_ms) * _LATENCY_WEIGHT
        )

    def set_health(self, health: Health, reason: str) -> None:
        self.health_reason = reason
        if health != self.health:
            log.info("endpoint health", endpoint=self.id, health=health, before=self.health, reason=reason)
            self.health = health
            self._note_readiness()
            self._changed_unix_s = self.clock.unix()
            self._on_change(self)

    def look(self) -> None:
        """Notices that the circuit changed, also by time alone."""
        circuit = self._breaker.state(self.clock.now())
        if circuit != self._circuit:
            reason = self._breaker.reason
            log.info("circuit", endpoint=self.id, circuit=circuit, before=self._circuit, reason=reason)
            self._circuit = circuit
            self._note_readiness()
            self._changed_unix_s = self.clock.unix()
            self._on_change(self)

    def _note_readiness(self) -> None:
        self.ready = self._circuit == "Closed" and self.health != "Unhealthy"

    def circuit(self) -> Circuit:
        """As it is now."""
        self.look()
        return self._circuit

    def cools_in_s(self) -> float | None:
        """Seconds until an open circuit lets a trial through; None when it is not open."""
        now_s = self.clock.now()
        if self._breaker.state(now_s) != "Open":
            return None
        return self._breaker.since_s + self._provider.circuit.open_s - now_s

    def report(self) -> EndpointReport:
        now_s = self.clock.now()
        self.look()
        return EndpointReport(
            endpoint=self.id,
            health=self.health,
            circuit=self._circuit,
            reason="; ".join(reason for reason in (self._breaker.reason, self.health_reason) if reason),
            since_s=self._changed_unix_s,
            latency_ms=self.latency_ms,
            requests=self._requests.total(now_s),
            failures=self._failures.total(now_s),
        )

    def __repr__(self) -> str:
        return f"<EndpointState {self.id}: {self.health}, {self._breaker!r}>"


class Attempt:
    """One request under way to an endpoint."""

    __slots__ = ("_began_s", "_ended", "_endpoint", "_first_byte_s", "_last_resort")

    def __init__(self, endpoint: EndpointState, began_s: float, *, last_resort: bool = False) -> None:
        self._endpoint = endpoint
        self._began_s = began_s
        self._first_byte_s: float | None = None
        self._last_resort = last_resort
        self._ended = False

    def note_first_byte(self, latency_s: float) -> None:
        """A trial has succeeded when a stream begins: a stream may last minutes, and the circuit would refuse
        everybody else meanwhile.
        """
        self._first_byte_s = latency_s
        self._endpoint.note_latency(latency_s)
        if self._endpoint.is_on_trial():
            self.end(Outcome.OK, "")

    def succeed(self, took_s: float) -> None:
        """A whole good answer came at once: the first byte and the end."""
        if not self._ended:
            self._ended = True
            self._endpoint.note_latency(took_s)
            began_s = LAST_RESORT if self._last_resort else self._began_s
            self._endpoint.succeed(began_s, took_s)

    def end(self, outcome: Outcome, reason: str) -> None:
        """The first call counts."""
        if not self._ended:
            self._ended = True
            took_s = self._first_byte_s
            if took_s is None:
                took_s = self._endpoint.clock.now() - self._began_s
            self._endpoint.end(LAST_RESORT if self._last_resort else self._began_s, outcome, reason, took_s)
