"""How the address of a store is written: a URL in, a StoreUrl out, or WrongStore. Nothing is dialled.

    redis://[user@]host[:6379][/database]         rediss:// for TLS
    redis+sentinel://[user@]host[:26379][,host…]/master          rediss+sentinel:// for TLS to both
    ?prefix=hg             where several installations share a server
    &ca=/etc/store/ca.crt  whom TLS trusts instead of the system's authorities

`redis` opens what is read here, the command line asks it whether a URL makes sense. A password is not part of
it, since URLs stand in manifests; nor is any message to repeat one.
"""

import re
from pathlib import Path
from typing import Final, NamedTuple
from urllib.parse import parse_qsl, unquote, urlsplit

from gateway_runtime.stores.store import WrongStore

DEFAULT_PREFIX: Final = "headgate"
_PORT: Final = 6379
_SENTINEL_PORT: Final = 26379
_SCHEMES: Final = ("redis", "rediss", "redis+sentinel", "rediss+sentinel")
_OPTIONS: Final = ("ca", "prefix")
_PREFIX: Final = re.compile(r"[\w.:-]+", re.ASCII)
"""No braces: a cluster would take what is in them for what belongs together."""
_HOST: Final = re.compile(r"(?:\[([^\]]+)\]|([^:\[\]]+))(?::(\d+))?")


class StoreUrl(NamedTuple):
    hosts: tuple[tuple[str, int], ...]
    """Of the server, or of its sentinels."""
    master: str | None
    """How the sentinels call it; None: there are none."""
    database: int
    tls: bool
    user: str | None
    authority: Path | None
    """PEM. None: those of the system."""
    prefix: str
    """What all keys begin with."""


def parse_store_url(url: str) -> StoreUrl:
    """Raises WrongStore."""
    parts = urlsplit(url)
    if parts.scheme not in _SCHEMES:
        raise WrongStore(
            f"the store's URL begins with one of {', '.join(_SCHEMES)}://, as in redis://host:6379/0"
        )
    if parts.password is not None:
        raise WrongStore("the store's URL has a password: set HEADGATE_STORE_PASSWORD instead and remove it")
    tls = parts.scheme.startswith("rediss")
    prefix, authority = _read_options(parts.query, tls=tls)
    path = unquote(parts.path.strip("/"))
    written = parts.netloc.rpartition("@")[2]
    user = unquote(parts.username) if parts.username else None
    if parts.scheme.endswith("+sentinel"):
        if not path or "/" in path:
            raise WrongStore("the store's URL names no master: redis+sentinel://host:26379/name")
        hosts = tuple(_read_host(one, _SENTINEL_PORT) for one in written.split(","))
        return StoreUrl(hosts, path, 0, tls, user, authority, prefix)
    if path and not (path.isascii() and path.isdecimal()):
        raise WrongStore(f"the store's database is a number, as in redis://host:6379/0, not {path}")
    if "," in written:
        raise WrongStore(
            "the store's URL names several hosts, and no sentinels: begin it with redis+sentinel://"
        )
    return StoreUrl((_read_host(written, _PORT),), None, int(path or 0), tls, user, authority, prefix)


def _read_options(query: str, *, tls: bool) -> tuple[str, Path | None]:
    options = dict(parse_qsl(query, keep_blank_values=True))
    unknown = sorted(options.keys() - set(_OPTIONS))
    if unknown:
        raise WrongStore(
            f"the store's URL has unknown options: {', '.join(unknown)}. Known: {', '.join(_OPTIONS)}"
        )
    prefix = options.get("prefix", DEFAULT_PREFIX)
    if not _PREFIX.fullmatch(prefix):
        raise WrongStore(f"the store's prefix is letters, digits and any of _ . : -, not {prefix!r}")
    if "ca" not in options:
        return prefix, None
    if not tls:
        raise WrongStore("the store's URL has `ca`, and no TLS: begin it with rediss://, or leave `ca` out")
    authority = Path(options["ca"])
    if not authority.is_file():
        raise WrongStore(f"the store's authority is not there: {authority} is no file")
    return prefix, authority


def _read_host(written: str, port: int) -> tuple[str, int]:
    if not written:
        raise WrongStore("the store's URL names no host, as in redis://host:6379/0")
    found = _HOST.fullmatch(written)
    number = int(found[3] or port) if found else 0
    if found is None or not 0 < number < 65536:
        raise WrongStore(f"the store's URL has no valid host and port: {written}")
    return found[1] or found[2], number
