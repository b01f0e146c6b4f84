"""The commands that run a server until SIGTERM: `operator`, `gateway` (what the manifests start) and
`fake-provider`.

In: options, each also an environment variable `HEADGATE_<OPTION>` for use in pods. Out: the exit code of the
server.
"""

import asyncio
import os
import socket
from pathlib import Path

import click

from headgate.ledger_option import METAVAR, check_ledger
from headgate.store_option import STORE_HELP, check_limit_store

_PATH = click.Path(path_type=Path)


@click.command(context_settings={"auto_envvar_prefix": "HEADGATE"})
@click.option("--kubeconfig", help="Default: the pod's service account, else the user's kubeconfig.")
@click.option("--namespaces", help="Watch only these, separated by commas. Default: the whole cluster.")
@click.option(
    "--own-namespace",
    default="headgate-system",
    show_default=True,
    help="Where the Lease and the operator's Secrets stand.",
)
@click.option("--stream-host", help="Where gateways dial in. Default: every address of the pod.")
@click.option("--stream-port", default=8443, show_default=True, help="Where gateways dial in.")
@click.option(
    "--probe-host",
    default="127.0.0.1",
    show_default=True,
    help="Address of the probe port; 0.0.0.0 in a pod.",
)
@click.option("--probe-port", default=8080, show_default=True, help="/healthz, /readyz, /metrics.")
@click.option(
    "--dns-name",
    "dns_names",
    multiple=True,
    default=("headgate-operator.headgate-system.svc",),
    show_default=True,
    help="A name in the config stream's certificate. May be repeated.",
)
@click.option(
    "--ip-address", "ip_addresses", multiple=True, help="An address in that certificate. May be repeated."
)
@click.option(
    "--gateway-account",
    "gateway_accounts",
    multiple=True,
    default=("headgate-system:headgate-gateway",),
    show_default=True,
    help="namespace:name of a service account that gateways run under. May be repeated.",
)
@click.option("--audience", default="headgate-operator", show_default=True, help="Of the gateways' tokens.")
@click.option(
    "--lease-duration", default=30.0, show_default=True, help="Seconds until a dead leader is replaced."
)
@click.option("--identity", help="Name of this replica. Default: POD_NAME, else the host's name.")
@click.option("--log-format", type=click.Choice(["auto", "json", "text"]), default="auto", show_default=True)
def operator(
    kubeconfig: str | None,
    namespaces: str | None,
    own_namespace: str,
    stream_host: str | None,
    stream_port: int,
    probe_host: str,
    probe_port: int,
    dns_names: tuple[str, ...],
    ip_addresses: tuple[str, ...],
    gateway_accounts: tuple[str, ...],
    audience: str,
    lease_duration: float,
    identity: str | None,
    log_format: str,
) -> None:
    """Run the operator: custom resources in, config stream and status out.

    Several replicas may run; the holder of the Lease publishes and writes, the others are ready to take over.
    The CRDs must be there: kubectl apply --server-side -f crds/
    """
    try:
        from headgate_operator.main import run_operator
        from headgate_operator.settings import LeaseTimes, OperatorSettings, WrongSettings
    except ModuleNotFoundError as error:
        raise click.ClickException(
            f"{error.name} is missing: install Headgate with its operator, pip install 'headgate[operator]'"
        ) from error
    third = lease_duration / 3
    try:
        settings = OperatorSettings(
            kubeconfig=kubeconfig,
            namespaces=tuple(n.strip() for n in (namespaces or "").split(",") if n.strip()),
            own_namespace=own_namespace,
            identity=identity or os.environ.get("POD_NAME") or socket.gethostname(),
            stream_host=stream_host,
            stream_port=stream_port,
            probe_host=probe_host,
            probe_port=probe_port,
            dns_names=dns_names,
            ip_addresses=ip_addresses,
            audience=audience,
            gateway_accounts=gateway_accounts,
            lease=LeaseTimes(
                duration_s=lease_duration,
                deadline_s=2 * third,
                renew_s=third,
                poll_s=0.8 * third,
                retry_s=third / 5,
            ),
            log_format=log_format,  # type: ignore[arg-type]  # click's Choice gives just these
        )
    except WrongSettings as error:
        raise click.UsageError(str(error)) from error
    raise SystemExit(asyncio.run(run_operator(settings)))


