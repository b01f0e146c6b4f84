"""One server process: started, watched while it gets ready, ended.

In: a command. Out: a process whose output goes to a log file, and errors that carry the log's end, because
"not ready in 60 s" alone helps nobody. Called by `Cluster`.
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from tests.kube.keeper import Keeper

STOPPED_WITHIN_S = 10.0
"""From SIGTERM to SIGKILL. The API server takes well below a second when idle. A guess."""
LOG_TAIL_BYTES = 3000


class ServerDied(RuntimeError):
    """A server ended by itself; the message has its exit code and the end of its log."""


class Server:
    """May be started and stopped again and again, with the same command line."""

    def __init__(self, name: str, command: Sequence[str | Path], folder: Path, keeper: Keeper) -> None:
        self.name = name
        self._command = command
        self._log = folder / f"{name}.log"
        self._keeper = keeper
        self._process: subprocess.Popen[bytes] | None = None

    def __repr__(self) -> str:
        return f"<Server {self.name} {'running' if self.running else 'stopped'}, log: {self._log}>"

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        """Of the process, while it has been started."""
        assert self._process is not None, f"{self.name} has not been started"
        return self._process.pid

    def start(self) -> None:
        """Does not wait until it is ready: see `wait_until`."""
        self.stop()  # tidies up after one that died
        with self._log.open("ab") as log:
            # A session of its own, so that Ctrl-C ends the tests, and the tests end the server.
            self._process = subprocess.Popen(
                self._command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        self._keeper.started(self._process.pid)

    def stop(self) -> None:
        """Terminated, then killed. Does nothing when it is not there."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(STOPPED_WITHIN_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._keeper.ended(self._process.pid)
        self._process = None

    def log_tail(self) -> str:
        return self._log.read_bytes()[-LOG_TAIL_BYTES:].decode(errors="replace")

    def raise_if_dead(self) -> None:
        if self._process is not None and self._process.poll() is not None:
            raise ServerDied(f"{self.name} ended with code {self._process.returncode}: {self.log_tail()}")


def wait_until(is_ready: Callable[[], bool], servers: Sequence[Server], within_s: float) -> None:
    """Ask every 50 ms. Raises `ServerDied` as soon as a server is gone, `TimeoutError` after `within_s`."""
    deadline = time.monotonic() + within_s
    while not is_ready():
        for server in servers:
            server.raise_if_dead()
        if time.monotonic() > deadline:
            logs = "".join(f"\n{server.name}: {server.log_tail()}" for server in servers)
            raise TimeoutError(f"not ready within {within_s:.0f} s; the logs end with{logs}")
        time.sleep(0.05)
