"""The virtual environment that Headgate and the bare proxies run in when they are measured.

In: the chosen interpreter and this checkout. Out: a `Python` for `Place`. Called by both commands at their
start, since it must always be there: it is made when it is missing, and when it can't be made the Python of
the benchmark itself takes its place. It lies outside the tree, one for each checkout, and is made anew when
the pinned packages or the interpreter have changed.
"""

import hashlib
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bench.speed.installs import Missing, run_step
from bench.speed.interpreter import SYSTEM, Interpreter, ask_interpreter, find_fault
from bench.speed.programs import find_cache

CHECKOUT = Path(__file__).parents[2]
_BUILD = "import sys; from hatchling.build import build_editable; build_editable(sys.argv[1])"


@dataclass(frozen=True, slots=True)
class Python:
    """What all contestants that are written in Python run on."""

    program: Path
    """Has Headgate and its packages."""
    interpreter: Interpreter
    """What `program` is an environment of; LiteLLM has another one of it."""


@dataclass(frozen=True, slots=True)
class Environment:
    interpreter: Interpreter
    checkout: Path
    cache: Path

    @property
    def folder(self) -> Path:
        return self.cache / hashlib.sha256(bytes(self.checkout)).hexdigest()[:12]

    @property
    def requirements(self) -> Path:
        """What an image needs, uvloop included: nothing that only tests need."""
        return self.checkout / "requirements" / "runtime.txt"

    @property
    def key(self) -> str:
        """Of what it is made of."""
        packages = hashlib.sha256(self.requirements.read_bytes()).hexdigest()[:12]
        return f"{self.interpreter.key} {packages}"

    def find(self) -> Path | None:
        """Its Python; None: it isn't there, or is out of date."""
        program = self.folder / "bin" / "python"
        stamp = self._stamp
        if program.exists() and stamp.exists() and stamp.read_text() == self.key:
            return program
        return None

    def make(self) -> Path | Missing:
        """Takes half a minute. The project is installed as `make setup` does it, but for its build: pip would
        fetch a build backend that nobody pinned, so the pinned one of the benchmark's own environment builds.
        """
        shutil.rmtree(self.folder, ignore_errors=True)
        program, wheels = self.folder / "bin" / "python", self.folder / "wheels"
        pip = (program, "-m", "pip", "install", "--quiet", "--disable-pip-version-check")
        failed = (
            run_step(self.interpreter.path, "-m", "venv", self.folder)
            or run_step(*pip, "--require-hashes", "-r", self.requirements)
            or run_step(sys.executable, "-c", _BUILD, wheels, folder=self.checkout)
            or run_step(*pip, "--no-deps", "--no-index", *wheels.glob("*.whl"))
        )
        if failed is not None:
            return Missing(f"an environment for Headgate cannot be made: {failed}")
        self._stamp.write_text(self.key)
        return program

    @property
    def _stamp(self) -> Path:
        return self.folder / ".ready"


def prepare_python(say: Callable[[str], None]) -> Python:
    """The one of this machine and this checkout. Makes its environment where it must."""
    return choose_python(ask_interpreter(SYSTEM), find_own(), CHECKOUT, find_environments(), say)


def choose_python(
    system: Interpreter | None, own: Python, checkout: Path, cache: Path, say: Callable[[str], None]
) -> Python:
    """own: takes the system's place, and the reason is said, when that one can't be used."""
    fault = find_fault(system)
    if fault is None:
        assert system is not None
        environment = Environment(system, checkout, cache)
        program: Path | Missing | None = environment.find()
        if program is None:
            say(f"making an environment for Headgate with {system.path}: once, half a minute")
            program = environment.make()
        if isinstance(program, Path):
            return Python(program, system)
        fault = program.reason
    say(f"Python contestants run on the Python of the benchmark itself, {own.interpreter.version}: {fault}")
    return own


def find_own() -> Python:
    """The one that runs the benchmark."""
    interpreter = ask_interpreter(Path(sys.executable))
    assert interpreter is not None, "it runs this line"
    return Python(Path(sys.executable), interpreter)


def find_environments() -> Path:
    """Outside the tree; it need not exist."""
    return find_cache().with_name("environments")
