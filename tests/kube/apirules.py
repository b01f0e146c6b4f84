"""What `ApiProxy` does in the API server's place, and to which requests.

In: a `Match` over `ApiRequest` and an action. Out: `Rule`, and the bytes of the answer, in the server's own
words. Written by tests; called by `ApiProxy`.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeAlias

from aiohttp import web

from tests.kube.apirequest import ApiRequest

Match: TypeAlias = Callable[[ApiRequest], bool]


@dataclass(frozen=True, slots=True)
class Refusal:
    """Answer with a `Status` of this HTTP status. `retry_after_s`: the header that comes with 429."""

    status: int
    reason: str
    message: str = "injected by the test"
    retry_after_s: int | None = None

    def body(self) -> bytes:
        status = {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": self.message,
            "reason": self.reason,
            "code": self.status,
        }
        return json.dumps(status).encode()

    def answer(self) -> web.Response:
        headers = {} if self.retry_after_s is None else {"Retry-After": str(self.retry_after_s)}
        return web.Response(
            status=self.status, headers=headers, body=self.body(), content_type="application/json"
        )


@dataclass(frozen=True, slots=True)
class WatchError:
    """End a watch as the server does: status 200, then an ERROR event with this `Status`, then the end."""

    refusal: Refusal

    def line(self) -> bytes:
        return b'{"type":"ERROR","object":%s}\n' % self.refusal.body()

    def answer(self) -> web.Response:
        return web.Response(body=self.line(), content_type="application/json")


Action: TypeAlias = Refusal | WatchError


EXPIRED = WatchError(Refusal(410, "Expired", "too old resource version: 1 (2)"))
"""Word for word what a watch from a forgotten resourceVersion gets."""
TOO_MANY_REQUESTS = Refusal(
    429, "TooManyRequests", "too many requests, please try again later", retry_after_s=1
)
INTERNAL_ERROR = Refusal(500, "InternalError", "Internal error occurred: injected by the test")


@dataclass(slots=True)
class Rule:
    """Made by `ApiProxy.on`. `left`: how often it will yet act, None: always; `hits`: how often it has."""

    match: Match
    action: Action
    left: int | None
    hits: int = field(default=0, init=False)

    def applies(self, request: ApiRequest) -> bool:
        if self.left == 0 or (isinstance(self.action, WatchError) and request.verb != "watch"):
            return False
        return self.match(request)

    def remove(self) -> None:
        """It acts no more."""
        self.left = 0
