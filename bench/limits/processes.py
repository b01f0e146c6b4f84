"""Gateways as users run them, each from a saved table, and whoever is measured beside them: spelled, started,
ready.

In: a table, a folder, further options. Out: a `Program` that nobody has started yet, and `start_all`, which
gives them back as `Running` once they say that they are ready. None is asked for a completion before that: it
would use a part of a limit.
"""

import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from bench.speed.environment import Python
from bench.speed.ours import save_table
from bench.speed.process import HOST, Pinned, find_free_port
from gateway_runtime.contract.table import RoutingTable


@dataclass(frozen=True, slots=True)
class Program:
    name: str
    port: int
    command: tuple[str | Path, ...]
    ready: str
    """Answers 200 once it serves."""
    folder: Path
    environment: Mapping[str, str] = field(default_factory=dict)
    boot_s: float = 30.0


@dataclass(frozen=True, slots=True)
class Running:
    port: int
    process: Pinned

    @property
    def pid(self) -> int:
        return self.process.pid


def spell_gateway(
    name: str, table: RoutingTable, folder: Path, python: Python, options: Sequence[str | Path] = ()
) -> Program:
    """options: further ones of `headgate gateway`. The folder may be one that another gateway has left."""
    state = folder / "state"
    save_table(table, state)
    port, admin_port = find_free_port(), find_free_port()
    ports = ("--port", str(port), "--admin-port", str(admin_port))
    serving = ("gateway", "--name", name, "--state-dir", state, "--drain", "5", *ports, *options)
    ready = f"http://{HOST}:{admin_port}/readyz"
    return Program(name, port, (python.program, "-m", "headgate.cli", *serving), ready, folder)


@contextmanager
def start_all(programs: Sequence[Program], cores: Sequence[int]) -> Iterator[list[Running]]:
    """All at once, as they take seconds. Raises NotStarted."""
    with ExitStack() as stack:
        running = []
        for program in programs:
            process = Pinned(program.name, program.command, cores, program.folder, program.environment)
            running.append(Running(program.port, stack.enter_context(process)))
        for program, one in zip(programs, running, strict=True):
            one.process.wait_until(partial(_is_ready, program.ready), program.boot_s)
        yield running


def _is_ready(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return int(answer.status) == 200
    except (urllib.error.URLError, TimeoutError, ConnectionError):
        return False
