"""What happened on the config stream that a status may have to say: `term`'s word to the reconciler."""

from dataclasses import dataclass
from typing import Literal, TypeAlias

from gateway_runtime.contract.ids import EndpointId, GatewayId, TenantId
from gateway_runtime.contract.stream import Version

Event: TypeAlias = Literal[
    "Connected", "Disconnected", "Forgotten", "Acked", "Refused", "Reported", "Settled"
]


@dataclass(frozen=True, slots=True)
class Change:
    event: Event
    gateway: GatewayId | None = None
    """None for Settled, which is about all of them."""
    version: Version | None = None
    """Acked and Refused: which one."""
    endpoints: frozenset[EndpointId] = frozenset()
    """Reported: those about which something changed that a status shows, counters aside."""
    tenants: frozenset[TenantId] = frozenset()
    """Likewise."""
