"""The `headgate` command. Each subcommand imports what it needs when it runs, so that `--help` is instant and
a gateway image needs no operator packages.

Exit codes, the same for every output format: 0 fine, 1 found problems, 2 wrong usage, 3 could not look.
Data goes to stdout, progress to stderr.
"""

import asyncio
import os
import time
from pathlib import Path
from typing import IO

import click

from headgate.ledger_option import METAVAR, check_ledger
from headgate.servers import fake_provider, gateway, operator
from headgate.store_option import STORE_HELP, check_limit_store
from headgate.usage_commands import usage
from headgate.verify.command import verify_limits

EXIT_PROBLEMS = 1
EXIT_COULD_NOT_LOOK = 3

_CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 100}
_PATHS = click.argument("paths", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))


@click.group(context_settings=_CONTEXT)
@click.version_option(package_name="headgate", prog_name="headgate")
def main() -> None:
    """Headgate: an LLM gateway, with Kubernetes resources or a folder of the same YAML.

    \b
    On a laptop     headgate up, or headgate up DIR, then headgate status, headgate usage
    Before a push   headgate validate DIR, headgate explain DIR --model NAME
    In a cluster    headgate operator, headgate gateway (see manifests/)
    """


@main.command()
@click.argument("paths", nargs=-1, type=click.Path(exists=True, path_type=Path))
@click.option("--port", default=8080, show_default=True, help="Where callers send requests. 0: a free one.")
@click.option("--admin-port", default=8081, show_default=True, help="Health, metrics, status. 0: a free one.")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on, for both ports.")
@click.option("--drain", default=30.0, show_default=True, help="Seconds that running requests get at Ctrl-C.")
@click.option("--access-log", is_flag=True, help="One line a request on stderr.")
@click.option(
    "--ledger",
    metavar=METAVAR,
    callback=check_ledger,
    help="Where a row is kept for each request: a SQLite file, or a postgresql:// URL. Default: "
    "headgate/usage.db in ~/.local/state.",
)
@click.option("--limit-store", metavar="URL", callback=check_limit_store, help=STORE_HELP)
@click.option("--no-ledger", is_flag=True, help="Keep none.")
@click.option(
    "--print", "show", is_flag=True, help="Without a folder: print the YAML that would be served, and end."
)
def up(
    paths: tuple[Path, ...],
    port: int,
    admin_port: int,
    host: str,
    drain: float,
    access_log: bool,
    ledger: str | None,
    limit_store: str | None,
    no_ledger: bool,
    show: bool,
) -> None:
    """Run a gateway over folders (or files) of manifests, without a cluster.

    The YAML is the cluster's: LLMProvider, ModelRoute, TenantQuota, and Secrets. A Secret that is not in the
    folder may come from the environment: a provider called groq takes GROQ_API_KEY, a provider of type openai
    also OPENAI_API_KEY. Files are watched: what you save is live at once, and a broken file keeps its last
    good content serving while its line is named here.

    Without a folder, the keys in the environment say what is served: each of OPENAI_API_KEY,
    ANTHROPIC_API_KEY, GOOGLE_API_KEY (or GEMINI_API_KEY), META_API_KEY, GROQ_, MISTRAL_, DEEPSEEK_, XAI_,
    TOGETHER_, FIREWORKS_, OPENROUTER_ and COHERE_API_KEY brings its provider, and the names of models decide
    between them (gpt-*, claude-*, gemini-*, llama*). OPENAI_BASE_URL and ANTHROPIC_BASE_URL are heeded.
    Callers need no key, so only this machine is served. With none of these keys a fake provider answers.

    \b
    headgate up examples/quickstart
    headgate up --no-ledger examples/quickstart
    OPENAI_API_KEY=sk-... headgate up
    headgate up --print > my-folder/headgate.yaml
    headgate status
    """
    from gateway_runtime.ledger.place import find_spool
    from headgate.folderless import WrongVariable, build_manifests, is_loopback
    from headgate.up import UpSettings, run_folderless, run_up
    from headgate.usage import find_default_ledger

    default = find_default_ledger(os.environ, Path.home())
    if ledger is not None and no_ledger:
        raise click.UsageError("--ledger and --no-ledger are opposites: give one of them")
    environment = dict(os.environ)
    settings = UpSettings(
        paths=paths,
        host=host,
        port=port,
        admin_port=admin_port,
        drain_s=drain,
        access_log=access_log,
        ledger=None if no_ledger else ledger or str(default),
        limit_store=limit_store,
        ledger_spool=find_spool(ledger, None, default.parent) if ledger is not None else None,
    )
    if paths:
        if show:
            raise click.UsageError("--print shows what stands for a folder: give none, or leave --print out")
        raise SystemExit(asyncio.run(run_up(settings, environment)))
    if not is_loopback(host):
        raise click.UsageError(
            f"without a folder callers need no key, so --host {host} would give your keys to the network: "
            "write `headgate up --print` into a folder, give its TenantQuota keys, and name the folder"
        )
    try:
        if show:
            shown = build_manifests(environment, port)
            for sentence in shown.ignored:
                click.echo(sentence, err=True)
            click.echo(shown.manifests, nl=False)
        else:
            raise SystemExit(asyncio.run(run_folderless(settings, environment)))
    except WrongVariable as error:
        raise click.UsageError(str(error)) from error


