"""Names and addresses: remembered, refreshed behind the back, kept when DNS is down, taken in turns."""

import asyncio
import socket
from collections.abc import Sequence

import pytest
from aiohappyeyeballs import AddrInfoType

from gateway_runtime.engine.retry import Outcome
from gateway_runtime.upstream.exchange import UpstreamFailure
from gateway_runtime.upstream.resolver import AGAIN_S, AVOID_S, STALE_S, TTL_S, Resolver


def v4(host: str) -> AddrInfoType:
    return socket.AF_INET, socket.SOCK_STREAM, 6, "", (host, 80)


def v6(host: str) -> AddrInfoType:
    return socket.AF_INET6, socket.SOCK_STREAM, 6, "", (host, 80, 0, 0)


A, B, C = v4("10.0.0.1"), v4("10.0.0.2"), v4("10.0.0.3")
NOT_FOUND = socket.gaierror(socket.EAI_NONAME, "Name or service not known")
DOWN = socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")


class Dns:
    """A clock and a name server."""

    def __init__(self, *addresses: AddrInfoType) -> None:
        self.now = 1000.0
        self.addresses: Sequence[AddrInfoType] = addresses
        self.error: OSError | None = None
        self.asked = 0
        self.open = asyncio.Event()
        self.open.set()
        self.resolver = Resolver(self.look_up, lambda: self.now)

    async def look_up(self, host: str, port: int) -> Sequence[AddrInfoType]:
        self.asked += 1
        await self.open.wait()
        if self.error is not None:
            raise self.error
        return self.addresses

    async def first(self) -> AddrInfoType:
        return (await self.resolver.resolve("vllm.svc", 80))[0]

    async def settle(self) -> None:
        """Lets a look-up behind the back come to its end."""
        for _ in range(5):
            await asyncio.sleep(0)


async def test_a_fresh_answer_is_not_asked_for_again() -> None:
    dns = Dns(A)
    await dns.first()
    dns.now += TTL_S - 1
    await dns.first()

    assert dns.asked == 1


async def test_an_address_is_no_question() -> None:
    dns = Dns(A)

    assert await dns.resolver.resolve("127.0.0.1", 80) == [v4("127.0.0.1")]
    assert await dns.resolver.resolve("::1", 80) == [v6("::1")]
    assert dns.asked == 0


async def test_an_older_answer_is_used_while_it_is_looked_up_anew() -> None:
    dns = Dns(A)
    await dns.first()
    dns.addresses, dns.now = [B], dns.now + TTL_S
    before = await dns.first()
    await dns.settle()
    after = await dns.first()

    assert (before, after, dns.asked) == (A, B, 2)


async def test_an_answer_that_is_much_older_is_looked_up_first() -> None:
    dns = Dns(A)
    await dns.first()
    dns.addresses, dns.now = [B], dns.now + STALE_S

    assert await dns.first() == B


@pytest.mark.parametrize("age_s", [TTL_S, STALE_S, 100 * STALE_S])
async def test_what_was_found_once_is_used_while_dns_is_down(age_s: float) -> None:
    dns = Dns(A)
    await dns.first()
    dns.error, dns.now = DOWN, dns.now + age_s
    found = [await dns.first()]
    await dns.settle()
    found.append(await dns.first())

    assert (found, dns.asked) == ([A, A], 2)


async def test_dns_that_is_down_is_asked_again_after_a_while() -> None:
    dns = Dns(A)
    await dns.first()
    dns.error, dns.now = DOWN, dns.now + STALE_S
    await dns.first()
    dns.addresses, dns.error, dns.now = [B], None, dns.now + AGAIN_S

    assert await dns.first() == B


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (NOT_FOUND, "host name vllm.svc not found"),
        (DOWN, "host name vllm.svc could not be looked up: temporary failure in name resolution"),
    ],
)
async def test_a_name_that_was_never_found_is_told_and_asked_for_again_at_once(
    error: OSError, reason: str
) -> None:
    dns = Dns(A)
    dns.error = error
    with pytest.raises(UpstreamFailure) as caught:
        await dns.first()
    dns.error = None

    assert (caught.value.outcome, caught.value.reason) == (Outcome.CONNECT_FAILED, reason)
    assert await dns.first() == A


async def test_many_who_ask_at_once_ask_once() -> None:
    dns = Dns(A)
    dns.open.clear()
    asking = [asyncio.create_task(dns.first()) for _ in range(5)]
    await dns.settle()
    dns.open.set()

    assert await asyncio.gather(*asking) == [A] * 5
    assert dns.asked == 1


async def test_one_who_leaves_does_not_stop_the_look_up_of_the_others() -> None:
    dns = Dns(A)
    dns.open.clear()
    leaving, staying = asyncio.create_task(dns.first()), asyncio.create_task(dns.first())
    await dns.settle()
    leaving.cancel()
    await dns.settle()
    dns.open.set()

    assert await staying == A


async def test_connections_are_spread_over_all_addresses() -> None:
    dns = Dns(A, B, C)

    assert [await dns.first() for _ in range(4)] == [A, B, C, A]


async def test_families_take_turns_and_the_systems_choice_goes_first() -> None:
    dns = Dns(v6("2001:db8::1"), v6("2001:db8::2"), A, B)

    assert await dns.resolver.resolve("x", 80) == [v6("2001:db8::1"), A, v6("2001:db8::2"), B]
    assert await dns.resolver.resolve("x", 80) == [v6("2001:db8::2"), B, v6("2001:db8::1"), A]


async def test_an_address_that_failed_comes_last_for_a_while() -> None:
    dns = Dns(A, B)
    tried = await dns.resolver.resolve("x", 80)
    dns.resolver.note_winner(tried, 1)
    soon = [(await dns.resolver.resolve("x", 80))[0] for _ in range(2)]
    dns.now += AVOID_S
    later = {(await dns.resolver.resolve("x", 80))[0] for _ in range(2)}

    assert soon == [B, B]
    assert later == {A, B}


async def test_an_address_that_works_again_is_forgiven_at_once() -> None:
    dns = Dns(A, B)
    dns.resolver.note_winner([A, B], 2)
    dns.resolver.note_winner([A, B], 0)

    assert (await dns.resolver.resolve("x", 80))[0] == A


async def test_names_that_are_not_used_are_forgotten() -> None:
    dns = Dns(A)
    await dns.first()
    dns.resolver.retain({("other", 80)})
    await dns.first()

    assert dns.asked == 2


async def test_closing_ends_look_ups_behind_the_back() -> None:
    dns = Dns(A)
    await dns.first()
    dns.open.clear()
    dns.now += TTL_S
    await dns.first()
    await dns.resolver.close()

    assert asyncio.all_tasks() == {asyncio.current_task()}
