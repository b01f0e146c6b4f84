"""The port that the parent holds and the workers share."""

import asyncio

import pytest

from gateway_runtime.workers.port import HeldPort


async def listen(port: int) -> asyncio.Server:
    loop = asyncio.get_running_loop()
    return await loop.create_server(asyncio.Protocol, "127.0.0.1", port, reuse_port=True)


async def test_several_listen_on_the_port_that_one_holds() -> None:
    held = HeldPort("127.0.0.1", 0)
    first, second = await listen(held.port), await listen(held.port)

    assert held.port == first.sockets[0].getsockname()[1] == second.sockets[0].getsockname()[1]
    first.close()
    second.close()
    held.close()


async def test_nobody_is_connected_to_the_one_that_holds_it() -> None:
    held = HeldPort("127.0.0.1", 0)

    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", held.port)
    held.close()


async def test_a_port_that_other_workers_share_is_taken() -> None:
    held = HeldPort("127.0.0.1", 0)
    other = await listen(held.port)

    with pytest.raises(OSError, match="Address already in use") as caught:
        HeldPort("127.0.0.1", held.port)

    assert caught.value.strerror == f"cannot listen on 127.0.0.1:{held.port}: Address already in use"
    other.close()
    held.close()


async def test_workers_listen_on_every_address_of_the_host_with_one_port() -> None:
    held = HeldPort("", 0)
    loop = asyncio.get_running_loop()

    server = await loop.create_server(asyncio.Protocol, "", held.port, reuse_port=True)

    assert {listening.getsockname()[1] for listening in server.sockets} == {held.port}
    server.close()
    held.close()
