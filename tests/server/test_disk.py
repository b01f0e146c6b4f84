"""The table on disk: it outlives the process and the operator, and a bad file harms nobody."""

import stat
from pathlib import Path

import pytest

from gateway_runtime.contract.codec import build_snapshot
from gateway_runtime.contract.saved import SavedTable, encode_saved
from gateway_runtime.contract.stream import Share, Version
from gateway_runtime.contract.table import RoutingTable
from gateway_runtime.server.disk import TableStore
from gateway_runtime.server.fake_provider import FakeProvider
from tests.server.rig import DEAD_URL, Rig, provider, serving, settings, table


def save(new: RoutingTable, version: Version, share: Share | None = None) -> SavedTable:
    snapshot = build_snapshot(new)
    payloads = tuple(bucket.payload for bucket in snapshot.buckets)
    return SavedTable(version=version, digest=snapshot.digest, payloads=payloads, share=share)


def write_bootstrap(folder: Path, saved: SavedTable) -> None:
    folder.mkdir()
    data = encode_saved(saved.version, saved.digest, saved.payloads, saved.share)
    half = len(data) // 2
    (folder / "part-000").write_bytes(data[:half])
    (folder / "part-001").write_bytes(data[half:])
    (folder / "manifest.json").write_text("{}")


async def read_version(rig: Rig) -> str | None:
    version: str | None = (await rig.look("/debug/table")).json["version"]
    return version


async def test_a_gateway_starts_with_the_table_that_it_ran(tmp_path: Path, fake: FakeProvider) -> None:
    chosen = settings(state_dir=tmp_path / "state")
    async with serving(table(provider(DEAD_URL)), chosen) as rig:
        await rig.apply(table(provider(fake.url)))
    async with serving(chosen=chosen) as rig:
        readiness, completion = await rig.look("/readyz"), await rig.ask()
        version = await read_version(rig)

    assert (readiness.status, completion.status, version) == (200, 200, "0.2")


def test_the_file_is_for_its_owner_alone_and_leaves_nothing_beside_it(tmp_path: Path) -> None:
    store = TableStore(tmp_path / "state")
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "table.tmp").touch(mode=0o644)
    saved = save(table(provider(DEAD_URL)), Version(1, 1), Share(index=1, gateways=3))
    store.save(saved)

    assert store.load() == saved
    assert stat.S_IMODE(store.path.stat().st_mode) == 0o600
    assert [path.name for path in store.path.parent.iterdir()] == ["table.json"]


async def test_the_share_of_the_limits_is_kept_with_the_table(tmp_path: Path) -> None:
    TableStore(tmp_path).save(save(table(provider(DEAD_URL)), Version(1, 1), Share(index=1, gateways=3)))
    async with serving(chosen=settings(state_dir=tmp_path)) as rig:
        known = (await rig.look("/debug/table")).json

    assert known["share"] == {"index": 1, "gateways": 3}


@pytest.mark.parametrize("data", [b"", b"torn", b"\x1f\x8b\x08\x00" + b"\x00" * 40])
async def test_a_bad_file_is_reported_and_ignored(
    tmp_path: Path, data: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "table.json").write_bytes(data)
    async with serving(chosen=settings(state_dir=tmp_path)) as rig:
        readiness = await rig.look("/readyz")

    assert readiness.status == 503
    assert "saved table ignored" in capsys.readouterr().out


async def test_a_new_pod_starts_from_the_bootstrap(tmp_path: Path, fake: FakeProvider) -> None:
    write_bootstrap(tmp_path / "bootstrap", save(table(provider(fake.url)), Version(4, 7)))
    chosen = settings(state_dir=tmp_path / "state", bootstrap_dir=tmp_path / "bootstrap")
    async with serving(chosen=chosen) as rig:
        completion, version = await rig.ask(), await read_version(rig)

    assert (completion.status, version) == (200, "4.7")


@pytest.mark.parametrize(("on_disk", "in_bootstrap", "runs"), [(5, 7, "1.7"), (9, 7, "1.9")])
async def test_the_newer_of_disk_and_bootstrap_runs(
    tmp_path: Path, on_disk: int, in_bootstrap: int, runs: str
) -> None:
    write_bootstrap(tmp_path / "bootstrap", save(table(provider(DEAD_URL)), Version(1, in_bootstrap)))
    TableStore(tmp_path).save(save(table(provider(DEAD_URL)), Version(1, on_disk)))
    chosen = settings(state_dir=tmp_path, bootstrap_dir=tmp_path / "bootstrap")
    async with serving(chosen=chosen) as rig:
        version = await read_version(rig)

    assert version == runs


async def test_a_newer_table_that_cannot_be_served_gives_way_to_the_older(
    tmp_path: Path, fake: FakeProvider
) -> None:
    write_bootstrap(tmp_path / "bootstrap", save(table(provider("ftp://nowhere")), Version(1, 9)))
    TableStore(tmp_path).save(save(table(provider(fake.url)), Version(1, 5)))
    chosen = settings(state_dir=tmp_path, bootstrap_dir=tmp_path / "bootstrap")
    async with serving(chosen=chosen) as rig:
        completion = await rig.ask()

    assert completion.status == 200


async def test_a_half_written_bootstrap_is_reported_and_ignored(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_bootstrap(tmp_path / "bootstrap", save(table(provider(DEAD_URL)), Version(1, 1)))
    (tmp_path / "bootstrap" / "part-001").unlink()
    async with serving(chosen=settings(bootstrap_dir=tmp_path / "bootstrap")) as rig:
        readiness = await rig.look("/readyz")

    assert readiness.status == 503
    assert "saved table ignored" in capsys.readouterr().out


async def test_a_disk_that_cannot_be_written_is_counted_and_harms_no_request(
    tmp_path: Path, fake: FakeProvider, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "state").write_text("a file where a folder should be")
    chosen = settings(state_dir=tmp_path / "state")
    async with serving(table(provider(fake.url)), chosen) as rig:
        completion = await rig.ask()

    assert completion.status == 200
    assert "table not saved" in capsys.readouterr().out
