"""Identifiers that must not mix. All are plain text at run time; the types keep them apart for readers and
for mypy.
"""

from typing import NewType

ProviderId = NewType("ProviderId", str)
"""`<namespace>/<name>` of an LLMProvider."""

EndpointId = NewType("EndpointId", str)
"""`<namespace>/<provider>/<endpoint name>`. Pools, breakers and health live under it across reloads."""

RouteId = NewType("RouteId", str)
"""`<namespace>/<name>` of a ModelRoute."""

TenantId = NewType("TenantId", str)
"""`<namespace>/<name>` of a TenantQuota."""

KeyHash = NewType("KeyHash", str)
"""What a caller's API key becomes once read: see `keys.hash_key`."""

GatewayId = NewType("GatewayId", str)
"""One gateway process: the pod's name, or a name given on its command line."""
