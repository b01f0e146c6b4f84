"""What a reload of one route costs a gateway with 10,000: time on the event loop's thread, and what a caller
notices.

The gateway dials an operator's end as in a cluster (the one of the gateway's own tests) and is sent one
version after the other, each with one route changed. Nobody else keeps its loop busy during the first half,
so that the CPU time of its main thread is the loop time; during the second half callers ask it. Called by
`growth`.
"""

import asyncio
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec

from bench.speed.contestants import MANY_ROUTES
from bench.speed.environment import Python
from bench.speed.machine import Cores, read_main_thread_s
from bench.speed.ours import FIRST_VERSION, load_table, start_gateway
from bench.speed.peers import Place
from bench.speed.process import Pinned, find_free_port
from bench.speed.programs import LoadResult, Order, Programs
from gateway_runtime.contract.codec import build_snapshot
from gateway_runtime.contract.stream import Ack, Version
from gateway_runtime.contract.table import RoutingTable
from tests.server.operatorend import OperatorEnd, build_deltas, hear_hello, issue_certificate, operator_end

TOKEN = "bench-token"
RELOADS = 20
RATE = 500.0
"""Of the callers in the second half: far below any gateway's highest."""
_ANSWER_S = 30.0
_BETWEEN_S = 0.1


class Reloads(msgspec.Struct, frozen=True):
    loop_ms: tuple[float, ...]
    """CPU time of the gateway's main thread, for each reload."""
    applied_ms: tuple[float, ...]
    """From sending a version to its Ack."""
    calm: LoadResult
    """Callers without reloads."""
    busy: LoadResult
    """Callers while one route after the other is reloaded."""


def measure_reloads(
    programs: Programs, order: Order, upstreams: Sequence[int], cores: Cores, folder: Path, python: Python
) -> Reloads:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "token").write_text(TOKEN)
    return asyncio.run(_measure(programs, order, upstreams, cores, folder, python))


async def _measure(
    programs: Programs, order: Order, upstreams: Sequence[int], cores: Cores, folder: Path, python: Python
) -> Reloads:
    async with operator_end(issue_certificate(folder), TOKEN) as operator:
        dial = (
            "--operator",
            operator.url,
            "--operator-ca",
            folder / "ca.pem",
            "--token-file",
            folder / "token",
        )
        place = Place(find_free_port(), upstreams, folder, python)
        options = tuple(map(str, dial))
        start = await asyncio.to_thread(start_gateway, place, routes=MANY_ROUTES, options=options)
        table = await asyncio.to_thread(load_table, folder / "state")
        with Pinned("reloading gateway", start.command, [cores.gateway], folder) as gateway:
            async with asyncio.timeout(_ANSWER_S):
                hello = await hear_hello(operator)
            editor = _Editor(operator, gateway.pid, table, hello.bucket_digests)
            await editor.reload()  # the first pays for what is done once
            quiet = [await editor.reload() for _ in range(RELOADS)]
            calm = await asyncio.to_thread(programs.run_load, place.port, order, cores.load, folder)
            asking = asyncio.create_task(
                asyncio.to_thread(programs.run_load, place.port, order, cores.load, folder)
            )
            while not asking.done():
                await editor.reload()
                await asyncio.sleep(_BETWEEN_S)
            return Reloads(
                loop_ms=tuple(loop for loop, _ in quiet),
                applied_ms=tuple(applied for _, applied in quiet),
                calm=calm,
                busy=await asking,
            )


class _Editor:
    """Changes one route at a time, as an operator does after an edit."""

    def __init__(self, operator: OperatorEnd, pid: int, table: RoutingTable, have: Sequence[str]) -> None:
        self._operator = operator
        self._pid = pid
        self._table = table
        self._have = have
        self._count = 0

    async def reload(self) -> tuple[float, float]:
        """Milliseconds: of the gateway's loop, and until its Ack."""
        self._count += 1
        routes = list(self._table.routes)
        edited = self._count % len(routes)
        retry = msgspec.structs.replace(routes[edited].retry, max_attempts=1 + self._count % 5)
        routes[edited] = msgspec.structs.replace(routes[edited], retry=retry)
        self._table = msgspec.structs.replace(self._table, routes=tuple(routes))
        version = Version(FIRST_VERSION.epoch, FIRST_VERSION.sequence + self._count)
        deltas = await asyncio.to_thread(build_deltas, self._table, version, self._have)
        before_s, began_s = read_main_thread_s(self._pid), time.perf_counter()
        for delta in deltas:
            await self._operator.say(delta)
        async with asyncio.timeout(_ANSWER_S):
            await self._operator.hear(Ack)
        applied_ms = (time.perf_counter() - began_s) * 1000
        self._have = await asyncio.to_thread(_digests, self._table)
        return (read_main_thread_s(self._pid) - before_s) * 1000, applied_ms


def _digests(table: RoutingTable) -> tuple[str, ...]:
    return tuple(bucket.digest for bucket in build_snapshot(table).buckets)
