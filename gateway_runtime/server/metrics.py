"""What Prometheus scrapes: requests by route and model, attempts by provider, the table, this process, and
tenants, which have a room of their own: `tenant_metrics`.

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
from gateway_runtime.contract.health import Circuit
from gateway_runtime.contract.ids import EndpointId, ProviderId, RouteId
from gateway_runtime.contract.table import FallbackCause, Route
from gateway_runtime.engine.lookup import matches
from gateway_runtime.engine.retry import Outcome
from gateway_runtime.ledger.ledger import LedgerStatistics
from gateway_runtime.providers.usage import Usage
from gateway_runtime.server.load import Load
from gateway_runtime.server.record import Record
from gateway_runtime.server.reload import Running
from gateway_runtime.server.tally import Tally, join
from gateway_runtime.server.tenant_metrics import TenantMetrics
from gateway_runtime.upstream.exchange import PoolStatistics

_SECONDS: Final = (0.005, 0.025, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)
"""From a cached embedding to a long stream."""

_TOKENS: Final = tuple(4**power for power in range(14))
_SECONDS_PER_TOKEN: Final = (0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5)
"""Both as OpenTelemetry's GenAI conventions have them."""

_CIRCUITS: Final[dict[Circuit, int]] = {"Closed": 0, "HalfOpen": 1, "Open": 2}

NO_ROUTE: Final = RouteId("")
"""Requests that ended before a route was found."""


class Served:
    """Of one route and one model."""

    __slots__ = ("duration", "first_byte", "input_tokens", "output_tokens", "per_token", "statuses")

    def __init__(self) -> None:
        self.statuses: dict[int, int] = {}
        """By status class: 2 is 2xx, 0 a caller who left before there was an answer."""
        self.duration = Tally(_SECONDS)
        self.first_byte = Tally(_SECONDS)
        self.input_tokens = Tally(_TOKENS)
        self.output_tokens = Tally(_TOKENS)
        """Of answers that have any; embeddings have none."""
        self.per_token = Tally(_SECONDS_PER_TOKEN)

    def count_usage(self, usage: Usage) -> None:
        self.input_tokens.observe(usage.input_tokens)
        if usage.output_tokens:
            self.output_tokens.observe(usage.output_tokens)


class Metrics(Collector):
    def __init__(self, unix: Callable[[], float]) -> None:
        registry = CollectorRegistry()
        self._registry = registry
        self._served: dict[tuple[RouteId, str], Served] = {}
        self._attempts: dict[tuple[ProviderId, Outcome], int] = {}
        self._retries: dict[RouteId, int] = {}
        self._fallbacks: dict[tuple[RouteId, str], int] = {}
        self._hedges: dict[ProviderId, int] = {}
        self._errors = dict.fromkeys(ErrorCode, 0)
        self.tenants = TenantMetrics()
        self._load: Load | None = None
        self._list_circuits: Callable[[], Iterable[tuple[EndpointId, Circuit]]] = tuple
        self._list_pools: Callable[[], Iterable[PoolStatistics]] = tuple
        self._count_rows: Callable[[], LedgerStatistics] | None = None
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

    def watch_upstream(self, list_pools: Callable[[], Iterable[PoolStatistics]]) -> None:
        """Asked at each scrape."""
        self._list_pools = list_pools

    def watch_ledger(self, count_rows: Callable[[], LedgerStatistics]) -> None:
        """Asked at each scrape."""
        self._count_rows = count_rows

    def watch_circuits(self, list_circuits: Callable[[], Iterable[tuple[EndpointId, Circuit]]]) -> None:
        """Asked at each scrape."""
        self._list_circuits = list_circuits

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
        first_byte_s = record.first_byte_s
        if first_byte_s is not None:
            served.first_byte.observe(first_byte_s - started_s)
            if record.done_s is not None and record.events > 1:
                served.per_token.observe((record.done_s - first_byte_s) / (record.events - 1))
        if record.usage is not None:
            served.count_usage(record.usage)
        if record.tenant is not None:
            self.tenants.count(record, record.tenant)
        if record.attempts > 1 and route is not None:
            self._retries[route.id] = self._retries.get(route.id, 0) + record.attempts - 1
        if record.error is not None:
            self._errors[record.error] += 1

    def count_attempt(self, provider: ProviderId, outcome: Outcome) -> None:
        key = (provider, outcome)
        self._attempts[key] = self._attempts.get(key, 0) + 1

    def count_fallback(self, route: RouteId, reason: FallbackCause) -> None:
        """route: the one that gave up."""
        key = (route, reason)
        self._fallbacks[key] = self._fallbacks.get(key, 0) + 1

    def count_hedge(self, provider: ProviderId) -> None:
        self._hedges[provider] = self._hedges.get(provider, 0) + 1

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
        for fallback in [key for key in self._fallbacks if key[0] not in routes]:
            del self._fallbacks[fallback]
        providers = {provider.id for provider in table.providers}
        for attempts in [key for key in self._attempts if key[0] not in providers]:
            del self._attempts[attempts]
        for hedged in self._hedges.keys() - providers:
            del self._hedges[hedged]
        self.tenants.note_table(table.tenants)

    def freeze(self) -> Callable[[], bytes]:
        """All numbers as they are now, and a function that writes them in Prometheus' text format. Writing
        takes most of the time (0.3 s for 500 routes) and may be done in a thread.
        """
        collected = _Collected(tuple(self._registry.collect()))
        return lambda: generate_latest(collected)

    def collect(self) -> Iterator[Metric]:
        """Called by the registry."""
        yield from self._collect_routes()
        yield from self._collect_models()
        yield from self.tenants.collect()
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
        fallbacks = CounterMetricFamily(
            "headgate_fallbacks", "Requests that went on with another model.", labels=["route", "reason"]
        )
        for (route, reason), count in self._fallbacks.items():
            fallbacks.add_metric([route, reason], count)
        yield fallbacks
        hedges = CounterMetricFamily(
            "headgate_hedges", "Copies of requests that were slow to answer.", labels=["provider"]
        )
        for provider, count in self._hedges.items():
            hedges.add_metric([provider], count)
        yield hedges
        errors = CounterMetricFamily(
            "headgate_errors", "Errors that the gateway itself answered with.", labels=["code"]
        )
        for code, count in self._errors.items():
            errors.add_metric([code.id], count)
        yield errors
        if self._load is not None:
            yield from _collect_load(self._load)
        yield _collect_circuits(self._list_circuits())
        yield from _collect_upstream(self._list_pools())
        if self._count_rows is not None:
            yield from _collect_ledger(self._count_rows())

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
        tokens = CounterMetricFamily(
            "headgate_tokens", "Tokens, as providers counted them.", labels=["route", "kind"]
        )
        for route, members in by_route.items():
            for kind, count in _add_statuses(members).items():
                requests.add_metric([route, f"{kind}xx"], count)
            join((served.duration for served in members), _SECONDS).describe(duration, [route])
            join((served.first_byte for served in members), _SECONDS).describe(first_byte, [route])
            tokens.add_metric([route, "input"], sum(served.input_tokens.sum for served in members))
            tokens.add_metric([route, "output"], sum(served.output_tokens.sum for served in members))
        yield from (requests, duration, first_byte, tokens)

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
        per_token = HistogramMetricFamily(
            "gen_ai_server_time_per_output_token_seconds",
            "OpenTelemetry's gen_ai.server.time_per_output_token: between the events of whole streams.",
            labels=["gen_ai_request_model"],
        )
        usage = HistogramMetricFamily(
            "gen_ai_client_token_usage",
            "OpenTelemetry's gen_ai.client.token.usage.",
            labels=["gen_ai_request_model", "gen_ai_token_type"],
        )
        for model, members in by_model.items():
            for kind, count in _add_statuses(members).items():
                requests.add_metric([model, f"{kind}xx"], count)
            whole = join((served.duration for served in members), _SECONDS)
            whole.describe(duration, [model])
            whole.describe(operation, [model])
            join((served.first_byte for served in members), _SECONDS).describe(first_token, [model])
            join((s.per_token for s in members), _SECONDS_PER_TOKEN).describe(per_token, [model])
            join((s.input_tokens for s in members), _TOKENS).describe(usage, [model, "input"])
            join((s.output_tokens for s in members), _TOKENS).describe(usage, [model, "output"])
        yield from (requests, duration, operation, first_token, per_token, usage)

    def _find_served(self, route: Route | None, model: str) -> Served:
        if route is None:
            return self._served.setdefault((NO_ROUTE, ""), Served())
        pattern = next((name for name in route.models if "*" in name and matches(name, model)), "")
        label = model if model in route.models else pattern
        return self._served.setdefault((route.id, label), Served())


