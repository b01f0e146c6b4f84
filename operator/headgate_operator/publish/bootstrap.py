"""The last published table in Secrets, for gateway pods and operators that start later.

    headgate-bootstrap-0       manifest.json, part-000
    headgate-bootstrap-1 … 7   part-001 … part-007

The parts are `contract.saved` bytes, cut; gateways mount all of them as one folder. The manifest is the
operator's own: who leads, with which epoch, and which gateways were connected.

Rules. To lead is to have written one's claim into the manifest; every write names the version that was read,
so a leader that was replaced without noticing gets `Deposed` instead of overwriting its successor. The
manifest goes last; parts of different versions do not add up to the digest in them, so a reader refuses a set
that is half-written.
"""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

import msgspec
import structlog

from gateway_runtime.contract.codec import MalformedTable, assemble_table, parse_bucket
from gateway_runtime.contract.ids import GatewayId
from gateway_runtime.contract.saved import decode_saved
from gateway_runtime.contract.stream import Version
from gateway_runtime.contract.table import RoutingTable
from headgate_operator.kube import Conflict, KubeSecret, NotFound
from headgate_operator.publish.secret_store import LABELS, SecretStore

log = structlog.get_logger()

SECRETS: Final = 8
PART_BYTES: Final = 700 * 1024
"""A Secret holds 1 MiB. In base64, and with the manifest, a part makes a request of less than that."""
MANIFEST_KEY: Final = "manifest.json"
MAX_ROSTER: Final = 1000
"""Names in the manifest; a longer row is cut, and the rest get their shares anew after a change of leader."""
ATTEMPTS: Final = 5


class Deposed(Exception):
    """Another leader has claimed the bootstrap since."""


class TooLarge(Exception):
    """The table does not fit into the Secrets; what they held stays."""

    def __init__(self, size_bytes: int) -> None:
        super().__init__(
            f"the compressed table has {size_bytes} bytes, and the bootstrap Secrets hold "
            f"{SECRETS * PART_BYTES}; new gateway pods will wait for the operator"
        )


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    claim: str
    """Drawn anew for each term of leadership."""
    epoch: int
    version: Version | None
    """Of the table in the parts; None before the first."""
    digest: str
    parts: int
    roster: tuple[GatewayId, ...]
    """The gateways of the term, by the index of their share."""


class Claimed(NamedTuple):
    epoch: int
    roster: tuple[GatewayId, ...]
    table: RoutingTable | None
    """What was published last, as far as it could be read."""


class Content(NamedTuple):
    epoch: int
    version: Version
    digest: str
    saved: bytes
    roster: tuple[GatewayId, ...]


class Bootstrap:
    """One per term of leadership; `claim` first. Raises KubeError where the API server fails."""

    def __init__(self, store: SecretStore, namespace: str, claim: str) -> None:
        self._store = store
        self._namespace = namespace
        self._claim = claim
        self._secrets: dict[int, KubeSecret] = {}

    async def claim(self, epoch_floor: int) -> Claimed:
        """Takes the next epoch: above `epoch_floor` and above all that were claimed before."""
        attempt = 1
        while True:
            try:
                return await self._try_claim(epoch_floor)
            except (Conflict, NotFound):
                if attempt == ATTEMPTS:
                    raise
                attempt += 1

    async def _try_claim(self, epoch_floor: int) -> Claimed:
        await self._read_all()
        before = self._manifest or Manifest(claim="", epoch=0, version=None, digest="", parts=0, roster=())
        manifest = msgspec.structs.replace(
            before, claim=self._claim, epoch=max(epoch_floor, before.epoch) + 1
        )
        first = self._secrets.get(0)
        await self._put(0, {**(first.data if first else {}), MANIFEST_KEY: _encode(manifest)})
        table = await asyncio.to_thread(_parse_table, manifest, self._secrets)
        return Claimed(manifest.epoch, manifest.roster, table)

    async def write(self, content: Content) -> None:
        """Raises Deposed, TooLarge, or KubeError; the last may be tried again."""
        parts = [content.saved[i : i + PART_BYTES] for i in range(0, len(content.saved), PART_BYTES)]
        if len(parts) > SECRETS:
            raise TooLarge(len(content.saved))
        manifest = Manifest(
            claim=self._claim,
            epoch=content.epoch,
            version=content.version,
            digest=content.digest,
            parts=len(parts),
            roster=content.roster[:MAX_ROSTER],
        )
        for attempt in range(1, ATTEMPTS + 1):
            try:
                await self._write_parts(parts, manifest)
            except (Conflict, NotFound):
                if attempt == ATTEMPTS:
                    raise
                await self._read_all()
                if self._manifest is not None and self._manifest.claim != self._claim:
                    raise Deposed(f"epoch {self._manifest.epoch} has been claimed") from None
            else:
                return

    async def _write_parts(self, parts: Sequence[bytes], manifest: Manifest) -> None:
        for i in range(SECRETS - 1, 0, -1):
            if i < len(parts):
                await self._put(i, {_part_key(i): parts[i]})
            elif i in self._secrets:
                await self._store.delete_secret(self._namespace, _secret_name(i))
                del self._secrets[i]
        await self._put(0, {_part_key(0): parts[0], MANIFEST_KEY: _encode(manifest)})

    async def _put(self, i: int, data: Mapping[str, bytes]) -> None:
        known = self._secrets.get(i)
        if known is not None:
            self._secrets[i] = await self._store.replace_secret(known, data)
            return
        made = await self._store.ensure_secret(self._namespace, _secret_name(i), lambda: data, LABELS)
        if dict(made.data) != data:
            if i == 0:
                raise Conflict(f"{_secret_name(0)}: somebody has just made it", status=409, retryable=True)
            made = await self._store.replace_secret(made, data)
        self._secrets[i] = made

    async def _read_all(self) -> None:
        names = [_secret_name(i) for i in range(SECRETS)]
        found = [await self._store.read_secret(self._namespace, name) for name in names]
        self._secrets = {i: secret for i, secret in enumerate(found) if secret is not None}

    @property
    def _manifest(self) -> Manifest | None:
        """As it was last read or written. One that does not parse counts as none: it is written anew."""
        first = self._secrets.get(0)
        if first is None:
            return None
        try:
            return _decoder.decode(first.data.get(MANIFEST_KEY, b""))
        except msgspec.MsgspecError as error:
            log.warning("bootstrap manifest ignored", secret=_secret_name(0), error=str(error))
            return None


def _parse_table(manifest: Manifest, secrets: Mapping[int, KubeSecret]) -> RoutingTable | None:
    """CPU for a tenth of a second when the table is large: called in a thread."""
    if manifest.version is None:
        return None
    parts = [secrets[i].data.get(_part_key(i), b"") for i in range(manifest.parts) if i in secrets]
    try:
        saved = decode_saved(b"".join(parts))
        table = assemble_table(resource for payload in saved.payloads for resource in parse_bucket(payload))
    except MalformedTable as error:
        log.warning("bootstrap table ignored", version=str(manifest.version), error=str(error))
        return None
    if saved.digest != manifest.digest:
        log.warning(
            "bootstrap table ignored", version=str(manifest.version), error="parts of another version"
        )
        return None
    return table


def _secret_name(i: int) -> str:
    return f"headgate-bootstrap-{i}"


def _part_key(i: int) -> str:
    return f"part-{i:03}"


def _encode(manifest: Manifest) -> bytes:
    return msgspec.json.encode(manifest)


_decoder = msgspec.json.Decoder(Manifest)
