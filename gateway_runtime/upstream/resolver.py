"""Names into addresses, remembered: a host and a port in, socket addresses in the order to try them out.

`dial` calls `resolve` for each new connection and tells with `note_winner` how it went; `transport` owns the
one Resolver of the process.

    younger than TTL_S       as it is
    younger than STALE_S     as it is, while it is looked up anew behind the caller's back
    older                    looked up first; as it is when that fails

The one subtle rule: DNS that is down never makes an address wrong that was right. Only a name that was never
found is an error.
"""

import asyncio
import ipaddress
import socket
from collections import deque
from collections.abc import Awaitable, Callable, Collection, Sequence
from itertools import chain, zip_longest
from typing import Final, TypeAlias

from aiohappyeyeballs import AddrInfoType

from gateway_runtime.engine.retry import Outcome
from gateway_runtime.upstream.exchange import UpstreamFailure
from gateway_runtime.upstream.origin import is_address

TTL_S: Final = 30.0
"""getaddrinfo does not tell the records' own: this is that of CoreDNS in a cluster, and near those of
providers behind CDNs.
"""

STALE_S: Final = 300.0
"""After so long without a new connection the addresses of a cluster are likely others; a guess."""

AGAIN_S: Final = 5.0
"""After a failed look-up; glibc's own patience with one name server."""

AVOID_S: Final = 30.0
"""How long an address that failed, or was overtaken, comes last. A guess: as long as an answer is fresh."""

Lookup: TypeAlias = Callable[[str, int], Awaitable[Sequence[AddrInfoType]]]


class Resolver:
    def __init__(self, lookup: Lookup | None = None, now: Callable[[], float] | None = None) -> None:
        """lookup: raises OSError. now: seconds, monotonic."""
        self._lookup = lookup or look_up
        self._now = now or asyncio.get_running_loop().time
        self._names: dict[tuple[str, int], _Name] = {}
        self._avoided: dict[AddrInfoType, float] = {}
        """To the time until which."""
        self._refreshing: set[asyncio.Task[OSError | None]] = set()

    async def resolve(self, host: str, port: int) -> list[AddrInfoType]:
        """At least one. Raises UpstreamFailure."""
        if is_address(host):
            return [_build_address(host, port)]
        name = self._names.get((host, port))
        if name is None:
            name = self._names[host, port] = _Name()
        now = self._now()
        age_s = now - name.found_s
        if age_s >= TTL_S and (name.refresh is not None or now >= name.again_s):
            refresh = name.refresh or self._start_refresh(host, port, name)
            if age_s >= STALE_S:
                await asyncio.wait([refresh])  # whoever leaves does not stop it
                if refresh.cancelled():
                    raise UpstreamFailure(Outcome.CANCELLED, "the gateway stops")
                error = refresh.result()
                if error is not None and not name.families:
                    raise _describe_failure(host, error) from error
        return self._order(name)

    def note_winner(self, tried: Sequence[AddrInfoType], winner: int) -> None:
        """tried[winner] was reached first; those before it failed or were slow. `len(tried)`: none."""
        until_s = self._now() + AVOID_S
        for address in tried[:winner]:
            self._avoided[address] = until_s
        for address in tried[winner : winner + 1]:
            self._avoided.pop(address, None)

    def retain(self, hosts: Collection[tuple[str, int]]) -> None:
        """Forgets all other names."""
        self._names = {key: name for key, name in self._names.items() if key in hosts}
        now = self._now()
        self._avoided = {address: until_s for address, until_s in self._avoided.items() if now < until_s}

    async def close(self) -> None:
        for task in self._refreshing:
            task.cancel()
        await asyncio.gather(*self._refreshing, return_exceptions=True)

    def _start_refresh(self, host: str, port: int, name: "_Name") -> asyncio.Task[OSError | None]:
        name.refresh = asyncio.create_task(self._refresh(host, port, name), name=f"look up {host}")
        self._refreshing.add(name.refresh)
        name.refresh.add_done_callback(self._refreshing.discard)
        return name.refresh

    async def _refresh(self, host: str, port: int, name: "_Name") -> OSError | None:
        try:
            addresses = await self._lookup(host, port)
        except OSError as error:
            # A name that is not known at all is asked for again each time: nobody should wait for nothing.
            name.again_s = self._now() + (AGAIN_S if name.families else 0.0)
            return error
        else:
            name.set(addresses, self._now())
            return None
        finally:
            name.refresh = None

    def _order(self, name: "_Name") -> list[AddrInfoType]:
        """Each call begins one address further on in each family; the families take turns, the one that the
        system prefers first (RFC 8305, 4); what is avoided comes last.
        """
        rounds = zip_longest(*name.families)
        addresses = [address for address in chain.from_iterable(rounds) if address is not None]
        for family in name.families:
            family.rotate(-1)
        now = self._now()
        return sorted(addresses, key=lambda address: self._avoided.get(address, 0.0) > now)


class _Name:
    def __init__(self) -> None:
        self.families: list[deque[AddrInfoType]] = []
        """The addresses, apart by family, in the system's order (RFC 6724)."""
        self.found_s = float("-inf")
        self.again_s = float("-inf")
        """When a look-up may be tried again after one that failed."""
        self.refresh: asyncio.Task[OSError | None] | None = None

    def set(self, addresses: Sequence[AddrInfoType], now: float) -> None:
        by_family: dict[int, deque[AddrInfoType]] = {}
        for address in dict.fromkeys(addresses):
            by_family.setdefault(address[0], deque()).append(address)
        self.families = list(by_family.values())
        self.found_s = now


async def look_up(host: str, port: int) -> Sequence[AddrInfoType]:
    """The system's own way, in a thread."""
    loop = asyncio.get_running_loop()
    return await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG)


def _build_address(host: str, port: int) -> AddrInfoType:
    if ipaddress.ip_address(host).version == 6:
        return socket.AF_INET6, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (host, port, 0, 0)
    return socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (host, port)


def _describe_failure(host: str, error: OSError) -> UpstreamFailure:
    if isinstance(error, socket.gaierror) and error.errno in (socket.EAI_NONAME, socket.EAI_NODATA):
        return UpstreamFailure(Outcome.CONNECT_FAILED, f"host name {host} not found")
    problem = (error.strerror or str(error)).lower()
    return UpstreamFailure(Outcome.CONNECT_FAILED, f"host name {host} could not be looked up: {problem}")