@main.command()
@_PATHS
@click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text", show_default=True)
@click.option("--secrets", is_flag=True, help="A Secret that the files do not hold is a problem too.")
def validate(paths: tuple[Path, ...], output: str, secrets: bool) -> None:
    """Check manifests as the operator would, with file and line.

    Runs the same compile: fields, references between objects, models and keys claimed twice. Kinds that are
    not Headgate's are left alone. Exit code 1 when there are problems.

    \b
    headgate validate examples/quickstart
    headgate validate -o json base overlays/prod
    """
    from headgate.validate import build_json, validate_paths

    validation = validate_paths(paths, secrets=secrets)
    if output == "json":
        click.echo(build_json(validation))
    else:
        for finding in validation.findings:
            click.echo(str(finding))
        click.echo(validation.summary, err=bool(validation.findings))
    raise SystemExit(EXIT_PROBLEMS if validation.findings else 0)


@main.command()
@_PATHS
@click.option("--model", help="Asked for in a chat of one line. Or give a whole request with --request.")
@click.option(
    "--request",
    "--body",
    "body",
    type=click.File("rb"),
    help="A request's body in JSON, from a file or - for standard input.",
)
@click.option(
    "--path", default="/v1/chat/completions", show_default=True, help="Where a caller would send it."
)
@click.option("--tenant", help="namespace/name of the TenantQuota of the caller. Default: the only one.")
@click.option(
    "--gateways",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="How many gateways (each worker is one) share every amount, without a store in common.",
)
@click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text", show_default=True)
def explain(
    paths: tuple[Path, ...],
    model: str | None,
    body: IO[bytes] | None,
    path: str,
    tenant: str | None,
    gateways: int,
    output: str,
) -> None:
    """Say what the gateway would do with a request, from manifests alone. Nothing is sent.

    Which route takes it and why, which endpoints in which order, what each of them would be asked, what it
    could not be told and what it costs there at most, which models come after. What the request reserves of
    each limit, how often it has room there, and which limit it can never fit into. It is decided by the
    gateway's own code, as if nothing had been used yet. Exit code 1 when the request would not be served.

    \b
    headgate explain examples/quickstart --model gpt-4o-mini
    headgate explain manifests/ --tenant chat/team --path /v1/messages --request request.json
    """
    from headgate.explain import Asked, CannotExplain, build_minimal_body
    from headgate.explain import explain as explain_request
    from headgate.explain_text import build_json, build_text

    if (model is None) == (body is None):
        raise click.UsageError("give --model or --request, and not both")
    data = build_minimal_body(path, model or "") if body is None else body.read()
    asked = Asked(tenant=tenant, path=path, data=data, now_unix_s=time.time(), gateways=gateways)
    try:
        explanation = explain_request(paths, os.environ, asked)
    except CannotExplain as error:
        raise click.UsageError(str(error)) from error
    click.echo(build_json(explanation) if output == "json" else build_text(explanation))
    raise SystemExit(0 if explanation.served else EXIT_PROBLEMS)


@main.command()
@click.option(
    "--url", default="http://127.0.0.1:8081", show_default=True, help="Admin address of the gateway."
)
@click.option(
    "-o",
    "--output",
    type=click.Choice(["table", "wide", "json", "yaml"]),
    default="table",
    show_default=True,
)
def status(url: str, output: str) -> None:
    """Show what a running `headgate up` serves and how healthy it is.

    The tables are those of `kubectl get headgate` in a cluster. Exit code 1 when something is not Ready, 3
    when no gateway answers.
    """
    from headgate.columns import find_path
    from headgate.status import Unreachable, fetch_objects, show_objects

    try:
        objects = fetch_objects(url)
    except Unreachable as error:
        click.echo(f"headgate status: {error}", err=True)
        raise SystemExit(EXIT_COULD_NOT_LOOK) from None
    click.echo(show_objects(objects, output))
    ready = '.status.conditions[?(@.type=="Ready")].status'
    raise SystemExit(0 if all(find_path(item, ready) == "True" for item in objects) else EXIT_PROBLEMS)


for _command in (operator, gateway, fake_provider, usage, verify_limits):
    main.add_command(_command)

if __name__ == "__main__":
    main()
