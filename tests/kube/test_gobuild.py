"""Building programs, with a `go` that takes no minutes."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.kube.gobuild import BuildError, build_programs, merge_go_mod

NAMES = ("kube-apiserver", "kubectl")
FAKE_GO = """\
#!/bin/sh
echo "$@" >> {calls}
case "$1 $2" in
"env GOVERSION") echo {version};;
"mod download") echo '{{"Dir": "{module}"}}';;
*)
  [ -p {gate} ] && read -r _ < {gate}
  [ -n "{fault}" ] && {{ echo "{fault}" >&2; exit 1; }}
  for last; do [ "$previous" = -o ] && out=$last; previous=$last; done
  echo built > "$out/kube-apiserver"; echo built > "$out/kubectl";;
esac
"""


class FakeGo:
    """A Go toolchain first on PATH. `hold` makes builds wait until `release`."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self._folder = folder
        self._calls = folder / "calls"
        self._gate = folder / "gate"
        module = folder / "module"
        module.mkdir()
        (module / "go.mod").write_text("module k8s.io/kubernetes\n")
        (module / "go.sum").write_text("")
        self.install()
        monkeypatch.setenv("PATH", str(folder), prepend=os.pathsep)

    def install(self, version: str = "go1.25.0", fault: str = "") -> None:
        script = FAKE_GO.format(
            calls=self._calls, version=version, module=self._folder / "module", gate=self._gate, fault=fault
        )
        (self._folder / "go").write_text(script)
        (self._folder / "go").chmod(0o755)

    def hold(self) -> None:
        os.mkfifo(self._gate)

    def release(self) -> None:
        self._gate.write_text("\n")

    def builds(self) -> list[str]:
        return [call for call in self._calls.read_text().splitlines() if call.startswith("build ")]


@pytest.fixture
def go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeGo:
    folder = tmp_path / "go"
    folder.mkdir()
    return FakeGo(folder, monkeypatch)


def test_siblings_are_replaced_by_their_published_versions() -> None:
    upstream = """\
module k8s.io/kubernetes

go 1.25.0

require (
	github.com/blang/semver/v4 v4.0.0
	k8s.io/api v0.0.0
)

replace (
	k8s.io/api => ./staging/src/k8s.io/api
	k8s.io/client-go => ./staging/src/k8s.io/client-go
)
"""

    merged = merge_go_mod(upstream, "v1.35.4")

    assert (
        merged
        == """\
module headgate.test/kube

go 1.25.0

require (
	github.com/blang/semver/v4 v4.0.0
	k8s.io/api v0.0.0
)

replace (
	k8s.io/api => k8s.io/api v0.35.4
	k8s.io/client-go => k8s.io/client-go v0.35.4
)

require k8s.io/kubernetes v1.35.4
"""
    )


def test_programs_are_stamped_with_the_version(go: FakeGo, tmp_path: Path) -> None:
    build_programs(NAMES, "v1.35.4", tmp_path / "cache", print)

    [build] = go.builds()
    assert "-X k8s.io/component-base/version.gitVersion=v1.35.4" in build
    assert build.endswith("k8s.io/kubernetes/cmd/kube-apiserver k8s.io/kubernetes/cmd/kubectl")


def test_a_finished_build_leaves_the_programs_and_nothing_half_done(go: FakeGo, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    (cache / "build-of-a-killed-process").mkdir(parents=True)

    build_programs(NAMES, "v1.35.4", cache, print)

    assert sorted(path.name for path in cache.iterdir()) == ["kube-apiserver", "kubectl", "lock"]
    assert len(go.builds()) == 1


def test_what_is_built_is_not_built_again(go: FakeGo, tmp_path: Path) -> None:
    build_programs(NAMES, "v1.35.4", tmp_path / "cache", print)
    build_programs(NAMES, "v1.35.4", tmp_path / "cache", print)

    assert len(go.builds()) == 1


def test_two_at_once_build_once_and_the_other_says_that_it_waits(go: FakeGo, tmp_path: Path) -> None:
    go.hold()
    waiting = threading.Event()

    def build(progress: Callable[[str], None]) -> None:
        build_programs(NAMES, "v1.35.4", tmp_path / "cache", progress)

    def note(line: str) -> None:
        if line.startswith("another process is building there"):
            waiting.set()

    with ThreadPoolExecutor(2) as threads:
        both = [threads.submit(build, note), threads.submit(build, note)]
        seen = waiting.wait(10)
        go.release()
        for each in both:
            each.result(10)

    assert seen
    assert len(go.builds()) == 1


def test_a_failed_build_says_what_go_said_and_leaves_no_program(go: FakeGo, tmp_path: Path) -> None:
    go.install(fault="no space left on device")

    with pytest.raises(BuildError) as caught:
        build_programs(NAMES, "v1.35.4", tmp_path / "cache", print)

    assert str(caught.value) == (
        "building kube-apiserver and kubectl v1.35.4 failed with code 1: no space left on device"
    )
    assert [path.name for path in (tmp_path / "cache").iterdir()] == ["lock"]
