"""What the config stream's end at the operator is told at its start: `main` builds it from the command line and
the pod's environment.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishSettings:
    namespace: str
    """The operator's own: its authority and the bootstrap stand here as Secrets."""
    dns_names: tuple[str, ...]
    """How gateways address the operator, for its certificate: `headgate-operator.headgate-system.svc`."""
    ip_addresses: tuple[str, ...] = ()
    """The same for gateways that dial an address."""
    host: str | None = None
    """Where to listen; None is every address of the pod."""
    port: int = 8443
    """0 lets the system choose; `Publisher.port` tells."""
    audience: str = "headgate-config"
    """What a gateway's projected token must be meant for, so that no other token of the pod opens the stream."""
    gateway_accounts: tuple[str, ...] = ("headgate-system/headgate-gateway",)
    """`<namespace>/<name>` of the service accounts that gateways run under."""
