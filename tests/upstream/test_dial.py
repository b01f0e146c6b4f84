"""Ways to a new connection, and the words in which each fails."""

import asyncio
import socket
from collections.abc import Sequence

import pytest
from aiohappyeyeballs import AddrInfoType

from gateway_runtime.engine.retry import Outcome
from gateway_runtime.upstream.exchange import UpstreamFailure
from gateway_runtime.upstream.proxy import Proxies
from gateway_runtime.upstream.resolver import Resolver
from gateway_runtime.upstream.transport import PooledTransport
from tests.server.rawupstream import answering
from tests.upstream.scripted import Got, ask, listening, only, reset, scripted


def finding(*hosts: str) -> PooledTransport:
    """Every name has these addresses."""

    async def look_up(_: str, port: int) -> Sequence[AddrInfoType]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (host, port)) for host in hosts]

    return PooledTransport(proxies=Proxies({}), resolver=Resolver(look_up))


async def test_an_address_that_refuses_gives_way_to_the_next() -> None:
    transport = finding("127.0.0.2", "127.0.0.1")
    async with scripted(answering(b"{}")) as upstream:
        got = await ask(transport, f"http://vllm.svc:{upstream.port}/")
    await transport.close()

    assert got == Got(200, b"{}")


async def test_an_address_that_keeps_silent_is_overtaken_by_the_next() -> None:
    transport = finding("127.0.0.2", "127.0.0.1")
    async with scripted(answering(b"{}")) as upstream:
        with socket.socket() as deaf, socket.socket() as first, socket.socket() as second:
            # Nobody accepts, and the queue of those to be accepted is full: further SYNs are dropped.
            deaf.bind(("127.0.0.2", upstream.port))
            deaf.listen(0)
            for filling in (first, second):
                filling.setblocking(False)
                filling.connect_ex(("127.0.0.2", upstream.port))
            got = await ask(transport, f"http://vllm.svc:{upstream.port}/", connect_s=2.0)
    await transport.close()

    assert got == Got(200, b"{}")


async def test_when_all_addresses_refuse_it_is_told_once() -> None:
    transport = finding("127.0.0.2", "127.0.0.3")
    with pytest.raises(UpstreamFailure) as caught:
        await ask(transport, "http://vllm.svc:1/")
    await transport.close()

    assert (caught.value.outcome, caught.value.reason) == (Outcome.CONNECT_FAILED, "connection refused")


async def test_connections_spread_over_the_addresses_of_a_name() -> None:
    transport = finding("127.0.0.1", "127.0.0.2")
    peers = []

    async def handle(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peers.append(writer.get_extra_info("sockname")[0])
        writer.close()

    server = await asyncio.start_server(handle, "0.0.0.0", 0)
    url = f"http://vllm.svc:{server.sockets[0].getsockname()[1]}/"
    for _ in range(4):
        with pytest.raises(UpstreamFailure):
            await ask(transport, url)
    server.close()
    await transport.close()

    assert peers == ["127.0.0.1", "127.0.0.2"] * 2


async def test_a_refused_connection_is_told(transport: PooledTransport) -> None:
    with pytest.raises(UpstreamFailure) as caught:
        await ask(transport, "http://127.0.0.1:1/")

    assert (caught.value.outcome, caught.value.reason) == (Outcome.CONNECT_FAILED, "connection refused")
    assert (only(transport).busy, only(transport).open) == (0, 0)


async def test_a_name_that_does_not_exist_is_told(transport: PooledTransport) -> None:
    async def look_up(_: str, __: int) -> Sequence[AddrInfoType]:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    nowhere = PooledTransport(proxies=Proxies({}), resolver=Resolver(look_up))
    with pytest.raises(UpstreamFailure) as caught:
        await ask(nowhere, "http://nowhere.invalid/")
    await nowhere.close()

    assert (caught.value.outcome, caught.value.reason) == (
        Outcome.CONNECT_FAILED,
        "host name nowhere.invalid not found",
    )


async def test_the_time_to_connect_covers_the_look_up() -> None:
    async def look_up(_: str, __: int) -> Sequence[AddrInfoType]:
        await asyncio.Event().wait()
        return []

    transport = PooledTransport(proxies=Proxies({}), resolver=Resolver(look_up))
    with pytest.raises(UpstreamFailure) as caught:
        await ask(transport, "http://vllm.svc/", connect_s=0.02)
    await transport.close()

    assert (caught.value.outcome, caught.value.reason) == (
        Outcome.CONNECT_FAILED,
        "no connection within 0.02 s",
    )
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_a_server_without_tls_is_told(transport: PooledTransport) -> None:
    async def speak_plainly(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    async with listening(speak_plainly) as port:
        with pytest.raises(UpstreamFailure, match=r"^TLS failed: ") as caught:
            await ask(transport, f"https://127.0.0.1:{port}/")

    assert caught.value.outcome is Outcome.CONNECT_FAILED


async def test_a_server_that_hangs_up_in_the_handshake_is_told(transport: PooledTransport) -> None:
    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        reset(writer)

    async with listening(hang_up) as port:
        with pytest.raises(UpstreamFailure) as caught:
            await ask(transport, f"https://127.0.0.1:{port}/")

    assert (caught.value.outcome, caught.value.reason) == (Outcome.CONNECT_FAILED, "connection reset")
