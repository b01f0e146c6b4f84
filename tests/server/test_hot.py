"""The straight way and aiohttp's way answer alike, and a connection may change from one to the other."""

import asyncio
import re

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from gateway_runtime.server.fake_provider import FakeProvider
from gateway_runtime.server.head import read_head
from tests.server.rig import KEY, Rig, provider, serving, table

BODY = b'{"model":"gpt","messages":[]}'
CHAT = "/v1/chat/completions"
# aiohttp's way is taken by whatever is unusual; this field changes nothing else.
UNUSUAL = b"te: trailers\r\n"


def build(
    *headers: bytes,
    body: bytes = BODY,
    path: str = CHAT,
    key: bytes = b"authorization: Bearer " + KEY.encode() + b"\r\n",
) -> bytes:
    lines = (b"host: x\r\n", key, *headers, b"content-length: %d\r\n" % len(body))
    return b"POST %b HTTP/1.1\r\n%b\r\n%b" % (path.encode(), b"".join(lines), body)


async def talk(rig: Rig, *pieces: bytes, answers: int = 1) -> list[tuple[bytes, dict[bytes, bytes], bytes]]:
    """Status, headers and body of each answer."""
    reader, writer = await asyncio.open_connection("127.0.0.1", rig.gateway.port)
    try:
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0)
        return [await read_answer(reader) for _ in range(answers)]
    finally:
        writer.close()


async def read_answer(reader: asyncio.StreamReader) -> tuple[bytes, dict[bytes, bytes], bytes]:
    head = await reader.readuntil(b"\r\n\r\n")
    status, *lines = head.rstrip().split(b"\r\n")
    headers = {name.lower(): value for name, _, value in (line.partition(b": ") for line in lines)}
    if b"content-length" in headers:
        return status, headers, await reader.readexactly(int(headers[b"content-length"]))
    body = b""
    while size := int((await reader.readline()).strip(), 16):
        body += await reader.readexactly(size)
        await reader.readexactly(2)
    await reader.readexactly(2)
    return status, headers, body


REQUESTS = {
    "a completion": build(),
    "a stream": build(body=b'{"model":"gpt","stream":true}'),
    "an embedding": build(body=b'{"model":"gpt","input":"x"}', path="/v1/embeddings"),
    "no key": build(key=b""),
    "a wrong key": build(key=b"authorization: Bearer wrong\r\n"),
    "Azure's key": build(key=b"api-key: " + KEY.encode() + b"\r\n"),
    "Anthropic's key": build(key=b"X-Api-Key: " + KEY.encode() + b"\r\n"),
    "an unknown model": build(body=b'{"model":"nobody"}'),
    "a body that is no JSON": build(body=b"nothing"),
    "an empty body": build(body=b""),
}
VARYING = {b"x-headgate-request-id", b"x-headgate-overhead-ms", b"date", b"x-request-id"}


@pytest.mark.parametrize("name", REQUESTS)
async def test_both_ways_give_the_same_answer(name: str, fake: FakeProvider) -> None:
    request = REQUESTS[name]
    async with serving(table(provider(fake.url))) as rig:
        hot = await talk(rig, request)
        plain = await talk(rig, request.replace(b"host: x\r\n", b"host: x\r\n" + UNUSUAL))

    def comparable(answer: tuple[bytes, dict[bytes, bytes], bytes]) -> object:
        status, headers, body = answer
        body = re.sub(rb'"(id|created)":("[^"]*"|[0-9]+)', b"", body)
        return status, {n: v for n, v in headers.items() if n not in VARYING}, body

    assert read_head(request) is not None
    assert read_head(request.replace(b"host: x\r\n", b"host: x\r\n" + UNUSUAL)) is None
    assert [comparable(answer) for answer in hot] == [comparable(answer) for answer in plain]


async def test_requests_that_come_together_are_answered_in_order(fake: FakeProvider) -> None:
    requests = [build(), REQUESTS["a stream"], REQUESTS["no key"], build()]
    async with serving(table(provider(fake.url))) as rig:
        answers = await talk(rig, b"".join(requests), answers=4)

    assert [status.split()[1] for status, _, _ in answers] == [b"200", b"200", b"401", b"200"]


async def test_a_connection_that_becomes_unusual_goes_on_with_aiohttp(fake: FakeProvider) -> None:
    unusual = build(UNUSUAL)
    async with serving(table(provider(fake.url))) as rig:
        answers = await talk(rig, build() + unusual + build() + unusual, answers=4)

    assert [status for status, _, _ in answers] == [b"HTTP/1.1 200 OK"] * 4
    assert fake.seen.requests == 4


async def test_a_head_that_differs_only_in_its_length_is_read_rightly(fake: FakeProvider) -> None:
    bodies = [b'{"model":"gpt"%b}' % (b" " * n) for n in (0, 1, 90, 1000)]
    async with serving(table(provider(fake.url))) as rig:
        answers = await talk(rig, *(build(body=body) for body in bodies), answers=4)

    assert [status for status, _, _ in answers] == [b"HTTP/1.1 200 OK"] * 4


async def test_another_key_on_the_same_connection_is_another_caller(fake: FakeProvider) -> None:
    wrong = build(key=b"authorization: Bearer " + b"x" * len(KEY) + b"\r\n")
    async with serving(table(provider(fake.url))) as rig:
        answers = await talk(rig, build(), wrong, build(), answers=3)

    assert [status.split()[1] for status, _, _ in answers] == [b"200", b"401", b"200"]


@given(cuts=st.lists(st.integers(1, len(build() * 2) - 1), max_size=4).map(sorted))
@hypothesis_settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_however_the_bytes_are_cut_the_answers_are_the_same(
    cuts: list[int], fake: FakeProvider
) -> None:
    data = build() * 2
    pieces = [data[begin:end] for begin, end in zip([0, *cuts], [*cuts, len(data)], strict=True)]
    async with serving(table(provider(fake.url))) as rig:
        answers = await talk(rig, *pieces, answers=2)

    assert [status for status, _, _ in answers] == [b"HTTP/1.1 200 OK"] * 2


async def test_a_refused_body_is_read_to_its_end_so_that_the_answer_arrives(fake: FakeProvider) -> None:
    request = build(key=b"", body=b'{"model":"gpt","x":"' + b"x" * 60_000 + b'"}')
    async with serving(table(provider(fake.url))) as rig:
        reader, writer = await asyncio.open_connection("127.0.0.1", rig.gateway.port)
        writer.write(request[:1000])
        status, headers, _ = await read_answer(reader)
        writer.write(request[1000:])
        await writer.drain()
        writer.close()

    assert status == b"HTTP/1.1 401 Unauthorized"
    assert headers[b"connection"] == b"close"
