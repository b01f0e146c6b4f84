"""One version as frames."""

from gateway_runtime.contract.codec import BUCKET_COUNT, bucket_index, build_snapshot
from gateway_runtime.contract.stream import Counts, Delta, Version, parse_downward
from gateway_runtime.contract.table import RoutingTable, resource_key
from headgate_operator.publish.offer import PART_BYTES, Offer
from tests.shell.publish.fakes import make_provider, make_table


def offer_of(table: RoutingTable, sequence: int = 1) -> Offer:
    return Offer(Version(1, sequence), build_snapshot(table), Counts(1, 0, 0), shrink_confirmed=False)


def parse(frames: tuple[bytes, ...]) -> list[Delta]:
    deltas = [parse_downward(frame) for frame in frames]
    assert all(isinstance(delta, Delta) for delta in deltas)
    return deltas  # type: ignore[return-value]


def test_a_gateway_without_a_table_gets_every_bucket() -> None:
    (delta,) = parse(offer_of(make_table(make_provider(1))).frames_from(()))

    assert set(delta.buckets) == set(range(BUCKET_COUNT))


def test_a_gateway_with_the_table_before_gets_the_changed_bucket_alone() -> None:
    before = offer_of(make_table(make_provider(1), make_provider(2)))
    edited = make_provider(2, generation=2)
    (delta,) = parse(offer_of(make_table(make_provider(1), edited)).frames_from(before.bucket_digests))

    assert set(delta.buckets) == {bucket_index(resource_key(edited))}


def test_a_gateway_that_has_everything_gets_the_version_without_buckets() -> None:
    offer = offer_of(make_table(make_provider(1)))
    (delta,) = parse(offer.frames_from(offer.bucket_digests))

    assert (delta.version, delta.digest, delta.buckets) == (offer.version, offer.digest, {})


def test_gateways_at_the_same_place_share_the_same_bytes() -> None:
    offer = offer_of(make_table(make_provider(1)))

    assert offer.frames_from(()) is offer.frames_from(())


def test_frames_are_kept_for_a_bounded_number_of_places() -> None:
    offer = offer_of(make_table(make_provider(1)))
    first = offer.frames_from(())
    for i in range(100):
        offer.frames_from((str(i),))

    assert offer.frames_from(()) is not first


def test_a_large_table_travels_in_numbered_parts() -> None:
    deltas = parse(offer_of(make_table(*map(make_provider, range(3000)))).frames_from(()))
    sizes = [sum(len(bytes(raw)) for raw in delta.buckets.values()) for delta in deltas]

    assert len(deltas) > 1
    assert [(delta.part, delta.parts) for delta in deltas] == [(i, len(deltas)) for i in range(len(deltas))]
    assert sorted(index for delta in deltas for index in delta.buckets) == list(range(BUCKET_COUNT))
    assert all(size <= PART_BYTES for size in sizes)
