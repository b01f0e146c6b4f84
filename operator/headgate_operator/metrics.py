"""What /metrics shows. Names follow controller-runtime where there is one, so that stock dashboards work.

One `Metrics` per operator, with a registry of its own: several operators in one process do not meet. The
rooms set values where they know them; ages and sizes are read at the time of the scrape.
"""

from collections.abc import Callable
from typing import Final

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    PlatformCollector,
    ProcessCollector,
)

CONTROLLER: Final = "headgate"


class Metrics:
    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        PlatformCollector(registry=registry)
        reconciles = Counter(
            "controller_runtime_reconcile",
            "Passes from resources to a published table, by result.",
            ("controller", "result"),
            registry=registry,
        )
        self.reconcile_success = reconciles.labels(CONTROLLER, "success")
        self.reconcile_error = reconciles.labels(CONTROLLER, "error")
        self.reconcile_seconds = Histogram(
            "controller_runtime_reconcile_time_seconds",
            "How long one pass took.",
            ("controller",),
            buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10),
            registry=registry,
        ).labels(CONTROLLER)
        self.object_errors = Counter(
            "headgate_object_errors",
            "Objects that raised an unexpected error, which is a bug of ours; the others went on.",
            ("stage",),
            registry=registry,
        )
        self.requests = Counter(
            "rest_client_requests",
            "Requests to the Kubernetes API, watches included, by method and HTTP status.",
            ("method", "code"),
            registry=registry,
        )
        self.leader = Gauge(
            "leader_election_master_status", "1 on the replica that leads.", ("name",), registry=registry
        )
        self.ghosts = Counter(
            "ghost_objects",
            "Objects whose deletion no watch told us about; the sweep found them.",
            registry=registry,
        )
        self.missed = Counter(
            "missed_changes", "Objects that a sweep found newer than the watches had told.", registry=registry
        )
        self.objects = Gauge(
            "headgate_objects", "Objects in the store, by kind.", ("kind",), registry=registry
        )
        self.config_version = Gauge(
            "config_version", "Version of the published routing table.", ("part",), registry=registry
        )
        self.watch_age = Gauge(
            "watch_last_event_age_seconds",
            "Since a watch's last sign of life.",
            ("resource",),
            registry=registry,
        )
        self.status_queue = Gauge(
            "workqueue_depth", "Statuses waiting to be written.", ("name",), registry=registry
        ).labels("status")
        writes = Counter(
            "headgate_status_writes", "Statuses written, by result.", ("result",), registry=registry
        )
        self.status_written = writes.labels("written")
        self.status_gone = writes.labels("gone")
        self.status_failed = writes.labels("failed")
        events = Counter("headgate_events", "Kubernetes Events, by result.", ("result",), registry=registry)
        self.events_posted = events.labels("posted")
        self.events_dropped = events.labels("dropped")
        self.events_failed = events.labels("failed")

    def count_request(self, method: str, status: int | None) -> None:
        self.requests.labels(method, "<error>" if status is None else str(status)).inc()

    def show_objects(self, kind: str, count: Callable[[], float]) -> None:
        self.objects.labels(kind).set_function(count)

    def show_watch(self, path: str, age_s: Callable[[], float]) -> None:
        self.watch_age.labels(path).set_function(age_s)
