"""How a caller's API key becomes the hash that the routing table holds.

    key --SHA-256--> digest --HMAC-SHA-256 under the installation's salt--> KeyHash

The Secret of a key may hold the key itself or already its digest (`sha256:<64 hex digits>`), so that Git
never has to see a key. The outer HMAC makes a stolen table useless elsewhere: another installation has
another salt. API keys are random and long, so a slow password hash would add latency to each request and no
safety.
"""

import hashlib
import hmac
import re
from typing import Final

from gateway_runtime.contract.ids import KeyHash
from gateway_runtime.contract.secret import Secret

DIGEST_PREFIX: Final = "sha256:"
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


def hash_key(key: str, salt: Secret) -> KeyHash:
    """The table's look-up key for the API key that a caller sent, whatever its bytes."""
    return _seal(hashlib.sha256(key.encode("utf-8", "surrogateescape")).digest(), salt)


def hash_stored_key(stored: str, salt: Secret) -> KeyHash:
    """The same, from what a Secret holds: the key as text, or `sha256:<hex>`. Raises ValueError for a
    malformed digest.
    """
    if not stored.startswith(DIGEST_PREFIX):
        return hash_key(stored, salt)
    if _DIGEST.fullmatch(stored) is None:
        raise ValueError("a hashed key is written sha256:<64 lower-case hex digits>")
    return _seal(bytes.fromhex(stored.removeprefix(DIGEST_PREFIX)), salt)


def _seal(digest: bytes, salt: Secret) -> KeyHash:
    return KeyHash(hmac.digest(salt.reveal().encode(), digest, "sha256").hex())
