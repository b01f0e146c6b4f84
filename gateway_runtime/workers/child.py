"""One worker process as the parent knows it: what it runs, what it told, and how to ask it.

`crew` starts it, brings it up and ends it; `pod` and `admin` ask through the crew. Whatever is asked of a
process that dies meanwhile comes back as None.
"""

import asyncio
import sys
from asyncio.subprocess import DEVNULL, Process, create_subprocess_exec
from collections.abc import Callable, Collection, Iterator, Sequence
from itertools import count
from signal import SIGKILL, Signals
from socket import socketpair
from typing import Final, Literal, TypeAlias, assert_never

import msgspec

from gateway_runtime.contract.health import EndpointReport, HealthReport
from gateway_runtime.contract.ids import EndpointId, TenantId
from gateway_runtime.contract.stream import Ack, Delta, Nack, Version
from gateway_runtime.server.build import BuiltTable
from gateway_runtime.server.settings import GatewaySettings
from gateway_runtime.workers.channel import (
    Ask,
    Begin,
    Downward,
    Exposition,
    Listen,
    Listening,
    ParentEnd,
    Standing,
    Upward,
    open_parent_end,
)
from gateway_runtime.workers.join import ToldTenant

PART_BYTES: Final = 1024 * 1024
"""Of a table's buckets in one message: a worker answers requests between two of them."""

Answer: TypeAlias = Ack | Nack | Exposition | Standing
_Key: TypeAlias = Version | int


async def start_child(index: int, settings: GatewaySettings) -> "Child":
    """Raises OSError."""
    ours, theirs = socketpair()
    with theirs:
        process = await create_subprocess_exec(
            sys.executable,
            *("-m", "gateway_runtime.workers", str(theirs.fileno())),
            pass_fds=(theirs.fileno(),),
            stdin=DEVNULL,
        )
    child = Child(index, process, await open_parent_end(ours))
    child.say(Begin(index, settings))
    return child


