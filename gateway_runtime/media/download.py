"""One URL's data: fetched, counted while it comes, and written as a data: URL (RFC 2397)."""

import base64

import aiohttp

from gateway_runtime.media.failure import Unfetchable
from gateway_runtime.media.http import MediaHttp
from gateway_runtime.media.kind import guess_kind, read_kind


class Budget:
    """Bytes that a request's media may have together."""

    def __init__(self, limit_bytes: int) -> None:
        self._limit_bytes = limit_bytes
        self._left_bytes = limit_bytes

    def check(self, size: int) -> None:
        """Before so much is read. Raises Unfetchable."""
        if size > self._left_bytes:
            raise Unfetchable(f"what the request names by URL has more than {self._limit_bytes} bytes in all")

    def spend(self, size: int) -> None:
        """Raises Unfetchable."""
        self.check(size)
        self._left_bytes -= size


async def download(url: str, http: MediaHttp, budget: Budget) -> str:
    """A data: URL. Raises Unfetchable."""
    async with http.get(url) as answer:
        kind = read_kind(answer.headers.get("content-type", ""))
        data = await _read(answer, budget)
    if not data:
        raise Unfetchable("its server sent nothing")
    return f"data:{kind or guess_kind(data)};base64,{base64.b64encode(data).decode()}"


async def _read(answer: aiohttp.ClientResponse, budget: Budget) -> bytearray:
    budget.check(answer.content_length or 0)
    data = bytearray()
    async for chunk in answer.content.iter_any():
        budget.spend(len(chunk))
        data += chunk
    return data
