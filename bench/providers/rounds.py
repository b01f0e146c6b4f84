"""Round after round, each row in turn: the gateway's CPU time while the loader runs.

In: the gateways, rows, the loader. Out: `Results` for each load. The one subtle rule: each round begins with
another row, so that nobody is always the one behind a busy neighbour; and a row that fails once is left out
from then on, so that samples of one place are of one round.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from bench.providers.bodies import build_chat, build_messages
from bench.providers.cases import NATIVE, OPENAI, THROUGH_LITELLM, Case
from bench.providers.gateways import ALONE, BEFORE, LITELLM, NATIVE_GATEWAY, Started
from bench.speed.figures import Results, Sample, cpu_us, cpu_us_per_chunk
from bench.speed.loads import CONNECTIONS
from bench.speed.machine import Cores, read_cpu_s
from bench.speed.programs import LoadFailed, Order, Programs
from bench.speed.streams import CHUNKS

MESSAGES_PATH = "/v1/messages"
PASSING = "OpenAI: pass-through"
ANTHROPIC_PASSING = "Anthropic's callers, Anthropic: pass-through"
ANTHROPIC_TO_OPENAI = "Anthropic's callers, OpenAI"
ALONE_ROW = "OpenAI: pass-through, no other provider"
BEFORE_ROW = "the same, before"
WARM_UP_S = 0.3


@dataclass(frozen=True, slots=True)
class Row:
    name: str
    gateway: str
    case: Case
    anthropic: bool = False
    """Callers speak Anthropic's API."""

    def build_order(self, seconds: float, chunks: int) -> Order:
        """chunks: of each stream; 0: no streams."""
        order = Order(body=b"", seconds=seconds, connections=CONNECTIONS, chunks=chunks)
        if self.anthropic:
            body = build_messages(self.case.wire, chunks=chunks)
            return replace(order, body=body, path=MESSAGES_PATH, last="message_stop")
        return replace(order, body=build_chat(self.case.wire, chunks=chunks))


def list_rows() -> tuple[Row, ...]:
    """In the order of the report."""
    anthropic = next(case for case in NATIVE if case.wire == "anthropic")
    return (
        Row(PASSING, NATIVE_GATEWAY, OPENAI),
        *(Row(case.name, NATIVE_GATEWAY, case) for case in NATIVE),
        Row(ANTHROPIC_PASSING, NATIVE_GATEWAY, anthropic, anthropic=True),
        Row(ANTHROPIC_TO_OPENAI, NATIVE_GATEWAY, OPENAI, anthropic=True),
        Row(THROUGH_LITELLM.name, LITELLM, THROUGH_LITELLM),
        Row(ALONE_ROW, ALONE, OPENAI),
        Row(BEFORE_ROW, BEFORE, OPENAI),
    )


@dataclass(frozen=True, slots=True)
class Rounds:
    programs: Programs
    cores: Cores
    folder: Path
    gateways: Mapping[str, Started]
    absent: Mapping[str, str]
    rounds: int
    seconds: float
    say: Callable[[str], None]

    def measure(self, load: str, rows: Sequence[Row], *, chunks: int = 0) -> Results:
        samples: dict[str, list[Sample]] = {row.name: [] for row in rows}
        absent = {row.name: self.absent[row.gateway] for row in rows if row.gateway in self.absent}
        running = [row for row in rows if row.gateway in self.gateways]
        for row in running:
            self._try(row, row.build_order(WARM_UP_S, chunks), absent)
        for number in range(self.rounds):
            first = number % max(1, len(running))
            for row in (*running[first:], *running[:first]):
                sample = self._try(row, row.build_order(self.seconds, chunks), absent)
                if sample is not None:
                    samples[row.name].append(sample)
            told = (_tell(row.name, samples[row.name], chunks) for row in running if samples[row.name])
            self.say(f"{load}, round {number + 1} of {self.rounds}: {'; '.join(told)}")
        return Results({name: tuple(taken) for name, taken in samples.items() if taken}, absent)

    def _try(self, row: Row, order: Order, absent: dict[str, str]) -> Sample | None:
        if row.name in absent:
            return None
        try:
            return self._fire(self.gateways[row.gateway], order)
        except LoadFailed as error:
            absent[row.name] = f"it failed: {error}"
            return None

    def _fire(self, gateway: Started, order: Order) -> Sample:
        before_mb, before_s = gateway.read_memory_mb(), read_cpu_s(gateway.pid)
        load = self.programs.run_load(gateway.port, order, self.cores.load, self.folder)
        cpu_s = read_cpu_s(gateway.pid) - before_s
        return Sample(
            load=load, cpu_s=cpu_s, memory_before_mb=before_mb, memory_peak_mb=gateway.read_memory_mb()
        )


def measure_both(rounds: Rounds) -> tuple[Results, Results]:
    """Chats, and streams."""
    rows = [row for row in list_rows() if row.gateway in (*rounds.gateways, *rounds.absent)]
    return rounds.measure("1 KB", rows), rounds.measure("streams", rows, chunks=CHUNKS)


def _tell(name: str, samples: Sequence[Sample], chunks: int) -> str:
    last = samples[-1]
    figure = cpu_us_per_chunk(last) if chunks else cpu_us(last)
    errors = sum(last.load.errors.values())
    return f"{name} {figure or 0:.1f} µs" + (f", {errors} errors" if errors else "")
