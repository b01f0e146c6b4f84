"""What an operator process is told at its start: the command line builds it, `main` hands the parts on.

Everything else it reads from the API server. Times are settings only so that tests need not wait; the
defaults are what runs in clusters, and `LeaseTimes` says what must hold between them.
"""

import os
import socket
from dataclasses import dataclass, field
from typing import Final, Literal, TypeAlias

LogFormat: TypeAlias = Literal["auto", "json", "text"]
"""auto: text on a terminal, else JSON."""

OWN_NAMESPACE: Final = "headgate-system"


class WrongSettings(ValueError):
    """Settings that cannot work; the message says which, and what to write instead."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaseTimes:
    """`poll_s <= renew_s < deadline_s < duration_s`, so that a leader that cannot renew has stopped before
    another one may begin, whatever their clocks say.
    """

    duration_s: float = 30.0
    """So long after its last renewal, as a follower saw it, a leader is taken for dead."""
    renew_s: float = 10.0
    """Six requests a minute: most of what the operator asks of the API server at rest."""
    deadline_s: float = 20.0
    """A leader that has not renewed for so long stops."""
    poll_s: float = 8.0
    """How often a follower looks."""
    retry_s: float = 2.0
    """After a renewal that failed."""

    def __post_init__(self) -> None:
        if not self.renew_s < self.deadline_s < self.duration_s:
            raise WrongSettings(
                "the Lease's times must satisfy renew < deadline < duration, "
                f"not {self.renew_s} < {self.deadline_s} < {self.duration_s} seconds"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchTimes:
    inactivity_s: float = 100.0
    """A watch that is silent for so long is opened anew. The API server sends a bookmark every minute, but
    none for a kind of which it has seen no change since its own start: shorter times would cost more
    requests at rest.
    """
    dead_s: float = 240.0
    """A watch that has shown no sign of life for so long, while the API server answers, is dead."""
    sweep_s: float = 300.0
    """Between two comparisons with a list of our own."""
    secrets_s: float = 180.0
    """Between two reads of the Secrets that are referenced but carry no label."""
    cluster_s: float = 600.0
    """Between two reads of who signs service accounts' tokens. A new key is published long before tokens are
    signed with it.
    """
    cluster_retry_s: float = 30.0
    """After a read that failed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusTimes:
    object_s: float = 10.0
    """At most one write per object in so long, transitions aside."""
    writes_per_s: float = 40.0
    full_pass_s: float = 30.0
    """How often every object's status is worked out anew: for what changes by time alone, such as stale
    reports.
    """
    refresh_age_s: float = 300.0
    """`observedAt` is brought up to date when it is older than this."""
    refreshes_per_minute: float = 1.0
    """Of those, over all objects. With one, the operator stays under ten requests a minute at rest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatorSettings:
    kubeconfig: str | None = None
    """A path; None takes the pod's service account, or outside of a pod the user's kubeconfig."""
    namespaces: tuple[str, ...] = ()
    """Empty: the whole cluster."""
    own_namespace: str = OWN_NAMESPACE
    """Where the Lease and the operator's Secrets stand."""
    identity: str = field(default_factory=lambda: os.environ.get("POD_NAME") or socket.gethostname())
    """Name of this replica; the pod's."""
    stream_host: str | None = None
    """Where gateways dial in; None is every address of the pod."""
    stream_port: int = 8443
    probe_host: str = "127.0.0.1"
    probe_port: int = 8080
    """/healthz, /readyz, /metrics. 0 lets the system choose."""
    dns_names: tuple[str, ...] = ("headgate-operator.headgate-system.svc",)
    """How gateways address the config stream; its certificate is made out to them."""
    ip_addresses: tuple[str, ...] = ()
    audience: str = "headgate-operator"
    """What a gateway's projected token must be meant for."""
    gateway_accounts: tuple[str, ...] = ("headgate-system:headgate-gateway",)
    """`<namespace>:<name>` of the service accounts that gateways run under."""
    lease_name: str = "headgate-operator"
    lease: LeaseTimes = field(default_factory=LeaseTimes)
    watch: WatchTimes = field(default_factory=WatchTimes)
    status: StatusTimes = field(default_factory=StatusTimes)
    log_format: LogFormat = "auto"

    def __post_init__(self) -> None:
        for account in self.gateway_accounts:
            namespace, separator, name = account.partition(":")
            if not (namespace and separator and name):
                raise WrongSettings(
                    f"gateway account {account!r} is not <namespace>:<name>, "
                    "such as headgate-system:headgate-gateway"
                )

    @property
    def scopes(self) -> tuple[str | None, ...]:
        """What is listed and watched one by one: namespaces, or None for the whole cluster."""
        return self.namespaces or (None,)
