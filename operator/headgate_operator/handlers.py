"""What Kopf is told: four kinds to watch, one handler, and settings for clusters that have bad days.

In: raw watch events, in Kopf's thread. Out: the same, handed to `deliver`, which crosses over into the main
loop, and `apply_event`, which puts one into the store there.

The one subtle rule: a handler only hands over. What it returned, Kopf would write into the object's status;
what it raised would be lost; create and update handlers annotate the objects, timers and delete handlers
add finalizers, and an index starts in quadratic time. So there are only `on.event` handlers, and they do
nothing.
"""

import random
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, TypeAlias

import kopf

from headgate_operator.api.kinds import GROUP, KINDS, VERSION
from headgate_operator.kube.client import WATCHED_SELECTOR
from headgate_operator.settings import WatchTimes
from headgate_operator.store import Store

RawEvent: TypeAlias = Mapping[str, Any]
"""`type`: None for a list, else ADDED, MODIFIED or DELETED; `object`: the raw object."""

_BACKOFFS_S: Final = (0.2, 0.5, 1.0, 2.0, 5.0)


class EndlessBackoffs:
    """Kopf would end after the last one, and an API server may be away for an hour. It has no length, and
    can be iterated again for every request.
    """

    def __iter__(self) -> Iterator[float]:
        for pause_s in _BACKOFFS_S:
            yield pause_s * random.uniform(0.5, 1.0)
        while True:
            yield _BACKOFFS_S[-1] * random.uniform(0.5, 1.0)


def build_registry(deliver: Callable[[RawEvent], None]) -> kopf.OperatorRegistry:
    """A registry of our own: Kopf's default one is global, and looks for logins by itself."""
    registry = kopf.OperatorRegistry()

    async def on_event(event: RawEvent, **_: object) -> None:
        deliver(event)

    for kind in KINDS.values():
        kopf.on.event(GROUP, VERSION, kind.plural, registry=registry, id="store")(on_event)
    kopf.on.event("", "v1", "secrets", registry=registry, id="store")(on_event)
    return registry


def build_kopf_settings(times: WatchTimes) -> kopf.OperatorSettings:
    settings = kopf.OperatorSettings()
    settings.posting.enabled = False
    settings.peering.standalone = True
    settings.scanning.disabled = True  # no rights over CRDs and namespaces; `main` waits for the CRDs
    settings.process.ultimate_exiting_timeout = None  # it would kill our thread, or a test's process
    settings.queueing.idle_timeout = 1  # 10,000 idle tasks after the first list are given up soon
    settings.watching.label_selectors["", "v1", "secrets"] = WATCHED_SELECTOR
    settings.watching.server_timeout = 290
    settings.watching.client_timeout = 310
    settings.watching.connect_timeout = 10
    settings.watching.inactivity_timeout = times.inactivity_s
    settings.watching.reconnect_backoff = 1.0
    settings.watching.chunk_size = 500
    settings.networking.request_timeout = 30
    settings.networking.connect_timeout = 5
    settings.networking.error_backoffs = EndlessBackoffs()
    return settings


def apply_event(store: Store, event: RawEvent) -> None:
    """In the main loop."""
    raw = event["object"]
    deleted = event["type"] == "DELETED"
    if raw["kind"] == "Secret":
        if deleted:
            store.remove_secret(raw)
        else:
            store.upsert_secret(raw, watched=True)
    elif deleted:
        store.remove(raw)
    else:
        store.upsert(raw)
