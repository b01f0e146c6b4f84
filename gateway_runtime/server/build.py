"""From bytes to a table that is ready to serve, without touching the one that serves.

`reload` calls it, in a thread when much has changed. Pure: what ran before goes in, what may run next comes
out, or an exception that says why not.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from gateway_runtime.contract.codec import (
    BUCKET_COUNT,
    MalformedTable,
    Snapshot,
    assemble_table,
    bucket_digest,
    bucket_index,
    parse_bucket,
    snapshot_digest,
)
from gateway_runtime.contract.stream import Counts, Fault
from gateway_runtime.contract.table import Resource, RoutingTable, resource_key
from gateway_runtime.engine.lookup import LiveTable, build_live_table
from gateway_runtime.server.check import check_table
from gateway_runtime.server.wires import prepare_wires


class OutOfStep(Exception):
    """The changed buckets, put onto ours, do not make the version's table."""


class UnservableTable(Exception):
    """This gateway cannot run the table; `faults` says why, per resource."""

    def __init__(self, *faults: Fault) -> None:
        super().__init__("; ".join(f"{fault.resource}: {fault.message}" for fault in faults))
        self.faults = faults


@dataclass(frozen=True, slots=True, eq=False)
class BuiltTable:
    live: LiveTable
    digest: str
    counts: Counts
    payloads: tuple[bytes, ...]
    digests: tuple[str, ...]
    resources: tuple[tuple[Resource, ...], ...]
    """Parsed, by bucket: buckets that did not change are not parsed again."""


def build_from_buckets(base: BuiltTable | None, changed: Mapping[int, bytes], digest: str) -> BuiltTable:
    """base: what `changed` is put onto. Raises UnservableTable, or OutOfStep when `digest` is not reached."""
    if not all(0 <= index < BUCKET_COUNT for index in changed):
        raise UnservableTable(Fault(resource="", message=f"bucket indexes go from 0 to {BUCKET_COUNT - 1}"))
    payloads = list(base.payloads) if base else [b""] * BUCKET_COUNT
    digests = list(base.digests) if base else [""] * BUCKET_COUNT
    resources: list[tuple[Resource, ...]] = list(base.resources) if base else [()] * BUCKET_COUNT
    for index, payload in changed.items():
        payloads[index] = payload
        digests[index] = bucket_digest(payload)
    found = snapshot_digest(digests)
    if found != digest:
        problem = f"the version says digest {digest[:12]}, its content has {found[:12]}"
        if len(changed) == BUCKET_COUNT:
            raise UnservableTable(Fault(resource="", message=problem))
        raise OutOfStep(f"{problem}; asking for the whole table")
    try:
        for index, payload in changed.items():
            resources[index] = parse_bucket(payload)
        table = assemble_table(resource for members in resources for resource in members)
    except MalformedTable as error:
        raise UnservableTable(Fault(resource="", message=str(error))) from error
    return _finish(table, found, tuple(payloads), tuple(digests), tuple(resources))


def build_from_table(table: RoutingTable, snapshot: Snapshot) -> BuiltTable:
    """snapshot: of this table. Raises UnservableTable."""
    resources: list[list[Resource]] = [[] for _ in range(BUCKET_COUNT)]
    for resource in table.resources():
        resources[bucket_index(resource_key(resource))].append(resource)
    return _finish(
        table,
        snapshot.digest,
        tuple(bucket.payload for bucket in snapshot.buckets),
        tuple(bucket.digest for bucket in snapshot.buckets),
        tuple(map(tuple, resources)),
    )


def _finish(
    table: RoutingTable,
    digest: str,
    payloads: tuple[bytes, ...],
    digests: tuple[str, ...],
    resources: tuple[tuple[Resource, ...], ...],
) -> BuiltTable:
    faults = check_table(table)
    if faults:
        raise UnservableTable(*faults)
    prepare_wires(table)
    return BuiltTable(
        live=build_live_table(table),
        digest=digest,
        counts=Counts(len(table.providers), len(table.routes), len(table.tenants)),
        payloads=payloads,
        digests=digests,
        resources=resources,
    )
