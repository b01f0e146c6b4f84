"""What is known of one request while it lives and once it is over: the source of its headers, its metrics and
its line in the access log.

`front` makes one per request, `request` fills it in, `finish` in `request` reads it. Times are on the loop's
clock.
"""

from gateway_runtime.contract.errors import ErrorCode
from gateway_runtime.contract.ids import KeyHash
from gateway_runtime.contract.table import Provider, Route, Tenant
from gateway_runtime.engine.fallback import Fallback
from gateway_runtime.engine.limits import Standing
from gateway_runtime.engine.trace import Trace
from gateway_runtime.providers.models.prices import Prices, price_usage
from gateway_runtime.providers.operations import OPERATIONS
from gateway_runtime.providers.usage import Usage
from gateway_runtime.server.reservation import Reservation


class Record:
    """What nobody has set is the class's: a request sets a dozen of them, and to set them all first takes
    0.8 µs instead of 0.3.
    """

    started_unix_s = 0.0
    """0 where no header needs it."""
    waited_s = 0.0
    """Of the time before the answer's first byte, what was spent waiting for others: the caller's body,
    providers, pauses between attempts. The rest is our own overhead.
    """
    tenant: Tenant | None = None
    key_hash: KeyHash | None = None
    """Of the caller's key. None: it sent none."""
    user: str | None = None
    """Whom the caller acts for, as it says."""
    route: Route | None = None
    model: str | None = None
    """As the caller called it."""
    provider: Provider | None = None
    """Of the last attempt."""
    upstream_model = ""
    """As that provider calls it."""
    stream = False
    """The caller asked for one."""
    attempts = 0
    """Requests sent to providers, those that tried another credential included."""
    standing: Standing | None = None
    tokens: Standing | None = None
    """As `standing`, which is of requests, with the limit of tokens that has least left."""
    reservation: Reservation | None = None
    """Of a tenant with limits of tokens, money or concurrency."""
    status = 0
    """0 while nothing was answered; stays so when the caller left first."""
    first_byte_s: float | None = None
    error: ErrorCode | None = None
    fallback: Fallback | None = None
    """To which it came at last."""
    trace: Trace | None = None
    """None: nobody wants to know."""
    usage: Usage | None = None
    """As providers told it: of all attempts that told any, since all of them are billed."""
    cost_usd_picos: int | None = None
    """Of it, as far as prices are known. None: of nothing."""
    unpriced = False
    """Some of it has no known price."""
    dropped: tuple[str, ...] = ()
    """What of the request its provider could not express."""
    events = 0
    """Of a stream."""
    done_s: float | None = None
    """When its [DONE] came, which is when its last event came, near enough."""

    def __init__(self, request_id: str, path: str, started_s: float) -> None:
        self.request_id = request_id
        self.path = path
        self.operation = OPERATIONS.get(path)
        """None: what is asked is nothing that goes to a provider."""
        self.started_s = started_s

    def note_usage(self, usage: Usage, prices: Prices | None) -> None:
        """An attempt told what it used. prices: None: not known. Takes 0.5 µs."""
        self.usage = usage if self.usage is None else add_usage(self.usage, usage)
        if prices is None:
            self.unpriced = True
        else:
            self.cost_usd_picos = (self.cost_usd_picos or 0) + price_usage(prices, usage)


def add_usage(one: Usage, other: Usage) -> Usage:
    return Usage(
        one.input_tokens + other.input_tokens,
        one.output_tokens + other.output_tokens,
        one.cached_tokens + other.cached_tokens,
        one.reasoning_tokens + other.reasoning_tokens,
        one.cache_write_tokens + other.cache_write_tokens,
    )
