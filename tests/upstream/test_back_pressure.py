"""Who is slow makes the other side wait; nobody's bytes pile up here."""

import asyncio
from typing import Any

from gateway_runtime.upstream.connection import MAX_UNREAD_BYTES
from gateway_runtime.upstream.transport import PooledTransport
from tests.server.rawupstream import RawUpstream
from tests.upstream.scripted import build_request, only, scripted

READ_BYTES = 256 * 1024
"""asyncio reads so much at once."""

SIZE = 32 * 1024 * 1024


async def test_an_answer_that_nobody_reads_is_not_fetched(transport: PooledTransport) -> None:
    sent = 0

    async def script(_: RawUpstream, __: Any, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % SIZE)
        while sent < SIZE:
            writer.write(bytes(64 * 1024))
            sent += 64 * 1024
            await writer.drain()

    async with scripted(script) as upstream:
        answer = await transport.send(build_request(upstream.url), lambda: None)
        before = -1
        while before != sent:  # until the kernel's buffers are full too
            before = sent
            for _ in range(20):
                await asyncio.sleep(0.001)
        stalled, unread = sent, len(await answer.next_chunk())
        total = unread
        while chunk := await answer.next_chunk():
            total += len(chunk)

    assert stalled < SIZE
    assert unread <= MAX_UNREAD_BYTES + READ_BYTES
    assert total == SIZE
    assert only(transport).idle == 1


async def test_one_that_is_not_read_does_not_hold_up_the_others(transport: PooledTransport) -> None:
    async def script(upstream: RawUpstream, _: Any, writer: asyncio.StreamWriter) -> None:
        size = SIZE if upstream.requests == 1 else 2
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % size + bytes(size))

    async with scripted(script) as upstream:
        slow = await transport.send(build_request(upstream.url), lambda: None)
        for _ in range(3):
            answer = await transport.send(build_request(upstream.url), lambda: None)
            assert await answer.next_chunk() == bytes(2)
        slow.close()
