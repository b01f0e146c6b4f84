"""The environment of the contestants: made when missing or out of date, and done without when it can't be."""

import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from bench.speed.environment import CHECKOUT, Environment, Python, choose_python
from bench.speed.interpreter import ask_interpreter
from tests.bench.samples import build_interpreter

OWN = Python(Path("/home/me/.venv/bin/python"), build_interpreter(version="3.12.1"))
PROJECT = """\
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"

[project]
name = "headgate"
version = "1.2.3"

[tool.hatch.build.targets.wheel]
packages = ["headgate"]
"""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A project like this one that requires nothing, so that pip needs no network."""
    folder = tmp_path / "checkout"
    (folder / "requirements").mkdir(parents=True)
    (folder / "requirements" / "runtime.txt").touch()
    (folder / "pyproject.toml").write_text(PROJECT)
    (folder / "headgate").mkdir()
    (folder / "headgate" / "__init__.py").touch()
    return folder


def test_the_key_changes_with_the_pinned_packages_and_with_the_interpreter(checkout: Path) -> None:
    environment = Environment(build_interpreter(), checkout, checkout)
    before = environment.key
    other = Environment(build_interpreter(version="3.11.3"), checkout, checkout)

    assert environment.key == before
    assert other.key != before

    environment.requirements.write_text("aiohttp==3.14.5\n")

    assert environment.key != before


def test_two_checkouts_do_not_share_an_environment(tmp_path: Path) -> None:
    interpreter = build_interpreter()
    here = Environment(interpreter, tmp_path / "here", tmp_path)
    there = Environment(interpreter, tmp_path / "there", tmp_path)

    assert here.folder != there.folder


def test_what_is_pinned_for_images_holds_the_faster_event_loop() -> None:
    environment = Environment(build_interpreter(), CHECKOUT, CHECKOUT)

    assert "\nuvloop==" in environment.requirements.read_text()


def test_an_environment_is_made_once_and_is_out_of_date_when_the_pinned_packages_change(
    checkout: Path, tmp_path: Path
) -> None:
    system = ask_interpreter(Path(sys.executable))
    assert system is not None
    said: list[str] = []
    python = choose_python(system, OWN, checkout, tmp_path / "cache", said.append)

    assert python.interpreter == system
    assert said == [f"making an environment for Headgate with {sys.executable}: once, half a minute"]
    where = "import headgate; print(headgate.__file__)"
    ran = subprocess.run(
        [python.program, "-c", where], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert ran.stdout.strip() == str(checkout / "headgate" / "__init__.py")

    again = choose_python(system, OWN, checkout, tmp_path / "cache", said.append)

    assert again == python
    assert len(said) == 1

    environment = Environment(system, checkout, tmp_path / "cache")
    environment.requirements.write_text("# another\n")

    assert environment.find() is None


def test_without_a_system_python_the_benchmarks_own_takes_its_place_and_says_why(checkout: Path) -> None:
    said: list[str] = []
    python = choose_python(None, OWN, checkout, checkout, said.append)

    assert python == OWN
    assert said == [
        "Python contestants run on the Python of the benchmark itself, 3.12.1: "
        "there is no working /usr/bin/python3"
    ]


def test_an_environment_that_cannot_be_made_leaves_the_benchmarks_own_python_and_says_why(
    checkout: Path, tmp_path: Path
) -> None:
    broken = tmp_path / "python3"
    broken.write_text("#!/bin/sh\necho ensurepip is not available\nexit 1\n")
    broken.chmod(0o755)
    system = build_interpreter(path=str(broken))
    said: list[str] = []
    python = choose_python(system, OWN, checkout, tmp_path / "cache", said.append)

    assert python == OWN
    assert Environment(system, checkout, tmp_path / "cache").find() is None
    assert said[1:] == [
        "Python contestants run on the Python of the benchmark itself, 3.12.1: "
        "an environment for Headgate cannot be made: ensurepip is not available"
    ]


def test_an_environment_of_another_python_is_not_taken(checkout: Path, tmp_path: Path) -> None:
    environment = Environment(build_interpreter(), checkout, tmp_path / "cache")
    (environment.folder / "bin").mkdir(parents=True)
    (environment.folder / "bin" / "python").touch()
    (environment.folder / ".ready").write_text(environment.key)
    newer = msgspec.structs.replace(environment.interpreter, version="3.11.3")

    assert environment.find() == environment.folder / "bin" / "python"
    assert Environment(newer, checkout, tmp_path / "cache").find() is None
