"""The end of a gateway: what is under way finishes, what comes is sent elsewhere, and nothing hangs."""

import asyncio
import dataclasses

import aiohttp
import pytest

from gateway_runtime.server.fake_provider import FakeProvider
from gateway_runtime.server.main import Gateway
from tests.server.rawupstream import STREAM_HEAD, RawUpstream, chunk, raw_upstream
from tests.server.rig import CHAT, KEY, Rig, provider, serving, settings, sse, table

STREAM = {**CHAT, "stream": True}
HEADERS = {"authorization": f"Bearer {KEY}"}


async def stream_in_halves(
    upstream: RawUpstream, _: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    writer.write(STREAM_HEAD + chunk(sse('{"n":1}')))
    await writer.drain()
    await upstream.release.wait()
    writer.write(chunk(sse('{"n":2}', "[DONE]")) + b"0\r\n\r\n")


async def begin_to_stop(rig: Rig) -> asyncio.Task[None]:
    """The port is closed when this returns: that is what `stop` does first, in a task of its own."""
    stopping = asyncio.create_task(rig.gateway.stop(5.0))
    for _ in range(3):
        await asyncio.sleep(0)
    return stopping


async def test_a_stream_under_way_is_finished_while_new_connections_are_refused() -> None:
    async with raw_upstream(stream_in_halves) as upstream, serving(table(provider(upstream.url))) as rig:
        url = f"{rig.url}/v1/chat/completions"
        async with rig.session.post(url, json=STREAM, headers=HEADERS) as answer:
            first = await answer.content.readany()
            stopping = await begin_to_stop(rig)
            with pytest.raises(ConnectionRefusedError):
                await asyncio.open_connection("127.0.0.1", rig.gateway.port)
            readiness = await rig.look("/readyz")
            upstream.release.set()
            rest = await answer.content.read()
        await stopping

    assert first + rest == sse('{"n":1}', '{"n":2}', "[DONE]")
    assert (readiness.status, readiness.json) == (503, {"ready": False, "reason": "shutting down"})


async def test_a_request_behind_a_draining_stream_is_sent_elsewhere_with_hg1012() -> None:
    async with raw_upstream(stream_in_halves) as upstream, serving(table(provider(upstream.url))) as rig:
        reader, writer = await asyncio.open_connection("127.0.0.1", rig.gateway.port)
        body = b'{"model":"gpt","stream":true}'
        request = (
            f"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {KEY}\r\n"
            f"content-length: {len(body)}\r\n\r\n"
        ).encode() + body
        writer.write(request + request)
        await reader.readuntil(b'data: {"n":1}')
        stopping = await begin_to_stop(rig)
        upstream.release.set()
        rest = (await reader.read()).decode()
        await stopping
        writer.close()

    head, _, error = rest.partition("0\r\n\r\n")[2].partition("\r\n\r\n")
    assert head.startswith("HTTP/1.1 503 Service Unavailable\r\n")
    assert "\r\nretry-after: 1\r\n" in head.lower()
    assert "\r\nconnection: close" in head.lower()
    assert error == (
        '{"error":{"message":"This gateway is shutting down and takes no more requests. Send it again '
        'on a new connection.","type":"api_error","code":"shutting_down","param":null,"headgate":"HG1012"}}'
    )


async def test_an_idle_connection_is_closed_at_once(fake: FakeProvider) -> None:
    async with serving(table(provider(fake.url))) as rig:
        reader, writer = await asyncio.open_connection("127.0.0.1", rig.gateway.port)
        writer.write(b"GET /v1/models HTTP/1.1\r\nhost: x\r\nauthorization: Bearer the-teams-key\r\n\r\n")
        await reader.readuntil(b"\r\n\r\n")
        await rig.gateway.stop(5.0)
        rest = await reader.read()
        writer.close()

    assert rest.endswith(b'"owned_by":"headgate"}]}')


async def test_what_does_not_finish_in_time_is_cut() -> None:
    async with raw_upstream(stream_in_halves) as upstream, serving(table(provider(upstream.url))) as rig:
        url = f"{rig.url}/v1/chat/completions"
        async with rig.session.post(url, json=STREAM, headers=HEADERS) as answer:
            await answer.content.readany()
            await rig.gateway.stop(0.02)
            with pytest.raises(aiohttp.ClientPayloadError):
                await answer.content.read()


async def test_a_port_that_is_taken_is_an_error_that_leaves_nothing_open(fake: FakeProvider) -> None:
    async with serving() as rig:
        taken = dataclasses.replace(settings(), port=rig.gateway.port)
        with pytest.raises(OSError, match="address already in use"):
            await Gateway(taken).start()


async def test_an_unready_gateway_still_serves_for_as_long_as_it_was_told(fake: FakeProvider) -> None:
    async with serving(table(provider(fake.url)), settings(unready_s=30.0)) as rig:
        stopping = asyncio.create_task(rig.gateway.stop())
        await asyncio.sleep(0)
        readiness, answer = await rig.look("/readyz"), await rig.ask()
        rig.gateway.hurry()
        await stopping

    assert readiness.status == 503
    assert (answer.status, answer.headers["connection"]) == (200, "close")
