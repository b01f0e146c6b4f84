"""The table as bytes: 256 hash buckets, each with a digest, so that an edit of one object sends a few
kilobytes.

    RoutingTable -> build_snapshot -> Snapshot (buckets, digest) -> diff_buckets -> what a gateway lacks
    buckets -> parse_bucket -> resources -> assemble_table -> RoutingTable

The operator keeps the previous Snapshot and hands it in: resources that are the same objects as before are
not encoded again. The digest of a snapshot covers the digests of all its buckets and the schema version; a
gateway recomputes it before it applies.
"""

import hashlib
import zlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple

import msgspec

from gateway_runtime.contract.secret import Secret
from gateway_runtime.contract.table import Installation, Provider, Resource, Route, RoutingTable, resource_key
from gateway_runtime.contract.tenant import Tenant

SCHEMA_VERSION: Final = 1
BUCKET_COUNT: Final = 256
"""With 10,000 objects a bucket holds about 40; fewer buckets send more per edit, more buckets cost more to
compare.
"""


class MalformedTable(ValueError):
    """Bytes that are not a table of this schema version. The receiver keeps what it has."""


class Bucket(NamedTuple):
    digest: str
    payload: bytes
    """A JSON array of resources, sorted by `resource_key`."""


class Snapshot(NamedTuple):
    digest: str
    buckets: tuple[Bucket, ...]
    """Always `BUCKET_COUNT` of them."""
    encoded: Mapping[str, tuple[Resource, bytes]]
    """By `resource_key`: kept for the next build, never sent."""


def bucket_index(key: str) -> int:
    return zlib.crc32(key.encode()) % BUCKET_COUNT


def build_snapshot(table: RoutingTable, previous: Snapshot | None = None) -> Snapshot:
    """Deterministic: equal tables give equal digests, whatever `previous` was."""
    known = previous.encoded if previous else {}
    encoded: dict[str, tuple[Resource, bytes]] = {}
    members: list[list[tuple[str, bytes]]] = [[] for _ in range(BUCKET_COUNT)]
    for resource in table.resources():
        key = resource_key(resource)
        before = known.get(key)
        entry = before if before is not None and before[0] is resource else (resource, _encode(resource))
        encoded[key] = entry
        members[bucket_index(key)].append((key, entry[1]))
    buckets = tuple(_build_bucket(entries) for entries in members)
    return Snapshot(snapshot_digest([b.digest for b in buckets]), buckets, encoded)


def snapshot_digest(bucket_digests: Sequence[str]) -> str:
    if len(bucket_digests) != BUCKET_COUNT:
        raise MalformedTable(f"a table has {BUCKET_COUNT} buckets, not {len(bucket_digests)}")
    return _digest("\n".join((str(SCHEMA_VERSION), *bucket_digests)).encode())


def diff_buckets(have: Sequence[str], snapshot: Snapshot) -> dict[int, bytes]:
    """The payloads that a gateway with the bucket digests `have` lacks. `have` is empty for a gateway without
    a table.
    """
    return {
        i: bucket.payload
        for i, bucket in enumerate(snapshot.buckets)
        if i >= len(have) or have[i] != bucket.digest
    }


def parse_bucket(payload: bytes) -> tuple[Resource, ...]:
    """Raises MalformedTable for anything that is not a JSON array of resources."""
    try:
        return _decoder.decode(payload)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise MalformedTable(f"a bucket does not parse: {error}") from error


def bucket_digest(payload: bytes) -> str:
    return _digest(payload)


def assemble_table(resources: Iterable[Resource]) -> RoutingTable:
    """Raises MalformedTable when the installation's own entry is missing or an id comes twice."""
    installation: Installation | None = None
    providers: dict[str, Provider] = {}
    routes: dict[str, Route] = {}
    tenants: dict[str, Tenant] = {}
    count = 0
    for resource in resources:
        count += 1
        match resource:
            case Provider():
                providers[resource.id] = resource
            case Route():
                routes[resource.id] = resource
            case Tenant():
                tenants[resource.id] = resource
            case _:
                installation = resource
    if installation is None:
        raise MalformedTable("the table has no Installation entry")
    if count != 1 + len(providers) + len(routes) + len(tenants):
        raise MalformedTable("the table names a resource twice")
    return RoutingTable(
        installation=installation,
        providers=tuple(providers[k] for k in sorted(providers)),
        routes=tuple(routes[k] for k in sorted(routes)),
        tenants=tuple(tenants[k] for k in sorted(tenants)),
    )


def _build_bucket(entries: list[tuple[str, bytes]]) -> Bucket:
    payload = b"[" + b",".join(data for _, data in sorted(entries)) + b"]"
    return Bucket(_digest(payload), payload)


def _encode(resource: Resource) -> bytes:
    return _encoder.encode(resource)


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _encode_unknown(value: object) -> str:
    if isinstance(value, Secret):
        return value.reveal()  # the one place where a secret leaves: towards a gateway, over TLS
    raise NotImplementedError(f"the table holds no {type(value).__name__}")


def _decode_unknown(kind: type, value: object) -> Secret:
    if kind is not Secret:
        raise NotImplementedError(f"the table holds no {kind.__name__}")
    if not isinstance(value, str):
        raise ValueError("a secret is a JSON string")  # noqa: TRY004 (msgspec makes a ValidationError of it)
    return Secret(value)


_encoder = msgspec.json.Encoder(enc_hook=_encode_unknown, order="deterministic")
_decoder = msgspec.json.Decoder(tuple[Resource, ...], dec_hook=_decode_unknown)
