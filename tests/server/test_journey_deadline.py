"""Nobody outlives the deadline, whoever it is that makes us wait."""

import asyncio

import pytest
from msgspec.structs import replace

from gateway_runtime.contract.table import Hedge, RouteTimeouts
from gateway_runtime.providers.fake import FakeScript
from gateway_runtime.server.fake_provider import FakeProvider
from tests.server.rawupstream import STREAM_HEAD, RawUpstream, chunk, raw_upstream
from tests.server.rig import KEY, Rig, provider, route, serving, sse, table


async def pour(upstream: RawUpstream, _: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A stream without end."""
    writer.write(STREAM_HEAD)
    event = chunk(sse('{"text":"%s"}' % ("x" * 100_000)))
    while not upstream.release.is_set():
        writer.write(event)
        await writer.drain()


async def call(rig: Rig, body: bytes) -> asyncio.StreamWriter:
    """Reads nothing."""
    _, writer = await asyncio.open_connection("127.0.0.1", rig.gateway.port)
    head = f"authorization: Bearer {KEY}\r\ncontent-length: {len(body)}\r\n\r\n"
    writer.write(b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\n" + head.encode() + body)
    return writer


async def wait_for_rest(rig: Rig) -> None:
    while b"headgate_requests_in_flight 0.0" not in (await rig.look("/metrics")).body:  # noqa: ASYNC110 (no event)
        await asyncio.sleep(0.02)


async def test_a_stream_whose_caller_reads_nothing_ends_soon_after_its_deadline() -> None:
    patience = route(timeouts=RouteTimeouts(total_s=0.2))
    async with (
        raw_upstream(pour) as upstream,
        serving(table(provider(upstream.url), routes=[patience])) as rig,
    ):
        writer = await call(rig, b'{"model":"gpt","stream":true}')
        await upstream.reached.wait()
        async with asyncio.timeout(5):
            await wait_for_rest(rig)
        (report,) = rig.gateway.reports()
        writer.transport.abort()
        upstream.release.set()

    assert (report.circuit, report.failures) == ("Closed", 0)


@pytest.mark.parametrize("hedge", [None, Hedge(after_s=0.02, max_extra=1)])
async def test_a_whole_answer_that_the_caller_does_not_read_is_not_asked_for_again(
    fake: FakeProvider, hedge: Hedge | None
) -> None:
    fake.script = FakeScript(answer="x" * 12_000_000)
    patience = replace(route(timeouts=RouteTimeouts(total_s=1.0)), hedge=hedge)
    async with serving(table(provider(fake.url), routes=[patience])) as rig:
        writer = await call(rig, b'{"model":"gpt"}')
        await fake.wait_until_seen(lambda seen: seen.requests == 1)
        async with asyncio.timeout(5):
            await wait_for_rest(rig)
        (report,) = rig.gateway.reports()
        writer.transport.abort()

    assert fake.seen.requests == 1
    assert (report.circuit, report.failures) == ("Closed", 0)
