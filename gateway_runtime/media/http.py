"""Strangers' servers, over aiohttp: a URL in, the answer behind all redirects out.

Each step is checked as the first one was. Whatever can go wrong becomes one Unfetchable here. aiohttp is used
and not our own transport: that one is for providers, keeps connections and obeys proxies.

    text of the URL    scheme, port, no credentials, no private address in plain sight    (`url`)
    name               addresses that may not be reached are left out                     (`resolver`)
    socket             the address that is connected to, asked once more                  (here)

The one subtle rule: the last of these is the one that holds. It sees the very address that the kernel will
get, whatever a name server said before and however a URL spells its host.
"""

import os
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Final

import aiohttp
from aiohappyeyeballs import AddrInfoType
from aiohttp.abc import AbstractResolver
from yarl import URL

from gateway_runtime.media.failure import Unfetchable
from gateway_runtime.media.kind import DOCUMENTS
from gateway_runtime.media.network import is_allowed
from gateway_runtime.media.resolver import NoAddress
from gateway_runtime.media.url import parse_url

MEDIA: Final = ", ".join(["image/*", *sorted(DOCUMENTS)])
MAX_REDIRECTS: Final = 3
CONCURRENCY: Final = 64
"""Connections of the process. More wait for their turn, within their own deadline."""
PER_HOST: Final = 16
"""So that one slow server does not hold all of them."""

_MOVED: Final = frozenset({301, 302, 303, 307, 308})
_NOWHERE: Final = "its host has no address on the public internet"
"""One clause for a name that is unknown and for one that is ours: which of them it is says what is inside."""


class MediaHttp:
    """Made and used inside a running event loop."""

    def __init__(
        self,
        resolver: AbstractResolver,
        *,
        allow_private: bool,
        accept: str = MEDIA,
        max_redirects: int = MAX_REDIRECTS,
    ) -> None:
        """resolver: closed with this. accept: the header."""
        self._allow_private = allow_private
        self._max_redirects = max_redirects
        self._resolver = resolver
        connector = aiohttp.TCPConnector(
            resolver=resolver,
            use_dns_cache=False,
            socket_factory=self._open_socket,
            limit=CONCURRENCY,
            limit_per_host=PER_HOST,
            force_close=True,  # nothing is kept of a stranger's server
        )
        self._session = aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            # A proxy would look up the name and connect by itself, where none of our checks can see it; and a
            # .netrc has no business here.
            trust_env=False,
            auto_decompress=False,
            timeout=aiohttp.ClientTimeout(total=None),  # the fetcher has one for all of a request
            headers={
                "user-agent": "headgate",
                "accept": accept,
                "accept-encoding": "identity",
            },
        )

    @asynccontextmanager
    async def get(self, text: str) -> AsyncIterator[aiohttp.ClientResponse]:
        """The answer with status 200; its body is still to be read. Raises Unfetchable, also for what goes
        wrong inside the `with`.
        """
        url = parse_url(text, base=None, allow_private=self._allow_private)
        with _mapped():
            for _ in range(self._max_redirects + 1):
                async with self._session.get(url, allow_redirects=False) as answer:
                    if answer.status not in _MOVED:
                        _check(answer)
                        yield answer
                        return
                    url = self._follow(answer, url)
        most = self._max_redirects
        raise Unfetchable(
            f"it was redirected more than {most} times"
            if most
            else "its server redirects, which is not followed"
        )

    async def close(self) -> None:
        await self._session.close()
        await self._resolver.close()

    def _follow(self, answer: aiohttp.ClientResponse, url: URL) -> URL:
        location = answer.headers.get("location")
        if location is None:
            raise Unfetchable("its server redirects to nowhere")
        try:
            return parse_url(location, base=url, allow_private=self._allow_private)
        except Unfetchable as error:
            raise Unfetchable(f"it was redirected, and there {error.reason}") from error

    def _open_socket(self, info: AddrInfoType) -> socket.socket:
        family, kind, protocol, _, address = info
        if not is_allowed(str(address[0]), allow_private=self._allow_private):
            raise NoAddress("no address")
        return socket.socket(family, kind, protocol)


def _check(answer: aiohttp.ClientResponse) -> None:
    if answer.status != 200:
        raise Unfetchable(f"its server answered {answer.status}")
    if answer.headers.get("content-encoding", "identity").lower() != "identity":
        raise Unfetchable("its server compressed it, although it was asked not to")


@contextmanager
def _mapped() -> Iterator[None]:
    """Most specific first."""
    try:
        yield
    except aiohttp.ClientConnectorDNSError as error:
        raise Unfetchable(_NOWHERE) from error
    except aiohttp.ClientConnectorCertificateError as error:
        raise Unfetchable("its server's certificate is not accepted") from error
    except aiohttp.ClientConnectorSSLError as error:
        raise Unfetchable("its server does not speak TLS as we do") from error
    except aiohttp.ClientConnectorError as error:
        raise Unfetchable(_describe(error.os_error)) from error
    except (aiohttp.ClientPayloadError, aiohttp.ClientConnectionError) as error:
        raise Unfetchable("its server hung up") from error
    except aiohttp.ClientError as error:
        raise Unfetchable("its server does not speak HTTP") from error


def _describe(error: OSError) -> str:
    """Not its text, in which addresses are."""
    if isinstance(error, NoAddress):
        return _NOWHERE
    why = f": {os.strerror(error.errno).lower()}" if error.errno else ""
    return f"there is no connection to its server{why}"
