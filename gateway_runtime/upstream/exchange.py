"""What passes between the gateway's rooms and the way to providers: a request out, an answer or failure back.

`relay` and `probe` call a `Transport`, which is all that they know of it; `transport.PooledTransport` is the
one that is used. A failure carries the `Outcome` which circuit and retry judge.

The one subtle rule: an answer that was read to its end has given its connection back to the pool by itself;
`close` after that does nothing, and before it closes the connection.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Final, NamedTuple, Protocol

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


class UpstreamRequest(NamedTuple):
    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes | None
    connect_s: float
    may_queue: bool = True
    """False: when our own bound is reached it fails at once. A probe that waits would tell of us."""


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


class UpstreamAnswer(Protocol):
    status: int
    headers: Mapping[str, str]
    """Names are matched without regard to case."""

    def whole(self) -> bytes | None:
        """The whole body, when it has come already; asked before anything else is read of it."""

    async def next_chunk(self) -> bytes:
        """The next piece of the body as it arrives; empty at its end. Raises UpstreamFailure when it breaks
        off before.
        """

    def linger(self) -> None:
        """What is left matters to nobody. If it is only the end of the body, and that comes soon, then the
        connection can be used again; otherwise it is closed. Nobody waits for it.
        """

    def close(self) -> None:
        """Gives up what was not read. May be called again."""


class Transport(Protocol):
    async def send(
        self, request: UpstreamRequest, connected: Callable[[], None], tls: TlsSettings = DEFAULT_TLS
    ) -> UpstreamAnswer:
        """Returns when the head of the answer is there. Calls `connected` when a connection is at hand and
        the request goes out. Raises UpstreamFailure. A cancelled call leaves no connection behind.
        """

    def retain(self, upstreams: Iterable[Upstream]) -> None:
        """These are all that there are: what left drains, and new limits hold from now on."""

    def statistics(self) -> Iterable[PoolStatistics]:
        """Of each place; those which several identities share come several times."""

    async def close(self) -> None:
        """Closes all connections."""
