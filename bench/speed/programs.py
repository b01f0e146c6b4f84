"""The two Go programs of `bench/go`: built once per state of their sources, the mock started, the loader run.

In: a free core. Out: ports of the mock, and `LoadResult` of each run of the loader. The JSON is that of
`bench/go/load/tally.go`.
"""

import hashlib
import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec

from bench.speed.process import HOST, Pinned

SOURCES = Path(__file__).parents[1] / "go"
MOCK_REPLICAS = 2
KEY = "sk-bench-0123456789abcdef0123456789abcdef"
PATH = "/v1/chat/completions"


class NoGo(RuntimeError):
    """There is no Go, or it cannot build the programs."""


class LoadFailed(RuntimeError):
    """The loader could not do its work, mostly since nobody listens."""


class Quantiles(msgspec.Struct, frozen=True):
    """Microseconds."""

    p50: float
    p90: float
    p99: float
    p999: float
    max: float


class LoadResult(msgspec.Struct, frozen=True):
    requests: int
    """Good answers."""
    seconds: float
    """From the first request to the last answer."""
    latency_us: Quantiles
    chunks: int
    chunk_us: Quantiles
    """From the mock's writing of a chunk to the loader's reading."""
    lost_chunks: int
    errors: dict[str, int]
    """By kind: `status 502`, `closed`, `cut`, `unfinished`, …"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What the loader is told."""

    body: bytes
    path: str = PATH
    last: str = "[DONE]"
    """What the last event of a whole stream has, and no other."""
    seconds: float = 2.0
    connections: int = 64
    requests: int = 0
    """0: as many as the time allows."""
    rate: float = 0.0
    """0: a closed loop."""
    chunks: int = 0
    """Of each stream."""
    ramp_s: float | None = None
    """Each connection asks once, and all have begun after so long."""
    grace_s: float = 30.0

    def arguments(self) -> Iterator[str]:
        yield from ("-connections", str(self.connections), "-for", f"{self.seconds}s")
        yield from ("-requests", str(self.requests), "-rate", str(self.rate), "-chunks", str(self.chunks))
        yield from ("-grace", f"{self.grace_s}s", "-last", self.last)
        if self.ramp_s is not None:
            yield from ("-once", "-ramp", f"{self.ramp_s}s")


@dataclass(frozen=True, slots=True)
class Programs:
    mock: Path
    load: Path

    @contextmanager
    def start_mock(self, core: int, folder: Path) -> Iterator[tuple[int, ...]]:
        """Its ports: one upstream, to a gateway `MOCK_REPLICAS` replicas."""
        command = (self.mock, "-listeners", str(MOCK_REPLICAS))
        with Pinned("mock", command, [core], folder) as mock:
            mock.wait_until(lambda: mock.output.read_bytes().endswith(b"\n"), 10)
            yield tuple(msgspec.json.decode(mock.output.read_bytes())["ports"])

    def run_load(self, port: int, order: Order, core: int, folder: Path) -> LoadResult:
        """Raises LoadFailed."""
        body = folder / f"body-{hashlib.sha256(order.body).hexdigest()[:12]}.json"
        if not body.exists():
            body.write_bytes(order.body)
        pinned = ["taskset", "-c", str(core), str(self.load)]
        asked = ["-url", f"http://{HOST}:{port}{order.path}", "-key", KEY, "-body", str(body)]
        # Far above any honest run; a loader that hangs must not hang the benchmark.
        limit_s = order.seconds + order.grace_s + (order.ramp_s or 0) + 60
        ran = subprocess.run(
            [*pinned, *asked, *order.arguments()],
            capture_output=True,
            text=True,
            timeout=limit_s,
            check=False,
        )
        if ran.returncode:
            raise LoadFailed(ran.stderr.strip() or f"the loader ended with {ran.returncode}")
        return msgspec.json.decode(ran.stdout, type=LoadResult)


def build_programs(cache: Path) -> Programs:
    """Into a folder of `cache` that is named after the sources. Raises NoGo."""
    sources = sorted(path for path in SOURCES.rglob("*") if path.suffix in (".go", ".mod"))
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()[:12]
    folder = cache / f"go-{digest}"
    programs = Programs(mock=folder / "mock", load=folder / "load")
    if not (programs.mock.exists() and programs.load.exists()):
        go = shutil.which("go")
        if go is None:
            raise NoGo(
                "go is not on PATH: install Go 1.22 or newer, the upstream and the callers are built with it"
            )
        folder.mkdir(parents=True, exist_ok=True)
        _build(go, folder)
    return programs


def find_cache() -> Path:
    """Outside the tree; it need not exist."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base).absolute() / "headgate" / "bench"


def _build(go: str, folder: Path) -> None:
    command: Sequence[str] = (go, "build", "-trimpath", "-o", f"{folder}/", "./mock", "./load")
    environment = {**os.environ, "CGO_ENABLED": "0", "GOTOOLCHAIN": "local", "GOWORK": "off", "GOFLAGS": ""}
    built = subprocess.run(command, cwd=SOURCES, env=environment, capture_output=True, text=True, check=False)
    if built.returncode:
        raise NoGo(f"go build failed: {built.stderr.strip()[-600:]}")
