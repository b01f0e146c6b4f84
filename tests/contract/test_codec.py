"""The table as bytes: round trips, digests, and the difference between two versions."""

from itertools import chain

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway_runtime.contract.codec import (
    BUCKET_COUNT,
    MalformedTable,
    Snapshot,
    _decode_unknown,
    _encode_unknown,
    assemble_table,
    bucket_digest,
    bucket_index,
    build_snapshot,
    diff_buckets,
    parse_bucket,
    snapshot_digest,
)
from gateway_runtime.contract.secret import Secret
from gateway_runtime.contract.table import Credential, Provider, RoutingTable, UpstreamLimits, resource_key
from tests.contract.tables import build_provider, build_route, build_table, build_tenant, tables


def decode(snapshot: Snapshot) -> RoutingTable:
    return assemble_table(chain.from_iterable(parse_bucket(b.payload) for b in snapshot.buckets))


@given(tables)
def test_a_table_comes_back_from_its_buckets_as_it_was(table: RoutingTable) -> None:
    assert decode(build_snapshot(table)) == table


@given(tables, st.randoms(use_true_random=False))
def test_the_order_in_which_resources_arrive_does_not_matter(table: RoutingTable, random) -> None:
    shuffled = list(table.resources())
    random.shuffle(shuffled)
    again = assemble_table(shuffled)

    assert again == table
    assert build_snapshot(again).digest == build_snapshot(table).digest


@given(tables, tables)
def test_the_digest_does_not_depend_on_the_snapshot_before(table: RoutingTable, before: RoutingTable) -> None:
    fresh = build_snapshot(table)
    after = build_snapshot(table, build_snapshot(before))

    assert after.digest == fresh.digest
    assert after.buckets == fresh.buckets


@given(tables, tables)
def test_a_gateway_that_applies_the_difference_has_the_new_table(
    old: RoutingTable, new: RoutingTable
) -> None:
    before, after = build_snapshot(old), build_snapshot(new)
    payloads = [bucket.payload for bucket in before.buckets]
    changed = diff_buckets([bucket.digest for bucket in before.buckets], after)
    for index, payload in changed.items():
        payloads[index] = payload

    assert payloads == [bucket.payload for bucket in after.buckets]
    assert snapshot_digest([bucket_digest(payload) for payload in payloads]) == after.digest


@given(tables)
def test_nothing_is_sent_to_a_gateway_that_has_it_already(table: RoutingTable) -> None:
    snapshot = build_snapshot(table)

    assert diff_buckets([bucket.digest for bucket in snapshot.buckets], snapshot) == {}


def test_a_gateway_without_a_table_lacks_every_bucket() -> None:
    snapshot = build_snapshot(build_table())

    assert sorted(diff_buckets((), snapshot)) == list(range(BUCKET_COUNT))


def test_an_edit_of_one_object_changes_one_bucket() -> None:
    provider, route, tenant = build_provider(), build_route("gpt"), build_tenant("key")
    before = build_snapshot(build_table(providers=[provider], routes=[route], tenants=[tenant]))
    edited = msgspec.structs.replace(route, generation=2)
    after = build_snapshot(build_table(providers=[provider], routes=[edited], tenants=[tenant]), before)

    assert list(diff_buckets([b.digest for b in before.buckets], after)) == [
        bucket_index(resource_key(edited))
    ]
    assert after.digest != before.digest


def test_unchanged_objects_are_not_encoded_again() -> None:
    provider = build_provider()
    before = build_snapshot(build_table(providers=[provider]))
    after = build_snapshot(build_table(providers=[provider], routes=[build_route("gpt")]), before)

    key = resource_key(provider)
    assert after.encoded[key][1] is before.encoded[key][1]


def test_a_new_secret_changes_the_digest() -> None:
    old = build_provider(credentials=[Credential(name="main", value=Secret("old"))])
    new = build_provider(credentials=[Credential(name="main", value=Secret("new"))])

    assert (
        build_snapshot(build_table(providers=[old])).digest
        != build_snapshot(build_table(providers=[new])).digest
    )


def test_a_field_that_a_newer_operator_added_is_ignored() -> None:
    payload = build_snapshot(build_table()).buckets[bucket_index("Installation")].payload

    assert parse_bucket(payload.replace(b"}", b',"fresh":1}')) == parse_bucket(payload)


def test_a_provider_of_an_older_operator_has_no_tls_and_the_usual_limits() -> None:
    limits = UpstreamLimits(max_connections=1024, max_in_flight=1024, max_queue=1024, queue_s=5.0)
    resource = msgspec.to_builtins(build_provider())
    del resource["tls"], resource["limits"]
    (provider,) = parse_bucket(msgspec.json.encode([resource]))

    assert isinstance(provider, Provider)
    assert (provider.tls, provider.limits) == (None, limits)


@pytest.mark.parametrize(
    ("payload", "message"),
    [
        (b"", "a bucket does not parse: Input data was truncated"),
        (b"{}", "a bucket does not parse: Expected `array`, got `object`"),
        (b'[{"kind":"Cat"}]', "a bucket does not parse: Invalid value 'Cat' - at `$[0].kind`"),
    ],
)
def test_bytes_that_are_no_bucket_are_named_as_such(payload: bytes, message: str) -> None:
    with pytest.raises(MalformedTable) as caught:
        parse_bucket(payload)

    assert str(caught.value) == message


def test_a_table_without_an_installation_is_malformed() -> None:
    with pytest.raises(MalformedTable, match=r"^the table has no Installation entry$"):
        assemble_table([build_provider()])


def test_a_table_that_names_a_resource_twice_is_malformed() -> None:
    table = build_table(providers=[build_provider()])

    with pytest.raises(MalformedTable, match=r"^the table names a resource twice$"):
        assemble_table([*table.resources(), build_provider()])


def test_a_digest_is_made_of_all_buckets_or_not_at_all() -> None:
    with pytest.raises(MalformedTable, match=r"^a table has 256 buckets, not 1$"):
        snapshot_digest(["0"])


def test_the_codec_refuses_types_that_no_table_holds() -> None:
    with pytest.raises(NotImplementedError, match=r"^the table holds no set$"):
        _encode_unknown(set())
    with pytest.raises(NotImplementedError, match=r"^the table holds no set$"):
        _decode_unknown(set, "text")


@pytest.mark.parametrize(
    "payload",
    [
        b'[{"kind":"Installation","key_salt":5}]',
        b'[{"kind":"Installation","key_salt":"\xff"}]',
        b'[{"kind":"Nothing"}]',
        b"{",
    ],
)
def test_whatever_is_wrong_with_a_bucket_is_one_error(payload: bytes) -> None:
    with pytest.raises(MalformedTable, match=r"^a bucket does not parse: "):
        parse_bucket(payload)
