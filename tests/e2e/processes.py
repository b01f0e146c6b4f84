"""Headgate's own processes, as users start them: `python -m headgate.cli …`, stopped by signal, their output
kept for the failure report.

Called by `system` and by the bench. Waiting polls an HTTP readiness endpoint every 50 ms, with a deadline and
the log's tail in the error.
"""

import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

POLL_S = 0.05


class Process:
    def __init__(
        self, name: str, *arguments: str | Path, folder: Path, environment: dict[str, str] | None = None
    ) -> None:
        self.name = name
        self.log = folder / f"{name}.log"
        self._arguments = [sys.executable, "-m", "headgate.cli", *map(str, arguments)]
        self._environment = {**os.environ, "PYTHONUNBUFFERED": "1", **(environment or {})}
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> Self:
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self._arguments, stdout=log, stderr=log, stdin=subprocess.DEVNULL, env=self._environment
            )
        return self

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def stop(self, timeout_s: float = 30) -> int:
        """SIGTERM, and the exit code. A process that does not end in time is a failure, after SIGKILL."""
        if self._process is None:
            return 0
        if self.running:
            self._process.send_signal(signal.SIGTERM)
        try:
            return self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(
                f"{self.name} did not end within {timeout_s} s of SIGTERM:\n{self.tail()}"
            ) from None

    def kill(self) -> None:
        if self._process is not None and self.running:
            self._process.kill()
            self._process.wait(10)

    def restart(self) -> Self:
        self.kill()
        return self.start()

    def tail(self, lines: int = 30) -> str:
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])

    def wait_ready(self, url: str, timeout_s: float = 60) -> None:
        """Until `url` answers 200."""

        def answers() -> bool:
            assert self.running, (
                f"{self.name} ended with {self._process and self._process.returncode}:\n{self.tail()}"
            )
            try:
                with urllib.request.urlopen(url, timeout=2) as answer:
                    return bool(answer.status == 200)
            except (urllib.error.URLError, TimeoutError, ConnectionError):
                return False

        wait_until(answers, f"{self.name} answers 200 at {url}", timeout_s, self.tail)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None and self.log.exists():
            sys.stderr.write(f"\n--- {self.name}: end of its log\n{self.tail(60)}\n")
        self.kill()


def wait_until(
    holds: Callable[[], object], what: str, timeout_s: float = 30, explain: Callable[[], str] = lambda: ""
) -> float:
    """Seconds that it took. Fails with `what` and what `explain` says."""
    began = time.monotonic()
    while not holds():
        waited = time.monotonic() - began
        assert waited < timeout_s, f"waited {waited:.0f} s in vain: {what}\n{explain()}"
        time.sleep(POLL_S)
    return time.monotonic() - began
