"""`GET /v1/usage` on the port for callers: what a tenant has used, added up.

    GET /v1/usage?by=model,day&since=7d  ->  {"object": "usage", "by": …, "data": [sum, …], "total": sum}

`front` calls `serve_usage`. A caller is told of its own tenant alone, whatever it asks. The answer is what
`headgate usage -o json` prints for the same question.

The one subtle rule: one question is read at a time. To add up millions of rows keeps a core busy, and callers
that ask again and again must not have them all.
"""

import asyncio
from collections.abc import Callable
from typing import Final
from urllib.parse import parse_qsl

import msgspec
import structlog

from gateway_runtime.contract.errors import ErrorCode, GatewayError
from gateway_runtime.contract.table import Tenant
from gateway_runtime.ledger.ledger import Ledger
from gateway_runtime.ledger.query import UsageQuery, WrongQuery, build_query
from gateway_runtime.ledger.report import build_json
from gateway_runtime.ledger.store import StoreFailed
from gateway_runtime.server.headers import JSON, build_headers
from gateway_runtime.server.record import Record
from gateway_runtime.server.refusal import refuse_query
from gateway_runtime.server.reply import Reply

log = structlog.get_logger()

USAGE: Final = "/v1/usage"
_KNOWN: Final = ("by", "since", "until")


class UsageApi:
    """Of one gateway."""

    def __init__(self, ledger: Ledger | None) -> None:
        self._ledger = ledger
        self._turn = asyncio.Lock()

    async def serve(
        self,
        tenant: Tenant,
        query: str,
        reply: Reply,
        record: Record,
        now: Callable[[], float],
        unix_s: float,
    ) -> None:
        """query: encoded. Raises GatewayError, and CallerGone when nobody listens."""
        ledger = self._ledger
        if ledger is None:
            raise GatewayError(
                ErrorCode.UNKNOWN_PATH,
                f"This gateway keeps no ledger. `headgate up` does, and `headgate gateway --ledger PATH`; "
                f"{USAGE} is there then.",
            )
        asked = _read_query(tenant, query, unix_s)
        began_s = now()
        async with self._turn:
            try:
                report = await asyncio.to_thread(ledger.sum_usage, asked)
            except StoreFailed as error:
                log.warning("ledger cannot be read", reason=str(error))
                raise GatewayError(
                    ErrorCode.LEDGER_UNAVAILABLE,
                    "The ledger cannot be read now; requests are served all the same. Ask again later, or "
                    "whoever runs this gateway: its log has the reason.",
                ) from error
        record.waited_s += now() - began_s
        await reply.send(200, build_headers(record, now(), JSON), msgspec.json.encode(build_json(report)))


def _read_query(tenant: Tenant, query: str, unix_s: float) -> UsageQuery:
    """Raises GatewayError."""
    asked: dict[str, list[str]] = {}
    for name, value in parse_qsl(query):
        if name not in _KNOWN:
            raise refuse_query(USAGE, name, _KNOWN)
        asked.setdefault(name, []).append(value)
    since, until = (asked.get(name, [None])[-1] for name in ("since", "until"))
    try:
        return build_query(asked.get("by", []), since, until, tenant.id, unix_s)
    except WrongQuery as error:
        raise GatewayError(ErrorCode.MALFORMED_BODY, str(error)) from error
