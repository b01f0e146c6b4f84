"""The callers of `exact`: one request after the other at a fixed rate, whoever is slow to answer, to each
gateway in turn.

In: ports, a body, a rate. Out: an `Outcome` for each request. A refusal is an outcome like any other; nobody
tries again.
"""

import asyncio
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Final, NamedTuple

import aiohttp
import msgspec

from bench.speed.process import HOST
from bench.speed.programs import KEY, PATH

_PATIENCE_S: Final = 30.0
_LAST: Final = b"data: [DONE]\n\n"


class _Error(msgspec.Struct):
    code: str | None = None


class _Refusal(msgspec.Struct):
    error: _Error


class Outcome(NamedTuple):
    sent_s: float
    """Of the monotonic clock."""
    status: int
    """0: there was no answer."""
    code: str
    """Of the error; empty: there was none, or it has none."""
    took_s: float


async def offer(
    ports: Sequence[int], body: bytes, rate_per_s: float, began_s: float, duration_s: float, *, streams: bool
) -> list[Outcome]:
    """In the order of their answers."""
    outcomes: list[Outcome] = []
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {KEY}"}
    timeout = aiohttp.ClientTimeout(total=_PATIENCE_S)
    connector = aiohttp.TCPConnector(limit=0)
    async with (
        aiohttp.ClientSession(headers=headers, timeout=timeout, connector=connector) as session,
        asyncio.TaskGroup() as group,
    ):

        async def ask(port: int) -> None:
            outcomes.append(await _ask(session, f"http://{HOST}:{port}{PATH}", body, streams=streams))

        for number in range(round(rate_per_s * duration_s)):
            left_s = began_s + number / rate_per_s - time.monotonic()
            if left_s > 0:
                await asyncio.sleep(left_s)
            group.create_task(ask(ports[number % len(ports)]))
    return outcomes


async def _ask(session: aiohttp.ClientSession, url: str, body: bytes, *, streams: bool) -> Outcome:
    sent_s = time.monotonic()
    status, code = 0, ""
    try:
        async with session.post(url, data=body) as answer:
            read = await answer.read()
            status = answer.status
            if status != 200:
                code = _read_code(read)
            elif streams and not read.endswith(_LAST):
                code = "broke off"
    except (aiohttp.ClientError, TimeoutError) as error:
        code = type(error).__name__
    return Outcome(sent_s, status, code, time.monotonic() - sent_s)


def _read_code(body: bytes) -> str:
    with suppress(msgspec.MsgspecError):
        return msgspec.json.decode(body, type=_Refusal).error.code or ""
    return ""
