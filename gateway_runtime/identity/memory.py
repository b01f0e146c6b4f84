"""Keys and tokens that were looked into once: a digest in, the Identity out that came of it.

`authenticator` asks it for what is too long to be hashed with the table's salt each time. It is emptied when
the table changes, or an issuer's keys do; a token's own end is the Identity's term. The token itself is not
kept.
"""

import hashlib
from collections import OrderedDict
from typing import Final

from gateway_runtime.engine.identity import Identity

KEPT: Final = 8192
"""Some 4 MB. Whoever comes beyond pays for a signature each time."""


def digest_key(key: str) -> bytes:
    """1 µs for a token of usual length."""
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).digest()


class Memory:
    def __init__(self, kept: int = KEPT) -> None:
        self._kept = kept
        self._identities: OrderedDict[bytes, Identity] = OrderedDict()
        """The one that was not asked for the longest first."""

    def find(self, digest: bytes) -> Identity | None:
        identity = self._identities.get(digest)
        if identity is not None:
            self._identities.move_to_end(digest)
        return identity

    def remember(self, digest: bytes, identity: Identity) -> None:
        self._identities[digest] = identity
        self._identities.move_to_end(digest)
        if len(self._identities) > self._kept:
            self._identities.popitem(last=False)

    def clear(self) -> None:
        self._identities.clear()

    def __len__(self) -> int:
        return len(self._identities)
