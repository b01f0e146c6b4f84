"""`pytest --update-golden` writes the `.out.json` of every pair anew; read what `git diff` then shows."""

import socket

import pytest


@pytest.fixture
def update_golden(request: pytest.FixtureRequest) -> bool:
    return bool(request.config.getoption("--update-golden"))


@pytest.fixture(autouse=True)
def _no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """A wire that wants to connect fails, whatever it wants."""

    def refuse(*_: object) -> None:
        raise AssertionError("a wire reached for the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket.socket, "connect_ex", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