@click.command(context_settings={"auto_envvar_prefix": "HEADGATE"})
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to serve on; 0.0.0.0 in a pod.")
@click.option("--port", default=8080, show_default=True, help="Where callers send requests.")
@click.option("--admin-host", default="127.0.0.1", show_default=True, help="Address of the admin port.")
@click.option(
    "--admin-port", default=8081, show_default=True, help="/healthz, /readyz, /metrics, /debug/table, /usage."
)
@click.option(
    "--operator",
    "operators",
    multiple=True,
    help="https://host:port of an operator replica or their Service. May be repeated.",
)
@click.option("--operator-ca", type=_PATH, help="PEM file with the authority of the config stream.")
@click.option("--token-file", type=_PATH, help="This pod's projected service account token.")
@click.option(
    "--state-dir", type=_PATH, help="Where the last good table is kept, to start from without an operator."
)
@click.option(
    "--ledger",
    metavar=METAVAR,
    callback=check_ledger,
    help="SQLite file, or postgresql:// URL, with a row for each request, for `headgate usage` and GET "
    "/v1/usage. Default: none.",
)
@click.option(
    "--ledger-days",
    type=click.IntRange(min=1),
    default=400,
    show_default=True,
    help="Older rows are deleted.",
)
@click.option(
    "--ledger-spool",
    type=_PATH,
    help="Folder where rows are safe until they are written. Default: beside the file, or in --state-dir.",
)
@click.option(
    "--ledger-spool-bytes",
    type=click.IntRange(min=8 * 1024 * 1024),
    default=256 * 1024 * 1024,
    show_default=True,
    help="How large that may become while the ledger cannot be written.",
)
@click.option("--limit-store", metavar="URL", callback=check_limit_store, help=STORE_HELP)
@click.option("--bootstrap-dir", type=_PATH, help="Where the bootstrap Secrets are mounted.")
@click.option("--name", help="How the operator calls this gateway. Default: POD_NAME, else the host's name.")
@click.option(
    "--unready", default=0.0, show_default=True, help="Seconds to serve on after /readyz says no, at the end."
)
@click.option(
    "--drain", default=30.0, show_default=True, help="Seconds that running requests get at the end."
)
@click.option("--max-body-bytes", default=10 * 1024 * 1024, show_default=True, help="Larger bodies get 413.")
@click.option(
    "--max-upload-bytes",
    default=100 * 1024 * 1024,
    show_default=True,
    help="The same for forms (audio, images, files), which pass through TMPDIR.",
)
@click.option(
    "--allow-private-media",
    is_flag=True,
    help="Images and files that callers name by URL may be fetched from private addresses, too.",
)
@click.option(
    "--allow-private-issuers",
    is_flag=True,
    help="Issuers of callers' tokens may have their keys at private addresses, and at this machine's.",
)
@click.option(
    "--max-requests",
    type=click.IntRange(min=1),
    default=10_000,
    show_default=True,
    help="Under way at once; above it, and above --max-streams, 503 with Retry-After.",
)
@click.option(
    "--max-streams", type=click.IntRange(min=1), default=5_000, show_default=True, help="Of those, streams."
)
@click.option("--access-log", is_flag=True, help="One line a request, with the decisions made for it.")
@click.option(
    "--debug-headers", is_flag=True, help="Answers tell those decisions, too, in x-headgate-decisions."
)
@click.option(
    "--workers",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="Processes that serve, one for each core. Limits, metrics and reports stay those of one gateway.",
)
@click.option(
    "--tls-cert",
    type=_PATH,
    help="PEM file with the certificate chain for callers. Read again when it changes, and at SIGHUP.",
)
@click.option("--tls-key", type=_PATH, help="PEM file with its key, without a passphrase.")
@click.option(
    "--tls-client-ca", type=_PATH, help="PEM file: callers must present a certificate of this authority."
)
@click.option(
    "--kubernetes-api",
    help="URL of the Kubernetes API: /v1/providers manages LLMProviders there, with each caller's own token.",
)
@click.option("--kubernetes-ca", type=_PATH, help="PEM file with its authority. Default: the system's.")
def gateway(
    host: str,
    port: int,
    admin_host: str,
    admin_port: int,
    operators: tuple[str, ...],
    operator_ca: Path | None,
    token_file: Path | None,
    state_dir: Path | None,
    ledger: str | None,
    limit_store: str | None,
    ledger_days: int,
    ledger_spool: Path | None,
    ledger_spool_bytes: int,
    bootstrap_dir: Path | None,
    name: str | None,
    unready: float,
    drain: float,
    max_body_bytes: int,
    max_upload_bytes: int,
    allow_private_media: bool,
    allow_private_issuers: bool,
    max_requests: int,
    max_streams: int,
    access_log: bool,
    debug_headers: bool,
    workers: int,
    tls_cert: Path | None,
    tls_key: Path | None,
    tls_client_ca: Path | None,
    kubernetes_api: str | None,
    kubernetes_ca: Path | None,
) -> None:
    """Run a gateway: the operator's table in, answered requests out.

    It serves from the last good table when no operator answers. SIGTERM: not ready, drain, exit; a second one
    cuts the drain short. With uvloop installed (headgate[speed]) it runs on it. Without a cluster, use
    `headgate up`.
    """
    from gateway_runtime.contract.ids import GatewayId
    from gateway_runtime.ledger.place import find_spool
    from gateway_runtime.ledger.postgres_url import WrongPlace
    from gateway_runtime.server.loop import make_loop
    from gateway_runtime.server.main import run_gateway
    from gateway_runtime.server.settings import GatewaySettings, ProvidersSource, TlsFiles
    from gateway_runtime.server.tls import UnusableCertificate
    from gateway_runtime.workers import run_workers

    if operators and (operator_ca is None or token_file is None):
        raise click.UsageError(
            "--operator needs --operator-ca and --token-file: the stream runs over TLS, with a token"
        )
    if not (operators or state_dir or bootstrap_dir):
        raise click.UsageError(
            "no source of a routing table: give --operator, --state-dir or --bootstrap-dir"
        )
    if ledger is not None:
        try:
            find_spool(ledger, ledger_spool, state_dir)
        except WrongPlace as error:
            raise click.UsageError(str(error)) from error
    tls = None
    if tls_cert is not None and tls_key is not None:
        tls = TlsFiles(tls_cert, tls_key, tls_client_ca)
    elif tls_cert is not None or tls_key is not None or tls_client_ca is not None:
        raise click.UsageError(
            "TLS needs both --tls-cert and --tls-key: the certificate chain for callers, and its key"
        )
    providers_api = None
    if kubernetes_api is not None:
        providers_api = ProvidersSource(
            "headgate.providers_cluster:make_cluster_providers", (kubernetes_api, str(kubernetes_ca or ""))
        )
    elif kubernetes_ca is not None:
        raise click.UsageError("--kubernetes-ca goes with --kubernetes-api: name the URL too")
    settings = GatewaySettings(
        name=GatewayId(name or os.environ.get("POD_NAME") or socket.gethostname()),
        host=host,
        port=port,
        admin_host=admin_host,
        admin_port=admin_port,
        operator_urls=operators,
        operator_ca_file=operator_ca,
        token_file=token_file,
        state_dir=state_dir,
        ledger=ledger,
        limit_store=limit_store,
        ledger_days=ledger_days,
        ledger_spool=ledger_spool,
        ledger_spool_bytes=ledger_spool_bytes,
        bootstrap_dir=bootstrap_dir,
        unready_s=unready,
        drain_s=drain,
        max_body_bytes=max_body_bytes,
        max_upload_bytes=max_upload_bytes,
        allow_private_media=allow_private_media,
        allow_private_issuers=allow_private_issuers,
        max_requests=max_requests,
        max_streams=max_streams,
        access_log=access_log,
        debug_headers=debug_headers,
        tls=tls,
        providers_api=providers_api,
    )
    serving = run_gateway(settings) if workers == 1 else run_workers(settings, workers)
    try:
        with asyncio.Runner(loop_factory=make_loop) as runner:
            runner.run(serving)
    except UnusableCertificate as error:
        raise click.ClickException(str(error)) from error
    except OSError as error:
        raise click.ClickException(error.strerror or str(error)) from error


