"""What Prometheus scrapes: requests by route and model, attempts by provider, the table, this process.

`front` and `attempt` tell how each request and attempt ended; `admin` renders. Labels are ids out of the
table, codes and classes, never what a caller sent: a model that a route serves by a pattern counts under the
pattern. So the table bounds their number, and what left the table is removed.

The one subtle rule: a request's path only adds to plain numbers that were found by one look-up; families are
made when somebody scrapes. Names of the OpenTelemetry GenAI conventions are used where there is one.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from gateway_runtime.contract.errors import ErrorCode
from gateway_runtime.contract.ids import ProviderId, RouteId
from gateway_runtime.contract.table import Route
from gateway_runtime.engine.lookup import matches
from gateway_runtime.engine.retry import Outcome
from gateway_runtime.server.load import Load
from gateway_runtime.server.record import Record
from gateway_runtime.server.reload import Running
from gateway_runtime.server.tally import Tally, join

_SECONDS: Final = (0.005, 0.025, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)
"""From a cached embedding to a long stream."""

NO_ROUTE: Final = RouteId("")
"""Requests that ended before a route was found."""


class Served:
    """Of one route and one model."""

    __slots__ = ("duration", "first_byte", "statuses")

    def __init__(self) -> None:
        self.statuses: dict[int, int] = {}
        """By status class: 2 is 2xx, 0 a caller who left before there was an answer."""
        self.duration = Tally(_SECONDS)
        self.first_byte = Tally(_SECONDS)


class Metrics(Collector):
    def __init__(self, unix: Callable[[], float]) -> None:
        registry = CollectorRegistry()
        self._registry = registry
        self._served: dict[tuple[RouteId, str], Served] = {}
        self._attempts: dict[tuple[ProviderId, Outcome], int] = {}
        self._retries: dict[RouteId, int] = {}
        self._errors = dict.fromkeys(ErrorCode, 0)
        self._load: Load | None = None
        registry.register(self)
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

    def watch_load(self, load: Load) -> None:
        self._load = load

    def count_request(self, record: Record, now_s: float) -> None:
        """`record` is over. now_s: on the clock of its times."""
        route = record.route
        key = (NO_ROUTE, "") if route is None else (route.id, record.model or "")
        served = self._served.get(key)
        if served is None:
            served = self._find_served(route, record.model or "")
        kind = record.status // 100
        served.statuses[kind] = served.statuses.get(kind, 0) + 1
        started_s = record.started_s
        served.duration.observe(now_s - started_s)
        if record.first_byte_s is not None:
            served.first_byte.observe(record.first_byte_s - started_s)
        if record.attempts > 1 and route is not None:
            self._retries[route.id] = self._retries.get(route.id, 0) + record.attempts - 1
        if record.error is not None:
            self._errors[record.error] += 1

    def count_attempt(self, provider: ProviderId, outcome: Outcome) -> None:
        key = (provider, outcome)
        self._attempts[key] = self._attempts.get(key, 0) + 1

    def note_table(self, running: Running) -> None:
        self._epoch.set(running.version.epoch)
        self._sequence.set(running.version.sequence)
        self._applied_unix_s = running.applied_unix_s
        table = running.live.table
        routes = {route.id: route.models for route in table.routes}
        for key in [key for key in self._served if key[0] != NO_ROUTE]:
            if key[1] not in routes.get(key[0], ()):
                del self._served[key]
        for gone in self._retries.keys() - routes.keys():
            del self._retries[gone]
        providers = {provider.id for provider in table.providers}
        for attempts in [key for key in self._attempts if key[0] not in providers]:
            del self._attempts[attempts]

    def render(self) -> bytes:
        """In Prometheus' text format."""
        return generate_latest(self._registry)

    def collect(self) -> Iterator[Metric]:
        """Called by the registry."""
        yield from self._collect_routes()
        yield from self._collect_models()
        attempts = CounterMetricFamily(
            "headgate_attempts", "Requests sent to providers.", labels=["provider", "outcome"]
        )
        for (provider, outcome), count in self._attempts.items():
            attempts.add_metric([provider, outcome.value], count)
        yield attempts
        retries = CounterMetricFamily("headgate_retries", "Attempts after the first.", labels=["route"])
        for route, count in self._retries.items():
            retries.add_metric([route], count)
        yield retries
        errors = CounterMetricFamily(
            "headgate_errors", "Errors that the gateway itself answered with.", labels=["code"]
        )
        for code, count in self._errors.items():
            errors.add_metric([code.id], count)
        yield errors
        if self._load is not None:
            yield from _collect_load(self._load)

    def _collect_routes(self) -> Iterator[Metric]:
        by_route = _group(((route, served) for (route, _), served in self._served.items()))
        requests = CounterMetricFamily(
            "headgate_requests", "Requests answered, by status class.", labels=["route", "status"]
        )
        duration = HistogramMetricFamily(
            "headgate_request_duration_seconds",
            "From the request's head to the answer's last byte.",
            labels=["route"],
        )
        first_byte = HistogramMetricFamily(
            "headgate_time_to_first_byte_seconds",
            "From the request's head to the answer's first byte.",
            labels=["route"],
        )
        for route, members in by_route.items():
            for kind, count in _add_statuses(members).items():
                requests.add_metric([route, f"{kind}xx"], count)
            join((served.duration for served in members), _SECONDS).describe(duration, [route])
            join((served.first_byte for served in members), _SECONDS).describe(first_byte, [route])
        yield from (requests, duration, first_byte)

    def _collect_models(self) -> Iterator[Metric]:
        by_model = _group(((model, served) for (_, model), served in self._served.items() if model))
        requests = CounterMetricFamily(
            "langchain_requests", "Requests by model and status class.", labels=["model", "status"]
        )
        duration = HistogramMetricFamily(
            "langchain_request_duration_seconds", "Duration of requests by model.", labels=["model"]
        )
        operation = HistogramMetricFamily(
            "gen_ai_server_request_duration_seconds",
            "OpenTelemetry's gen_ai.server.request.duration.",
            labels=["gen_ai_request_model"],
        )
        first_token = HistogramMetricFamily(
            "gen_ai_server_time_to_first_token_seconds",
            "OpenTelemetry's gen_ai.server.time_to_first_token.",
            labels=["gen_ai_request_model"],
        )
        for model, members in by_model.items():
            for kind, count in _add_statuses(members).items():
                requests.add_metric([model, f"{kind}xx"], count)
            whole = join((served.duration for served in members), _SECONDS)
            whole.describe(duration, [model])
            whole.describe(operation, [model])
            join((served.first_byte for served in members), _SECONDS).describe(first_token, [model])
        yield from (requests, duration, operation, first_token)

    def _find_served(self, route: Route | None, model: str) -> Served:
        if route is None:
            return self._served.setdefault((NO_ROUTE, ""), Served())
        pattern = next((name for name in route.models if "*" in name and matches(name, model)), "")
        label = model if model in route.models else pattern
        return self._served.setdefault((route.id, label), Served())


def _collect_load(load: Load) -> Iterator[Metric]:
    yield GaugeMetricFamily("headgate_requests_in_flight", "Requests under way.", load.requests)
    yield GaugeMetricFamily("headgate_streams_in_flight", "Of those, streams.", load.streams)
    yield GaugeMetricFamily("headgate_request_bytes_in_flight", "Bodies of requests under way.", load.bytes)
    yield GaugeMetricFamily(
        "headgate_event_loop_lateness_seconds", "What a new request would wait.", load.lateness.last_s
    )
    shed = CounterMetricFamily(
        "headgate_requests_shed", "Requests refused because there was too much to do.", labels=["too_much"]
    )
    for what, count in load.shed.items():
        shed.add_metric([what], count)
    yield shed


def _group(pairs: Iterable[tuple[str, Served]]) -> dict[str, list[Served]]:
    groups: dict[str, list[Served]] = {}
    for name, served in pairs:
        groups.setdefault(name, []).append(served)
    return groups


def _add_statuses(members: Iterable[Served]) -> dict[int, int]:
    total: dict[int, int] = {}
    for served in members:
        for kind, count in served.statuses.items():
            total[kind] = total.get(kind, 0) + count
    return total
