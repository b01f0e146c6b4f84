"""What is known of one request while it lives and once it is over: the source of its headers, its metrics and
its line in the access log.

`front` makes one per request, `request` fills it in, `finish` in `request` reads it. Times are on the loop's
clock.
"""

from gateway_runtime.contract.errors import ErrorCode
from gateway_runtime.contract.table import Provider, Route, Tenant
from gateway_runtime.engine.fallback import Fallback
from gateway_runtime.engine.limits import Standing
from gateway_runtime.engine.trace import Trace
from gateway_runtime.providers.operations import OPERATIONS
from gateway_runtime.providers.usage import Usage


class Record:
    __slots__ = (
        "attempts",
        "done_s",
        "dropped",
        "error",
        "events",
        "fallback",
        "first_byte_s",
        "model",
        "operation",
        "path",
        "provider",
        "request_id",
        "route",
        "standing",
        "started_s",
        "started_unix_s",
        "status",
        "tenant",
        "trace",
        "usage",
        "waited_s",
    )

    def __init__(self, request_id: str, path: str, started_s: float) -> None:
        self.request_id = request_id
        self.path = path
        self.operation = OPERATIONS.get(path)
        """None: what is asked is nothing that goes to a provider."""
        self.started_s = started_s
        self.started_unix_s = 0.0
        """0 where no header needs it."""
        self.waited_s = 0.0
        """Of the time before the answer's first byte, what was spent waiting for others: the caller's body,
        providers, pauses between attempts. The rest is our own overhead.
        """
        self.tenant: Tenant | None = None
        self.route: Route | None = None
        self.model: str | None = None
        """As the caller called it."""
        self.provider: Provider | None = None
        """Of the last attempt."""
        self.attempts = 0
        """Requests sent to providers, those that tried another credential included."""
        self.standing: Standing | None = None
        self.status = 0
        """0 while nothing was answered; stays so when the caller left first."""
        self.first_byte_s: float | None = None
        self.error: ErrorCode | None = None
        self.fallback: Fallback | None = None
        """To which it came at last."""
        self.trace: Trace | None = None
        """None: nobody wants to know."""
        self.usage: Usage | None = None
        """As the provider told it."""
        self.dropped: tuple[str, ...] = ()
        """What of the request its provider could not express."""
        self.events = 0
        """Of a stream."""
        self.done_s: float | None = None
        """When its [DONE] came, which is when its last event came, near enough."""
