"""`--ledger` as people write it: a path or a URL of PostgreSQL, judged before anything runs."""

import os
from pathlib import Path
from typing import Final

import click

METAVAR: Final = "PATH|URL"


def check_ledger(_context: click.Context, _option: click.Parameter, place: str | None) -> str | None:
    """The callback of such an option."""
    from gateway_runtime.ledger.place import is_url, make_store
    from gateway_runtime.ledger.postgres_url import WrongPlace

    if place is None:
        return None
    if not is_url(place) and Path(place).is_dir():
        raise click.BadParameter(
            f"{place} is a folder: name a file in it, such as {Path(place) / 'usage.db'}."
        )
    try:
        make_store(place, os.environ)  # touches and dials nothing yet
    except WrongPlace as error:
        raise click.BadParameter(str(error)) from error
    return place
