"""A program pinned to cores: started, waited for, stopped with all that it started.

`peers`, `ours` and `programs` say what to start; everything that is measured runs through here.
"""

import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from bench.speed.machine import find_tree

HOST = "127.0.0.1"
_POLL_S = 0.05
_STOP_S = 8.0


class NotStarted(RuntimeError):
    """A program ended, or did not answer in time. The message ends with what it last said."""


class Pinned:
    """`with Pinned(...) as program`: runs until the end of the block."""

    def __init__(
        self,
        name: str,
        command: Sequence[str | Path],
        cores: Sequence[int],
        folder: Path,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.name = name
        self.folder = folder / spell_folder(name)
        self._command = ["taskset", "-c", ",".join(map(str, cores)), *map(str, command)]
        self._environment = {**os.environ, **(environment or {})}
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """taskset becomes the program, so that this is the program's own."""
        if self._process is None:
            raise NotStarted(f"{self.name} was not started")
        return self._process.pid

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def output(self) -> Path:
        return self.folder / "output"

    def wait_until(self, answers: Callable[[], bool], timeout_s: float) -> None:
        deadline_s = time.monotonic() + timeout_s
        while not answers():
            if not self.running:
                raise NotStarted(f"{self.name} ended at its start: {self.tail()}")
            if time.monotonic() > deadline_s:
                raise NotStarted(f"{self.name} did not answer within {timeout_s:.0f} s: {self.tail()}")
            time.sleep(_POLL_S)

    def tail(self) -> str:
        text = self.output.read_text(errors="replace") if self.output.exists() else ""
        return " / ".join(text.splitlines()[-5:])[-300:]

    def __enter__(self) -> Self:
        self.folder.mkdir(parents=True, exist_ok=True)
        with self.output.open("ab") as output:
            self._process = subprocess.Popen(
                self._command,
                env=self._environment,
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """By signal to each process of the tree, leaves first: some launchers leave their workers behind."""
        if self._process is None:
            return
        for number in (signal.SIGTERM, signal.SIGKILL):
            tree = find_tree(self._process.pid)
            for pid in reversed(tree):
                _signal(pid, number)
            try:
                self._process.wait(_STOP_S)
            except subprocess.TimeoutExpired:
                continue
            for pid in tree[1:]:
                _signal(pid, signal.SIGKILL)
            return


def spell_folder(name: str) -> str:
    """`Headgate, 2 workers` as a folder is called."""
    return "".join(letter if letter.isalnum() else "-" for letter in name)


def find_free_port() -> int:
    """Free a moment ago; nothing else here asks for ports meanwhile."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def _signal(pid: int, number: signal.Signals) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return
