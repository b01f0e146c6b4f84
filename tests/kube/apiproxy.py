"""An HTTP proxy before the API server: faults inside the protocol, and requests counted at the client's end.

In: `Access` to an API server. Out: the same access by plain http, with every request noted, and rules (see
`apirules`) that answer in the server's place: a 429, a 500, or a watch that begins or ends with the event
"410 Gone". Used through the fixture `apiproxy`. Plain http because a proxy that reads requests must end TLS
anyway; clients send their tokens over http, too, when the kubeconfig says http. `FaultProxy` is the one for
broken connections.

A request that the API server does not answer, or only in part, is a connection that breaks, as it would be
without this proxy between. The methods may be called from any thread.
"""

from __future__ import annotations

import asyncio
import ssl
import threading
from collections import Counter
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import Self

import aiohttp
from aiohttp import web
from multidict import CIMultiDict, CIMultiDictProxy
from yarl import URL

from tests.kube.access import Access
from tests.kube.apirequest import ApiRequest, parse_api_request
from tests.kube.apirules import EXPIRED, Action, Match, Rule, WatchError
from tests.kube.loopthread import LoopThread
from tests.kube.ports import HOST, ReservedPort

HOP_BY_HOP = frozenset({"connection", "host", "keep-alive", "transfer-encoding", "upgrade"})
"""Not passed on: RFC 9110, section 7.6.1."""


