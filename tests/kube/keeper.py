"""Makes the folder of a `Cluster`, and removes it and its servers, whatever becomes of the starting process.

A test run can end without its `finally` blocks: by `kill -9`, or by the time limit of pytest, which leaves
with `os._exit`. So a second, tiny process holds the other end of a pipe. `Keeper` writes "+pid" and "-pid"
into it; when the pipe closes, the second process kills what is still noted and removes the folder. Called by
`Cluster`.

Rejected: `prctl(PR_SET_PDEATHSIG)`, which fires when the starting *thread* ends, and tests start servers from
worker threads.
"""

from __future__ import annotations

import contextlib
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

GONE_WITHIN_S = 5.0
"""From SIGKILL to the removal of the folder, at most; a moment is usual. A guess."""

ROOMY_BYTES = 1 << 30
"""/dev/shm is 64 MB in many containers, and etcd alone sets 64 MB aside for its log."""


class Keeper:
    """The near end of the pipe, and a new `folder`, in memory if possible. `close` waits until it is gone."""

    def __init__(self, prefix: str) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix=prefix, dir=_fast_folder()))
        # A session of its own, or the Ctrl-C that ends the tests would end it first.
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", __file__, self.folder],
            stdin=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def started(self, pid: int) -> None:
        self._tell(f"+{pid}")

    def ended(self, pid: int) -> None:
        self._tell(f"-{pid}")

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()

    def _tell(self, line: str) -> None:
        assert self._process.stdin is not None
        print(line, file=self._process.stdin, flush=True)


def _fast_folder() -> str | None:
    """Memory where there is enough of it; None stands for the usual temporary folder."""
    memory = Path("/dev/shm")
    try:
        roomy = os.access(memory, os.W_OK) and shutil.disk_usage(memory).free > ROOMY_BYTES
    except OSError:
        return None
    return str(memory) if roomy else None


def keep(folder: Path) -> None:
    """The far end: runs until standard input closes."""
    pids: set[int] = set()
    for line in sys.stdin:
        pid = int(line[1:])
        if line[0] == "+":
            pids.add(pid)
        else:
            pids.discard(pid)
    for pid in pids:
        with contextlib.suppress(OSError):  # it has ended by itself
            _end(pid)
    shutil.rmtree(folder, ignore_errors=True)


def _end(pid: int) -> None:
    if sys.platform != "linux":
        os.kill(pid, signal.SIGKILL)
        return
    # It is not our child, and where init does not reap, its pid stays: only this tells that it has ended.
    handle = os.pidfd_open(pid)
    try:
        signal.pidfd_send_signal(handle, signal.SIGKILL)
        select.select([handle], [], [], GONE_WITHIN_S)
    finally:
        os.close(handle)


if __name__ == "__main__":
    keep(Path(sys.argv[1]))
