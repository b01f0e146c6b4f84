"""`headgate up`: the gateway and a folder in one process, without a cluster.

    a file is saved -> reload (read, compile) -> apply to the gateway in this process -> one line that says
    what changed

Without a folder, `folderless` writes what is served, once. In: settings from the command line, the
environment for keys. Out: an exit code; findings and progress on stderr. Ctrl-C drains and ends with 0.
"""

import asyncio
import signal
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import click
import watchfiles
from aiohttp import web

from gateway_runtime.contract.ids import GatewayId
from gateway_runtime.contract.stream import Nack
from gateway_runtime.server.fake_provider import FakeProvider
from gateway_runtime.server.log import configure_logging
from gateway_runtime.server.main import Gateway
from gateway_runtime.server.settings import GatewaySettings
from headgate.folder import SUFFIXES
from headgate.folderless import FAKE_URL, Folderless, build_manifests, find_providers
from headgate.providers_folder import ADMIN_KEY, FolderProviders
from headgate.standalone import Reload, Standalone
from headgate.statuses import Statuses

EXIT_CANNOT_LISTEN: Final = 1
_SETTLE_MS: Final = 50  # editors write a file in several steps; longer is felt, shorter reads half of it


@dataclass(frozen=True, slots=True, kw_only=True)
class UpSettings:
    paths: tuple[Path, ...] = ()
    manifests: str = ""
    """YAML beside them; what has no path is not watched."""
    host: str = "127.0.0.1"
    port: int = 8080
    admin_port: int = 8081
    drain_s: float = 30.0
    access_log: bool = False
    ledger: str | None = None
    ledger_spool: Path | None = None
    limit_store: str | None = None
    """As GatewaySettings has it."""


async def run_up(
    settings: UpSettings, environment: Mapping[str, str], announce: Callable[[int, int], None] | None = None
) -> int:
    """Until SIGINT or SIGTERM. `announce` is called once with the port and the admin port when requests are
    served.
    """
    configure_logging()
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    created = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    up = _Up(settings, environment, created)
    try:
        await up.gateway.start()
    except OSError as error:
        click.echo(
            f"headgate up: {error.strerror or error}: choose another port with --port, --admin-port", err=True
        )
        return EXIT_CANNOT_LISTEN
    try:
        await up.reload()
        if announce is not None:
            announce(up.gateway.port, up.gateway.admin_port)
        else:
            click.echo(
                f"serving http://{settings.host}:{up.gateway.port}/v1, "
                f"status at http://{settings.host}:{up.gateway.admin_port}/status",
                err=True,
            )
        await up.watch(stop)
    finally:
        click.echo(f"stopping: running requests get up to {settings.drain_s:g} s to finish", err=True)
        await up.gateway.stop(settings.drain_s)
    return 0


async def run_folderless(
    settings: UpSettings, environment: Mapping[str, str], announce: Callable[[int, int], None] | None = None
) -> int:
    """As `run_up`, with what the environment's keys stand for, or with the fake provider. Raises
    WrongVariable.
    """
    fake: FakeProvider | None = None
    try:
        if not find_providers(environment):
            fake = FakeProvider()
            await fake.start()
        served = build_manifests(environment, settings.port, fake.url if fake else FAKE_URL)
        for sentence in served.ignored:
            click.echo(sentence, err=True)
        click.echo(_describe(served), err=True)
        return await run_up(replace(settings, manifests=served.manifests), environment, announce)
    finally:
        if fake is not None:
            await fake.stop()


def _describe(served: Folderless) -> str:
    if served.variables:
        keys = ", ".join(f"{name} ({variable})" for name, variable in served.variables.items())
        return f"no folder given: serving {keys}, also to callers without a key; as YAML: headgate up --print"
    return (
        "no folder given, and no provider's key in the environment, such as OPENAI_API_KEY: serving the "
        "built-in fake provider, which answers every model; as YAML: headgate up --print"
    )


class _Up:
    def __init__(self, settings: UpSettings, environment: Mapping[str, str], created: str) -> None:
        name = GatewayId("standalone")
        self._paths = settings.paths
        self._standalone = Standalone(settings.paths, environment, created, settings.manifests)
        self._statuses = Statuses(name, created)
        self._last: Reload | None = None
        self._reloading = asyncio.Lock()
        self.gateway = Gateway(
            GatewaySettings(
                name=name,
                host=settings.host,
                port=settings.port,
                admin_host=settings.host,
                admin_port=settings.admin_port,
                drain_s=settings.drain_s,
                access_log=settings.access_log,
                ledger=settings.ledger,
                limit_store=settings.limit_store,
                ledger_spool=settings.ledger_spool,
                allow_private_issuers=True,  # whoever writes the folder owns the machine
            ),
            admin_routes=(web.get("/status", self._show_status),),
            providers_api=FolderProviders(
                settings.paths, environment.get(ADMIN_KEY), self._build_objects, self.reload
            ),
        )

    async def reload(self) -> None:
        """Returns when what is in the files is live, or was refused."""
        async with self._reloading:  # what is saved, and what is posted, may come at once
            await self._reload()

    async def _reload(self) -> None:
        began = time.perf_counter()
        reload = await asyncio.to_thread(self._standalone.reload)
        answer = await self.gateway.apply_table(reload.compiled.table)
        for finding in reload.findings:
            click.echo(str(finding), err=True)
        if isinstance(answer, Nack):
            for fault in answer.faults:
                click.echo(
                    f"the gateway keeps what it runs: {fault.resource} {fault.message}".rstrip(), err=True
                )
            return
        self._statuses.note_applied(reload.compiled, answer.version)
        self._last = reload
        took_ms = (time.perf_counter() - began) * 1000
        problems = f", {len(reload.findings)} problems above" if reload.findings else ""
        click.echo(f"live: {reload.summary} ({took_ms:.0f} ms){problems}", err=True)

    async def watch(self, stop: asyncio.Event) -> None:
        if not self._paths:
            await stop.wait()
            return

        def is_manifest(_: watchfiles.Change, path: str) -> bool:
            return path.endswith(SUFFIXES) or Path(path) in self._paths

        changes = watchfiles.awatch(
            *self._paths, watch_filter=is_manifest, debounce=_SETTLE_MS, step=_SETTLE_MS, stop_event=stop
        )
        async for _ in changes:
            await self.reload()

    async def _show_status(self, _: web.Request) -> web.Response:
        if self._last is None:
            return web.json_response({"items": []}, status=503)
        return web.json_response({"apiVersion": "v1", "kind": "List", "items": self._build_objects()})

    def _build_objects(self) -> list[dict[str, Any]]:
        """What the files hold, with statuses; empty before the first reload."""
        version = self.gateway.version
        if self._last is None or version is None:
            return []
        reports = {report.endpoint: report for report in self.gateway.reports()}
        tenants = map(self.gateway.describe_tenant, self._last.compiled.table.tenants)
        return self._statuses.build_objects(self._last, version, reports, tenants, time.time())
