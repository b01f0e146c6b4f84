"""A translation by itself, without a gateway: how it is timed, and how a process of its own tells of it.

`own` and `bench.providers_litellm` run as processes, since neither may change what the other, or the
benchmark, has imported. Each gets its answers from the mock, and prints `Costs` as JSON.
"""

import gc
import http.client
import subprocess
import time
from collections.abc import Callable, Mapping
from typing import Final

import msgspec

from bench.speed.environment import CHECKOUT, Python
from bench.speed.process import HOST

_REPEATS: Final = 5
_AT_LEAST_S: Final = 0.03
_LIMIT_S: Final = 120


class Cost(msgspec.Struct, frozen=True):
    """Microseconds of CPU. Each from bytes, or what was read of them once, to bytes."""

    request: float
    answer: float
    chunk: float


class Costs(msgspec.Struct, frozen=True):
    by_case: Mapping[str, Cost] = {}
    """By the case's wire."""
    absent: str | None = None
    """Why there are none."""
    version: str = ""


def run_module(module: str, port: int, core: int, python: Python) -> Costs:
    """Runs it pinned to a core. port: the mock's. Absent, with a reason, where it cannot run."""
    command = ("taskset", "-c", str(core), str(python.program), "-m", module, str(port))
    try:
        ran = subprocess.run(
            command, cwd=CHECKOUT, capture_output=True, text=True, timeout=_LIMIT_S, check=False
        )
        if ran.returncode:
            return Costs(absent=f"{module} ended with {ran.returncode}: {ran.stderr.strip()[-200:]}")
        return msgspec.json.decode(ran.stdout, type=Costs)
    except (subprocess.TimeoutExpired, msgspec.DecodeError) as error:
        return Costs(absent=f"{module}: {error}")


def fetch(port: int, path: str, body: bytes) -> bytes:
    """The mock's answer, whole."""
    connection = http.client.HTTPConnection(HOST, port, timeout=10)
    try:
        connection.request("POST", path, body)
        answer = connection.getresponse()
        read = answer.read()
    finally:
        connection.close()
    if answer.status != 200:
        raise RuntimeError(f"the mock answered {path} with {answer.status}")
    return read


def time_us(work: Callable[[], object]) -> float:
    """A call's CPU time: the best of several repeats, each as long as the clock needs."""
    calls = 1
    while _run_s(work, calls) < _AT_LEAST_S:
        calls *= 2
    return min(_run_s(work, calls) for _ in range(_REPEATS)) / calls * 1e6


def calm() -> None:
    """What was imported is not looked at by the collector: a gateway calms it likewise."""
    gc.collect()
    gc.freeze()


def _run_s(work: Callable[[], object], calls: int) -> float:
    began_s = time.process_time()
    for _ in range(calls):
        work()
    return time.process_time() - began_s
