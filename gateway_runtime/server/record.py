"""What is known of one request while it lives and once it is over: the source of its headers, its metrics and
its line in the access log.

`front` makes one per request, `request` fills it in, `finish` in `request` reads it. Times are on the loop's
clock.
"""

from gateway_runtime.contract.errors import ErrorCode
from gateway_runtime.contract.table import Provider, Route, Tenant
from gateway_runtime.engine.limits import Standing


class Record:
    __slots__ = (
        "attempts",
        "error",
        "first_byte_s",
        "model",
        "path",
        "provider",
        "request_id",
        "route",
        "standing",
        "started_s",
        "status",
        "tenant",
        "waited_s",
    )

    def __init__(self, request_id: str, path: str, started_s: float) -> None:
        self.request_id = request_id
        self.path = path
        self.started_s = started_s
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
