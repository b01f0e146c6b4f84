"""Runs kubectl.

In: arguments, and text for its standard input. Out: what it printed. Called by `Cluster`. The user's own
kubeconfig and cache are left alone: ports change from run to run, and discovery cached for one would be wrong
for the next.
"""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

TIMEOUT_S = 60.0
"""It retries broken connections for long; better to fail here, with the command, than by the test's limit."""


class KubectlError(RuntimeError):
    """kubectl returned non-zero; the message has its arguments and what it printed."""


@dataclass(frozen=True, slots=True)
class Kubectl:
    """`cache`: a folder for what it learns about the server; need not exist."""

    program: Path
    kubeconfig: Path
    cache: Path

    def run(
        self, *args: str | Path, stdin: str | None, check: bool = True
    ) -> subprocess.CompletedProcess[str]:
        """With `check`, a non-zero code raises `KubectlError`."""
        command = [self.program, f"--kubeconfig={self.kubeconfig}", f"--cache-dir={self.cache}", *args]
        # Without input it must not wait for the terminal's.
        done = subprocess.run(
            command, input=stdin or "", capture_output=True, text=True, check=False, timeout=TIMEOUT_S
        )
        if check and done.returncode:
            printed = (done.stdout + done.stderr).strip()
            raise KubectlError(f"kubectl {' '.join(map(str, args))}: code {done.returncode}: {printed}")
        return done
