"""What rollup is told about the gateways: who is connected, what each runs, and what each reports.

The publisher fills these in; times are the operator's own clock.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from gateway_runtime.contract.health import EndpointReport, TenantReport
from gateway_runtime.contract.ids import EndpointId, GatewayId, TenantId
from gateway_runtime.contract.stream import Nack, Version

STALE_S: Final = 45.0
"""Gateways report every few seconds; to distrust the last report after so long is a guess."""


class HeardTenant(NamedTuple):
    """What a gateway told last of a tenant."""

    report: TenantReport
    changed_at_s: float
    """When its numbers last changed."""


@dataclass(frozen=True, slots=True)
class GatewayView:
    gateway: GatewayId
    connected: bool
    applied: Version | None
    """What it runs; None before its first table."""
    refused: Nack | None
    """Its answer to the newest version that it refused."""
    reports: Mapping[EndpointId, EndpointReport]
    reported_at_s: float | None
    """When its last report arrived; None when none has."""
    tenants: Mapping[TenantId, HeardTenant] = field(default_factory=dict)

    def is_fresh(self, now_s: float) -> bool:
        """Whether its reports are to be believed."""
        return self.reported_at_s is not None and now_s - self.reported_at_s <= STALE_S


@dataclass(frozen=True, slots=True)
class Published:
    version: Version
    since: Mapping[str, Version]
    """By `contract.table.resource_key`: the version with which the entry's present content was first
    published.
    """
