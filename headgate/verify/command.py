"""The `headgate verify-limits` command: options in, a report on stdout, progress on stderr, an exit code."""

import asyncio
import os
import secrets
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

import click

from headgate.store_option import check_limit_store

if TYPE_CHECKING:
    from headgate.verify.report import Report

EXIT_BROKEN: Final = 1
EXIT_COULD_NOT_LOOK: Final = 3
EXIT_INTERRUPTED: Final = 130
"""As shells tell of SIGINT."""
_SECONDS: Final = 30.0


@click.command("verify-limits")
@click.option(
    "--store",
    metavar="URL",
    callback=check_limit_store,
    help="The store to try, as for `--limit-store`; password from HEADGATE_STORE_PASSWORD. Default: one in "
    "this process, in virtual time.",
)
@click.option("--operations", type=click.IntRange(min=100), default=100_000, show_default=True)
@click.option("--gateways", type=click.IntRange(min=1, max=64), default=4, show_default=True)
@click.option(
    "--seconds",
    type=click.FloatRange(min=1),
    help=f"With --store: over which the operations are spread. Default: {_SECONDS:g}.",
)
@click.option("--seed", type=click.IntRange(min=0), help="Of all that is drawn. Default: drawn, and told.")
@click.option("-o", "--output", type=click.Choice(["table", "json"]), default="table", show_default=True)
def verify_limits(
    store: str | None, operations: int, gateways: int, seconds: float | None, seed: int | None, output: str
) -> None:
    """Prove that gateways which share limits never admit more than the amount.

    Several gateways admit requests, streams, retries and callers that leave, against limits of requests,
    tokens, US dollars and requests at once, while everything goes wrong that can: gateways are killed,
    stopped and cut off, answers are lost, the store is away or loses its memory, amounts are edited. Each
    admission is held against an exact log: in every window what was spent and what is running is at most the
    amount, at every moment; at the end nothing is held, and nothing that was spent is missing.

    Without --store it is the gateway's own code over a store in this process, in virtual time, with clocks
    that are set and failovers to an older memory besides. With --store, gateways are processes that are
    killed and stopped in earnest, over that server. Their keys have a prefix of this run alone and are
    deleted at its end; nothing else there is touched. It takes a few thousand calls a second at most.

    Exit code 1 when a limit was overrun, 3 when the store could not be reached.

    \b
    headgate verify-limits
    headgate verify-limits --store redis://localhost:6379/0
    headgate verify-limits --store rediss://limits@redis.example:6380/0 --seconds 300 --operations 1000000
    """
    from headgate.verify.report import build_json, build_text

    if store is None and seconds is not None:
        raise click.UsageError("--seconds goes with --store: virtual time takes as long as it does")
    drawn = secrets.randbelow(10**6) if seed is None else seed
    with click.progressbar(length=operations, label="operations", file=sys.stderr) as bar:

        def progress(done: int) -> None:
            bar.update(min(done, operations) - bar.pos)

        if store is None:
            report = _run_virtual(operations, gateways, drawn, progress)
        else:
            report = _run_storm(store, operations, gateways, seconds or _SECONDS, drawn, progress)
    click.echo(build_json(report) if output == "json" else build_text(report))
    raise SystemExit(0 if report.verdict == "Held" else EXIT_BROKEN)


def _run_virtual(operations: int, gateways: int, seed: int, progress: Callable[[int], None]) -> "Report":
    from headgate.verify.virtual import run_virtual

    try:
        return run_virtual(operations=operations, gateways=gateways, seed=seed, progress=progress)
    except KeyboardInterrupt:
        raise SystemExit(EXIT_INTERRUPTED) from None


def _run_storm(
    url: str, operations: int, gateways: int, seconds: float, seed: int, progress: Callable[[int], None]
) -> "Report":
    from gateway_runtime.stores import STORE_PASSWORD
    from gateway_runtime.stores.store import StoreAway
    from headgate.verify.fleet import GatewayFell
    from headgate.verify.storm import StormSettings, run_storm

    settings = StormSettings(url, os.environ.get(STORE_PASSWORD), operations, gateways, seconds, seed)
    try:
        return asyncio.run(run_storm(settings, progress))
    except StoreAway as error:
        click.echo(f"headgate verify-limits: the store could not be looked at: {error}", err=True)
    except GatewayFell as error:
        click.echo(f"headgate verify-limits: {error}", err=True)
    except KeyboardInterrupt:  # by then all is stopped and deleted
        raise SystemExit(EXIT_INTERRUPTED) from None
    raise SystemExit(EXIT_COULD_NOT_LOOK)
