"""Transcripts of providers' streams, `testdata/stream-<situation>.in.sse`, and what comes of them."""

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import yaml

from gateway_runtime.providers.answer import Fault
from gateway_runtime.providers.sse import Event, Framer
from gateway_runtime.providers.stream import StreamReader
from gateway_runtime.providers.usage import Usage

TESTDATA = Path(__file__).parent / "testdata"
SITUATIONS = sorted(path.name.removesuffix(".in.sse") for path in TESTDATA.glob("*.in.sse"))


def transcript(situation: str) -> bytes:
    return (TESTDATA / f"{situation}.in.sse").read_bytes()


class Reading(NamedTuple):
    passed: bytes
    events: int
    usage: Usage | None
    done: bool
    fault: Fault | None


def read_stream(chunks: Iterable[bytes], *, hide_usage: bool = True, largest: int = 4096) -> Reading:
    reader = StreamReader(hide_usage=hide_usage, largest_event_bytes=largest)
    passed = b"".join(reader.feed(chunk) for chunk in chunks) + reader.finish()
    return Reading(passed, reader.events, reader.usage, reader.done, reader.fault)


class _Dumper(yaml.SafeDumper):
    pass


_Dumper.add_representer(
    str,
    lambda dumper, text: dumper.represent_scalar(
        "tag:yaml.org,2002:str", text, style="|" if "\n" in text else None
    ),
)


def show_reading(reading: Reading) -> str:
    """`passed` is what a caller gets who did not ask for usage."""
    fault = reading.fault
    shown = {
        "done": reading.done,
        "fault": fault
        and {
            "kind": fault.kind,
            "reason": fault.reason,
            "cause": fault.cause and fault.cause.name,
            "status": fault.status,
            "body": fault.body.decode(),
        },
        "usage": reading.usage and {name: getattr(reading.usage, name) for name in Usage.__struct_fields__},
        "events": reading.events,
        "passed": reading.passed.decode(),
    }
    return yaml.dump(shown, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=10_000)


def read_events(framer: Framer, chunk: bytes) -> list[Event]:
    """The events that `chunk` completes, read in the quick way where there is one, as `StreamReader` does."""
    burst = framer.read_burst(chunk)
    if burst is not None:
        return list(map(Event, burst))
    return [block.event for block in framer.cut(chunk) if block.event is not None]
