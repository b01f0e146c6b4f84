"""Every room of the operator, made once and wired; `main` starts and stops them.

In: settings, the API, the salt. Out: the rooms, and what the liveness probe asks of all of them. This is
the only place where a room learns of another that its layer may not import: the publisher's word reaches
the board here.
"""

import asyncio
import secrets
from collections.abc import Callable, Sequence
from functools import partial
from typing import assert_never

import structlog

from gateway_runtime.contract.secret import Secret
from headgate_operator.api.kinds import KINDS
from headgate_operator.cluster import ClusterReader
from headgate_operator.handlers import RawEvent, apply_event, build_kopf_settings, build_registry
from headgate_operator.kube import Kube
from headgate_operator.kube.client import watch_path
from headgate_operator.leader import Leader
from headgate_operator.metrics import Metrics
from headgate_operator.publish.change import Change
from headgate_operator.publish.publisher import Publisher
from headgate_operator.reconcile import STUCK_S, Reconciler
from headgate_operator.settings import OperatorSettings
from headgate_operator.status import Announcer, Board, Writer
from headgate_operator.store import Store
from headgate_operator.sweep import Sweeper
from headgate_operator.watch import Signs, Watcher

log = structlog.get_logger()


class Rooms:
    def __init__(self, settings: OperatorSettings, kube: Kube, salt: Secret, metrics: Metrics) -> None:
        """Call it in the running loop that everything is to live in."""
        self._loop = asyncio.get_running_loop()
        self._settings = settings
        self._kube = kube
        self._metrics = metrics
        identity = f"{settings.identity}_{secrets.token_hex(4)}"
        self.store = Store(metrics.object_errors.labels("parse").inc)
        self.sweeper = Sweeper(kube, self.store, settings.scopes, settings.watch, metrics)
        self.cluster = ClusterReader(kube, self.store, settings.watch)
        self.publisher = Publisher(kube, settings, metrics.registry, self._hear)
        self.leader = Leader(
            kube, settings.own_namespace, settings.lease_name, identity, settings.lease, metrics
        )
        self.announcer = Announcer(kube, identity, metrics)
        self.writer = Writer(
            kube, self.store, self.announcer, settings.status, lambda: self.leader.leading, metrics
        )
        self.board = Board(self.store, self.publisher, self.writer, settings.status, metrics)
        self.reconciler = Reconciler(self.store, self.sweeper, self.publisher, self.board, salt, metrics)
        self.store.on_dirty = self.reconciler.mark
        self.store.on_rest = self.board.touch
        self.signs = Signs(_watch_paths(settings.scopes), self._cross(self.sweeper.soon))
        self.watcher = Watcher(
            kube.connection,
            build_registry(self._deliver),
            build_kopf_settings(settings.watch),
            settings.namespaces,
            self.signs,
            metrics.count_request,
        )
        for kind in KINDS:
            metrics.show_objects(kind, partial(self.store.count, kind))
        for path in _watch_paths(settings.scopes):
            metrics.show_watch(path, partial(self.signs.age, path))

    def find_problems(self, now: float) -> Sequence[str]:
        """What is dead and stays so until the process starts anew; `now`: monotonic."""
        times = self._settings.watch
        reachable_since = self._kube.connection.reachable_since
        problems = [
            f"the watch of {path} has shown no sign of life for {self.signs.age(path):.0f} s, "
            "while the API server answers"
            for path in self.signs.find_dead(now, reachable_since, times.dead_s)
        ]
        if self.watcher.ended:
            problems.append("Kopf, which watches the cluster, has ended")
        if self.reconciler.is_stuck():
            problems.append(f"a reconcile has been running for more than {STUCK_S:.0f} s")
        if (failure := self.publisher.failure) is not None:
            problems.append(f"a task of the config stream has ended: {failure!r}")
        return problems

    def _cross(self, call: Callable[[], None]) -> Callable[[], None]:
        """The same from any thread."""
        return lambda: _post(self._loop, call)

    def _deliver(self, event: RawEvent) -> None:
        """In Kopf's thread."""
        _post(self._loop, partial(self._take, event))

    def _take(self, event: RawEvent) -> None:
        try:
            apply_event(self.store, event)
        except Exception:  # one object must not stop the others; a sweep looks at it again
            self._metrics.object_errors.labels("event").inc()
            log.exception("event could not be taken in", object=_describe(event))

    def _hear(self, change: Change) -> None:
        """The publisher's word about a gateway."""
        match change.event:
            case "Acked":
                self.board.note_answer()
            case "Refused":
                self.board.note_answer()
                self.reconciler.confirm(change.version)
            case "Reported":
                self.board.note_report(change.endpoints)
                self.board.note_use(change.tenants)
            case "Connected":
                # Its Hello may have lifted the epoch: the next pass learns the version of now.
                self.reconciler.mark()
                self.board.note_membership()
            case "Disconnected" | "Forgotten" | "Settled":
                self.board.note_membership()
            case _:
                assert_never(change.event)


def _watch_paths(scopes: Sequence[str | None]) -> tuple[str, ...]:
    plurals = (*(kind.plural for kind in KINDS.values()), "secrets")
    return tuple(watch_path(plural, scope) for scope in scopes for plural in plurals)


def _post(loop: asyncio.AbstractEventLoop, call: Callable[[], None]) -> None:
    if not loop.is_closed():
        loop.call_soon_threadsafe(call)


def _describe(event: RawEvent) -> str:
    metadata = event["object"].get("metadata") or {}
    return f"{event['object'].get('kind')} {metadata.get('namespace')}/{metadata.get('name')}"
