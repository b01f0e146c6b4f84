"""An issuer's public keys: a JWKS (RFC 7517) in, a KeySet out, which finds the key that a token names.

`discovery` reads what was fetched, `key_store` what the table brings of the cluster. A key that cannot verify
anything here is passed over, as RFC 7517, 5 wants it: another use, another kind, broken, too short; a secret
one (`oct`) above all.

The one subtle rule: which algorithms a key may verify follows from the key, never from the token. A token's
algorithm only chooses among them.
"""

from dataclasses import dataclass
from typing import Final, NamedTuple

import msgspec
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed448 import Ed448PublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm
from jwt.exceptions import InvalidKeyError

LIMIT_KEYS: Final = 100

LEAST_RSA_BITS: Final = 2048
"""RFC 7518, 3.3."""
MOST_RSA_BITS: Final = 8192
"""Above it, each verification would take the event loop a millisecond and more."""
MOST_RSA_EXPONENT: Final = 2**33
"""Everybody has 65537. A long one makes verifying as slow as signing."""

PublicKey = RSAPublicKey | EllipticCurvePublicKey | Ed25519PublicKey | Ed448PublicKey

_RSA: Final = frozenset({"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"})
_CURVES: Final = {
    ("EC", "P-256"): frozenset({"ES256"}),
    ("EC", "P-384"): frozenset({"ES384"}),
    ("EC", "P-521"): frozenset({"ES512"}),
    ("OKP", "Ed25519"): frozenset({"EdDSA"}),
    ("OKP", "Ed448"): frozenset({"EdDSA"}),
}


class UnusableKeys(Exception):
    """`reason` is one clause, which quotes nothing."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class VerifyingKey(NamedTuple):
    key_id: str | None
    algorithms: frozenset[str]
    public: PublicKey


@dataclass(frozen=True, slots=True)
class KeySet:
    """Equal to another with the same keys, in whatever words its JWKS was."""

    keys: tuple[VerifyingKey, ...]

    def find(self, key_id: str | None, algorithm: str) -> PublicKey | None:
        """The key that a token names. One that names none means the only one that there is for its
        algorithm.
        """
        fitting = [key for key in self.keys if algorithm in key.algorithms]
        if key_id is None:
            return fitting[0].public if len(fitting) == 1 else None
        return next((key.public for key in fitting if key.key_id == key_id), None)


class _Jwk(msgspec.Struct):
    """Its public members: with no other the private half of a key, published by mistake, is never read."""

    kty: str
    kid: str | None = None
    use: str | None = None
    key_ops: list[str] | None = None
    alg: str | None = None
    crv: str = ""
    n: str = ""
    e: str = ""
    x: str = ""
    y: str = ""


class _Jwks(msgspec.Struct):
    keys: list[msgspec.Raw]


_sets: Final = msgspec.json.Decoder(_Jwks)
_keys: Final = msgspec.json.Decoder(_Jwk)


def read_keys(text: bytes) -> KeySet:
    """Raises UnusableKeys."""
    try:
        raw_keys = _sets.decode(text).keys
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UnusableKeys("it is not a JWKS, a JSON object with a list `keys`") from error
    if len(raw_keys) > LIMIT_KEYS:
        raise UnusableKeys(f"its JWKS has {len(raw_keys)} keys, and {LIMIT_KEYS} are the most")
    keys = tuple(key for raw in raw_keys if (key := _read_key(raw)) is not None)
    if not keys:
        raise UnusableKeys("its JWKS has no public key that could verify a token")
    return KeySet(keys)


def _read_key(raw: msgspec.Raw) -> VerifyingKey | None:
    try:
        jwk = _keys.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    algorithms = _RSA if jwk.kty == "RSA" else _CURVES.get((jwk.kty, jwk.crv), frozenset())
    if jwk.alg is not None:
        algorithms &= {jwk.alg}
    if not algorithms or jwk.use not in (None, "sig") or "verify" not in (jwk.key_ops or ["verify"]):
        return None
    public = _build_key(jwk)
    return None if public is None else VerifyingKey(jwk.kid, algorithms, public)


def _build_key(jwk: _Jwk) -> PublicKey | None:
    """None: its numbers make no key, or none that is to be trusted."""
    try:
        match jwk.kty:
            case "RSA":
                key: object = RSAAlgorithm.from_jwk({"kty": "RSA", "n": jwk.n, "e": jwk.e})
            case "EC":
                key = ECAlgorithm.from_jwk({"kty": "EC", "crv": jwk.crv, "x": jwk.x, "y": jwk.y})
            case _:
                key = OKPAlgorithm.from_jwk({"kty": "OKP", "crv": jwk.crv, "x": jwk.x})
    except (InvalidKeyError, UnsupportedAlgorithm, ValueError):
        return None
    if isinstance(key, RSAPublicKey):
        bounded = LEAST_RSA_BITS <= key.key_size <= MOST_RSA_BITS
        return key if bounded and key.public_numbers().e < MOST_RSA_EXPONENT else None
    return key if isinstance(key, EllipticCurvePublicKey | Ed25519PublicKey | Ed448PublicKey) else None
