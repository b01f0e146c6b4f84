"""A caller that leaves takes its upstream along, at once, and nobody is blamed for it."""

import asyncio
import time

import pytest

from gateway_runtime.providers.fake import FakeScript
from gateway_runtime.server.fake_provider import FakeProvider
from tests.server.rig import CHAT, KEY, Rig, provider, serving, settings, table


async def call(rig: Rig, body: bytes) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await asyncio.open_connection("127.0.0.1", rig.gateway.port)
    head = (
        "POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\n"
        f"authorization: Bearer {KEY}\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    writer.write(head.encode() + body)
    return reader, writer


@pytest.mark.parametrize("stream", [True, False])
async def test_the_upstream_stops_within_100_ms(fake: FakeProvider, stream: bool) -> None:
    fake.script = FakeScript(tokens_per_s=20) if stream else FakeScript(latency_s=30)
    body = b'{"model":"gpt","messages":[],"stream":%b}' % str(stream).lower().encode()
    async with serving(table(provider(fake.url))) as rig:
        reader, writer = await call(rig, body)
        if stream:
            await reader.readuntil(b"data: ")
        else:
            await fake.wait_until_seen(lambda seen: seen.under_way == 1)
        left_s = time.monotonic()
        writer.close()
        await fake.wait_until_seen(lambda seen: seen.cancelled == 1)
        took_s = time.monotonic() - left_s
        (report,) = rig.gateway.reports()

    assert took_s < 0.1
    assert (report.circuit, report.failures) == ("Closed", 0)


async def test_a_caller_that_leaves_is_499_in_log_and_metrics(
    fake: FakeProvider, capsys: pytest.CaptureFixture[str]
) -> None:
    fake.script = FakeScript(latency_s=30)
    async with serving(table(provider(fake.url)), settings(access_log=True)) as rig:
        _, writer = await call(rig, b'{"model":"gpt"}')
        await fake.wait_until_seen(lambda seen: seen.under_way == 1)
        writer.close()
        await fake.wait_until_seen(lambda seen: seen.cancelled == 1)
        metrics = (await rig.look("/metrics")).body.decode()

    assert 'headgate_requests_total{route="chat/route",status="4xx"} 1.0' in metrics
    assert 'headgate_attempts_total{outcome="cancelled",provider="chat/openai"} 1.0' in metrics
    assert "headgate_requests_in_flight 0.0" in metrics
    assert "status=499" in capsys.readouterr().out


async def test_a_caller_that_leaves_while_it_sends_leaves_nothing_behind(fake: FakeProvider) -> None:
    async with serving(table(provider(fake.url))) as rig:
        _, writer = await asyncio.open_connection("127.0.0.1", rig.gateway.port)
        writer.write(
            b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer the-teams-key\r\n"
            b"content-length: 100\r\n\r\n{"
        )
        await writer.drain()
        writer.close()
        answer = await rig.ask(CHAT)

    assert (answer.status, fake.seen.requests) == (200, 1)