class Child:
    def __init__(self, index: int, process: Process, channel: ParentEnd) -> None:
        self.index = index
        self.pid = process.pid
        self.on_circuit: Callable[[EndpointId], None] = lambda _: None
        """Called for each endpoint whose circuit this worker says has changed. `crew` sets it."""
        self.on_tenants: Callable[[Collection[TenantId]], None] = lambda _: None
        """Called with the tenants of which this worker has told something new. `crew` sets it."""
        self.listens = asyncio.Event()
        self.told: dict[EndpointId, EndpointReport] = {}
        """The last word on each endpoint of its table."""
        self.told_tenants: dict[TenantId, ToldTenant] = {}
        """The last word on each tenant that has limits, or whose keys were used."""
        self.metrics = ""
        """The last that were fetched."""
        self._process = process
        self._channel = channel
        self._version: Version | None = None
        self._digests: Sequence[str] = ()
        self._waiting: dict[_Key, asyncio.Future[Answer | None]] = {}
        self._numbers = count()
        self._gone = False

    def say(self, message: Downward) -> None:
        self._channel.say(message)

    async def listen_to(self, silence_s: float) -> bool:
        """Returns when the process is gone, or has been silent for `silence_s`; True in the latter case."""
        try:
            while True:
                async with asyncio.timeout(silence_s):
                    message = await self._channel.receive()
                if message is None:
                    return False
                self._take(message)
        except TimeoutError:
            return True
        finally:
            self._gone = True
            self.listens.clear()
            for key in tuple(self._waiting):
                self._resolve(key, None)
            self._channel.close()

    async def give_table(self, version: Version, built: BuiltTable) -> Nack | None:
        """Returns when the worker runs it, or is gone; or its Nack."""
        if self._version == version:
            return None
        waiting = self._expect(version)
        for delta in build_deltas(version, built, self._digests):
            await self._channel.send(delta)
        answer = await waiting
        if isinstance(answer, Nack):
            return answer
        if answer is not None:
            self._version, self._digests = version, built.digests
        return None

    async def fetch_metrics(self) -> str | None:
        """As Prometheus would read them."""
        answer = await self._ask("metrics")
        if not isinstance(answer, Exposition):
            return None
        self.metrics = answer.text
        return answer.text

    async def fetch_standing(self) -> Standing | None:
        answer = await self._ask("standing")
        return answer if isinstance(answer, Standing) else None

    async def open_port(self) -> None:
        """Returns when it listens, or never, if it dies before."""
        self.say(Listen())
        await self.listens.wait()

    def signal(self, number: Signals) -> None:
        if self._process.returncode is None:
            self._process.send_signal(number)

    async def end(self, within_s: float) -> str:
        """Returns how the process ended, in a clause; kills it after `within_s`."""
        try:
            async with asyncio.timeout(within_s):
                code = await self._process.wait()
        except TimeoutError:
            self.signal(SIGKILL)
            code = await self._process.wait()
        return f"killed by {Signals(-code).name}" if code < 0 else f"exit code {code}"

    async def _ask(self, what: Literal["metrics", "standing"]) -> Answer | None:
        number = next(self._numbers)
        waiting = self._expect(number)
        self.say(Ask(number, what))
        return await waiting

    def _expect(self, key: _Key) -> asyncio.Future[Answer | None]:
        """To be called before the asking, lest the answer comes before."""
        waiting: asyncio.Future[Answer | None] = asyncio.get_running_loop().create_future()
        if self._gone:
            waiting.set_result(None)
        else:
            self._waiting[key] = waiting
        return waiting

    def _take(self, message: Upward) -> None:
        match message:
            case Ack(version=key) | Nack(version=key) | Exposition(number=key) | Standing(number=key):
                self._resolve(key, message)
            case HealthReport():
                self._take_report(message)
            case Listening():
                self.listens.set()
            case _:
                assert_never(message)

    def _resolve(self, key: _Key, answer: Answer | None) -> None:
        waiting = self._waiting.pop(key, None)
        if waiting is not None and not waiting.done():
            waiting.set_result(answer)

    def _take_report(self, report: HealthReport) -> None:
        new = {endpoint.endpoint: endpoint for endpoint in report.endpoints}
        before = self.told
        self.told = new if report.full else {**before, **new}
        for endpoint_id, endpoint in new.items():
            known = before.get(endpoint_id)
            if endpoint.circuit != ("Closed" if known is None else known.circuit):
                self.on_circuit(endpoint_id)
        self._take_tenants(report)

    def _take_tenants(self, report: HealthReport) -> None:
        now_s = asyncio.get_running_loop().time()
        for told in report.tenants:
            known = self.told_tenants.get(told.tenant)
            if not told.limits and not told.keys:
                self.told_tenants.pop(told.tenant, None)
            elif known is None or known.report.numbers != told.numbers:
                self.told_tenants[told.tenant] = ToldTenant(told, now_s)
            else:
                self.told_tenants[told.tenant] = ToldTenant(told, known.changed_s)
        if report.tenants:
            self.on_tenants([told.tenant for told in report.tenants])


def build_deltas(version: Version, built: BuiltTable, have: Sequence[str]) -> Iterator[Delta]:
    """have: the digests of the buckets that the worker has; empty before its first table."""
    parts: list[dict[int, msgspec.Raw]] = [{}]
    size = 0
    for index, (payload, digest) in enumerate(zip(built.payloads, built.digests, strict=True)):
        if index < len(have) and have[index] == digest:
            continue
        if size and size + len(payload) > PART_BYTES:
            parts.append({})
            size = 0
        parts[-1][index] = msgspec.Raw(payload)
        size += len(payload)
    for part, buckets in enumerate(parts):
        yield Delta(
            version=version,
            digest=built.digest,
            counts=built.counts,
            shrink_confirmed=True,  # the parent has judged the loss, if there is one
            part=part,
            parts=len(parts),
            buckets=buckets,
        )
