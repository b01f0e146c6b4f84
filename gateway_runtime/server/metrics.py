"""What Prometheus scrapes: counters and histograms of requests, attempts and the table.

`request` tells how each request and attempt ended; `admin` renders. Labels are ids out of the table, codes
and classes, never what a caller sent, so the table bounds their number; what left the table is removed.

The one subtle rule: child objects are kept here. prometheus_client's own look-up by labels takes about 9 µs a
request, a dictionary's 0.1.
"""

from collections.abc import Callable
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from gateway_runtime.contract.errors import ErrorCode
from gateway_runtime.contract.ids import ProviderId, RouteId
from gateway_runtime.engine.retry import Outcome
from gateway_runtime.server.reload import Running

_SECONDS: Final = (0.005, 0.025, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)
"""From a cached embedding to a long stream."""

NO_ROUTE: Final = RouteId("")
"""Requests that ended before a route was found."""


class Metrics:
    def __init__(self, unix: Callable[[], float]) -> None:
        registry = CollectorRegistry()
        self._registry = registry
        self._requests = Counter(
            "headgate_requests", "Requests answered, by status class.", ["route", "status"], registry=registry
        )
        self._errors = Counter(
            "headgate_errors", "Errors that the gateway itself answered with.", ["code"], registry=registry
        )
        self._attempts = Counter(
            "headgate_attempts", "Requests sent to providers.", ["provider", "outcome"], registry=registry
        )
        self._duration = Histogram(
            "headgate_request_duration_seconds",
            "From the request's head to the answer's last byte.",
            ["route"],
            buckets=_SECONDS,
            registry=registry,
        )
        self._first_byte = Histogram(
            "headgate_time_to_first_byte_seconds",
            "From the request's head to the answer's first byte.",
            ["route"],
            buckets=_SECONDS,
            registry=registry,
        )
        self.in_flight = Gauge("headgate_requests_in_flight", "Requests under way.", registry=registry)
        self.stream_connected = Gauge(
            "headgate_config_stream_connected", "1 while an operator is connected.", registry=registry
        )
        self.tables_refused = Counter(
            "headgate_tables_refused", "Table versions that this gateway refused.", registry=registry
        )
        self.saves_failed = Counter(
            "headgate_table_saves_failed", "Failed attempts to keep the table on disk.", registry=registry
        )
        self._epoch = Gauge("headgate_table_epoch", "Epoch of the running table.", registry=registry)
        self._sequence = Gauge("headgate_table_sequence", "Sequence of the running table.", registry=registry)
        self._age = Gauge("headgate_table_age_seconds", "Since the table was applied.", registry=registry)
        self._applied_unix_s: float | None = None
        self._age.set_function(lambda: 0.0 if self._applied_unix_s is None else unix() - self._applied_unix_s)
        self._request_children: dict[tuple[RouteId, int], Counter] = {}
        self._route_children: dict[RouteId, tuple[Histogram, Histogram]] = {}
        self._attempt_children: dict[tuple[ProviderId, Outcome], Counter] = {}
        self._error_children = {code: self._errors.labels(code.id) for code in ErrorCode}

    def count_request(
        self, route: RouteId, status: int, duration_s: float, first_byte_s: float | None
    ) -> None:
        """first_byte_s: None when no byte of an answer went out."""
        key = (route, status // 100)
        child = self._request_children.get(key)
        if child is None:
            child = self._request_children[key] = self._requests.labels(route, f"{status // 100}xx")
        child.inc()
        histograms = self._route_children.get(route)
        if histograms is None:
            histograms = (self._duration.labels(route), self._first_byte.labels(route))
            self._route_children[route] = histograms
        histograms[0].observe(duration_s)
        if first_byte_s is not None:
            histograms[1].observe(first_byte_s)

    def count_error(self, code: ErrorCode) -> None:
        self._error_children[code].inc()

    def count_attempt(self, provider: ProviderId, outcome: Outcome) -> None:
        key = (provider, outcome)
        child = self._attempt_children.get(key)
        if child is None:
            child = self._attempt_children[key] = self._attempts.labels(provider, outcome.value)
        child.inc()

    def note_table(self, running: Running) -> None:
        self._epoch.set(running.version.epoch)
        self._sequence.set(running.version.sequence)
        self._applied_unix_s = running.applied_unix_s
        table = running.live.table
        routes = {NO_ROUTE, *(route.id for route in table.routes)}
        for route, status in [key for key in self._request_children if key[0] not in routes]:
            del self._request_children[route, status]
            self._requests.remove(route, f"{status}xx")
        for route in [route for route in self._route_children if route not in routes]:
            del self._route_children[route]
            self._duration.remove(route)
            self._first_byte.remove(route)
        providers = {provider.id for provider in table.providers}
        for provider, outcome in [key for key in self._attempt_children if key[0] not in providers]:
            del self._attempt_children[provider, outcome]
            self._attempts.remove(provider, outcome.value)

    def render(self) -> bytes:
        """In Prometheus' text format."""
        return generate_latest(self._registry)
