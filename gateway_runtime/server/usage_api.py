"""`GET /v1/usage` on the port for callers: what a tenant has used, added up. `GET /usage` on the admin port:
the same of all tenants.

    GET /v1/usage?by=model,day&since=7d  ->  {"object": "usage", "by": …, "data": [sum, …], "total": sum}

`front` calls `serve`; a caller is told of its own tenant alone, whatever it asks. The admin port shows
`answer`, which takes `tenant`, too. Both are what `headgate usage -o json` prints for the same question.

The one subtle rule: one question is read at a time. To add up millions of rows keeps a core busy, and callers
that ask again and again must not have them all.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Final
from urllib.parse import parse_qsl

import msgspec
import structlog
from aiohttp import web

from gateway_runtime.contract.errors import ErrorCode, GatewayError
from gateway_runtime.contract.tenant import Tenant
from gateway_runtime.ledger.query import UsageQuery, WrongQuery, build_query
from gateway_runtime.ledger.report import Report, build_json
from gateway_runtime.ledger.store import StoreFailed
from gateway_runtime.server.admin import answer_json
from gateway_runtime.server.headers import JSON, build_headers
from gateway_runtime.server.record import Record
from gateway_runtime.server.refusal import refuse_query
from gateway_runtime.server.reply import Reply

log = structlog.get_logger()

USAGE: Final = "/v1/usage"
USAGE_OF_ALL: Final = "/usage"
_KNOWN: Final = ("by", "since", "until")


class UsageApi:
    """Of one gateway."""

    def __init__(self, read: Callable[[UsageQuery], Report] | None, unix: Callable[[], float]) -> None:
        """read: blocks, and raises StoreFailed; None: there is no ledger. unix: the wall clock."""
        self._read = read
        self._unix = unix
        self._turn = asyncio.Lock()

    async def serve(
        self, tenant: Tenant, query: str, reply: Reply, record: Record, now: Callable[[], float]
    ) -> None:
        """query: encoded. Raises GatewayError, and CallerGone when nobody listens."""
        began_s = now()
        told = await self._look(USAGE, query, _KNOWN, tenant.id)
        record.waited_s += now() - began_s
        await reply.send(200, build_headers(record, now(), JSON), msgspec.json.encode(told))

    async def answer(self, request: web.Request) -> web.Response:
        """On the admin port."""
        try:
            told = await self._look(USAGE_OF_ALL, request.query_string, (*_KNOWN, "tenant"), None)
        except GatewayError as error:
            return answer_json({"error": error.message}, status=error.code.status)
        return answer_json(told)

    async def _look(
        self, path: str, query: str, known: Sequence[str], tenant: str | None
    ) -> dict[str, object]:
        """Raises GatewayError."""
        read = self._read
        if read is None:
            raise GatewayError(
                ErrorCode.UNKNOWN_PATH,
                f"This gateway keeps no ledger. `headgate up` does, and `headgate gateway --ledger PATH`; "
                f"{path} is there then.",
            )
        asked = _read_query(path, query, known, tenant, self._unix())
        async with self._turn:
            try:
                report = await asyncio.to_thread(read, asked)
            except StoreFailed as error:
                log.warning("ledger cannot be read", reason=str(error))
                raise GatewayError(
                    ErrorCode.LEDGER_UNAVAILABLE,
                    "The ledger cannot be read now; requests are served all the same. Ask again later, or "
                    "whoever runs this gateway: its log has the reason.",
                ) from error
        return build_json(report)


def _read_query(path: str, query: str, known: Sequence[str], tenant: str | None, unix_s: float) -> UsageQuery:
    """tenant: whom it is about; None: all, or whom the query names. Raises GatewayError."""
    asked: dict[str, list[str]] = {}
    for name, value in parse_qsl(query):
        if name not in known:
            raise refuse_query(path, name, known)
        asked.setdefault(name, []).append(value)
    since, until, named = (asked.get(name, [None])[-1] for name in ("since", "until", "tenant"))
    try:
        return build_query(asked.get("by", []), since, until, tenant or named, unix_s)
    except WrongQuery as error:
        raise GatewayError(ErrorCode.MALFORMED_BODY, str(error)) from error
