"""`--limit-store`: a URL of the store that gateways share limits through, judged before anything runs."""

import os

import click

STORE_HELP = (
    "URL of the Redis, Valkey or Dragonfly through which all gateways share limits, to the last request: "
    "redis://host:6379/0, rediss://, redis+sentinel://host,host/name. Its password comes from "
    "HEADGATE_STORE_PASSWORD. Default: each gateway spends an equal part of each limit."
)


def check_limit_store(_context: click.Context, _option: click.Parameter, url: str | None) -> str | None:
    """Raises click.UsageError."""
    from gateway_runtime.stores import STORE_PASSWORD, open_store
    from gateway_runtime.stores.store import WrongStore

    if url is not None:
        try:
            open_store(url, os.environ.get(STORE_PASSWORD))  # which dials nothing
        except WrongStore as error:
            raise click.UsageError(str(error)) from error
    return url
