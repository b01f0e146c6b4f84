"""One published version, ready to be sent: the snapshot and the frames that bring a gateway up to it.

In: a version and its Snapshot. Out: encoded Delta frames for a gateway with given bucket digests. `publisher`
makes one per version, each connection's `session` asks it.

The one subtle rule: gateways are usually at the same version, so the frames are kept by what they start from
and shared between connections; a thousand gateways cost one encoding.
"""

from collections import OrderedDict
from collections.abc import Iterator, Mapping
from typing import Final

import msgspec

from gateway_runtime.contract.codec import Snapshot, diff_buckets
from gateway_runtime.contract.stream import Counts, Delta, Version, encode_message

PART_BYTES: Final = 512 * 1024
"""Payload of one frame. Small enough that a share or a close never waits long behind one."""
_KEPT_STARTS: Final = 8
"""Different starting points whose frames are kept: no table, the last few versions. A guess."""


class Offer:
    __slots__ = ("_frames", "bucket_digests", "counts", "shrink_confirmed", "snapshot", "version")

    def __init__(
        self, version: Version, snapshot: Snapshot, counts: Counts, *, shrink_confirmed: bool
    ) -> None:
        self.version = version
        self.snapshot = snapshot
        self.counts = counts
        self.shrink_confirmed = shrink_confirmed
        self.bucket_digests = tuple(bucket.digest for bucket in snapshot.buckets)
        self._frames: OrderedDict[tuple[str, ...], tuple[bytes, ...]] = OrderedDict()

    @property
    def digest(self) -> str:
        return self.snapshot.digest

    def frames_from(self, have: tuple[str, ...]) -> tuple[bytes, ...]:
        """Encoded Deltas for a gateway with the bucket digests `have`; at least one, since the version itself
        is news.
        """
        frames = self._frames.get(have)
        if frames is None:
            frames = tuple(self._encode(have))
            self._frames[have] = frames
            if len(self._frames) > _KEPT_STARTS:
                self._frames.popitem(last=False)
        self._frames.move_to_end(have)
        return frames

    def _encode(self, have: tuple[str, ...]) -> Iterator[bytes]:
        parts = list(_cut_parts(diff_buckets(have, self.snapshot)))
        for i, buckets in enumerate(parts):
            yield encode_message(
                Delta(
                    version=self.version,
                    digest=self.digest,
                    counts=self.counts,
                    shrink_confirmed=self.shrink_confirmed,
                    part=i,
                    parts=len(parts),
                    buckets={index: msgspec.Raw(payload) for index, payload in buckets.items()},
                )
            )


def _cut_parts(buckets: Mapping[int, bytes]) -> Iterator[Mapping[int, bytes]]:
    """A bucket is never cut: one larger than a part travels alone. Yields one empty part for no buckets."""
    part: dict[int, bytes] = {}
    size = 0
    for index, payload in buckets.items():
        if part and size + len(payload) > PART_BYTES:
            yield part
            part, size = {}, 0
        part[index] = payload
        size += len(payload)
    yield part
