"""A form on its way through: read from the caller once, sent to providers as often as it takes.

    caller -> source -> Upload -> (scanner: which model?) -> chunks -> provider
                          '-> spool: what has come

`form` opens one for each request. It goes out as it comes, as soon as the fields that decide where to are
known: most clients write them before the file, and then nobody waits for the whole of it. Those which write
them last are kept until then. Either way a copy is kept, so that another attempt can be made.

The one subtle rule: a field may still come twice after the request has gone out. Then the form never gets its
end, so that no provider takes it for whole.
"""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from collections.abc import Set as AbstractSet
from contextlib import aclosing
from typing import Final, NamedTuple

from gateway_runtime.engine.retry import Outcome
from gateway_runtime.providers.form import Field, FormScanner, read_boundary
from gateway_runtime.server.refusal import refuse_unkept_form
from gateway_runtime.server.spool import Spool
from gateway_runtime.upstream.exchange import UpstreamFailure

READ_BYTES: Final = 256 * 1024
"""Of the spool at once."""


class Source(NamedTuple):
    """A body that comes from a caller."""

    content_type: str
    length: int | None
    """In bytes, if it was told and is true of what `read` gives."""
    read: Callable[[], Awaitable[bytes]]
    """The next piece, empty at the end. Raises GatewayError, CallerGone. Cancelled, it loses nothing."""


class Upload:
    """Made by `open_upload`; to be closed."""

    def __init__(self, source: Source, wanted: AbstractSet[str], spool: Spool) -> None:
        """Raises GatewayError for what is no form."""
        self.content_type = source.content_type
        self._source = source
        self._scanner = FormScanner(read_boundary(source.content_type), wanted)
        self._spool = spool
        self._lock = asyncio.Lock()
        """Of two attempts, one may be on its way out while the next begins."""
        self._ended = False

    @property
    def may_repeat(self) -> bool:
        """All that has come is still there."""
        return self._spool.start == 0

    @property
    def fields(self) -> dict[str, Field]:
        """Those that were wanted and have come."""
        return self._scanner.fields

    @property
    def length(self) -> int | None:
        return self._spool.size if self._ended else self._source.length

    async def read_fields(self, needed: AbstractSet[str]) -> None:
        """Until these have come, or the form has ended. Raises GatewayError, CallerGone."""
        while not (self._ended or needed <= self.fields.keys()):
            await self._read_more(self._spool.size)
            if not self._spool.is_filed and not needed <= self.fields.keys():
                raise refuse_unkept_form(sorted(needed - self.fields.keys()))

    def open(self, model: str | None) -> "Form":
        """As one provider gets it. model: in place of the caller's."""
        field = self.fields.get("model")
        if field is None or model is None or model.encode() == field.value:
            return Form(self, None, b"")
        return Form(self, field, model.encode())

    async def read(self, start: int, stop: int | None) -> AsyncGenerator[bytes, None]:
        """stop: None for the end. Raises GatewayError, CallerGone, UpstreamFailure."""
        spool = self._spool
        while stop is None or start < stop:
            if start < spool.start:
                raise UpstreamFailure(Outcome.RESET, "the form could not be kept to be sent again")
            if start < spool.size:
                most = READ_BYTES if stop is None else min(READ_BYTES, stop - start)
                piece = await spool.read(start, most)
                start += len(piece)
                yield piece
                spool.forget(start)
            elif self._ended:
                return
            else:
                await self._read_more(start)

    async def close(self) -> None:
        await self._spool.close()

    async def _read_more(self, known: int) -> None:
        """Unless more than that has come already."""
        async with self._lock:
            if self._spool.size > known or self._ended:
                return
            piece = await self._source.read()
            if piece:
                self._scanner.feed(piece)
                await self._spool.append(piece)
            else:
                self._scanner.finish()
                self._ended = True


class Form:
    """See `exchange.SentBody`."""

    def __init__(self, upload: Upload, replaced: Field | None, value: bytes) -> None:
        self._upload = upload
        self._replaced = replaced
        self._value = value

    @property
    def length(self) -> int | None:
        length = self._upload.length
        if length is None or self._replaced is None:
            return length
        return length + len(self._value) - len(self._replaced.value)

    async def chunks(self) -> AsyncGenerator[bytes, None]:
        field = self._replaced
        if field is not None:
            async with aclosing(self._upload.read(0, field.start)) as pieces:
                async for piece in pieces:
                    yield piece
            yield self._value
        async with aclosing(self._upload.read(0 if field is None else field.end, None)) as pieces:
            async for piece in pieces:
                yield piece


async def open_upload(source: Source, wanted: AbstractSet[str], needed: AbstractSet[str]) -> Upload:
    """wanted: the fields that are looked for, of which `needed` decide where the form goes. Raises
    GatewayError, CallerGone.
    """
    upload = Upload(source, wanted, Spool())
    try:
        await upload.read_fields(needed)
    except BaseException:
        await upload.close()
        raise
    return upload
