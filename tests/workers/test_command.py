"""What `headgate gateway` says when it cannot start."""

import socket
import subprocess
import sys
from pathlib import Path

import pytest


def start(*options: str) -> tuple[int, str]:
    """Exit code, and the last line of what it said."""
    command = (
        sys.executable,
        "-m",
        "headgate.cli",
        "gateway",
        "--admin-port",
        "0",
        "--bootstrap-dir",
        "/none",
    )
    done = subprocess.run([*command, *options], capture_output=True, text=True, check=False)
    return done.returncode, done.stderr.splitlines()[-1]


def test_a_certificate_without_its_key_is_wrong_usage() -> None:
    said = start("--tls-cert", "tls.crt")

    assert said == (
        2,
        "Error: TLS needs both --tls-cert and --tls-key: the certificate chain for callers, and its key",
    )


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_certificate_that_cannot_be_read_is_named_with_the_remedy(tmp_path: Path, workers: str) -> None:
    missing = tmp_path / "tls.crt"

    said = start(
        *("--workers", workers, "--port", "0", "--tls-cert", str(missing), "--tls-key", str(missing))
    )

    assert said == (
        1,
        f"Error: --tls-cert {missing} cannot be read (No such file or directory): "
        "give the path of a PEM file that this process may read",
    )


def test_a_port_that_is_taken_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        said = start("--workers", "2", "--port", str(port))

    assert said == (1, f"Error: cannot listen on 127.0.0.1:{port}: Address already in use")
