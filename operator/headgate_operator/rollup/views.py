"""What rollup is told about the gateways: who is connected, what each runs, and what each reports.

The publisher fills these in; times are the operator's own clock.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from gateway_runtime.contract.health import EndpointReport
from gateway_runtime.contract.ids import EndpointId, GatewayId
from gateway_runtime.contract.stream import Nack, Version


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


@dataclass(frozen=True, slots=True)
class Published:
    version: Version
    since: Mapping[str, Version]
    """By `contract.table.resource_key`: the version with which the entry's present content was first
    published.
    """
