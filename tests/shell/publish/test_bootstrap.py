"""The last table in Secrets: claimed, written, read back, fenced."""

from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from gateway_runtime.contract.codec import Snapshot, build_snapshot
from gateway_runtime.contract.ids import GatewayId
from gateway_runtime.contract.saved import decode_saved, encode_saved
from gateway_runtime.contract.stream import Version
from gateway_runtime.contract.table import RoutingTable
from gateway_runtime.server.disk import load_bootstrap
from headgate_operator.kube import Unreachable
from headgate_operator.publish.bootstrap import (
    PART_BYTES,
    SECRETS,
    Bootstrap,
    Claimed,
    Content,
    Deposed,
    TooLarge,
)
from tests.shell.publish.fakes import NAMESPACE, FakeKube, make_provider, make_table

ROSTER = (GatewayId("gw-1"), GatewayId("gw-2"))
SMALL = make_table(make_provider(1))


def content_of(table: RoutingTable, epoch: int = 1) -> Content:
    snapshot: Snapshot = build_snapshot(table)
    version = Version(epoch, 7)
    saved = encode_saved(version, snapshot.digest, [bucket.payload for bucket in snapshot.buckets], None)
    return Content(epoch, version, snapshot.digest, saved, ROSTER)


def stretched(content: Content, parts: int) -> Content:
    """As long as `parts` full Secrets; no table, but the same handling."""
    return content._replace(saved=content.saved.ljust(parts * PART_BYTES, b"\0"))


def bootstrap(kube: FakeKube, claim: str = "first") -> Bootstrap:
    return Bootstrap(kube, NAMESPACE, claim)


async def lead(kube: FakeKube, claim: str = "first", floor: int = 0) -> tuple[Bootstrap, Claimed]:
    leader = bootstrap(kube, claim)
    return leader, await leader.claim(floor)


def part_names(kube: FakeKube) -> list[str]:
    return sorted(name for name in kube.secrets if name.startswith("headgate-bootstrap-"))


def mount(kube: FakeKube, folder: Path) -> Path:
    """As a projected volume shows them to a pod."""
    for name in part_names(kube):
        for key, value in kube.secrets[name].data.items():
            (folder / key).write_bytes(value)
    return folder


async def test_the_first_claim_of_an_installation_is_epoch_one_with_nothing_known(kube: FakeKube) -> None:
    _, claimed = await lead(kube)

    assert claimed == Claimed(epoch=1, roster=(), table=None)


async def test_each_claim_is_above_the_last(kube: FakeKube) -> None:
    await lead(kube)
    _, claimed = await lead(kube, "second")

    assert claimed.epoch == 2


async def test_a_claim_is_above_what_the_lease_counts(kube: FakeKube) -> None:
    _, claimed = await lead(kube, floor=41)

    assert claimed.epoch == 42


async def test_two_that_claim_at_once_get_different_epochs(kube: FakeKube) -> None:
    await lead(kube)

    def claim_first(name: str) -> None:
        kube.before_write = lambda name: None
        manifest = msgspec.json.decode(kube.secrets[name].data["manifest.json"])
        kube.put(name, {"manifest.json": msgspec.json.encode(manifest | {"epoch": 2, "claim": "rival"})})

    kube.before_write = claim_first
    _, claimed = await lead(kube, "second")

    assert claimed.epoch == 3


async def test_two_that_make_the_bootstrap_at_once_get_different_epochs(kube: FakeKube) -> None:
    def claim_first(name: str) -> None:
        kube.before_write = lambda name: None
        manifest = {
            "claim": "rival",
            "epoch": 1,
            "version": None,
            "digest": "",
            "parts": 0,
            "roster": [],
        }
        kube.put(name, {"manifest.json": msgspec.json.encode(manifest)})

    kube.before_write = claim_first
    _, claimed = await lead(kube)

    assert claimed.epoch == 2


async def test_the_next_leader_finds_the_table_and_the_gateways_of_the_last(kube: FakeKube) -> None:
    first, _ = await lead(kube)
    await first.write(content_of(SMALL))
    _, claimed = await lead(kube, "second")

    assert claimed == Claimed(epoch=2, roster=ROSTER, table=SMALL)


async def test_a_gateway_pod_starts_from_what_is_mounted(kube: FakeKube, tmp_path: Path) -> None:
    leader, _ = await lead(kube)
    content = content_of(SMALL)
    await leader.write(content)

    saved = load_bootstrap(mount(kube, tmp_path))

    assert saved is not None
    assert (saved.version, saved.digest, saved.share) == (content.version, content.digest, None)


async def test_a_new_claim_leaves_the_table_readable_for_gateways(kube: FakeKube, tmp_path: Path) -> None:
    leader, _ = await lead(kube)
    await leader.write(content_of(SMALL))
    await lead(kube, "second")

    assert load_bootstrap(mount(kube, tmp_path)) is not None


