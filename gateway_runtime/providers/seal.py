"""Whose an id is, told by the id itself: `resp_abc` goes to a caller as `resp_abc_hg` + tag + proof.

    Seal.put(id)  -> the id as its tenant gets it
    open_id(text) -> what such an id is made of; whoever knows the tenant and the endpoint puts the seal again

What providers keep for callers (responses, files, batches) is found by its id with the gateway's credential,
which all tenants share. So an id that leaves the gateway names the endpoint that knows it (tag) and proves to
which tenant it was given (proof). Nothing is stored: every gateway with the same table reads the same.

The subtle rule: the proof covers tenant, endpoint and id, under the installation's salt. 80 bits of it are
kept: who guesses needs an answer from us for each guess. With another salt, all ids of before are strangers.
"""

import base64
import hmac
import re
from functools import lru_cache
from typing import Final, NamedTuple

from gateway_runtime.contract.ids import EndpointId, TenantId
from gateway_runtime.contract.secret import Secret

_SEALED: Final = re.compile(r"(.{1,200})_hg([a-z2-7]{8})([a-z2-7]{16})", re.DOTALL)
_PURPOSE: Final = b"headgate id\0"
"""The salt also hashes callers' keys; no digest of a key begins like this."""
_TAG_BYTES: Final = 5
_PROOF_BYTES: Final = 10


class SealedId(NamedTuple):
    id: str
    """The provider's own."""
    tag: str
    """See `find_tag`. Nothing is proved by it."""


class Seal:
    """Of one tenant at one endpoint."""

    __slots__ = ("_end", "_known", "_start")

    def __init__(self, salt: Secret, tenant: TenantId, endpoint: EndpointId) -> None:
        self._start = hmac.new(salt.reveal().encode(), _PURPOSE, "sha256")
        self._start.update(f"{tenant}\0{endpoint}\0".encode())
        self._end = f"_hg{find_tag(endpoint)}"
        self._known: dict[str, str] = {}
        """Each event of a stream names the same few."""

    def put(self, kept_id: str) -> str:
        sealed = self._known.get(kept_id)
        if sealed is None:
            proof = self._start.copy()
            proof.update(kept_id.encode("utf-8", "surrogatepass"))
            sealed = self._known[kept_id] = f"{kept_id}{self._end}{_write(proof.digest()[:_PROOF_BYTES])}"
        return sealed

    def is_on(self, text: str) -> bool:
        """Whether it was put on by this."""
        opened = open_id(text)
        return opened is not None and hmac.compare_digest(
            self.put(opened.id).encode("utf-8", "surrogatepass"), text.encode("utf-8", "surrogatepass")
        )


def open_id(text: str) -> SealedId | None:
    """None: it has no seal at all."""
    match = _SEALED.fullmatch(text)
    return None if match is None else SealedId(match[1], match[2])


@lru_cache(maxsize=16384)
def find_tag(endpoint: EndpointId) -> str:
    """Which endpoint it is, near enough: two of them may have the same, and the proof tells."""
    digest = hmac.digest(b"headgate endpoint", endpoint.encode(), "sha256")
    return _write(digest[:_TAG_BYTES])


def _write(data: bytes) -> str:
    return base64.b32encode(data).decode().lower()