@click.command("fake-provider")
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", default=9901, show_default=True, help="0: a free one, which the log names.")
@click.option("--latency", default=0.0, show_default=True, help="Seconds before the first byte.")
@click.option("--tokens-per-s", type=float, help="Pace of a stream. Default: as fast as can be.")
@click.option("--status", default=200, show_default=True, help="From 400: every completion is this error.")
@click.option("--retry-after", type=float, help="Seconds in the Retry-After of errors, such as --status 429.")
@click.option("--cut-after-chunks", type=int, help="Drop the connection after so many events of a stream.")
@click.option("--garbage", is_flag=True, help="Answer 200 with something that is not JSON.")
@click.option("--failing", is_flag=True, help="Answer everything with 503, probes too.")
@click.option(
    "--key", "keys", multiple=True, help="An API key that is accepted. May be repeated. Default: any."
)
@click.option(
    "--model",
    "models",
    multiple=True,
    default=("gpt-4o-mini",),
    show_default=True,
    help="A model in the model list. May be repeated.",
)
def fake_provider(
    host: str,
    port: int,
    latency: float,
    tokens_per_s: float | None,
    status: int,
    retry_after: float | None,
    cut_after_chunks: int | None,
    garbage: bool,
    failing: bool,
    keys: tuple[str, ...],
    models: tuple[str, ...],
) -> None:
    """Run a scripted provider that speaks OpenAI's API, for demos and tests.

    The script can be changed while it runs, and what it has seen can be asked for:

    \b
    curl -X PUT localhost:9901/_fake/script -d '{"failing": true}'
    curl localhost:9901/_fake/seen
    """
    from gateway_runtime.providers.fake import FakeScript
    from gateway_runtime.server.fake_provider import run_fake_provider

    script = FakeScript(
        latency_s=latency,
        tokens_per_s=tokens_per_s,
        status=status,
        retry_after_s=retry_after,
        cut_after_chunks=cut_after_chunks,
        garbage=garbage,
        failing=failing,
        keys=keys,
        models=models,
    )
    try:
        asyncio.run(run_fake_provider(host, port, script))
    except OSError as error:
        raise click.ClickException(f"cannot listen on {host}:{port}: {error.strerror or error}") from error
