"""Which Python will do for the contestants, and how it is told of."""

import sys
from pathlib import Path

import pytest

from bench.speed.interpreter import SYSTEM, Interpreter, ask_interpreter, describe_interpreter, find_fault
from tests.bench.samples import build_interpreter


def test_a_python_tells_its_version_its_home_and_whether_it_makes_environments() -> None:
    interpreter = ask_interpreter(Path(sys.executable))

    assert interpreter is not None
    assert interpreter.release == sys.version_info[:2]
    assert interpreter.prefix == sys.base_prefix
    assert interpreter.makes_environments


@pytest.mark.parametrize("script", ["exit 1", "echo 3.11", "kill $$"])
def test_a_program_that_is_no_python_tells_nothing(tmp_path: Path, script: str) -> None:
    program = write_program(tmp_path / "python3", script)

    assert ask_interpreter(program) is None


def test_a_python_that_is_not_there_tells_nothing(tmp_path: Path) -> None:
    assert ask_interpreter(tmp_path / "python3") is None


@pytest.mark.parametrize(
    ("system", "fault"),
    [
        (build_interpreter(version="3.11.2"), None),
        (build_interpreter(version="3.14.0"), None),
        (None, "there is no working /usr/bin/python3"),
        (build_interpreter(version="3.9.2"), "/usr/bin/python3 is Python 3.9.2, older than 3.11"),
        (
            build_interpreter(makes_environments=False),
            "/usr/bin/python3 makes no virtual environments: apt-get install python3-venv",
        ),
    ],
)
def test_the_systems_python_will_do_unless_it_is_too_old_or_makes_no_environments(
    system: Interpreter | None, fault: str | None
) -> None:
    assert find_fault(system) == fault


def test_the_key_tells_two_builds_of_one_version_apart() -> None:
    ours, theirs = build_interpreter(prefix="/usr"), build_interpreter(prefix="/opt/python")

    assert ours.key != theirs.key
    assert ours.key != build_interpreter(prefix="/usr", version="3.11.3").key


def test_a_virtual_environment_has_the_key_of_the_python_that_made_it() -> None:
    made = build_interpreter(prefix="/usr", path="/home/me/.venv/bin/python")

    assert made.key == build_interpreter(prefix="/usr", path=str(SYSTEM)).key


@pytest.mark.parametrize(
    ("interpreter", "told"),
    [
        (
            build_interpreter(path=str(SYSTEM), prefix="/usr"),
            "Python 3.11.2 (/usr/bin/python3, the distribution's build)",
        ),
        (
            build_interpreter(path=str(SYSTEM), prefix="/usr", options="'--enable-optimizations'"),
            "Python 3.11.2 (/usr/bin/python3, built with profile-guided optimisation)",
        ),
        (
            build_interpreter(path="/home/me/.venv/bin/python", options="'--enable-optimizations'"),
            "Python 3.11.2 (the one that ran the benchmark, built with profile-guided optimisation)",
        ),
        (
            build_interpreter(path="/home/me/.venv/bin/python"),
            "Python 3.11.2 (the one that ran the benchmark, built without --enable-optimizations)",
        ),
    ],
)
def test_the_report_tells_who_built_it_and_no_path_of_one_machine(
    interpreter: Interpreter, told: str
) -> None:
    assert describe_interpreter(interpreter) == told


def write_program(path: Path, script: str) -> Path:
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path
