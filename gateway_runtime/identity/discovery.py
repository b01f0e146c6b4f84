"""One fetch of an issuer's keys: its URL in, a KeySet out, and how long that is good.

    .../.well-known/openid-configuration -> {issuer, jwks_uri} -> JWKS      OpenID Connect Discovery, 4
    any other URL                        -> JWKS

`key_store` asks. The one subtle rule: a discovery document speaks for its own issuer only. One that names
another is refused, or whoever can place a document could sign for anybody.
"""

from typing import Final, NamedTuple

import msgspec

from gateway_runtime.identity.document import LIMIT_BYTES, Fetch, Unfetched
from gateway_runtime.identity.keys import KeySet, UnusableKeys, read_keys

WELL_KNOWN: Final = "/.well-known/openid-configuration"


class FetchedKeys(NamedTuple):
    keys: KeySet
    life_s: float


class _Configuration(msgspec.Struct):
    issuer: str
    jwks_uri: str


_configurations: Final = msgspec.json.Decoder(_Configuration)


async def fetch_keys(fetch: Fetch, issuer: str, url: str) -> FetchedKeys:
    """Raises Unfetched."""
    if url.endswith(WELL_KNOWN):
        url = _read_keys_url((await fetch(url, LIMIT_BYTES)).body, issuer)
    document = await fetch(url, LIMIT_BYTES)
    try:
        return FetchedKeys(read_keys(document.body), document.life_s)
    except UnusableKeys as error:
        raise Unfetched(error.reason) from error


def _read_keys_url(body: bytes, issuer: str) -> str:
    try:
        configuration = _configurations.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Unfetched("its discovery document is not JSON with `issuer` and `jwks_uri`") from error
    if configuration.issuer != issuer:
        raise Unfetched("its discovery document is that of another issuer: `issuer` is not the subject's")
    return configuration.jwks_uri
