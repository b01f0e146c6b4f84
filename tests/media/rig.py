"""Servers of strangers, on real sockets, and short builders for chats that name things by URL."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web

from gateway_runtime.contract.errors import ErrorCode, GatewayError
from gateway_runtime.media import MediaFetcher
from gateway_runtime.providers.chat.request import (
    ChatRequest,
    File,
    FilePart,
    ImagePart,
    ImageUrl,
    Message,
    Part,
    TextPart,
)

PNG = b"\x89PNG\r\n\x1a\n-and-so-on"
PNG_DATA = "data:image/png;base64,iVBORw0KGgotYW5kLXNvLW9u"
REMEDY = "Give a URL that the public internet can reach, or the data itself as a data: URL."

Handle = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


def saying(**options: Any) -> Handle:
    """As `web.Response` takes them."""

    async def handle(_: web.BaseRequest) -> web.StreamResponse:
        return web.Response(**options)

    return handle


class Site:
    """Answers what is said by path, and remembers who came."""

    def __init__(self) -> None:
        self.pages: dict[str, Handle] = {}
        self.asked: list[web.BaseRequest] = []
        self.port = 0
        self.reached = asyncio.Event()
        self.release = asyncio.Event()
        self.open = 0
        """Requests that are being answered."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        self.asked.append(request)
        self.reached.set()
        page = self.pages.get(request.path, saying(body=PNG, content_type="image/png"))
        self.open += 1
        try:
            return await page(request)
        finally:
            self.open -= 1

    async def hang(self, _: web.BaseRequest) -> web.StreamResponse:
        await self.release.wait()
        return web.Response(body=PNG, content_type="image/png")


@asynccontextmanager
async def serving(host: str = "127.0.0.1") -> AsyncIterator[Site]:
    site = Site()
    # Without a handler that is cancelled nobody would see that a caller left.
    server = web.Server(site.handle, handler_cancellation=True)
    runner = web.ServerRunner(server, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, host, 0).start()
    site.port = runner.addresses[0][1]
    try:
        yield site
    finally:
        site.release.set()
        await runner.cleanup()


def image(url: str) -> ImagePart:
    return ImagePart(ImageUrl(url))


def file(data: str | None) -> FilePart:
    return FilePart(File(file_data=data))


def chat(*parts: Part) -> ChatRequest:
    """One user message with some text and these."""
    return ChatRequest("m", [Message("user", [TextPart("What is it?"), *parts])])


def urls(asked: ChatRequest) -> list[str]:
    """Of the images, in their order."""
    contents = [message.content for message in asked.messages if isinstance(message.content, list)]
    return [part.image_url.url for content in contents for part in content if isinstance(part, ImagePart)]


async def refusal(fetcher: MediaFetcher, asked: ChatRequest) -> str:
    """The message."""
    with pytest.raises(GatewayError) as caught:
        await fetcher.inline(asked)
    assert caught.value.code is ErrorCode.MALFORMED_BODY
    return caught.value.message


async def reason(fetcher: MediaFetcher, url: str) -> str:
    """Why a single image was not fetched."""
    message = await refusal(fetcher, chat(image(url)))
    before, _, behind = message.partition(" could not be fetched: ")
    assert before == "`messages[0].content[1].image_url.url`"
    clause, _, remedy = behind.partition(". ")
    assert remedy == REMEDY
    return clause


class Dns:
    """A name server that gives its answers in turn, and the last one again and again."""

    def __init__(self, *answers: Sequence[str] | OSError) -> None:
        self.answers = list(answers)
        self.asked: list[str] = []

    async def look_up(self, host: str, port: int) -> Sequence[str]:
        self.asked.append(host)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, OSError):
            raise answer
        return answer
