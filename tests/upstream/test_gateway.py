"""The gateway on this transport, end to end: what its callers see must not depend on the engine below."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from gateway_runtime.contract.table import RoutingTable
from gateway_runtime.server.fake_provider import FakeProvider
from gateway_runtime.upstream.proxy import Proxies
from gateway_runtime.upstream.transport import PooledTransport
from tests.contract.tables import build_target
from tests.server.rawupstream import RawUpstream, answering, chunk, saying
from tests.server.rig import CHAT, DEAD_URL, Rig, provider, read_head, route, serving, sse, table
from tests.upstream.scripted import reset, scripted

BOTH = (build_target("openai", priority=0), build_target("azure", priority=1))
STREAM_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"


@pytest.fixture
async def fake() -> AsyncIterator[FakeProvider]:
    provider = FakeProvider()
    await provider.start()
    yield provider
    await provider.stop()


@asynccontextmanager
async def pooled(first: RoutingTable) -> AsyncIterator[Rig]:
    async with serving(first, transport=PooledTransport(proxies=Proxies({}))) as rig:
        yield rig


async def test_a_completion_is_served(fake: FakeProvider) -> None:
    async with pooled(table(provider(fake.url))) as rig:
        answers = [await rig.ask() for _ in range(3)]

    assert [answer.status for answer in answers] == [200] * 3
    assert answers[0].text


async def test_a_stream_is_served(fake: FakeProvider) -> None:
    async with pooled(table(provider(fake.url))) as rig:
        answer = await rig.ask({**CHAT, "stream": True})

    assert answer.status == 200
    assert answer.body.endswith(b"data: [DONE]\n\n")


@pytest.mark.parametrize("script", [saying(), saying(b"nonsense"), answering(b"", "503 Busy")])
async def test_a_provider_that_fails_gives_way_to_the_next(fake: FakeProvider, script: Any) -> None:
    async with scripted(script) as broken:
        providers = [provider(broken.url, DEAD_URL), provider(fake.url, name="azure")]
        async with pooled(table(*providers, routes=[route(targets=BOTH)])) as rig:
            answer = await rig.ask()

    assert (answer.status, answer.headers["x-headgate-provider"]) == (200, "chat/azure")


async def test_a_connection_that_died_idle_costs_no_attempt() -> None:
    async def script(upstream: RawUpstream, _: Any, writer: asyncio.StreamWriter) -> None:
        if upstream.requests == 2:
            reset(writer)
        else:
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}")

    async with scripted(script) as upstream, pooled(table(provider(upstream.url))) as rig:
        answers = [await rig.ask() for _ in range(2)]

    assert [(a.status, a.headers["x-headgate-attempts"]) for a in answers] == [(200, "1")] * 2
    assert (upstream.requests, upstream.connections) == (3, 2)


async def test_a_stream_that_breaks_off_ends_with_an_error_event() -> None:
    script = saying(STREAM_HEAD + chunk(sse('{"a":1}')))
    async with scripted(script) as upstream, pooled(table(provider(upstream.url))) as rig:
        reader, writer = await asyncio.open_connection("127.0.0.1", rig.gateway.port)
        body = b'{"model":"gpt","stream":true}'
        head = (
            "POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer the-teams-key\r\n"
            f"content-length: {len(body)}\r\n\r\n"
        )
        writer.write(head.encode() + body)
        received = await reader.read()
        writer.close()

    assert b"the answer was cut off" in received


async def test_a_caller_that_leaves_stops_the_upstream() -> None:
    async def script(_: RawUpstream, __: Any, writer: asyncio.StreamWriter) -> None:
        writer.write(STREAM_HEAD + chunk(sse('{"a":1}')))

    async with scripted(script) as upstream, pooled(table(provider(upstream.url))) as rig:
        reader, writer = await asyncio.open_connection("127.0.0.1", rig.gateway.port)
        body = b'{"model":"gpt","stream":true}'
        head = (
            "POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer the-teams-key\r\n"
            f"content-length: {len(body)}\r\n\r\n"
        )
        writer.write(head.encode() + body)
        await read_head(reader)
        writer.close()
        await upstream.wait_for_ends(1)

    assert upstream.requests == 1
