"""The gateway on uvloop, which the command line takes where it is installed, and the rest of the tests does
not.
"""

import asyncio
import dataclasses
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import uvloop

from gateway_runtime.providers.fake import FakeScript
from gateway_runtime.server.fake_provider import FakeProvider
from gateway_runtime.server.loop import make_loop, name_loop
from tests.server.certificates import Authority
from tests.server.rig import CHAT, Rig, provider, serving, settings, table
from tests.server.test_tls import calling
from tests.workers.podrig import HEADERS

STREAM = {**CHAT, "stream": True}


def run(scenario: Callable[[Rig, FakeProvider], Awaitable[None]]) -> None:
    async def play() -> None:
        async with fake_provider() as fake, serving(table(provider(fake.url))) as rig:
            await scenario(rig, fake)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(play())


@asynccontextmanager
async def fake_provider() -> AsyncIterator[FakeProvider]:
    provider = FakeProvider()
    await provider.start()
    try:
        yield provider
    finally:
        await provider.stop()


def test_the_command_line_takes_uvloop_where_it_is_installed() -> None:
    chosen, other = make_loop(), asyncio.new_event_loop()

    assert (name_loop(chosen), name_loop(other)) == ("uvloop", "asyncio")
    chosen.close()
    other.close()


def test_ordinary_and_unusual_requests_are_answered_on_one_connection() -> None:
    async def scenario(rig: Rig, fake: FakeProvider) -> None:
        first = await rig.ask()
        models = await rig.ask(method="GET", path="/v1/models")
        second = await rig.ask()

        assert [answer.status for answer in (first, models, second)] == [200, 200, 200]
        assert fake.seen.requests == 2

    run(scenario)


def test_a_stream_under_way_is_finished_by_a_gateway_that_stops() -> None:
    async def scenario(rig: Rig, fake: FakeProvider) -> None:
        fake.script = FakeScript(tokens_per_s=200)
        url = f"{rig.url}/v1/chat/completions"
        async with rig.session.post(url, json=STREAM, headers=HEADERS) as answer:
            stopping = asyncio.create_task(rig.gateway.stop(5.0))
            body = await answer.read()
        await stopping

        assert body.endswith(b"data: [DONE]\n\n")

    run(scenario)


def test_a_caller_that_leaves_stops_the_upstream() -> None:
    async def scenario(rig: Rig, fake: FakeProvider) -> None:
        fake.script = FakeScript(tokens_per_s=1)
        async with aiohttp.ClientSession(headers=HEADERS) as session:
            answer = await session.post(f"{rig.url}/v1/chat/completions", json=STREAM)
            await answer.content.readany()
            answer.close()
        await fake.wait_until_seen(lambda seen: seen.cancelled == 1)

        assert fake.seen.under_way == 0

    run(scenario)


def test_tls_with_a_changed_certificate(tmp_path: Path) -> None:
    authority = Authority(tmp_path)

    async def play() -> None:
        chosen = dataclasses.replace(settings(), tls=authority.issue(tmp_path / "secret", "first"))
        async with fake_provider() as fake, serving(table(provider(fake.url)), chosen) as rig:
            status = await ask_and_replace(rig)
            async with calling(rig.gateway.port, authority) as new:
                statuses = [status, await new.ask(), await new.ask("GET", "/v1/models")]
                server = new.server

        assert (server, statuses) == ("second", [b"HTTP/1.1 200 OK"] * 3)

    async def ask_and_replace(rig: Rig) -> bytes:
        async with calling(rig.gateway.port, authority) as old:
            authority.issue(tmp_path / "secret", "second")
            rig.gateway.reread_certificate()
            return await old.ask()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(play())
