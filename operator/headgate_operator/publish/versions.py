"""Tables in, numbered versions out: pure; what `term` hands to its sessions and to the status.

Rules. A table whose digest is the published one's is no new version. Versions only grow: a gateway that runs
a later one than ours (somebody deleted the Secret that remembers the epoch) lifts the epoch, and the same
table gets a version above. In a new epoch `since` starts afresh: what ran before it may have been another's.
"""

from typing import Final

from gateway_runtime.contract.codec import Snapshot, build_snapshot
from gateway_runtime.contract.stream import Counts, Version
from gateway_runtime.contract.table import RoutingTable
from headgate_operator.publish.offer import Offer
from headgate_operator.rollup.views import Published

MAX_EPOCH: Final = 2**53
"""What every JSON parser reads exactly. No honest gateway has seen more than a few thousand."""


class Versions:
    def __init__(self, epoch: int) -> None:
        self._epoch = epoch
        self._sequence = 0
        self.table: RoutingTable | None = None
        self.offer: Offer | None = None
        self.published: Published | None = None

    @property
    def epoch(self) -> int:
        return self._epoch

    def take(self, table: RoutingTable, *, shrink_confirmed: bool) -> bool:
        """Whether there is a new offer. The confirmation of a table that is published already makes one, of
        the same version: it goes to the gateways that refused it.
        """
        before = self.offer
        snapshot = build_snapshot(table, before.snapshot if before else None)
        self.table = table
        if before is not None and before.digest == snapshot.digest:
            confirmed = shrink_confirmed and not before.shrink_confirmed
            if confirmed:
                self.offer = Offer(before.version, snapshot, before.counts, shrink_confirmed=True)
            return confirmed
        counts = Counts(providers=len(table.providers), routes=len(table.routes), tenants=len(table.tenants))
        self._advance(snapshot, counts, shrink_confirmed=shrink_confirmed)
        return True

    def rise_above(self, version: Version, digest: str) -> bool:
        """`version` runs at a gateway, with this digest. Whether that lifted the epoch."""
        offer = self.offer
        if offer is not None and (version, digest) == (offer.version, offer.digest):
            return False
        if version < (offer.version if offer else Version(self._epoch, 0)):
            return False
        self._epoch, self._sequence = version.epoch + 1, 0
        self.published = None
        if offer is not None:
            self._advance(offer.snapshot, offer.counts, shrink_confirmed=offer.shrink_confirmed)
        return True

    def _advance(self, snapshot: Snapshot, counts: Counts, *, shrink_confirmed: bool) -> None:
        self._sequence += 1
        version = Version(self._epoch, self._sequence)
        since: dict[str, Version] = {}
        if self.offer is not None and self.published is not None:
            since = _keep_since(self.offer.snapshot, snapshot, self.published, version)
        else:
            since = dict.fromkeys(snapshot.encoded, version)
        self.offer = Offer(version, snapshot, counts, shrink_confirmed=shrink_confirmed)
        self.published = Published(version, since)


def _keep_since(
    before: Snapshot, after: Snapshot, published: Published, version: Version
) -> dict[str, Version]:
    """An entry that was not encoded anew is the same tuple; one that was may still have the same bytes."""
    since: dict[str, Version] = {}
    for key, entry in after.encoded.items():
        old = before.encoded.get(key)
        same = old is not None and (old is entry or old[1] == entry[1])
        since[key] = published.since[key] if same else version
    return since
