"""Who is measured beside Headgate, and how each is started.

In: a port, the mock's ports, a folder, a Python. Out: a `Start` for `process.Pinned`, or `Missing` with its
reason. Called by `field`. All serve `POST /v1/chat/completions` and take any key but LiteLLM, which checks
it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bench.speed import peer_files
from bench.speed.environment import Python
from bench.speed.installs import ENVOY, LITELLM, NGINX, SGL_MODEL_GATEWAY, Missing
from bench.speed.process import HOST, find_free_port

_HERE = Path(__file__).parent
QUIET_LITELLM = {
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",  # it would ask the network for prices at its start
    "LITELLM_MODE": "PRODUCTION",
    "LITELLM_LOG": "ERROR",
    "LITELLM_DONT_SHOW_FEEDBACK_BOX": "True",
    "DISABLE_ADMIN_UI": "True",
    "NO_DOCS": "True",
}


@dataclass(frozen=True, slots=True)
class Place:
    """Where a peer may work, and on which Python if it needs one."""

    port: int
    upstreams: Sequence[int]
    folder: Path
    python: Python


@dataclass(frozen=True, slots=True)
class Start:
    command: tuple[str | Path, ...]
    environment: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Peer:
    name: str
    what: str
    """Its version and how it runs, for the report."""
    start: Callable[[Place], Start | Missing]
    boot_s: float = 20.0
    """How long it may take to answer."""


def build_peers() -> tuple[Peer, ...]:
    """In the order of the report's rows."""
    return (
        Peer("nginx", f"{NGINX.version}, one worker, proxy_pass", _start_nginx),
        Peer("Envoy", f"Envoy {ENVOY.version}, --concurrency 1, plain route", _start_envoy),
        Peer(
            "sgl-model-gateway", f"smg {SGL_MODEL_GATEWAY.version}, backend openai", _start_sgl_model_gateway
        ),
        Peer("bare aiohttp", "bench/speed/bare_proxy.py: 30 lines, no features", _start_bare_proxy),
        Peer("bare copy", "bench/speed/bare_copy.py: asyncio, bytes from socket to socket", _start_bare_copy),
        Peer("LiteLLM proxy", f"LiteLLM {LITELLM.version}, one worker, no database", _start_litellm, 120.0),
    )


def _start_nginx(place: Place) -> Start | Missing:
    program = NGINX.find()
    if isinstance(program, Missing):
        return program
    config = peer_files.write_nginx(place.folder, place.port, place.upstreams)
    return Start((program, "-p", place.folder, "-e", "stderr", "-c", config))


def _start_envoy(place: Place) -> Start | Missing:
    program = ENVOY.find()
    if isinstance(program, Missing):
        return program
    config = peer_files.write_envoy(place.folder, place.port, place.upstreams)
    return Start((program, "-c", config, "--concurrency", "1", "-l", "error", "--disable-hot-restart"))


def _start_sgl_model_gateway(place: Place) -> Start | Missing:
    program = SGL_MODEL_GATEWAY.find()
    if isinstance(program, Missing):
        return program
    urls = [f"http://{HOST}:{upstream}" for upstream in place.upstreams]
    listen = ("--host", HOST, "--port", str(place.port), "--prometheus-port", str(find_free_port()))
    quiet = ("--log-level", "error", "--history-backend", "none", "--disable-health-check")
    command: tuple[str | Path, ...] = (
        program,
        "launch",
        "--backend",
        "openai",
        "--worker-urls",
        *urls,
        *listen,
        *quiet,
    )
    return Start(command, {"RUST_LOG": "error"})


def _start_bare_proxy(place: Place) -> Start:
    return Start((place.python.program, _HERE / "bare_proxy.py", str(place.port), str(place.upstreams[0])))


def _start_bare_copy(place: Place) -> Start:
    return Start((place.python.program, _HERE / "bare_copy.py", str(place.port), str(place.upstreams[0])))


def _start_litellm(place: Place) -> Start | Missing:
    program = LITELLM.on(place.python.interpreter).find()
    if isinstance(program, Missing):
        return program
    config = peer_files.write_litellm(place.folder, place.port, place.upstreams)
    listen = ("--host", HOST, "--port", str(place.port), "--num_workers", "1", "--telemetry", "False")
    return Start((program, "--config", config, *listen), QUIET_LITELLM)
