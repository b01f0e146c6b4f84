"""What a storm and its gateways say to each other: one JSON array a line, commands down, events up.

Times are those of the machine's monotonic clock, which all processes share.
"""

from collections.abc import Mapping
from typing import Final

import msgspec


class Begin(msgspec.Struct, frozen=True, array_like=True, tag="begin"):
    """The first command, and the only one that comes once."""

    url: str
    prefix: str
    name: str
    seed: int
    requests_per_s: float
    faults: bool
    """Calls and answers are lost, and now and then it is cut off from the store."""
    amounts: Mapping[str, int]
    """By the limit's key."""


class Edit(msgspec.Struct, frozen=True, array_like=True, tag="edit"):
    key: str
    amount: int


class Finish(msgspec.Struct, frozen=True, array_like=True, tag="finish"):
    """Nothing new is asked, what runs ends, what is left is given back."""


class Configured(msgspec.Struct, frozen=True, array_like=True, tag="c"):
    at_s: float
    key: str
    amount: int


class Admitted(msgspec.Struct, frozen=True, array_like=True, tag="a"):
    at_s: float
    number: int
    caller: int
    """Its place in `scenario.CALLERS`."""
    input_tokens: int
    """What it may cost at most."""
    output_tokens: int
    usd_picos: int


class Settled(msgspec.Struct, frozen=True, array_like=True, tag="s"):
    """Told before the store can know of it."""

    at_s: float
    number: int
    input_tokens: int
    output_tokens: int
    usd_picos: int


class Unheard(msgspec.Struct, frozen=True, array_like=True, tag="u"):
    """For so long the store counted nothing of what it said of a root that it could know of."""

    at_s: float
    until_s: float
    root: str


class Tally(msgspec.Struct, frozen=True, array_like=True, tag="t"):
    """What else happened since the last."""

    at_s: float
    counts: Mapping[str, int]


class Finished(msgspec.Struct, frozen=True, array_like=True, tag="f"):
    at_s: float
    memory: str
    """Of the store, as it was told last: see `Beat.memory`."""


Command = Begin | Edit | Finish
Event = Configured | Admitted | Settled | Unheard | Tally | Finished

commands: Final = msgspec.json.Decoder(Command)
events: Final = msgspec.json.Decoder(Event)
_encoder: Final = msgspec.json.Encoder()


def encode_line(message: Command | Event) -> bytes:
    return _encoder.encode(message) + b"\n"
