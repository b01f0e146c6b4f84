"""What a process holds: counted before and after, so that what stayed behind is seen.

`run` takes the first Holdings when the gateway is warm and idle, and then waits after each batch until they
are the same again.
"""

import asyncio
import os
from collections.abc import Callable
from typing import Final, NamedTuple

from gateway_runtime.upstream.transport import PooledTransport
from tests.chaos.upstream import ChaosUpstream
from tests.server.rig import Rig

_LOOK_S: Final = 0.05


class UnderWay(NamedTuple):
    """At the gateway, by its own word; at its pools; at the provider."""

    requests: int
    streams: int
    request_bytes: int
    busy: int
    """Requests that the pools know of, waiting ones and lingering connections included."""


class Holdings(NamedTuple):
    upstream_connections: int
    provider_connections: int
    """The same from the other side."""
    tasks: int
    files: int


NOTHING: Final = UnderWay(0, 0, 0, 0)


def count_under_way(rig: Rig, transport: PooledTransport) -> UnderWay:
    """Read off the objects: /metrics of so many routes would stop the loop, and the innocent would notice."""
    load = rig.gateway._front.load
    busy = sum(pool.busy + pool.queued + pool.lingering for pool in transport.statistics())
    return UnderWay(load.requests, load.streams, load.bytes, busy)


def count_holdings(transport: PooledTransport, upstream: ChaosUpstream) -> Holdings:
    return Holdings(
        upstream_connections=sum(pool.open for pool in transport.statistics()),
        provider_connections=upstream.open,
        tasks=len(asyncio.all_tasks()),
        files=len(os.listdir("/proc/self/fd")),
    )


async def wait_for_rest(
    look: Callable[[], tuple[int, ...]], least: tuple[int, ...], limit_s: float
) -> tuple[int, ...] | None:
    """None when all figures came down to those of `least` in time; else what they are at the end."""
    loop = asyncio.get_running_loop()
    end_s = loop.time() + limit_s
    while True:
        found = look()
        if all(now <= before for now, before in zip(found, least, strict=True)):
            return None
        if loop.time() >= end_s:
            return found
        await asyncio.sleep(_LOOK_S)
