"""All media of one request: a chat in, the same chat with data: URLs out, or the first reason why not.

`server` calls `MediaFetcher.inline` for wires with `needs_inline_media`. Everything is fetched at once, each
URL once, under one deadline and one bound on bytes; the first failure ends the others.

The one subtle rule: whatever goes wrong is a mistake in the request (400), also a server that does not
answer. It is the caller's server, another provider would not reach it either, and no endpoint is to blame.
"""

import asyncio
from collections.abc import Mapping
from typing import Final

from gateway_runtime.contract.errors import ErrorCode, GatewayError
from gateway_runtime.media.download import Budget, download
from gateway_runtime.media.failure import Unfetchable
from gateway_runtime.media.http import MediaHttp
from gateway_runtime.media.place import find_media, inline_media
from gateway_runtime.media.resolver import Lookup, PublicResolver
from gateway_runtime.providers.chat.request import ChatRequest

LIMIT_BYTES: Final = 20 * 1024 * 1024
"""About what providers take in one request: Anthropic 32 MB and Google 20 MB, in base64."""
LIMIT_COUNT: Final = 16
TIMEOUT_S: Final = 10.0


class MediaFetcher:
    """One for the process; used inside one event loop."""

    def __init__(
        self,
        *,
        allow_private: bool = False,
        limit_bytes: int = LIMIT_BYTES,
        limit_count: int = LIMIT_COUNT,
        timeout_s: float = TIMEOUT_S,
        lookup: Lookup | None = None,
    ) -> None:
        """allow_private: URLs may lead into our own network, but for metadata servers. limit_bytes: of a
        request's media together, before base64. limit_count: of its different URLs. timeout_s: for all of
        them. lookup: another way to find addresses; None asks the system.
        """
        self._allow_private = allow_private
        self._limit_bytes = limit_bytes
        self._limit_count = limit_count
        self._timeout_s = timeout_s
        self._lookup = lookup
        self._http: MediaHttp | None = None

    async def inline(self, chat: ChatRequest) -> ChatRequest:
        """The very same object when there is nothing to fetch. Raises GatewayError MALFORMED_BODY, which
        names the place.
        """
        places = find_media(chat)
        if not places:
            return chat
        if len(places) > self._limit_count:
            raise GatewayError(
                ErrorCode.MALFORMED_BODY,
                f"The request names {len(places)} images and files by URL, and {self._limit_count} are the "
                "most. Send fewer, or the data itself as data: URLs.",
            )
        return inline_media(chat, await self._fetch(places))

    async def close(self) -> None:
        """Fetches under way fail."""
        if self._http is not None:
            http, self._http = self._http, None
            await http.close()

    async def _fetch(self, places: Mapping[str, str]) -> dict[str, str]:
        """places: by URL. Returns data: URLs by URL. Raises GatewayError."""
        http = self._open_http()
        budget = Budget(self._limit_bytes)
        tasks: dict[str, asyncio.Task[str]] = {}
        try:
            async with asyncio.timeout(self._timeout_s), asyncio.TaskGroup() as group:
                for url, place in places.items():
                    tasks[url] = group.create_task(_fetch_one(url, place, http, budget))
        except TimeoutError as error:
            late = next(place for url, place in places.items() if tasks[url].cancelled())
            raise _build_error(late, f"it was not there within {self._timeout_s:g} s") from error
        except ExceptionGroup as failed:
            mistakes, bugs = failed.split(GatewayError)
            if mistakes is None or bugs is not None:
                raise
            raise mistakes.exceptions[0] from failed
        return {url: task.result() for url, task in tasks.items()}

    def _open_http(self) -> MediaHttp:
        if self._http is None:
            resolver = PublicResolver(allow_private=self._allow_private, lookup=self._lookup)
            self._http = MediaHttp(resolver, allow_private=self._allow_private)
        return self._http


async def _fetch_one(url: str, place: str, http: MediaHttp, budget: Budget) -> str:
    try:
        return await download(url, http, budget)
    except Unfetchable as error:
        raise _build_error(place, error.reason) from error


def _build_error(place: str, reason: str) -> GatewayError:
    """reason: a clause."""
    return GatewayError(
        ErrorCode.MALFORMED_BODY,
        f"`{place}` could not be fetched: {reason}. Give a URL that the public internet can reach, or the "
        "data itself as a data: URL.",
    )