async def test_ten_thousand_resources_fit_into_one_secret_and_so_into_one_write(
    kube: FakeKube, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    table = make_table(*map(make_provider, range(2000)), routes=5000, tenants=3000)
    leader, _ = await lead(kube)
    content = content_of(table)
    await leader.write(content)
    _, claimed = await lead(kube, "second")
    record_property("bootstrap_bytes", len(content.saved))

    assert claimed.table == table
    assert load_bootstrap(mount(kube, tmp_path)) is not None
    assert part_names(kube) == ["headgate-bootstrap-0"]


async def test_a_small_table_is_one_write(kube: FakeKube) -> None:
    leader, _ = await lead(kube)
    kube.writes.clear()
    await leader.write(content_of(SMALL))

    assert kube.writes == ["headgate-bootstrap-0"]


async def test_the_manifest_is_written_after_all_other_parts(kube: FakeKube) -> None:
    leader, _ = await lead(kube)
    kube.writes.clear()
    await leader.write(stretched(content_of(SMALL), 3))

    assert kube.writes == ["headgate-bootstrap-2", "headgate-bootstrap-1", "headgate-bootstrap-0"]


async def test_parts_that_a_smaller_table_leaves_over_are_removed(kube: FakeKube, tmp_path: Path) -> None:
    leader, _ = await lead(kube)
    await leader.write(stretched(content_of(SMALL), 3))
    await leader.write(content_of(SMALL))

    assert part_names(kube) == ["headgate-bootstrap-0"]
    assert load_bootstrap(mount(kube, tmp_path)) is not None


async def test_a_set_that_is_half_written_is_refused_by_both_sides(kube: FakeKube, tmp_path: Path) -> None:
    big = content_of(make_table(*map(make_provider, range(20)), tenants=14000))
    leader, _ = await lead(kube)
    await leader.write(big)
    other = content_of(make_table(*map(make_provider, range(20)), tenants=14001))
    kube.put("headgate-bootstrap-1", {"part-001": other.saved[PART_BYTES : 2 * PART_BYTES]})
    _, claimed = await lead(kube, "second")

    assert load_bootstrap(mount(kube, tmp_path)) is None
    assert claimed == Claimed(epoch=2, roster=ROSTER, table=None)


async def test_whole_parts_of_another_version_than_the_manifests_are_refused(kube: FakeKube) -> None:
    leader, _ = await lead(kube)
    await leader.write(content_of(SMALL))
    other = content_of(make_table(make_provider(2))).saved
    kube.put("headgate-bootstrap-0", {**kube.secrets["headgate-bootstrap-0"].data, "part-000": other})
    _, claimed = await lead(kube, "second")

    assert claimed.table is None


async def test_a_table_that_does_not_fit_leaves_what_was_there(kube: FakeKube) -> None:
    leader, _ = await lead(kube)
    await leader.write(content_of(SMALL))
    before = dict(kube.secrets)

    with pytest.raises(TooLarge) as caught:
        await leader.write(stretched(content_of(SMALL), SECRETS + 1))

    assert str(caught.value) == (
        "the compressed table has 6451200 bytes, and the bootstrap Secrets hold 5734400; "
        "new gateway pods will wait for the operator"
    )
    assert kube.secrets == before


async def test_a_leader_that_was_replaced_overwrites_nothing(kube: FakeKube) -> None:
    old, _ = await lead(kube)
    await old.write(content_of(SMALL))
    new, _ = await lead(kube, "second")
    newer = content_of(make_table(make_provider(2)), epoch=2)
    await new.write(newer)

    with pytest.raises(Deposed) as caught:
        await old.write(content_of(SMALL))

    assert str(caught.value) == "epoch 2 has been claimed"
    assert decode_saved(kube.secrets["headgate-bootstrap-0"].data["part-000"]).version == newer.version


async def test_a_leader_that_was_replaced_while_it_wrote_is_overwritten(
    kube: FakeKube, tmp_path: Path
) -> None:
    old, _ = await lead(kube)
    await old.write(stretched(content_of(SMALL), 2))
    new, _ = await lead(kube, "second")
    with pytest.raises(Deposed):
        await old.write(stretched(content_of(SMALL), 2))
    big = content_of(make_table(*map(make_provider, range(20)), tenants=14000), epoch=2)

    await new.write(big)

    saved = load_bootstrap(mount(kube, tmp_path))
    assert saved is not None
    assert saved.digest == big.digest


async def test_a_deleted_bootstrap_is_made_anew(kube: FakeKube, tmp_path: Path) -> None:
    leader, _ = await lead(kube)
    await leader.write(content_of(SMALL))
    for name in part_names(kube):
        await kube.delete_secret("", name)

    await leader.write(content_of(SMALL))

    assert load_bootstrap(mount(kube, tmp_path)) is not None


async def test_somebodys_label_on_a_secret_is_no_rival(kube: FakeKube) -> None:
    leader, _ = await lead(kube)
    kube.put("headgate-bootstrap-0", kube.secrets["headgate-bootstrap-0"].data, {"owner": "platform"})

    await leader.write(content_of(SMALL))

    assert "part-000" in kube.secrets["headgate-bootstrap-0"].data


async def test_an_edited_manifest_counts_as_none(kube: FakeKube) -> None:
    kube.put("headgate-bootstrap-0", {"manifest.json": b"{}"})
    _, claimed = await lead(kube, floor=5)

    assert claimed == Claimed(epoch=6, roster=(), table=None)


async def test_without_an_api_server_nothing_is_claimed(kube: FakeKube) -> None:
    kube.down = True

    with pytest.raises(Unreachable):
        await lead(kube)


async def test_a_long_roster_is_cut(kube: FakeKube) -> None:
    leader, _ = await lead(kube)
    await leader.write(content_of(SMALL)._replace(roster=tuple(GatewayId(f"gw-{i}") for i in range(2000))))
    _, claimed = await lead(kube, "second")

    assert len(claimed.roster) == 1000
