"""`headgate usage`: what the ledger adds up to; `headgate usage export`: its rows, for other systems."""

import os
import time
from pathlib import Path
from typing import Final

import click

from headgate.ledger_option import METAVAR, check_ledger

EXIT_COULD_NOT_LOOK: Final = 3


@click.group(invoke_without_command=True)
@click.option(
    "--ledger", metavar=METAVAR, callback=check_ledger, help="Default: where `headgate up` keeps it."
)
@click.option(
    "--by",
    multiple=True,
    help="Names with commas between: tenant, user, key, route, provider, model, …, tag:NAME.",
)
@click.option("--since", help="12h, 30d, 4w ago, a day (2026-11-01) or a moment. Default: 30d.")
@click.option("--until", help="The same; what ended then is out already. Default: now.")
@click.option("--tenant", help="namespace/name of one TenantQuota. Default: all.")
@click.option(
    "-o", "--output", type=click.Choice(["table", "csv", "json"]), default="table", show_default=True
)
@click.pass_context
def usage(
    context: click.Context,
    ledger: str | None,
    by: tuple[str, ...],
    since: str | None,
    until: str | None,
    tenant: str | None,
    output: str,
) -> None:
    """Add up requests, tokens and cost, as the ledger has them.

    Sums are exact, in US dollars. Beside them stands what they leave out: requests whose price is not known,
    and those of which no provider told what they used. Sums may be by tenant, user, key, route, provider,
    model, upstream-model, operation, day (in UTC) and tag:NAME. Exit code 3 when there is no ledger to read.

    \b
    headgate usage --by tenant,model
    headgate usage --by day --since 2026-11-01 --tenant team-a/quota -o csv
    headgate usage export --since 30d --format focus -o november.csv
    """
    from gateway_runtime.ledger.query import WrongQuery, build_query
    from headgate.usage import Unreadable, show_usage

    if context.invoked_subcommand is not None:
        if ledger or by or since or until or tenant or output != "table":
            name = context.invoked_subcommand
            raise click.UsageError(f"options of `{name}` stand behind it: headgate usage {name} --since 7d")
        return
    try:
        query = build_query(by, since, until, tenant, time.time())
    except WrongQuery as error:
        raise click.UsageError(str(error)) from error
    try:
        click.echo(show_usage(_find_ledger(ledger), os.environ, query, output))
    except Unreadable as error:
        click.echo(f"headgate usage: {error}", err=True)
        raise SystemExit(EXIT_COULD_NOT_LOOK) from None


@usage.command()
@click.option(
    "--ledger", metavar=METAVAR, callback=check_ledger, help="Default: where `headgate up` keeps it."
)
@click.option("--since", help="12h, 30d, 4w ago, a day (2026-11-01) or a moment. Default: 30d.")
@click.option("--until", help="The same; what ended then is out already. Default: now.")
@click.option("--tenant", help="namespace/name of one TenantQuota. Default: all.")
@click.option(
    "--format",
    "form",
    type=click.Choice(["csv", "parquet", "focus"]),
    default="csv",
    show_default=True,
    help="csv and parquet: every row as it is. focus: billing rows by the hour, in the manner of FOCUS.",
)
@click.option(
    "-o",
    "--output",
    type=click.Path(dir_okay=False, allow_dash=True),
    default="-",
    show_default=True,
    help="A file, which is there when it is whole; - for standard output.",
)
def export(
    ledger: str | None,
    since: str | None,
    until: str | None,
    tenant: str | None,
    form: str,
    output: str,
) -> None:
    """Write the ledger's rows for other systems, however many there are.

    Money is exact: decimal text, never a float. Parquet needs the extra headgate[parquet]. Exit code 3 when
    there is no ledger to read.

    \b
    headgate usage export --since 2026-11-01 --until 2026-12-01 --format parquet -o november.parquet
    headgate usage export --since 30d --format focus --tenant team-a/quota
    """
    from gateway_runtime.ledger.query import WrongQuery, build_query
    from headgate.usage import Unreadable, export_usage

    try:
        query = build_query((), since, until, tenant, time.time())
    except WrongQuery as error:
        raise click.UsageError(str(error)) from error
    try:
        export_usage(_find_ledger(ledger), os.environ, query, form, None if output == "-" else Path(output))
    except Unreadable as error:
        click.echo(f"headgate usage export: {error}", err=True)
        raise SystemExit(EXIT_COULD_NOT_LOOK) from None


def _find_ledger(named: str | None) -> str:
    from headgate.usage import find_default_ledger

    return named or str(find_default_ledger(os.environ, Path.home()))
