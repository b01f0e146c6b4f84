"""What a gateway process is told at its start: the command line and the SDK build it, `main.Gateway` reads
it.

Everything that may change while it runs is in the routing table instead.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from gateway_runtime.contract.ids import GatewayId
from gateway_runtime.ledger.journal import SPOOL_BYTES
from gateway_runtime.ledger.ledger import DEFAULT_KEEP_DAYS

MAX_BODY_BYTES: Final = 10 * 1024 * 1024
MAX_UPLOAD_BYTES: Final = 100 * 1024 * 1024
"""Recordings are 25 MB at most at OpenAI, files for batches 200 MB, images 50 MB."""


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """PEM files, read again when they change: see `tls`."""

    certificate: Path
    """The chain, the server's certificate first."""
    key: Path
    """Without a passphrase."""
    client_authority: Path | None = None
    """Callers must present a certificate that it has signed; None asks them for none."""


@dataclass(frozen=True, slots=True)
class ProvidersSource:
    """Where a gateway finds its `providers_api.ProvidersApi`. A name and texts, since settings travel to
    worker processes.
    """

    maker: str
    """`package.module:function`."""
    arguments: tuple[str, ...] = ()
    """What the function is called with."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewaySettings:
    name: GatewayId
    host: str = "127.0.0.1"
    port: int = 8080
    """0 lets the system choose; `Gateway.port` tells."""
    shares_port: bool = False
    """Several processes of this user listen on the port, and the kernel spreads connections over them."""
    tls: TlsFiles | None = None
    """Of the port for callers; None serves plain HTTP."""
    admin_host: str = "127.0.0.1"
    admin_port: int = 8081
    """0 lets the system choose; `Gateway.admin_port` tells."""
    operator_urls: tuple[str, ...] = ()
    """`https://host:port` of each operator replica. Empty: tables come from the embedding process or disk.
    """
    operator_ca_file: Path | None = None
    """PEM. Read again for each connection, so that a rotated authority needs no restart."""
    token_file: Path | None = None
    """The projected ServiceAccount token. Read again for each connection: the kubelet renews it."""
    state_dir: Path | None = None
    """Where the last good table is kept; None keeps none."""
    bootstrap_dir: Path | None = None
    """Where the bootstrap Secret is mounted: files `part-000`, `part-001`, …"""
    unready_s: float = 0.0
    """At the end: how long it still accepts requests after `/readyz` says no, for load balancers to notice.
    """
    drain_s: float = 30.0
    """At the end: how long requests and streams in flight may take to finish before they are cut."""
    max_body_bytes: int = MAX_BODY_BYTES
    max_upload_bytes: int = MAX_UPLOAD_BYTES
    """Of a form with a file in it. They pass as they come, with a copy on disk meanwhile."""
    max_requests: int = 10_000
    """Under way at once; more are refused with 503."""
    max_streams: int = 5_000
    """Of those, streams."""
    max_request_bytes: int = 1024 * 1024 * 1024
    """Bodies of requests under way, added up; more are refused with 503."""
    max_lateness_s: float = 0.25
    """New requests are refused with 503 while the event loop is later than this all the time."""
    body_idle_s: float = 30.0
    """A caller that sends nothing of its body for so long is given up. A guess, far above network pauses."""
    allow_private_media: bool = False
    """Images and files that callers name by URL may come from private addresses, too, where they have to be
    fetched for a provider. A caller could then have the gateway look into its own network.
    """
    allow_private_issuers: bool = False
    """Issuers of callers' tokens may have their keys at private addresses, too. Who writes a quota could then
    have the gateway ask inside its own network.
    """
    limit_store: str | None = None
    """URL of the Redis, Valkey or Dragonfly through which gateways share limits, without a password: see
    `stores.redis`. None: each gateway spends an equal part of an amount.
    """
    lease_s: float = 10.0
    """For how long a gateway may spend what that store has granted it, should the store go away; and how long
    what a dead gateway held stays out of use.
    """
    ledger: str | None = None
    """Where there is a row for each request that reached a provider: the path of a SQLite file, which
    processes may share, or a URL of PostgreSQL, see `ledger.postgres_url`. None keeps none.
    """
    ledger_days: int | None = DEFAULT_KEEP_DAYS
    """Older rows are deleted; None keeps all."""
    ledger_spool: Path | None = None
    """The folder where rows are safe until they are written; processes share it. None: beside the SQLite
    file, or in `state_dir`.
    """
    ledger_spool_bytes: int = SPOOL_BYTES
    """How large it may become, while the ledger cannot be written."""
    access_log: bool = False
    """One line per request, with the decisions that led it where it went."""
    debug_headers: bool = False
    """Answers tell those decisions, too: `x-headgate-decisions`."""
    providers_api: ProvidersSource | None = None
    """What answers `/v1/providers`; None: nothing does, unless the embedding process brings it."""
