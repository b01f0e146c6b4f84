"""Whether a token was signed with a key: the token's text and a public key in, its claims out.

PyJWT does it, at the level of JWS: which claims are wanted, and by which clock, is told in `claims`.
"""

from collections.abc import Mapping
from typing import Final

import msgspec
from jwt import PyJWS
from jwt.exceptions import PyJWTError

from gateway_runtime.identity.keys import PublicKey
from gateway_runtime.identity.token import ALGORITHMS

Claims = Mapping[str, object]

_jws: Final = PyJWS(algorithms=sorted(ALGORITHMS))
_claims: Final = msgspec.json.Decoder(dict[str, object])


def verify_signature(token: str, key: PublicKey, algorithm: str) -> Claims | None:
    """key: one that may verify with `algorithm`. None: another key has signed it, or what is signed is no
    JSON object. Takes 100 µs, of which the text takes half; with P-521 half a millisecond.
    """
    try:
        payload: bytes = _jws.decode(token, key, algorithms=[algorithm])
        return _claims.decode(payload)
    except (PyJWTError, msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
