"""Who takes part in a load, started and answering: Headgate in its variants, the peers, the upstream alone.

In: names, and the Python for those that are written in it. Out: `Running` by name, and a reason for each that
is absent. Called by `rounds`; each load starts its own, so that nobody else's background work is on the core
and memory is that of a fresh process.
"""

import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from bench.speed.bodies import build_body
from bench.speed.environment import Python
from bench.speed.installs import Missing
from bench.speed.machine import Cores
from bench.speed.ours import start_gateway
from bench.speed.peers import Peer, Place, build_peers
from bench.speed.process import HOST, NotStarted, Pinned, find_free_port, spell_folder
from bench.speed.programs import KEY, PATH

UPSTREAM = "upstream alone"
HEADGATE = "Headgate"
HEADGATE_LOG = "Headgate, access log"
HEADGATE_ROUTES = "Headgate, 10,000 routes"
HEADGATE_WORKERS = "Headgate, 2 workers"
MANY_ROUTES = 10_000


@dataclass(frozen=True, slots=True)
class Running:
    port: int
    pid: int | None
    """None: the upstream itself, which is nobody's gateway."""


@dataclass(frozen=True, slots=True)
class Field:
    running: dict[str, Running]
    absent: dict[str, str]
    """Name to reason."""


def list_contestants() -> dict[str, Peer]:
    """By name, in the order of the report's rows."""
    full = "key, allow-list, three limits, circuits, two providers by weight, metrics"
    ours = (
        Peer(HEADGATE, f"{full}; 10 routes", start_gateway),
        Peer(HEADGATE_LOG, "the same with --access-log", partial(start_gateway, options=("--access-log",))),
        Peer(HEADGATE_ROUTES, "the same with 10,000 routes", partial(start_gateway, routes=MANY_ROUTES)),
        Peer(
            HEADGATE_WORKERS,
            "--workers 2, on both cores, callers and upstream beside it",
            partial(start_gateway, options=("--workers", "2")),
        ),
    )
    return {peer.name: peer for peer in (*ours, *build_peers())}


@contextmanager
def start_field(
    names: Sequence[str], upstreams: Sequence[int], cores: Cores, folder: Path, python: Python
) -> Iterator[Field]:
    """The upstream alone is always there."""
    contestants = list_contestants()
    field = Field({UPSTREAM: Running(upstreams[0], None)}, {})
    with ExitStack() as stack:
        for name in names:
            if name == UPSTREAM:
                continue
            try:
                started = _start(contestants[name], upstreams, cores, folder, python)
                if isinstance(started, Missing):
                    field.absent[name] = started.reason
                    continue
                program, port = started
                stack.enter_context(program)
                program.wait_until(partial(_answers, port), contestants[name].boot_s)
            except NotStarted as error:
                field.absent[name] = str(error)
                continue
            field.running[name] = Running(port, program.pid)
        yield field


def _start(
    peer: Peer, upstreams: Sequence[int], cores: Cores, folder: Path, python: Python
) -> tuple[Pinned, int] | Missing:
    port = find_free_port()
    where = folder / spell_folder(peer.name)
    start = peer.start(Place(port, upstreams, where, python))
    if isinstance(start, Missing):
        return start
    on = tuple(cores) if peer.name == HEADGATE_WORKERS else (cores.gateway,)
    return Pinned(peer.name, start.command, on, where, start.environment), port


def _answers(port: int) -> bool:
    request = urllib.request.Request(
        f"http://{HOST}:{port}{PATH}",
        data=build_body(1024),
        headers={"Content-Type": "application/json", "Authorization": f"Bearer {KEY}"},
    )
    try:
        with urllib.request.urlopen(request, timeout=5) as answer:
            return answer.status == 200 and b'"usage"' in answer.read()
    except (urllib.error.URLError, TimeoutError, ConnectionError):
        return False
