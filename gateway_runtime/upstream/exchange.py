"""What passes between the gateway's rooms and the way to providers: a request out, an answer or failure back.

`relay` and `probe` call a `Transport`, which is all that they know of it; `transport.PooledTransport` is the
one that is used. A failure carries the `Outcome` which circuit and retry judge.

The one subtle rule: an answer that was read to its end has given its connection back to the pool by itself;
`close` after that does nothing, and before it closes the connection.
"""

from collections.abc import AsyncGenerator, Callable, Iterable, Mapping
from typing import Final, NamedTuple, Protocol

from gateway_runtime.engine.fair_queue import NOBODY, Rank
from gateway_runtime.engine.retry import Outcome
from gateway_runtime.upstream.endpoint import Upstream
from gateway_runtime.upstream.trust import DEFAULT_TLS, TlsSettings

IDLE_CONNECTION_S: Final = 4.0
"""uvicorn, under most self-hosted models, drops an idle connection after 5 s; a longer wait here would race
it.
"""

LINGER_S: Final = 1.0
"""For the end of a stream's body behind its last event. A guess: it mostly comes in the same packet."""


class UpstreamFailure(Exception):
    """No usable answer. `reason` is one clause for a person, without secrets: `connection refused`."""

    def __init__(self, outcome: Outcome, reason: str) -> None:
        super().__init__(reason)
        self.outcome = outcome
        self.reason = reason


class DiedIdle(UpstreamFailure):
    """A connection that had served before was closed before a byte of this answer came: most likely the
    server closed it as idle while the request was on its way.
    """


class SentBody(Protocol):
    """A body that is not held as a whole."""

    @property
    def length(self) -> int | None:
        """In bytes, as far as it is known when the request goes out."""

    def chunks(self) -> AsyncGenerator[bytes, None]:
        """All of it, from its beginning each time. Raises whatever keeps it from being whole."""


class UpstreamRequest(NamedTuple):
    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes | SentBody | None
    connect_s: float
    may_queue: bool = True
    """False: when our own bound is reached it fails at once. A probe that waits would tell of us."""
    keeps_head: bool = False
    """All headers of the answer are wanted: see `UpstreamAnswer.headers`."""
    rank: Rank = NOBODY
    """Whose it is, where it has to queue."""


class PoolStatistics(NamedTuple):
    place: str
    """`https://api.openai.com`, and the proxy on the way."""
    open: int
    idle: int
    busy: int
    """Requests, from the dialling to the end of their answers."""
    lingering: int
    queued: int
    opened_total: int
    reused_total: int
    waited_total_s: float
    """Of requests in the queue, those that got a place and those that did not."""


class UpstreamAnswer(Protocol):
    status: int
    headers: Mapping[str, str]
    """Names are matched without regard to case. Of a plain answer the type, the length, the date and the
    server are left out, unless the request says `keeps_head`: nobody asks for them.
    """

    def whole(self) -> bytes | None:
        """The whole body, when it has come already; asked before anything else is read of it. It stays
        unread: `next_chunk` gives it too.
        """

    async def next_chunk(self) -> bytes:
        """The next piece of the body as it arrives; empty at its end. Raises UpstreamFailure when it breaks
        off before.
        """

    async def pump(self, take: Callable[[bytes], bool]) -> bool:
        """Gives `take` each piece in the very step in which it comes, as `next_chunk` would; a task of its
        own for each costs more than all that is done with it. Until `take` returns False (True is returned
        then: more may come), or the body has ended (False). Raises UpstreamFailure when it breaks off, and
        whatever `take` raises.
        """

    def linger(self) -> None:
        """What is left matters to nobody. If it is only the end of the body, and that comes soon, then the
        connection can be used again; otherwise it is closed. Nobody waits for it.
        """

    def close(self) -> None:
        """Gives up what was not read. May be called again."""


class Exchange(Protocol):
    """A request under way that nobody awaits."""

    def abort(self) -> None:
        """Closes its connection. Only before the answer, or the failure, was told; it tells, too."""


class Prepared(Protocol):
    """What is the same in all requests of a kind: where they go, and their headers but for one."""

    def send_at_once(
        self,
        request_id: str,
        body: bytes,
        tell: Callable[[UpstreamAnswer | UpstreamFailure], bool],
        fields: bytes = b"",
    ) -> Exchange | None:
        """Sends, if a connection is at hand; None: nothing was done. request_id: as `x-request-id`. fields:
        further lines of the head, from `request.build_fields`.

        `tell` gets the answer as soon as its head is there, whole where it came all at once, or the failure;
        it returns False when nobody wants that any more.
        """


class Transport(Protocol):
    async def send(
        self,
        request: UpstreamRequest,
        connected: Callable[[], None],
        tls: TlsSettings = DEFAULT_TLS,
        *,
        again: bool = False,
    ) -> UpstreamAnswer:
        """Returns when the head of the answer is there. Calls `connected` when a connection is at hand and
        the request goes out. again: it met a connection that had died idle, so only a new one will do. Raises
        UpstreamFailure. A cancelled call leaves no connection behind.
        """

    def prepare(self, url: str, headers: Mapping[str, str], tls: TlsSettings = DEFAULT_TLS) -> Prepared:
        """For POST requests, until the next `retain`. Raises UpstreamFailure for what cannot be sent."""

    def retain(self, upstreams: Iterable[Upstream]) -> None:
        """These are all that there are: what left drains, and new limits hold from now on."""

    def statistics(self) -> Iterable[PoolStatistics]:
        """Of each place; those which several identities share come several times."""

    async def close(self) -> None:
        """Closes all connections."""
