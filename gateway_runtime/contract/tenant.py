"""One tenant as the routing table has it: who its callers are, what they may use and how much.

`headgate_operator.compile` makes it of a TenantQuota; `engine` counts its limits, and `identity` finds out
whose a request is. Durations are seconds; moments are Unix seconds.

As everywhere in the table, unknown fields are ignored, so that an older gateway can read a newer operator's
table of the same schema version.
"""

from typing import Literal, TypeAlias

import msgspec

from gateway_runtime.contract.ids import KeyHash, TenantId

LimitResource: TypeAlias = Literal[
    "Requests", "InputTokens", "OutputTokens", "TotalTokens", "USD", "Concurrency"
]

Calendar: TypeAlias = Literal["day", "week", "month"]
"""A week begins on Monday."""
LimitScope: TypeAlias = Literal["Tenant", "PerUser", "PerKey", "PerModel"]
"""For whom the amount is: all of the tenant together, or each of its users, keys, models by itself."""


class Override(msgspec.Struct, frozen=True, kw_only=True):
    """Another amount for a time. The gateway ends it by its own clock, the operator being away or not."""

    amount: int
    """As the limit's."""
    until_unix_s: float


class Limit(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    amount: int
    """So much within any `window_s`, or within a period of `calendar`: requests, tokens, or picodollars. Of
    Concurrency: requests at once.
    """
    window_s: float
    """0 of Concurrency, and of a limit with a calendar."""
    resource: LimitResource = "Requests"
    shadow: bool = False
    """It is counted and told, and refuses nobody."""
    calendar: Calendar | None = None
    """None: a rolling window."""
    zone: str = "UTC"
    """Where its periods begin and end: a name of the IANA database that `compile` has found there."""
    scope: LimitScope = "Tenant"
    overrides: tuple[Override, ...] = ()
    """Sorted by their end; the first that has not ended holds."""


class KeyTerm(msgspec.Struct, frozen=True, kw_only=True):
    """Of a key that does not hold for ever."""

    key: KeyHash
    not_before_unix_s: float | None = None
    not_after_unix_s: float | None = None


class JwtSubject(msgspec.Struct, frozen=True, kw_only=True):
    """Callers with a token that somebody signed. Tried in the table's order; the first that fits is it."""

    name: str
    issuer: str
    """Equal to the token's `iss`, character by character."""
    audiences: tuple[str, ...]
    """The token's `aud` has to have one of them. Never empty."""
    jwks_url: str | None
    """Where the issuer's keys are. One that ends with `/.well-known/openid-configuration` is a discovery
    document, whose `jwks_uri` says where. None: in `Installation.cluster_keys`.
    """
    claims: tuple[tuple[str, tuple[str, ...]], ...] = ()
    """Each of these claims has to have one of these values. A name with dots leads into objects; a claim that
    is a list has each of its members.
    """
    user_claim: str = "sub"
    """Whom the token acts for. Missing in a token: it acts for nobody in particular."""
    tag_claims: tuple[str, ...] = ()
    """Stand in the ledger, as tags."""


class ProxySubject(msgspec.Struct, frozen=True, kw_only=True):
    """Callers that a proxy in front of the gateway has authenticated."""

    name: str
    addresses: tuple[str, ...]
    """CIDR blocks; a connection from elsewhere is never believed. Never empty."""
    header: str
    """Lower case. Whoever sends it with `value` is of this tenant."""
    value: str
    user_header: str | None = None
    """Lower case. Names whom the request acts for."""


class Queue(msgspec.Struct, frozen=True, kw_only=True):
    """Requests over a limit wait for room."""

    timeout_s: float
    max_waiting: int
    """At one gateway; more are refused at once."""


class Tenant(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="Tenant"):
    """One TenantQuota: who the callers are, what they may use and how much."""

    id: TenantId
    uid: str
    generation: int
    namespace: str
    keys: tuple[KeyHash, ...]
    anonymous: bool
    """Serves callers without a key. At most one tenant of a table says so."""
    models: tuple[str, ...] | None
    """Allow-list of names or patterns with one `*`; None allows every routed model, empty allows none."""
    limits: tuple[Limit, ...]
    allow_unpriced: bool = False
    """A model whose price is not known is served under a limit of US dollars, which then counts nothing."""
    key_terms: tuple[KeyTerm, ...] = ()
    """Of those among `keys` that have any; sorted by key."""
    jwts: tuple[JwtSubject, ...] = ()
    """Service accounts of the cluster are such subjects, too."""
    proxies: tuple[ProxySubject, ...] = ()
    parent: TenantId | None = None
    """Whose limits hold, too, charged in the same step. It is in the table and has none itself: `compile` saw
    to it.
    """
    queue: Queue | None = None
    """None: what is over a limit is refused at once."""
    deny_without_store: bool = False
    """While the store that gateways share is away, nothing is served. False: what was granted before may be
    spent, until its term ends.
    """
    one_over: bool = False
    """A request needs no bound: it is admitted while anything is left, and may use more than that. Then the
    next waits.
    """
    priority: int = 0
    """Who goes first where tenants wait for the same provider: higher before lower."""
