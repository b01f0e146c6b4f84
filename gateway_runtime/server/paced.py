"""A caller's body on its way to a provider, with the time told apart: what the caller takes to send its next
piece is not the provider's, what the provider takes to accept one is.

`relay` wraps a form in it. The subtle rule: a caller who pauses must not look like a silent provider, to the
deadlines or to the circuit.
"""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Protocol

from gateway_runtime.server.patience import Patience
from gateway_runtime.upstream.exchange import SentBody


class Waiter(Protocol):
    waits_for_caller: bool


class PacedBody:
    """See `exchange.SentBody`."""

    def __init__(self, body: SentBody, waiter: Waiter, patience: Patience) -> None:
        self._body = body
        self._waiter = waiter
        self._patience = patience

    @property
    def length(self) -> int | None:
        return self._body.length

    async def chunks(self) -> AsyncGenerator[bytes, None]:
        async with aclosing(self._body.chunks()) as pieces:
            while True:
                self._patience.rest()
                self._waiter.waits_for_caller = True
                piece = await anext(pieces, None)
                self._waiter.waits_for_caller = False
                self._patience.expect_first_byte()
                if piece is None:
                    return
                yield piece
