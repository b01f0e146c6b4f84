"""The provider of `exact`: it answers as its script says, and writes down what has come and what that used.

It runs in the benchmark's own process, so that all its times are of one clock. In: chats in OpenAI's words.
Out: `arrivals`, in the order of their coming; what was used is drawn at the arrival and told with the answer.
"""

import asyncio
import json
import random
import socket
import time
from typing import Final, NamedTuple

from aiohttp import web

from bench.speed.process import HOST

_BACKLOG: Final = 1024
_ANSWER: Final = "Roll back with the command of section four, and keep one pod out of rotation."
_IDENTITY: Final = {"id": "chatcmpl-bench", "created": 1_760_000_000, "model": "gpt-4o-mini-2024-07-18"}


class Script(NamedTuple):
    input_tokens: int
    least_output_tokens: int
    most_output_tokens: int
    latency_s: float
    """To the first byte."""
    chunks: int = 0
    """Of each stream; 0: there are none."""
    chunk_s: float = 0.0
    """From one to the next."""

    @property
    def mean_output_tokens(self) -> float:
        return (self.least_output_tokens + self.most_output_tokens) / 2


class Arrival(NamedTuple):
    at_s: float
    """Of the monotonic clock."""
    input_tokens: int
    output_tokens: int


class Upstream:
    def __init__(self, script: Script, draw: random.Random) -> None:
        self.arrivals: list[Arrival] = []
        # Open before the gateways are, which would not like to find nobody.
        self._socket = socket.create_server((HOST, 0), backlog=_BACKLOG)
        self.port: Final = int(self._socket.getsockname()[1])
        self._script = script
        self._draw = draw
        app = web.Application()
        app.router.add_post("/v1/chat/completions", self._answer)
        app.router.add_get("/v1/models", self._list_models)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)

    async def start(self) -> None:
        """Until now whoever came has waited."""
        await self._runner.setup()
        await web.SockSite(self._runner, self._socket).start()

    async def stop(self) -> None:
        await self._runner.cleanup()

    def close(self) -> None:
        """Also of one that was never started."""
        self._socket.close()

    async def _list_models(self, _request: web.Request) -> web.Response:
        """For probes."""
        return web.json_response({"object": "list", "data": [{"id": "gpt-4o-mini", "object": "model"}]})

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        at_s = time.monotonic()
        script = self._script
        output_tokens = self._draw.randint(script.least_output_tokens, script.most_output_tokens)
        self.arrivals.append(Arrival(at_s, script.input_tokens, output_tokens))
        usage = {
            "prompt_tokens": script.input_tokens,
            "completion_tokens": output_tokens,
            "total_tokens": script.input_tokens + output_tokens,
        }
        streams = json.loads(await request.read()).get("stream", False)
        await asyncio.sleep(script.latency_s)
        if streams:
            return await self._stream(request, usage)
        message = {"role": "assistant", "content": _ANSWER}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        return web.json_response(
            {**_IDENTITY, "object": "chat.completion", "choices": [choice], "usage": usage}
        )

    async def _stream(self, request: web.Request, usage: dict[str, int]) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream; charset=utf-8"})
        await response.prepare(request)
        for number in range(self._script.chunks):
            if number:
                await asyncio.sleep(self._script.chunk_s)
            choice = {"index": 0, "delta": {"content": "Roll back. "}, "finish_reason": None}
            await response.write(_spell_event([choice], None))
        await response.write(_spell_event([{"index": 0, "delta": {}, "finish_reason": "stop"}], None))
        await response.write(_spell_event([], usage))
        await response.write(b"data: [DONE]\n\n")
        await response.write_eof()
        return response


def _spell_event(choices: list[dict[str, object]], usage: dict[str, int] | None) -> bytes:
    event = {**_IDENTITY, "object": "chat.completion.chunk", "choices": choices, "usage": usage}
    return b"data: " + json.dumps(event).encode() + b"\n\n"
