"""What is known of one request while it lives and once it is over: the source of its headers, its metrics and
its line in the access log.

`front` makes one per request, `request` fills it in, `finish` in `request` reads it. Times are on the loop's
clock.
"""

import msgspec

from gateway_runtime.contract.errors import ErrorCode
from gateway_runtime.contract.table import Provider, Route
from gateway_runtime.contract.tenant import Tenant
from gateway_runtime.engine.fallback import Fallback
from gateway_runtime.engine.identity import Identity
from gateway_runtime.engine.limits import Refused, Standing
from gateway_runtime.engine.trace import Trace
from gateway_runtime.providers.models.prices import Prices, Rates, find_rates, price_tokens
from gateway_runtime.providers.operations import OPERATIONS
from gateway_runtime.providers.usage import Usage
from gateway_runtime.server.reservation import Reservation


class Used(msgspec.Struct, frozen=True, gc=False):
    """What it used in the end, as it is settled and written down: see `used`."""

    usage: Usage | None
    """None: nobody told, and nothing can be said, which is not the same as nothing."""
    cost_usd_picos: int | None
    """Of it, as far as prices are known. None: of nothing."""
    rates: Rates | None = None
    """Of a token, at the last attempt that has a price."""
    unpriced: bool = False
    """Some of it has no known price."""
    estimated: bool = False
    """Some of it is not a provider's word."""


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
    key_id: str | None = None
    """See `Identity`. None: the caller showed nothing of the kind."""
    user: str | None = None
    """Whom the caller acts for: as somebody trusted says, else as the caller itself does."""
    tags: tuple[tuple[str, str], ...] = ()
    """Of its token; see `Identity`."""
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
    refused: Refused | None = None
    """By a limit of the tenant."""
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
    rates: Rates | None = None
    """Of the last attempt that told and has a price."""
    asked_bytes: int | None = None
    """Of the request's body, where an answer began that told no usage: for an estimate."""
    prices: Prices | None = None
    """Of that answer. None: not known."""
    used: Used | None = None
    """Found by `used` at the end, once."""
    is_kept = False
    """The ledger has its row."""
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

    def note_caller(self, identity: Identity) -> None:
        self.tenant = identity.tenant
        self.key_id = identity.key_id
        if identity.user is not None:
            self.user = identity.user
        if identity.tags:
            self.tags = identity.tags

    def note_usage(self, usage: Usage, prices: Prices | None) -> None:
        """An attempt told what it used. prices: None: not known. Takes 0.5 µs."""
        self.usage = usage if self.usage is None else add_usage(self.usage, usage)
        if prices is None:
            self.unpriced = True
            return
        self.rates = rates = find_rates(prices, usage) if prices.tiers else prices
        self.cost_usd_picos = (self.cost_usd_picos or 0) + price_tokens(rates, usage)

    def note_untold(self, asked_bytes: int, prices: Prices | None) -> None:
        """An answer began, and told no usage. asked_bytes: of the request's body, what a model sees."""
        self.asked_bytes = asked_bytes
        self.prices = prices


def add_usage(one: Usage, other: Usage) -> Usage:
    return Usage(
        one.input_tokens + other.input_tokens,
        one.output_tokens + other.output_tokens,
        one.cached_tokens + other.cached_tokens,
        one.reasoning_tokens + other.reasoning_tokens,
        one.cache_write_tokens + other.cache_write_tokens,
    )
