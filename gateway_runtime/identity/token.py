"""A bearer token that nobody has verified yet: text in, what it says of its own making out.

    <base64url header>.<base64url payload>.<base64url signature>      JWS, compact (RFC 7515, 7.1)

`authenticator` reads a key that is unknown so, to find whose keys could verify it. The one subtle rule: what
is not clearly such a token is none, and its sender is told of an unknown API key instead.
"""

import binascii
import re
from base64 import urlsafe_b64decode
from typing import Final, NamedTuple, TypeVar

import msgspec

from gateway_runtime.identity.rejection import Reason

T = TypeVar("T")

LIMIT_CHARACTERS: Final = 16 * 1024
"""As a line of a request's head. Entra's with many groups have some 10 KB."""

ALGORITHMS: Final = frozenset(
    {"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"}
)
"""All need the issuer's private key to sign. Not in it: `none`, and HMAC, whose key would be the one that the
issuer publishes.
"""

_COMPACT: Final = re.compile(r"([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]*)")


class _Header(msgspec.Struct):
    alg: str
    kid: str | None = None
    crit: object = None
    """Extensions that must be understood; none is."""


class _Payload(msgspec.Struct):
    iss: str


class UnverifiedToken(NamedTuple):
    algorithm: str
    """One of ALGORITHMS."""
    key_id: str | None
    issuer: str


_headers: Final = msgspec.json.Decoder(_Header)
_payloads: Final = msgspec.json.Decoder(_Payload)


def read_token(text: str) -> UnverifiedToken | Reason | None:
    """None: it is no token. A Reason: it is one that nobody could verify."""
    compact = _COMPACT.fullmatch(text)
    if compact is None:
        return None
    if len(text) > LIMIT_CHARACTERS:
        return Reason.TOO_LONG
    header = _read_part(_headers, compact[1])
    if header is None:
        return None
    if header.alg.lower() == "none":
        return Reason.UNSIGNED
    if header.alg not in ALGORITHMS:
        return Reason.ALGORITHM
    payload = _read_part(_payloads, compact[2])
    if payload is None or header.crit is not None:
        return Reason.MALFORMED
    return UnverifiedToken(header.alg, header.kid, payload.iss)


def _read_part(decoder: msgspec.json.Decoder[T], part: str) -> T | None:
    try:
        return decoder.decode(urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    except (binascii.Error, msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
