"""A JSON document behind a URL that somebody else wrote: who may sign a caller's tokens, above all.

`server.issuers` asks. All that `http` says of strangers' servers holds here, and the document has to come
over TLS, with a certificate of the system's authorities; in the clear from this very machine alone. Redirects
are not followed: who is believed depends on it.
"""

from ipaddress import ip_address
from typing import Final, NamedTuple

import aiohttp

from gateway_runtime.media.failure import Unfetchable
from gateway_runtime.media.http import MediaHttp
from gateway_runtime.media.resolver import Lookup, PublicResolver
from gateway_runtime.media.url import parse_url

JSON: Final = "application/json, application/jwk-set+json;q=0.9, */*;q=0.5"


class FetchedDocument(NamedTuple):
    body: bytes
    cache_control: str
    """The header; empty where there was none."""


class DocumentFetcher:
    """One for the process; used inside one event loop."""

    def __init__(self, *, allow_private: bool = False, lookup: Lookup | None = None) -> None:
        """allow_private: URLs may lead into our own network, but for metadata servers. lookup: another way to
        find addresses; None asks the system.
        """
        self._allow_private = allow_private
        self._lookup = lookup
        self._http: MediaHttp | None = None

    async def fetch(self, url: str, limit_bytes: int) -> FetchedDocument:
        """Without a deadline. Raises Unfetchable."""
        parsed = parse_url(url, base=None, allow_private=self._allow_private)
        if parsed.scheme != "https" and not _is_this_machine(parsed.raw_host or ""):
            raise Unfetchable("its URL does not begin with https://")
        async with self._open_http().get(url) as answer:
            body = await _read(answer, limit_bytes)
            return FetchedDocument(body, answer.headers.get("cache-control", ""))

    async def close(self) -> None:
        """Fetches under way fail."""
        if self._http is not None:
            http, self._http = self._http, None
            await http.close()

    def _open_http(self) -> MediaHttp:
        if self._http is None:
            resolver = PublicResolver(allow_private=self._allow_private, lookup=self._lookup)
            self._http = MediaHttp(resolver, allow_private=self._allow_private, accept=JSON, max_redirects=0)
        return self._http


async def _read(answer: aiohttp.ClientResponse, limit_bytes: int) -> bytes:
    data = bytearray()
    async for chunk in answer.content.iter_any():
        data += chunk
        if len(data) > limit_bytes:
            raise Unfetchable(f"it has more than {limit_bytes} bytes")
    return bytes(data)


def _is_this_machine(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
