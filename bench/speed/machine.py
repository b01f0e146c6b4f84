"""What the kernel knows of processes: CPU time and memory of a tree of them, and which cores are ours.

Read by `rounds` before and after each run. The one subtle rule: CPU time is the sum over the threads that
live now, in nanoseconds, since /proc/<pid>/stat counts in hundredths of a second; a thread that ended takes
its share with it. Gateways keep their threads, so that nothing is lost here.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

_PROC = Path("/proc")
_BUSY = 0.5
"""A load average from which on somebody else is on the two cores."""


class TooFewCores(RuntimeError):
    """The benchmark needs one core for the gateway and another for everything else."""


class Cores(NamedTuple):
    load: int
    gateway: int


def find_cores() -> Cores:
    usable = sorted(os.sched_getaffinity(0))
    if len(usable) < 2:
        raise TooFewCores("this process may use one core only; the benchmark needs two")
    return Cores(load=usable[0], gateway=usable[1])


def describe_noise() -> str | None:
    """A warning for the beginning of a run; None on a quiet machine."""
    load = os.getloadavg()[0]
    return f"the machine is busy (load {load:.1f}): the figures will be noisy" if load > _BUSY else None


def find_tree(pid: int) -> tuple[int, ...]:
    """The process and all that it started, itself first. Empty when it has ended."""
    try:
        threads = list((_PROC / str(pid) / "task").iterdir())
        children = [int(child) for thread in threads for child in (thread / "children").read_text().split()]
    except (FileNotFoundError, ProcessLookupError):
        return ()
    return (pid, *(grandchild for child in children for grandchild in find_tree(child)))


def read_cpu_s(pid: int) -> float:
    """Seconds on a core, of the process and all that it started."""
    return sum(_read_thread_s(thread) for process in find_tree(pid) for thread in _list_threads(process))


def read_main_thread_s(pid: int) -> float:
    """Seconds on a core, of the thread that a Python gateway runs its event loop in."""
    return _read_thread_s(_PROC / str(pid) / "task" / str(pid))


def read_memory_mb(pid: int) -> float:
    """Resident, of the process and all that it started; pages that they share count for each."""
    return sum(_read_resident_kb(process) for process in find_tree(pid)) / 1024


def _list_threads(pid: int) -> Iterator[Path]:
    try:
        yield from (_PROC / str(pid) / "task").iterdir()
    except (FileNotFoundError, ProcessLookupError):
        return


def _read_thread_s(thread: Path) -> float:
    try:
        return int((thread / "schedstat").read_text().split()[0]) / 1e9
    except (FileNotFoundError, ProcessLookupError):
        return 0.0


def _read_resident_kb(pid: int) -> int:
    try:
        lines = (_PROC / str(pid) / "status").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return sum(int(line.split()[1]) for line in lines if line.startswith("VmRSS:"))