class ApiProxy:
    """Serves from construction to `close`."""

    def __init__(self, access: Access) -> None:
        self._upstream = access
        self._port = ReservedPort()
        self.url = f"http://{HOST}:{self._port.number}"
        self._rules: list[Rule] = []
        self._requests: list[ApiRequest] = []
        self._watches: dict[asyncio.Future[WatchError], ApiRequest] = {}
        self._changed = threading.Condition()
        self._thread = LoopThread(f"api-proxy-{self._port.number}")
        self._session, self._runner = self._thread.run(self._start())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<ApiProxy {self.url} to {self._upstream.server}, {len(self._requests)} requests>"

    @property
    def access(self) -> Access:
        """As the user that the proxy was made for; requests pass on whatever token they bring."""
        return self._upstream.through(self.url)

    @property
    def requests(self) -> list[ApiRequest]:
        """All so far, in order, watches from their beginning, also those that a rule answered."""
        with self._changed:
            return list(self._requests)

    @property
    def open_watches(self) -> list[ApiRequest]:
        with self._changed:
            return list(self._watches.values())

    def count(self, match: Match = lambda _: True) -> int:
        return sum(map(match, self.requests))

    def counts(self) -> Counter[tuple[str, str]]:
        """Requests so far by (verb, path)."""
        return Counter((request.verb, request.path) for request in self.requests)

    def on(self, match: Match, action: Action, times: int | None = None) -> Rule:
        """Let `action` answer requests that match, the first `times` of them, None for all.

        A `WatchError` takes watches only. The oldest rule that applies acts, on the proxy's thread.
        """
        rule = Rule(match, action, times)
        with self._changed:
            self._rules.append(rule)
        return rule

    def end_watches(self, error: WatchError = EXPIRED, match: Match = lambda _: True) -> int:
        """Send `error` into the watches that are open now, and end them; how many those were."""
        return self._thread.call(lambda: self._end_watches(error, match))

    def wait_until(self, is_so: Callable[[ApiProxy], bool], timeout_s: float = 10) -> None:
        """Until `is_so(self)`, asked when a request comes or a watch opens or ends. Raises `TimeoutError`."""
        with self._changed:
            if not self._changed.wait_for(lambda: is_so(self), timeout_s):
                raise TimeoutError(f"not within {timeout_s} s: {self!r}, {self.counts()}")

    def close(self) -> None:
        self._thread.run(self._stop())
        self._thread.close()
        self._port.close()

    async def _start(self) -> tuple[aiohttp.ClientSession, web.ServerRunner]:
        tls = ssl.create_default_context(cadata=self._upstream.ca_pem) if self._upstream.ca_pem else True
        session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, ssl=tls),
            timeout=aiohttp.ClientTimeout(total=None),  # watches have no end
            auto_decompress=False,
            skip_auto_headers=("Accept", "Accept-Encoding", "User-Agent", "Content-Type"),
        )
        server = web.Server(self._handle, handler_cancellation=True, access_log=None)
        # Watches that are open at the end are cut. To aiohttp, 0 would mean for ever.
        runner = web.ServerRunner(server, shutdown_timeout=0.01)
        await runner.setup()
        await web.SockSite(runner, self._port.socket()).start()
        return session, runner

    async def _stop(self) -> None:
        await self._runner.cleanup()
        await self._session.close()

    async def _handle(self, incoming: web.BaseRequest) -> web.StreamResponse:
        request = parse_api_request(incoming.method, incoming.path, dict(incoming.query))
        action = self._note(request)
        return await self._forward(incoming, request) if action is None else action.answer()

    def _note(self, request: ApiRequest) -> Action | None:
        with self._changed:
            self._requests.append(request)
            self._changed.notify_all()
            rule = next((rule for rule in self._rules if rule.applies(request)), None)
            if rule is None:
                return None
            rule.hits += 1
            if rule.left is not None:
                rule.left -= 1
            return rule.action

    async def _forward(self, incoming: web.BaseRequest, request: ApiRequest) -> web.StreamResponse:
        outgoing = web.StreamResponse()
        try:
            async with self._session.request(
                incoming.method,
                URL(self._upstream.server + incoming.raw_path, encoded=True),
                headers=_passed_on(incoming.headers),
                data=await incoming.read() or None,
                allow_redirects=False,
            ) as answer:
                outgoing = web.StreamResponse(status=answer.status, headers=_passed_on(answer.headers))
                await outgoing.prepare(incoming)
                await self._pass_on(answer, outgoing, request)
        except (OSError, aiohttp.ClientError):  # of either side: the other one's breaks, too
            if incoming.transport is not None:
                incoming.transport.abort()
        return outgoing

    async def _pass_on(
        self, answer: aiohttp.ClientResponse, outgoing: web.StreamResponse, request: ApiRequest
    ) -> None:
        watching = request.verb == "watch" and answer.status == 200
        try:
            async with aclosing(
                self._events(answer.content, request) if watching else _chunks(answer.content)
            ) as chunks:
                async for chunk in chunks:
                    await outgoing.write(chunk)
            await outgoing.write_eof()
        finally:
            # What is unfinished is not closed but aborted: TLS would wait for the server's goodbye, perhaps
            # for longer than this proxy's loop lives.
            if answer.connection is not None and answer.connection.transport is not None:
                answer.connection.transport.abort()

    async def _events(
        self, content: aiohttp.StreamReader, request: ApiRequest
    ) -> AsyncGenerator[bytes, None]:
        """Whole events only, so that an injected one does not land inside another."""
        ended: asyncio.Future[WatchError] = asyncio.get_running_loop().create_future()
        self._set_watch(ended, request)
        begun = b""
        try:
            while True:
                reading = asyncio.ensure_future(content.readany())
                try:
                    await asyncio.wait((reading, ended), return_when=asyncio.FIRST_COMPLETED)
                    if not reading.done():
                        yield ended.result().line()
                        return
                    chunk = reading.result()
                finally:
                    reading.cancel()
                if not chunk:
                    yield begun
                    return
                whole, newline, begun = (begun + chunk).rpartition(b"\n")
                if newline:
                    yield whole + newline
        finally:
            self._set_watch(ended, None)

    def _set_watch(self, ended: asyncio.Future[WatchError], request: ApiRequest | None) -> None:
        with self._changed:
            if request is None:
                del self._watches[ended]
            else:
                self._watches[ended] = request
            self._changed.notify_all()

    def _end_watches(self, error: WatchError, match: Match) -> int:
        with self._changed:
            matching = [
                ended for ended, request in self._watches.items() if not ended.done() and match(request)
            ]
        for ended in matching:
            ended.set_result(error)
        return len(matching)


async def _chunks(content: aiohttp.StreamReader) -> AsyncGenerator[bytes, None]:
    while chunk := await content.readany():
        yield chunk


def _passed_on(headers: CIMultiDictProxy[str]) -> CIMultiDict[str]:
    return CIMultiDict((name, value) for name, value in headers.items() if name.lower() not in HOP_BY_HOP)