class _Collected(CollectorRegistry):
    """A registry of families that have been collected already."""

    def __init__(self, families: Iterable[Metric]) -> None:
        super().__init__()
        self._families = families

    def collect(self) -> Iterable[Metric]:
        return self._families


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


def _collect_circuits(circuits: Iterable[tuple[EndpointId, Circuit]]) -> Metric:
    family = GaugeMetricFamily(
        "headgate_circuit_state", "0 closed, 1 half-open, 2 open.", labels=["endpoint"]
    )
    for endpoint, circuit in circuits:
        family.add_metric([endpoint], _CIRCUITS[circuit])
    return family


def _collect_upstream(pools: Iterable[PoolStatistics]) -> Iterator[Metric]:
    """By place, which is the origin of a URL in the table: providers that share it are one there."""
    connections = GaugeMetricFamily(
        "headgate_upstream_connections", "Connections to providers.", labels=["place", "state"]
    )
    queued = GaugeMetricFamily(
        "headgate_upstream_queue_length", "Requests that wait for a connection.", labels=["place"]
    )
    waited = CounterMetricFamily(
        "headgate_upstream_queue_seconds", "What requests have waited for a connection.", labels=["place"]
    )
    opened = CounterMetricFamily(
        "headgate_upstream_connections_opened", "Connections made to providers.", labels=["place"]
    )
    by_place: dict[str, list[PoolStatistics]] = {}
    for pool in pools:
        by_place.setdefault(pool.place, []).append(pool)
    for place, members in by_place.items():
        idle = sum(pool.idle for pool in members)
        connections.add_metric([place, "idle"], idle)
        connections.add_metric([place, "busy"], sum(pool.open for pool in members) - idle)
        queued.add_metric([place], sum(pool.queued for pool in members))
        waited.add_metric([place], sum(pool.waited_total_s for pool in members))
        opened.add_metric([place], sum(pool.opened_total for pool in members))
    yield from (connections, queued, waited, opened)


def _collect_ledger(statistics: LedgerStatistics) -> Iterator[Metric]:
    rows = CounterMetricFamily(
        "headgate_ledger_rows",
        "Rows of usage that were to be kept, by what became of them.",
        labels=["result"],
    )
    rows.add_metric(["written"], statistics.written)
    rows.add_metric(["dropped"], statistics.dropped)
    yield rows
    yield GaugeMetricFamily(
        "headgate_ledger_waiting_rows", "Rows of usage that are not written yet.", statistics.waiting
    )


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
