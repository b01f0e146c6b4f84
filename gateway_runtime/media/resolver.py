"""Names in strangers' URLs into addresses that may be reached: what aiohttp's connector asks.

Addresses that may not be reached are left out, and a name that has no others is as good as unknown: whether
a name exists inside our network is nobody's business.

The one subtle rule: look-ups have threads of their own. getaddrinfo cannot be stopped, and a caller with a
slow name server would otherwise hold the threads that look up our providers.
"""

import asyncio
import socket
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeAlias

from aiohttp.abc import AbstractResolver, ResolveResult

from gateway_runtime.media.network import is_allowed

THREADS: Final = 8
"""A guess: far more look-ups a second than chats with images."""

Lookup: TypeAlias = Callable[[str, int], Awaitable[Sequence[str]]]


class NoAddress(OSError):
    """The name is unknown, or has no address that may be reached."""


class PublicResolver(AbstractResolver):
    def __init__(self, *, allow_private: bool, lookup: Lookup | None = None) -> None:
        """lookup: gives addresses, raises OSError. None asks the system."""
        self._allow_private = allow_private
        self._threads = ThreadPoolExecutor(THREADS, "media look-up")
        self._lookup = lookup or self._ask_system

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """At least one. Raises NoAddress."""
        try:
            addresses = await self._lookup(host, port)
        except (OSError, UnicodeError) as error:
            raise NoAddress("no address") from error
        allowed = [address for address in addresses if is_allowed(address, allow_private=self._allow_private)]
        if not allowed:
            raise NoAddress("no address")
        return [_build_result(host, address, port) for address in dict.fromkeys(allowed)]

    async def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _ask_system(self, host: str, port: int) -> Sequence[str]:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, _look_up, host, port)


def _look_up(host: str, port: int) -> list[str]:
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG)
    return [str(address[0]) for *_, address in found]


def _build_result(host: str, address: str, port: int) -> ResolveResult:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    return ResolveResult(
        hostname=host, host=address, port=port, family=family, proto=0, flags=socket.AI_NUMERICHOST
    )
