"""A real PostgreSQL for tests: a server of its own in a folder that is thrown away, as whoever may run one.

PostgreSQL refuses to run as root; then the package's own user runs it.
"""

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.server.certificates import Authority

PASSWORD = "planted-ledger-password"


class PostgresServer:
    def __init__(self, binaries: Path, folder: Path, user: str | None) -> None:
        self._binaries = binaries
        self._data = folder / "data"
        self._log = folder / "log"
        self._user = user
        self.port = find_free_port()
        self._schemas = 0

    def make(self, *, careful: bool) -> None:
        """Any user may in but `guarded`, who needs PASSWORD. careful: it waits for the disk, as it should."""
        self._run("initdb", "--username=headgate", "--auth=trust", "--no-sync", "-D", str(self._data))
        tls = Authority(self._data).issue(self._data, "postgres")
        self.authority = self._data / "authority.pem"
        tls.key.chmod(0o600)  # it refuses a key that others may read
        if self._user is not None:
            os.chown(tls.key, pwd.getpwnam(self._user).pw_uid, -1)
        rules = self._data / "pg_hba.conf"
        rules.write_text(f"host all guarded 127.0.0.1/32 scram-sha-256\n{rules.read_text()}")
        with (self._data / "postgresql.conf").open("a") as settings:
            settings.write("unix_socket_directories = ''\n")
            settings.write("" if careful else "fsync = off\nfull_page_writes = off\n")
            settings.write(f"ssl = on\nssl_cert_file = '{tls.certificate}'\nssl_key_file = '{tls.key}'\n")
        self.start()
        self.execute(f"CREATE ROLE guarded LOGIN SUPERUSER PASSWORD '{PASSWORD}'")

    def start(self) -> None:
        """Returns when it serves."""
        options = f"-h 127.0.0.1 -p {self.port}"
        self._run("pg_ctl", "-D", str(self._data), "-l", str(self._log), "-o", options, "-w", "start")

    def stop(self) -> None:
        """At once; what is connected is cut off."""
        self._run("pg_ctl", "-D", str(self._data), "-m", "fast", "-w", "stop")

    def make_place(self, user: str = "headgate", ssl: str = "disable") -> str:
        """The URL of a ledger that nobody else has. ssl: its `sslmode`, and what else belongs to it."""
        self._schemas += 1
        schema = f"ledger_{self._schemas}"
        self.execute(f"CREATE SCHEMA {schema}")
        return f"postgresql://{user}@127.0.0.1:{self.port}/postgres?search_path={schema}&sslmode={ssl}"

    def execute(self, statement: str) -> str:
        """What psql prints of it, a line for each row."""
        url = f"postgresql://headgate@127.0.0.1:{self.port}/postgres"
        done = self._run("psql", "-X", "-A", "-t", "-q", "-v", "ON_ERROR_STOP=1", "-c", statement, url)
        return done.strip()

    def _run(self, program: str, *arguments: str) -> str:
        """The server's output goes to its log, or nobody would ever see the end of it here."""
        output = None if program == "pg_ctl" else subprocess.PIPE
        done = subprocess.run(
            [self._binaries / program, *arguments],
            user=self._user,
            cwd="/",
            stdout=output or subprocess.DEVNULL,
            stderr=output or subprocess.DEVNULL,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            log = self._log.read_text() if self._log.exists() else ""
            raise RuntimeError(f"{program}: {done.stderr or ''}{log}")
        return done.stdout or ""


@contextmanager
def running_postgres(*, careful: bool = False) -> Iterator[PostgresServer]:
    """careful: as a server is by default, for measuring."""
    binaries = find_binaries()
    user = find_user() if os.geteuid() == 0 else None
    folder = Path(tempfile.mkdtemp(prefix="headgate-postgres-"))
    try:
        if user is not None:
            os.chown(folder, pwd.getpwnam(user).pw_uid, -1)
        server = PostgresServer(binaries, folder, user)
        server.make(careful=careful)
        try:
            yield server
        finally:
            server.stop()
    finally:
        shutil.rmtree(folder)


def find_binaries() -> Path:
    """Of the newest that is installed: Debian's package puts them beside the path."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    named = [Path(path) for path in (shutil.which("initdb"),) if path is not None]
    for path in (*reversed(found), *named):
        return path.parent
    raise RuntimeError("there is no PostgreSQL on this machine: scripts/servers brings it, or says how")


def find_user() -> str:
    """Whom the package has made for it, else somebody with no rights at all."""
    names = {entry.pw_name for entry in pwd.getpwall()}
    return "postgres" if "postgres" in names else "nobody"


def find_free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port
