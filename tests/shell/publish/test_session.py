"""A connection whose other side is slow, silent or gone: how long a session waits for it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import msgspec
import pytest
from aiohttp import web

from gateway_runtime.contract.codec import build_snapshot
from gateway_runtime.contract.health import HealthReport
from gateway_runtime.contract.ids import GatewayId
from gateway_runtime.contract.secret import Secret
from gateway_runtime.contract.stream import Ack, Counts, Hello, Nack, Version
from gateway_runtime.contract.table import Credential
from headgate_operator.publish.callers import Caller
from headgate_operator.publish.offer import Offer
from headgate_operator.publish.session import Patience, Session
from tests.shell.publish.fakes import ACCOUNT, make_provider, make_table
from tests.shell.publish.scripted_gateway import Connection, ScriptedGateway

LONG = Patience()


class Desk:
    """Offers one table to whoever comes."""

    def __init__(self, offer: Offer) -> None:
        self.offer = offer
        self.session: Session | None = None
        self.joined = asyncio.Event()
        self.left = asyncio.Event()

    def join(self, session: Session, hello: Hello) -> GatewayId:
        self.session = session
        self.joined.set()
        return hello.gateway

    def leave(self, session: Session) -> None:
        self.left.set()

    def hear_answer(self, session: Session, answer: Ack | Nack) -> None:
        """Nothing here asks."""

    def hear_report(self, session: Session, report: HealthReport) -> None:
        """Nothing here asks."""


def make_offer(credential_bytes: int) -> Offer:
    """One provider with a credential of that length: one frame, however long."""
    credential = Credential(name="main", value=Secret("k" * credential_bytes))
    provider = msgspec.structs.replace(make_provider(1), credentials=(credential,))
    return Offer(Version(1, 1), build_snapshot(make_table(provider)), Counts(1, 0, 0), shrink_confirmed=False)


@asynccontextmanager
async def serve(desk: Desk, patience: Patience) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
    """A connection to a server that gives each one a session of the desk."""
    full_syncs = asyncio.Semaphore(1)

    async def handle(request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        assert request.transport is not None
        caller = Caller(ACCOUNT, None)
        await Session(socket, request.transport, caller, desk, full_syncs, patience).run()
        return socket

    application = web.Application()
    application.router.add_get("/", handle)
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        url = f"ws://127.0.0.1:{runner.addresses[0][1]}/"
        async with aiohttp.ClientSession() as client, client.ws_connect(url, max_msg_size=0) as socket:
            yield socket
    finally:
        await runner.cleanup()


@pytest.fixture
def gateway() -> ScriptedGateway:
    return ScriptedGateway("gw-1")


async def test_who_says_no_hello_is_closed(gateway: ScriptedGateway) -> None:
    async with serve(Desk(make_offer(1)), Patience(hello_s=0.05)) as socket:
        assert await Connection(gateway, socket).hear_end() == (1008, "no Hello within 0.05 s")


async def test_who_does_not_answer_a_version_is_closed(gateway: ScriptedGateway) -> None:
    async with serve(Desk(make_offer(1)), Patience(answer_s=0.05)) as socket:
        connection = Connection(gateway, socket)
        await connection.say(gateway.greet())

        assert await connection.hear_end() == (1008, "no answer to version 1.1 in time")


async def test_news_does_not_prolong_the_wait_for_an_answer(gateway: ScriptedGateway) -> None:
    desk = Desk(make_offer(1))
    async with serve(desk, Patience(answer_s=0.1)) as socket:
        connection = Connection(gateway, socket)
        await connection.say(gateway.greet())
        waker = asyncio.create_task(_wake_for_ever(desk))
        end = await connection.hear_end()
        waker.cancel()

    assert end == (1008, "no answer to version 1.1 in time")


async def _wake_for_ever(desk: Desk) -> None:
    await desk.joined.wait()
    while desk.session is not None:
        desk.session.wake()
        await asyncio.sleep(0.01)


async def test_who_answers_may_be_silent_afterwards(gateway: ScriptedGateway) -> None:
    desk = Desk(make_offer(1))
    async with serve(desk, Patience(answer_s=0.05)) as socket:
        connection = Connection(gateway, socket)
        await connection.say(gateway.greet())
        await connection.take_version()
        await asyncio.sleep(0.09)
        desk.offer = Offer(Version(1, 2), desk.offer.snapshot, desk.offer.counts, shrink_confirmed=False)
        assert desk.session is not None
        desk.session.wake()
        (delta,) = await connection.take_version()

    assert delta.version == Version(1, 2)


async def test_who_reads_nothing_is_dropped(gateway: ScriptedGateway) -> None:
    desk = Desk(make_offer(64 * 1024 * 1024))
    async with serve(desk, Patience(send_s=0.05, close_s=0.05)) as socket:
        await Connection(gateway, socket).say(gateway.greet())
        async with asyncio.timeout(10):
            await desk.left.wait()


async def test_the_end_of_a_term_does_not_wait_for_who_reads_nothing(gateway: ScriptedGateway) -> None:
    desk = Desk(make_offer(64 * 1024 * 1024))
    async with serve(desk, Patience(close_s=0.05)) as socket:
        await Connection(gateway, socket).say(gateway.greet())
        await desk.joined.wait()
        assert desk.session is not None
        desk.session.end(1013, "dial again")
        async with asyncio.timeout(10):
            await desk.left.wait()
