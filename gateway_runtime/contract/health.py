"""What a gateway says of its endpoints. Sent at once when a state changes, and as a whole every few seconds.

Times are the sender's own; the receiver judges age by its own clock from the moment of arrival, since clocks
differ between nodes.
"""

from typing import Literal, TypeAlias

import msgspec

from gateway_runtime.contract.ids import EndpointId

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


class HealthReport(msgspec.Struct, frozen=True, kw_only=True, tag="HealthReport"):
    sequence: int
    """Counts up within one connection."""
    full: bool
    """True: every endpoint of the table is in it. False: only those whose state changed."""
    endpoints: tuple[EndpointReport, ...]
