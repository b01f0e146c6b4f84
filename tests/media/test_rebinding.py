"""Names that lead into our network, and name servers that change their mind."""

import socket

import pytest
from aiohttp.abc import ResolveResult

from gateway_runtime.media import MediaFetcher
from gateway_runtime.media.failure import Unfetchable
from gateway_runtime.media.http import MediaHttp
from gateway_runtime.media.resolver import PublicResolver
from tests.media.rig import PNG_DATA, Dns, Site, chat, image, reason, saying, urls

NOWHERE = "its host has no address on the public internet"


async def why(url: str, dns: Dns, *, allow_private: bool = False) -> str:
    fetcher = MediaFetcher(lookup=dns.look_up, allow_private=allow_private)
    try:
        return await reason(fetcher, url)
    finally:
        await fetcher.close()


@pytest.mark.parametrize(
    "answer",
    [
        ["127.0.0.1"],
        ["10.0.0.1", "192.168.0.1"],
        ["::1"],
        ["::ffff:127.0.0.1"],
        ["169.254.169.254"],
        ["fe80::1%lo"],
        [],
        socket.gaierror(socket.EAI_NONAME, "Name or service not known"),
        socket.gaierror(socket.EAI_AGAIN, "Temporary failure"),
    ],
    ids=str,
)
async def test_a_name_of_our_network_and_one_that_nobody_knows_look_the_same(
    site: Site, answer: list[str] | OSError
) -> None:
    assert await why(f"http://internal.example:{site.port}/", Dns(answer)) == NOWHERE
    assert site.asked == []


async def test_a_name_server_that_changes_its_mind_is_asked_once(site: Site) -> None:
    """No address for the one who checks and another for the one who connects: there is one of them."""
    good_first, bad_first = Dns(["127.0.0.1"], ["169.254.169.254"]), Dns(["169.254.169.254"], ["127.0.0.1"])
    fetcher = MediaFetcher(lookup=good_first.look_up, allow_private=True)
    inlined = await fetcher.inline(chat(image(f"http://rebinding.example:{site.port}/good")))
    await fetcher.close()

    assert urls(inlined) == [PNG_DATA]
    assert await why(f"http://rebinding.example:{site.port}/bad", bad_first, allow_private=True) == NOWHERE
    assert good_first.asked == bad_first.asked == ["rebinding.example"]
    assert [request.path for request in site.asked] == ["/good"]


async def test_each_step_of_a_redirect_is_looked_up_and_checked_by_itself(site: Site) -> None:
    """allow_private, so that the first step can be reached; metadata servers are refused all the same."""
    url = f"http://outside.example:{site.port}"
    site.pages["/a"] = saying(status=302, headers={"location": f"{url}/b"})
    dns = Dns(["127.0.0.1"], ["169.254.169.254"])

    assert await why(f"{url}/a", dns, allow_private=True) == NOWHERE
    assert dns.asked == ["outside.example"] * 2
    assert [request.path for request in site.asked] == ["/a"]


async def test_of_several_addresses_those_that_may_be_reached_are_used(site: Site) -> None:
    dns = Dns(["169.254.169.254", "127.0.0.1", "127.0.0.1"])
    fetcher = MediaFetcher(lookup=dns.look_up, allow_private=True)
    inlined = await fetcher.inline(chat(image(f"http://both.example:{site.port}/")))
    await fetcher.close()

    assert urls(inlined) == [PNG_DATA]


async def test_the_systems_own_names_are_checked_too(strict: MediaFetcher, site: Site) -> None:
    assert await reason(strict, f"http://localhost:{site.port}/") == NOWHERE
    assert await reason(strict, f"http://0x7f.1:{site.port}/") == NOWHERE
    assert await reason(strict, f"http://x..y:{site.port}/") == NOWHERE
    assert site.asked == []


async def test_the_systems_own_names_are_found(fetcher: MediaFetcher, site: Site) -> None:
    assert urls(await fetcher.inline(chat(image(f"http://localhost:{site.port}/")))) == [PNG_DATA]


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]", "[::ffff:127.0.0.1]", "0.0.0.0"])
async def test_an_address_in_plain_sight_is_refused(strict: MediaFetcher, site: Site, host: str) -> None:
    assert await reason(strict, f"http://{host}:{site.port}/") == "its host is not on the public internet"
    assert site.asked == []


class LyingResolver(PublicResolver):
    """What a resolver with a hole in it would give."""

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        return [
            {
                "hostname": host,
                "host": "127.0.0.1",
                "port": port,
                "family": socket.AF_INET,
                "proto": 0,
                "flags": 0,
            }
        ]


async def test_the_socket_itself_refuses_what_came_past_everything_else(site: Site) -> None:
    http = MediaHttp(LyingResolver(allow_private=False), allow_private=False)
    with pytest.raises(Unfetchable) as caught:
        async with http.get(f"http://public.example:{site.port}/"):
            pass
    await http.close()

    assert caught.value.reason == NOWHERE
    assert site.asked == []
