"""What is not framed in one way only is refused whole, on either way into the gateway: an attacker's second
request, hidden in the body of a first, is never seen as one.

RFC 9112, 11.2; the cases are those that proxies have disagreed about.
"""

import asyncio
import re

import pytest

from gateway_runtime.server.fake_provider import FakeProvider
from tests.server.rig import KEY, Rig, provider, serving, table

BODY = b'{"model":"gpt","messages":[]}'
HIDDEN = b"GET /hidden HTTP/1.1\r\nhost: x\r\n\r\n"
LENGTH = b"content-length: %d\r\n" % len(BODY)
CHUNKED = b"%x\r\n%b\r\n0\r\n\r\n" % (len(BODY), BODY)


def build(*headers: bytes, body: bytes = BODY, line: bytes = b"POST /v1/chat/completions HTTP/1.1") -> bytes:
    lines = b"".join((b"host: x\r\n", b"authorization: Bearer %b\r\n" % KEY.encode(), *headers))
    return b"%b\r\n%b\r\n%b" % (line, lines, body)


ATTACKS = {
    "both lengths": build(LENGTH, b"transfer-encoding: chunked\r\n", body=CHUNKED),
    "two lengths that differ": build(LENGTH, b"content-length: 3\r\n"),
    "two lengths that agree": build(LENGTH, LENGTH),
    "a list of lengths": build(b"content-length: %d, %d\r\n" % (len(BODY), len(BODY))),
    "a signed length": build(b"content-length: +%d\r\n" % len(BODY)),
    "a negative length": build(b"content-length: -1\r\n"),
    "a hexadecimal length": build(b"content-length: 0x1d\r\n"),
    "a length with a space in it": build(b"content-length: 2 9\r\n"),
    "an empty length": build(b"content-length:\r\n"),
    "a length beyond all numbers": build(b"content-length: 99999999999999999999\r\n"),
    "an unknown encoding": build(b"transfer-encoding: xchunked\r\n", body=CHUNKED),
    "chunked that is not the last": build(b"transfer-encoding: chunked, gzip\r\n", body=CHUNKED),
    "chunked twice": build(b"transfer-encoding: chunked, chunked\r\n", body=CHUNKED),
    "a space before the colon": build(b"content-length : %d\r\n" % len(BODY)),
    "a space before the encoding's colon": build(b"transfer-encoding : chunked\r\n", body=CHUNKED),
    "a folded line": build(LENGTH, b"x-folded: a\r\n b\r\n"),
    "a folded encoding": build(LENGTH, b"transfer-encoding:\r\n chunked\r\n", body=CHUNKED),
    "a name with a space": build(LENGTH, b"x y: 1\r\n"),
    "a line without a colon": build(LENGTH, b"nothing\r\n"),
    "a bare CR in a value": build(LENGTH, b"x: a\rtransfer-encoding: chunked\r\n"),
    "a bare LF after a line": build(LENGTH[:-2] + b"\n"),
    "a NUL in a value": build(LENGTH, b"x: a\x00b\r\n"),
    "a chunk's size with a sign": build(b"transfer-encoding: chunked\r\n", body=b"+1d\r\n" + CHUNKED[4:]),
    "a chunk's size with a prefix": build(b"transfer-encoding: chunked\r\n", body=b"0x1d\r\n" + CHUNKED[4:]),
    "a chunk longer than its size": build(b"transfer-encoding: chunked\r\n", body=b"3\r\n" + CHUNKED[4:]),
    "a chunk's size ended by LF": build(b"transfer-encoding: chunked\r\n", body=b"1d\n" + CHUNKED[4:]),
    "a second version": build(LENGTH, line=b"POST /v1/chat/completions HTTP/1.1 HTTP/1.1"),
    "a path with a space": build(LENGTH, line=b"POST /v1/chat completions HTTP/1.1"),
}


async def send(rig: Rig, data: bytes) -> bytes:
    """All that comes back until the gateway closes the connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", rig.gateway.port)
    writer.write(data)
    try:
        async with asyncio.timeout(5):
            return await reader.read()
    finally:
        writer.close()


@pytest.mark.parametrize("ordinary_before", [False, True], ids=["first", "after an ordinary one"])
@pytest.mark.parametrize("name", ATTACKS)
async def test_it_is_refused_and_nothing_behind_it_is_read(
    name: str, ordinary_before: bool, fake: FakeProvider
) -> None:
    before = build(LENGTH) if ordinary_before else b""
    async with serving(table(provider(fake.url))) as rig:
        answer = await send(rig, before + ATTACKS[name] + HIDDEN)

    statuses = re.findall(rb"HTTP/1\.[01] ([0-9]{3})", answer)
    assert statuses == [b"200"] * ordinary_before + [b"400"]
    assert b"/hidden" not in answer
    assert fake.seen.requests == int(ordinary_before)
