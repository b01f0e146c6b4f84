"""Where a PostgreSQL ledger is, as people write it: a URL in, one that may be shown and a password apart out.

    postgresql://headgate@db.example:5432/usage?sslmode=verify-full
    postgresql://headgate:${DB_PASSWORD}@db.example/usage

The one subtle rule: a password never stands in the URL. Command lines are seen by everybody on the machine,
and settings are passed on to other processes; so there is only the name of the variable that has it.
"""

import re
from collections.abc import Mapping
from typing import Final
from urllib.parse import parse_qsl, urlsplit

from gateway_runtime.contract.secret import Secret

SCHEMES: Final = ("postgresql://", "postgres://")
PASSWORD: Final = "HEADGATE_LEDGER_PASSWORD"
"""Counts before PGPASSWORD, which the driver reads by itself."""

_REFERENCE: Final = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")


class WrongPlace(Exception):
    """The message is a sentence that says what to write instead, and has no secret in it."""


class PostgresUrl:
    """Shows itself without its password."""

    __slots__ = ("_password", "_shown", "text")

    def __init__(self, text: str, password: Secret | None) -> None:
        """text: without a password."""
        self.text = text
        self._shown = text.partition("?")[0]
        self._password = password

    def __str__(self) -> str:
        return self._shown

    def __repr__(self) -> str:
        return f"<PostgresUrl {self._shown}>"

    def reveal_password(self) -> str | None:
        """None: the driver finds one, in PGPASSWORD or `~/.pgpass`, or there is none."""
        return None if self._password is None else self._password.reveal()


def parse_postgres_url(text: str, environment: Mapping[str, str]) -> PostgresUrl:
    """Raises WrongPlace."""
    parts = urlsplit(text)
    before, at, hosts = parts.netloc.rpartition("@")
    user, colon, reference = before.partition(":")
    query = dict(parse_qsl(parts.query))
    if "password" in query or "sslpassword" in query:
        raise WrongPlace(f"The ledger's URL has a password in it: {_REMEDY}")
    if not parts.path.strip("/") and "dbname" not in query and "database" not in query:
        raise WrongPlace("The ledger's URL names no database: write postgresql://USER@HOST/DATABASE.")
    if any(port and not port.isdigit() for port in map(_find_port, hosts.split(","))):
        raise WrongPlace("The ledger's URL has a port that is no number.")
    if query.get("sslmode", "prefer") not in _SSL_MODES:
        raise WrongPlace(f"The ledger's URL has an unknown sslmode: write one of {', '.join(_SSL_MODES)}.")
    password = environment.get(PASSWORD)
    if colon:
        named = _REFERENCE.fullmatch(reference)
        if named is None:
            raise WrongPlace(f"The ledger's URL has a password in it: {_REMEDY}")
        password = environment.get(named[1])
        if password is None:
            raise WrongPlace(f"The ledger's URL takes its password from {named[1]}, which is not set.")
    plain = f"{parts.scheme}://{user}{at}{hosts}{text.partition('://')[2].removeprefix(parts.netloc)}"
    return PostgresUrl(plain, None if password is None else Secret(password))


def _find_port(host: str) -> str:
    """Empty: it names none. host: perhaps an address of IPv6 in brackets."""
    return host.rpartition("]")[2].partition(":")[2]


_SSL_MODES: Final = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")
_REMEDY: Final = (
    f"write ${{NAME}} in its place and set NAME, or leave it out and set {PASSWORD} or PGPASSWORD."
)
