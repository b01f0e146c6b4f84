"""A real Redis, or Valkey, for one run: started on a free port without a disk, killed, started again empty.

`costs` and `exact` start one. It keeps its port, so that those who share it find it again.
"""

import os
import shutil
import signal
import socket
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from bench.speed.process import HOST, Pinned, find_free_port

_SERVERS: Final = ("redis-server", "valkey-server")
_START_S: Final = 10.0
_PATIENCE_S: Final = 1.0


class NoStore(RuntimeError):
    """There is no server on this machine."""


class StoreServer:
    """`with StoreServer(...) as store`: runs until the end of the block, unless it is killed before."""

    def __init__(self, folder: Path, cores: Sequence[int]) -> None:
        """Raises NoStore."""
        found = next((path for name in _SERVERS if (path := shutil.which(name))), None)
        if found is None:
            raise NoStore(f"neither {' nor '.join(_SERVERS)} is on PATH: install Redis or Valkey")
        folder.mkdir(parents=True, exist_ok=True)
        self.port: Final = find_free_port()
        listen = ("--port", str(self.port), "--bind", HOST, "--dir", str(folder))
        self._command = (found, *listen, "--save", "", "--appendonly", "no")
        self._cores = cores
        self._folder = folder
        self._process: Pinned | None = None

    def build_url(self, prefix: str) -> str:
        """prefix: of all keys, so that several may share the server and nothing else."""
        return f"redis://{HOST}:{self.port}/0?prefix={prefix}"

    def start(self) -> None:
        """Empty. Returns when it answers."""
        process = Pinned("store", self._command, self._cores, self._folder)
        self._process = process.__enter__()
        process.wait_until(self._answers, _START_S)

    def kill(self) -> None:
        """-9."""
        assert self._process is not None, "it does not run"
        os.kill(self._process.pid, signal.SIGKILL)
        self._stop()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop()

    def _stop(self) -> None:
        if self._process is not None:
            self._process.__exit__(None, None, None)
            self._process = None

    def _answers(self) -> bool:
        try:
            with socket.create_connection((HOST, self.port), timeout=_PATIENCE_S) as connection:
                connection.sendall(b"PING\r\n")
                return connection.recv(16).startswith(b"+PONG")
        except OSError:
            return False
