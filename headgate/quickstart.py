"""`make run`: the fake provider and `headgate up examples/quickstart` in one process, with three lines to
try.

In: the gateway's port. Ends at Ctrl-C, or with one sentence when a port is taken.
"""

import asyncio
import os
import sys
from pathlib import Path
from urllib.parse import urlsplit

import click

from gateway_runtime.providers.fake import FakeScript
from gateway_runtime.server.fake_provider import FakeProvider
from headgate.folder import read_folder
from headgate.up import UpSettings, run_up

QUICKSTART = Path("examples/quickstart")

_TRY = """
Headgate listens on {url}. In another terminal:

  # a completion
  curl -s {url}/v1/chat/completions -H 'Authorization: Bearer {key}' -d '{completion}'

  # a stream
  curl -sN {url}/v1/chat/completions -H 'Authorization: Bearer {key}' -d '{stream}'

  # the status (as tables: .venv/bin/headgate status --url {admin_url})
  curl -s {admin_url}/status

The configuration is in {folder}: edit a file there and save it. Ctrl-C ends everything.
"""
_KEY = "sk-headgate-demo"
_COMPLETION = '{"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Hello"}]}'
_STREAM = '{"model": "gpt-4o-mini", "stream": true, "messages": [{"role": "user", "content": "Hello"}]}'


@click.command()
@click.option(
    "--port", default=8080, show_default=True, help="The gateway's port; its admin port is the next one."
)
def main(port: int) -> None:
    """Start the fake provider and a gateway over examples/quickstart."""
    raise SystemExit(asyncio.run(run_quickstart(port)))


async def run_quickstart(port: int) -> int:
    provider = FakeProvider(FakeScript())
    address = _provider_address()
    try:
        await provider.start(*address)
    except OSError as error:
        where = f"{address[0]}:{address[1]}"
        click.echo(
            f"make run: the fake provider cannot listen on {where} ({error.strerror}): free that port, "
            f"or change baseUrl in {QUICKSTART}/provider.yaml",
            err=True,
        )
        return 1
    try:
        settings = UpSettings(paths=(QUICKSTART,), port=port, admin_port=port + 1 if port else 0)
        return await run_up(settings, dict(os.environ), announce=_announce)
    finally:
        await provider.stop()


def _announce(port: int, admin_port: int) -> None:
    sys.stdout.write(
        _TRY.format(
            url=f"http://127.0.0.1:{port}",
            admin_url=f"http://127.0.0.1:{admin_port}",
            key=_KEY,
            completion=_COMPLETION,
            stream=_STREAM,
            folder=QUICKSTART,
        )
    )
    sys.stdout.flush()


def _provider_address() -> tuple[str, int]:
    """Where the quickstart's provider is said to be: the manifest is the one place for it."""
    provider = next(o for o in read_folder([QUICKSTART]).objects if o.raw["kind"] == "LLMProvider")
    url = urlsplit(provider.raw["spec"]["baseUrl"])
    return url.hostname or "127.0.0.1", url.port or 80


if __name__ == "__main__":
    main()
