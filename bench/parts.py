"""Where the time of an ordinary request goes inside of the gateway, sockets aside.

    python -m bench.parts

A gateway with the benchmark's manifests serves requests in this process, over sockets that only take what is
written, so that every microsecond is its own. Below the whole stand its larger parts, each measured alone, in
a tight loop: they add up to less than the whole, which finds its memory colder. The least of many rounds, as
other work on the machine can only add.
"""

import argparse
import asyncio
import logging
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import structlog

from bench.speed.bodies import build_body
from bench.speed.loads import KILOBYTE
from bench.speed.ours import compile_table, write_manifests
from bench.speed.programs import KEY, PATH
from gateway_runtime.contract.ids import GatewayId, ProviderId
from gateway_runtime.engine.limits import take_all
from gateway_runtime.engine.retry import Outcome
from gateway_runtime.providers.answer import read_answer
from gateway_runtime.providers.request_body import read_body
from gateway_runtime.server.head import read_head
from gateway_runtime.server.headers import build_varying_lines
from gateway_runtime.server.hot import HotConnection
from gateway_runtime.server.main import Gateway
from gateway_runtime.server.settings import GatewaySettings
from gateway_runtime.upstream.connection import Connection
from gateway_runtime.upstream.dial import Dialer, Way
from gateway_runtime.upstream.parser import AnswerParser
from gateway_runtime.upstream.resolver import Resolver
from gateway_runtime.upstream.transport import PooledTransport

CONNECTIONS = 64
ROUNDS = 2000
REPEATS, LOOPS = 150, 300

BODY = build_body(KILOBYTE)
REQUEST = (
    b"POST /v1/chat/completions HTTP/1.1\r\nHost: gateway\r\nAuthorization: Bearer %b\r\n"
    b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (KEY.encode(), len(BODY), BODY)
)
ANSWER_BODY = (
    b'{"id":"chatcmpl-1","object":"chat.completion","created":1700000000,"model":"gpt-4o-mini","choices":'
    b'[{"index":0,"message":{"role":"assistant","content":"%b"},"finish_reason":"stop"}],'
    b'"usage":{"prompt_tokens":200,"completion_tokens":60,"total_tokens":260}}' % (b"x" * 300)
)
ANSWER = (
    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n"
    b"x-request-id: req_bench\r\n\r\n%b" % (len(ANSWER_BODY), ANSWER_BODY)
)


class Wire(asyncio.Transport):
    """A socket that takes what is written."""

    def __init__(self, protocol: asyncio.Protocol, written: Callable[[], None]) -> None:
        super().__init__()
        self._protocol = protocol
        self._written = written

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self._written()

    def is_closing(self) -> bool:
        return False

    def get_write_buffer_size(self) -> int:
        return 0

    def close(self) -> None:
        asyncio.get_running_loop().call_soon(self._protocol.connection_lost, None)

    def abort(self) -> None:
        self.close()


class NowhereDialer(Dialer):
    """Connections whose requests are kept in `asked`, to be answered by the benchmark."""

    def __init__(self) -> None:
        super().__init__(Resolver())
        self.asked: list[Connection] = []

    async def connect(self, way: Way, protocol: asyncio.Protocol, connect_s: float) -> None:
        assert isinstance(protocol, Connection)
        connection = protocol
        connection.connection_made(Wire(connection, lambda: self.asked.append(connection)))


class Bench:
    def __init__(self, gateway: Gateway, dialer: NowhereDialer) -> None:
        self._dialer = dialer
        self._answered = 0
        self._callers: list[HotConnection] = []
        for _ in range(CONNECTIONS):
            caller = gateway._hot()
            caller.connection_made(Wire(caller, self._note_answer))
            self._callers.append(caller)

    def _note_answer(self) -> None:
        self._answered += 1

    async def measure(self) -> tuple[float, float]:
        """Seconds per request: from its bytes to those for the provider, and from the answer's to the
        caller's.
        """
        forth = back = 1.0
        for _ in range(ROUNDS):
            self._answered = 0
            began_s = time.perf_counter()
            for caller in self._callers:
                caller.data_received(REQUEST)
            asked, self._dialer.asked = self._dialer.asked, []
            sent_s = time.perf_counter()
            for connection in asked:
                connection.data_received(ANSWER)
            ended_s = time.perf_counter()
            if len(asked) == self._answered == CONNECTIONS:  # else some had to dial, in a task
                forth = min(forth, (sent_s - began_s) / CONNECTIONS)
                back = min(back, (ended_s - sent_s) / CONNECTIONS)
            while self._answered < CONNECTIONS:
                await asyncio.sleep(0)
                asked, self._dialer.asked = self._dialer.asked, []
                for connection in asked:
                    connection.data_received(ANSWER)
        return forth, back


def list_parts(gateway: Gateway) -> Iterator[tuple[str, Callable[[], object]]]:
    room, front = gateway._front.room, gateway._front
    running = room.reloader.running
    head, body = read_head(REQUEST), read_body(BODY)
    assert running is not None
    assert head is not None
    authenticator, caller = room.authenticator, gateway._hot()
    identity = authenticator.recognize(running, KEY, caller)
    assert identity is not None
    tenant = identity.tenant
    limits, now = room.state.limits_of(tenant), room.clock.now
    endpoint = next(iter(room.state.endpoints.values()))
    record = front.open_record(PATH, now())
    record.standing = take_all(limits, now()).standing
    parser = AnswerParser()

    def run_attempt() -> None:
        attempt = endpoint.begin()
        assert attempt is not None
        attempt.succeed(0.001)

    def parse() -> None:
        parser.expect("POST")
        parser.feed(ANSWER)

    yield "recognise the head", lambda: head.measure(REQUEST)
    yield "find the key", lambda: authenticator.recognize(running, KEY, caller)
    yield "read the body", lambda: read_body(BODY)
    yield "write the body anew", lambda: body.build("gpt-4o-mini")
    yield "take three limits", lambda: take_all(limits, now())
    yield "make a record", lambda: front.open_record(PATH, now())
    yield "begin and end an attempt", run_attempt
    yield "count it", lambda: room.metrics.count_attempt(ProviderId("default/east"), Outcome.OK)
    yield "parse the answer's HTTP", parse
    yield "read the answer's JSON", lambda: read_answer(ANSWER_BODY)
    yield "word its headers", lambda: build_varying_lines(record, now(), {})


def time_part(part: Callable[[], object]) -> float:
    """Seconds a call."""
    best = 1.0
    for _ in range(REPEATS):
        began_s = time.perf_counter()
        for _ in range(LOOPS):
            part()
        best = min(best, (time.perf_counter() - began_s) / LOOPS)
    return best


async def run() -> None:
    transport, dialer = PooledTransport(), NowhereDialer()
    transport._dialer = dialer
    gateway = Gateway(
        GatewaySettings(name=GatewayId("bench"), port=0, admin_port=0, drain_s=0), transport=transport
    )
    with tempfile.TemporaryDirectory() as folder:
        write_manifests(Path(folder), (1, 2), 10)
        table = compile_table(Path(folder))
    await gateway.start()
    await gateway.apply_table(table)
    forth, back = await Bench(gateway, dialer).measure()
    say("from the caller's bytes to the provider's", forth)
    say("from the provider's bytes to the caller's", back)
    for name, part in list_parts(gateway):
        say(f"    {name}", time_part(part))
    await gateway.stop()


def say(name: str, seconds: float) -> None:
    sys.stdout.write(f"{name:44}{seconds * 1e6:6.2f} µs\n")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.parts", description=__doc__)
    parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    asyncio.run(run())


if __name__ == "__main__":
    main()
