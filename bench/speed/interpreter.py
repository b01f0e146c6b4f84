"""Which Python the contestants that are written in Python run on: one and the same for all of them.

In: the system's own Python, and the one that runs the benchmark. Out: what is wrong with the first, and how
either is told of in the report. Called by `environment`. Why it matters: a Python that was built without
profile-guided optimisation, pyenv's default, makes every program 15 to 20 % slower, and the benchmark may
well run on one. Users run their distribution's or Docker's, which have it.
"""

import hashlib
import subprocess
from pathlib import Path

import msgspec

SYSTEM = Path("/usr/bin/python3")
OLDEST = (3, 11)
"""`requires-python` of the project."""
_ANSWER_S = 20
"""A guess: the question takes 0.1 s."""

_QUESTION = """\
import importlib.util, json, platform, sys, sysconfig
makes_environments = all(map(importlib.util.find_spec, ("ensurepip", "venv")))
answer = {
    "path": sys.executable,
    "version": platform.python_version(),
    "release": sys.version_info[:2],
    "prefix": sys.base_prefix,
    "options": sysconfig.get_config_var("CONFIG_ARGS") or "",
    "makes_environments": makes_environments,
}
print(json.dumps(answer))
"""


class Interpreter(msgspec.Struct, frozen=True, kw_only=True):
    """What a Python says of itself."""

    path: str
    version: str
    """`3.11.2`"""
    release: tuple[int, int]
    prefix: str
    """Where it was installed; the same in each of its virtual environments."""
    options: str
    """Of `configure`, when it was built."""
    makes_environments: bool
    """False: Debian's without python3-venv."""

    @property
    def key(self) -> str:
        """For the names of folders. Two builds of one version have two."""
        return f"{self.version}-{hashlib.sha256(self.prefix.encode()).hexdigest()[:8]}"


def ask_interpreter(path: Path) -> Interpreter | None:
    """None: there is none, or it doesn't answer."""
    try:
        ran = subprocess.run(
            [path, "-I", "-c", _QUESTION],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_ANSWER_S,
            check=True,
        )
        return msgspec.json.decode(ran.stdout, type=Interpreter)
    except (OSError, subprocess.SubprocessError, msgspec.DecodeError):
        return None


def find_fault(system: Interpreter | None) -> str | None:
    """Why the contestants can't run on the system's own Python; None: they can."""
    if system is None:
        return f"there is no working {SYSTEM}"
    if system.release < OLDEST:
        return f"{SYSTEM} is Python {system.version}, older than {'.'.join(map(str, OLDEST))}"
    if not system.makes_environments:
        return f"{SYSTEM} makes no virtual environments: apt-get install python3-venv"
    return None


def describe_interpreter(interpreter: Interpreter) -> str:
    """For the report, which is committed: no path but the system's, others tell of one machine."""
    whose = str(SYSTEM) if interpreter.path == str(SYSTEM) else "the one that ran the benchmark"
    return f"Python {interpreter.version} ({whose}, {_describe_build(interpreter)})"


def _describe_build(interpreter: Interpreter) -> str:
    """Debian's has been built with profile-guided optimisation, but keeps no trace of it: neither in the
    options of `configure` nor in the compiler's. Of such a one only the builder can be told.
    """
    if "--enable-optimizations" in interpreter.options:
        return "built with profile-guided optimisation"
    if interpreter.prefix == "/usr":
        return "the distribution's build"
    return "built without --enable-optimizations"
