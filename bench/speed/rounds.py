"""Round after round, each contestant in turn: the shots of one load, measured.

In: shots (who, and what the loader does). Out: `Results`. Called by the loads. The one subtle rule: each
round begins with another contestant, so that nobody is always the one behind a busy neighbour.
"""

import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from bench.speed.bodies import build_body
from bench.speed.contestants import Field, Running, start_field
from bench.speed.environment import Python
from bench.speed.figures import Results, Sample, cpu_us, per_core
from bench.speed.machine import Cores, read_cpu_s, read_memory_mb
from bench.speed.process import spell_folder
from bench.speed.programs import LoadFailed, Order, Programs

_WARM_UP = Order(body=build_body(1024), seconds=0.5, connections=16)
_LOOK_EVERY_S = 0.1
"""At memory, while a load runs."""


@dataclass(frozen=True, slots=True)
class Shot:
    row: str
    """Under which the samples are kept; differs from `contestant` where one is measured in two ways."""
    contestant: str
    order: Order


@dataclass(frozen=True, slots=True)
class Bench:
    """What all loads share."""

    programs: Programs
    cores: Cores
    python: Python
    folder: Path
    upstreams: tuple[int, ...]
    rounds: int
    seconds: float
    say: Callable[[str], None]

    def measure(self, load: str, shots: Sequence[Shot]) -> Results:
        names = list(dict.fromkeys(shot.contestant for shot in shots))
        folder = self.folder / spell_folder(load)
        with start_field(names, self.upstreams, self.cores, folder, self.python) as field:
            for name, reason in field.absent.items():
                self.say(f"{load}: {name} is absent: {reason}")
            return self._run_rounds(load, shots, field)

    def _run_rounds(self, load: str, shots: Sequence[Shot], field: Field) -> Results:
        samples: dict[str, list[Sample]] = {shot.row: [] for shot in shots}
        absent = {
            shot.row: field.absent[shot.contestant] for shot in shots if shot.contestant in field.absent
        }
        for running in field.running.values():
            with suppress(LoadFailed):  # the first round will say so
                self._fire(running, _WARM_UP)
        for number in range(self.rounds):
            first = number % len(shots)
            done: list[str] = []
            for shot in (*shots[first:], *shots[:first]):
                if shot.row in absent:
                    continue
                try:
                    sample = self._fire(field.running[shot.contestant], shot.order)
                except LoadFailed as error:
                    absent[shot.row] = f"it failed in round {number + 1}: {error}"
                    continue
                samples[shot.row].append(sample)
                done.append(f"{shot.row} {_tell(sample)}")
            self.say(f"{load}, round {number + 1} of {self.rounds}: {'; '.join(done)}")
        return Results({row: tuple(taken) for row, taken in samples.items() if taken}, absent)

    def _fire(self, running: Running, order: Order) -> Sample:
        if running.pid is None:
            load = self.programs.run_load(running.port, order, self.cores.load, self.folder)
            return Sample(load=load, cpu_s=0.0, memory_before_mb=0.0, memory_peak_mb=0.0)
        before_mb, before_s = read_memory_mb(running.pid), read_cpu_s(running.pid)
        with _MemoryPeak(running.pid) as peak:
            load = self.programs.run_load(running.port, order, self.cores.load, self.folder)
        cpu_s = read_cpu_s(running.pid) - before_s
        return Sample(load=load, cpu_s=cpu_s, memory_before_mb=before_mb, memory_peak_mb=peak.mb)


class _MemoryPeak:
    """The highest of the looks at a process while a block runs."""

    def __init__(self, pid: int) -> None:
        self.mb = 0.0
        self._pid = pid
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look)

    def _look(self) -> None:
        while not self._over.wait(_LOOK_EVERY_S):
            self.mb = max(self.mb, read_memory_mb(self._pid))

    def __enter__(self) -> "_MemoryPeak":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
        self.mb = max(self.mb, read_memory_mb(self._pid))


def _tell(sample: Sample) -> str:
    cores = per_core(sample)
    if cores is None:
        return f"{sample.load.requests} requests"
    errors = sum(sample.load.errors.values())
    return f"{cores:,.0f}/s ({cpu_us(sample) or 0:.0f} µs)" + (f", {errors} errors" if errors else "")
