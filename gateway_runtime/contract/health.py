"""What a gateway says of its endpoints, and of what its tenants have used. Sent at once when a state changes,
and as a whole every few seconds.

Times are the sender's own; the receiver judges age by its own clock from the moment of arrival, since clocks
differ between nodes.
"""

from typing import Literal, TypeAlias

import msgspec

from gateway_runtime.contract.ids import EndpointId, TenantId

Health: TypeAlias = Literal["Healthy", "Unhealthy", "Unknown"]
Circuit: TypeAlias = Literal["Closed", "Open", "HalfOpen"]


class EndpointReport(msgspec.Struct, frozen=True, kw_only=True):
    endpoint: EndpointId
    health: Health
    circuit: Circuit
    reason: str
    """Empty, or one clause for a person: `5 failures in a row, last: 503 from upstream`."""
    since_s: float
    """Unix time at which `health` or `circuit` last changed."""
    latency_ms: float | None
    """Moving average of the time to first byte over recent good requests; None when there were none."""
    requests: int
    """In the last minute."""
    failures: int
    """Of those, the ones that counted against the circuit."""


class LimitReport(msgspec.Struct, frozen=True, kw_only=True):
    """How a limit stands. Of one that is for each user, key or model: the one nearest to its amount."""

    name: str
    amount: int
    """The whole amount now in force, overrides included: requests, tokens or picodollars."""
    used: int
    """In the window or period, by requests that have ended."""
    held: int
    """For requests that are running."""
    resets_unix_s: float | None
    """When all of it is free again, if nothing more is taken. None: nothing is used."""
    shared: bool = False
    """used and held are of all gateways, by the store that they share. False: of this one alone."""


class KeyUse(msgspec.Struct, frozen=True, kw_only=True):
    key_id: str
    """The beginning of its hash, as in the ledger."""
    last_unix_s: float


class TenantReport(msgspec.Struct, frozen=True, kw_only=True):
    tenant: TenantId
    limits: tuple[LimitReport, ...]
    """In the order of the table."""
    keys: tuple[KeyUse, ...] = ()
    """Used since the gateway began; sorted."""

    @property
    def numbers(self) -> tuple[tuple[int, int, int], ...]:
        """Of its limits, times aside. A gateway that repeats them knows nothing newer."""
        return tuple([(limit.amount, limit.used, limit.held) for limit in self.limits])


class HealthReport(msgspec.Struct, frozen=True, kw_only=True, tag="HealthReport"):
    sequence: int
    """Counts up within one connection."""
    full: bool
    """True: every endpoint of the table is in it. False: only those whose state changed."""
    endpoints: tuple[EndpointReport, ...]
    tenants: tuple[TenantReport, ...] = ()
    """Those about which something has changed since the last report. A connection begins with all of them, in
    as many reports as that takes, `full` or not. One without limits and keys has left the table, or has
    nothing to tell.
    """
