"""Callers: many clients at once, each sending one request after the other, and what became of every one of
them.

In: the gateways' URLs, an API key, how many of what. Out: `Tally`. A completion counts as good with status
200 and a whole answer; a stream with its `[DONE]` as the last event. Anything else is kept word for word, up
to a few, for the failure report.
"""

import asyncio
import itertools
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import aiohttp

_DONE = "data: [DONE]"


@dataclass
class Tally:
    completions: int = 0
    streams: int = 0
    failures: int = 0
    first_failures: list[str] = field(default_factory=list)
    by_provider: dict[str, int] = field(default_factory=dict)

    def fail(self, what: str) -> None:
        self.failures += 1
        if len(self.first_failures) < 5:
            self.first_failures.append(what)


class Callers:
    """`clients` at once over all the URLs, until `total` requests are answered or `stop` is called."""

    def __init__(
        self,
        urls: Sequence[str],
        key: str,
        *,
        model: str = "gpt-4o-mini",
        clients: int = 64,
        stream_every: int = 40,
    ) -> None:
        self.tally = Tally()
        self._urls = tuple(urls)
        self._headers = {"Authorization": f"Bearer {key}"}
        self._body = {"model": model, "messages": [{"role": "user", "content": "Hello, how are you today?"}]}
        self._clients = clients
        self._stream_every = stream_every
        self._stopping = False

    def stop(self) -> None:
        self._stopping = True

    async def run(
        self, total: int | None = None, *, on_answer: Callable[[int], None] = lambda _: None
    ) -> Tally:
        """`total` None: until `stop`. `on_answer` is told the count so far after each answer."""
        numbers: Iterator[int] = itertools.count() if total is None else iter(range(total))
        connector = aiohttp.TCPConnector(limit=self._clients)
        timeout = aiohttp.ClientTimeout(total=60)
        async with (
            aiohttp.ClientSession(connector=connector, timeout=timeout, headers=self._headers) as session,
            asyncio.TaskGroup() as group,
        ):
            for client in range(self._clients):
                url = self._urls[client % len(self._urls)]
                group.create_task(self._call(session, url, numbers, on_answer))
        return self.tally

    async def _call(
        self,
        session: aiohttp.ClientSession,
        url: str,
        numbers: Iterator[int],
        on_answer: Callable[[int], None],
    ) -> None:
        for number in numbers:
            if self._stopping:
                return
            try:
                if number % self._stream_every == 0:
                    await self._stream(session, url)
                else:
                    await self._complete(session, url)
            except (aiohttp.ClientError, TimeoutError) as error:
                self.tally.fail(f"{type(error).__name__}: {error}")
            on_answer(self.tally.completions + self.tally.streams)

    async def _complete(self, session: aiohttp.ClientSession, url: str) -> None:
        async with session.post(f"{url}/v1/chat/completions", json=self._body) as answer:
            text = await answer.text()
            if answer.status == 200 and json.loads(text)["choices"][0]["message"]["content"]:
                self.tally.completions += 1
                self._note_provider(answer)
            else:
                self.tally.fail(f"{answer.status} {text}")

    async def _stream(self, session: aiohttp.ClientSession, url: str) -> None:
        async with session.post(f"{url}/v1/chat/completions", json={**self._body, "stream": True}) as answer:
            text = await answer.text()
            if answer.status == 200 and text.rstrip().endswith(_DONE) and '"error"' not in text:
                self.tally.streams += 1
                self._note_provider(answer)
            else:
                self.tally.fail(f"stream: {answer.status} {text[-300:]}")

    def _note_provider(self, answer: aiohttp.ClientResponse) -> None:
        provider = answer.headers.get("x-headgate-provider", "")
        self.tally.by_provider[provider] = self.tally.by_provider.get(provider, 0) + 1
